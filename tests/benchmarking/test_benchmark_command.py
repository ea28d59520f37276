"""`ch4grid benchmark` as a user meets it: options, what is printed and written, and how mistakes end."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import planted_benchmark as planted
import pytest
import yaml
from test_cli import DONE, INPUT, USAGE, Said, is_one_paragraph

from ch4grid import cli

Command = Callable[..., Said]
BENCHMARK = ("benchmark", "planted.yaml", "--data", "data", "--cluster", "local:1")
CHEAP = (*BENCHMARK, "--models", "climatology,ridge")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe and its data; results of earlier tests stay."""
    path = tmp_path_factory.mktemp("command")
    planted.write_towers(path / "data" / "planted")
    planted.write_towers(path / "kept" / "planted", planted.others())
    write(path, "planted.yaml")
    return path


def write(path: Path, name: str, **changes: Any) -> None:
    content = yaml.safe_load(json.dumps(planted.recipe().resolved()))
    (path / name).write_text(yaml.safe_dump(content | changes))


@pytest.fixture
def command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    def run(*arguments: str) -> Said:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["ch4grid", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        lines = [line for line in said.err.splitlines() if not line.lstrip()[:1].isdigit()]
        return Said(int(ended.value.code or 0), said.out, "\n".join(lines))

    return run


def rows(folder: Path, part: str = "selected") -> list[dict[str, Any]]:
    path = folder / "products" / "benchmarks" / "planted" / part / "results.json"
    found: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return found


def test_models_are_scored_printed_and_written(command: Command, folder: Path) -> None:
    said = command(*CHEAP, "--json", "rows.json")
    assert (said.code, said.err) == (DONE, "")
    for words in ("climatology", "ridge", "loco", "asinh_nse", "index.html"):
        assert words in said.out
    found = json.loads((folder / "rows.json").read_text())
    assert found == rows(folder)
    assert [(row["model"], row["split"]) for row in found] == [
        ("climatology", "loco"),
        ("ridge", "loco"),
    ]
    assert all(set(row) >= planted.CONTRACT for row in found)
    text = (folder / "products/benchmarks/planted/selected/results.md").read_text()
    again = "ch4grid benchmark recipes/planted.yaml --data FOLDER --models climatology,ridge"
    assert f"    {again}\n" in text


def test_splits_are_a_list_and_those_of_the_recipe_keep_their_groups(
    command: Command, folder: Path
) -> None:
    said = command(*BENCHMARK, "--models", "climatology", "--split", "random,loco")
    assert (said.code, said.err) == (DONE, "")
    assert {(r["split"], r["folds"]) for r in rows(folder)} == {("random", 5), ("loco", 3)}


def test_without_names_the_models_of_the_recipe_are_run(command: Command, folder: Path) -> None:
    write(folder, "own.yaml", models={"mine": {"architecture": "ridge", "alpha": 5.0}})
    said = command("benchmark", "own.yaml", *BENCHMARK[2:])
    assert (said.code, said.err) == (DONE, "")
    assert [(r["model"], r["settings"]["alpha"]) for r in rows(folder, "results")] == [
        ("mine", 5.0)
    ]


def test_a_quick_look_leaves_groups_out(command: Command, folder: Path) -> None:
    said = command(*CHEAP, "--quick")
    assert (said.code, said.err) == (DONE, "")
    assert {row["folds"] for row in rows(folder, "quick")} == {3}


@pytest.mark.parametrize("kept", ["kept", "kept/planted"])
def test_towers_kept_back_are_scored_once(command: Command, folder: Path, kept: str) -> None:
    said = command(*CHEAP, "--holdout", kept)
    assert (said.code, said.err) == (DONE, "")
    assert {(r["split"], r["towers"]) for r in rows(folder, "holdout")} == {("holdout", 6)}
    text = (folder / "products/benchmarks/planted/holdout/results.md").read_text()
    assert "--holdout FOLDER" in text
    assert str(folder) not in text


MISTAKES = {
    "an unknown model": ((*BENCHMARK, "--models", "lsmt"), USAGE, "Found lsmt."),
    "an unknown split": ((*CHEAP, "--split", "loco,luck"), USAGE, "Found luck."),
    "an unknown cluster": ((*CHEAP[:-3], "moon"), USAGE, "Found moon."),
    "a missing recipe": (("benchmark", "none.yaml"), USAGE, "none.yaml"),
    "a missing data folder": (
        ("benchmark", "planted.yaml", "--data", "none"),
        INPUT,
        "the data folder does not exist",
    ),
    "a missing table": (
        ("benchmark", "planted.yaml", "--data", "kept/planted", "--cluster", "local:1"),
        INPUT,
        "planted/stations.csv: no such file",
    ),
    "a missing holdout": ((*CHEAP, "--holdout", "none"), INPUT, "--holdout: no such folder"),
    "a holdout of towers that were trained on": (
        (*CHEAP, "--holdout", "data"),
        INPUT,
        "towers are both trained on and held out",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_paragraph(command: Command, folder: Path, mistake: str) -> None:
    arguments, code, words = MISTAKES[mistake]
    before = {path: path.read_bytes() for path in folder.rglob("results.json")}
    said = command(*arguments)
    assert (said.code, said.out) == (code, "")
    assert is_one_paragraph(said), said.err
    assert words in said.err
    assert {path: path.read_bytes() for path in folder.rglob("results.json")} == before


def test_an_unknown_key_is_named(command: Command, folder: Path) -> None:
    write(folder, "wrong.yaml", peroid=[2001, 2002])
    said = command("benchmark", "wrong.yaml", *BENCHMARK[2:])
    assert (said.code, said.out) == (USAGE, "")
    assert "did you mean 'period'" in said.err
