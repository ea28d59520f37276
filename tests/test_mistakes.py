"""Typical mistakes at every command: each ends with its exit code and one paragraph, and changes nothing."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import documented
import planted_product
import planted_recipe
import pytest
import yaml

import ch4grid
from ch4grid.cli import app
from ch4grid.examples import EXAMPLES
from ch4grid.grid import Grid

FAILED, USAGE, INPUT = 1, 2, 3
STORE = "products/planted/v1/historical.zarr"
RECIPE = "recipe.yaml"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, its inputs, and a made-up product of it."""
    folder = tmp_path_factory.mktemp("made")
    planted_recipe.write_areas(folder)
    planted_recipe.write_towers(folder)
    for year in planted_recipe.YEARS:
        planted_recipe.write_drivers(folder, year)
    told = planted_recipe.recipe(model={"architecture": "ridge"}).resolved()
    planted_product.write_years(folder / "products", 2001, 2002, grid=Grid(30.0), recipe=told)
    write(folder)
    return folder


def write(folder: Path, **changes: Any) -> None:
    told = {"model": {"architecture": "ridge"}} | changes
    (folder / RECIPE).write_text(yaml.safe_dump(planted_recipe.document(**told)))


def nothing(_: Path) -> None:
    """The mistake is in the arguments."""


def recipe(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: write(folder, **changes)


def text(content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / RECIPE).write_text(content) and None


def cut_short(folder: Path) -> None:
    content = (folder / RECIPE).read_text()
    (folder / RECIPE).write_text(content[: content.index("path:") + 7])


def cut_metadata(folder: Path) -> None:
    path = folder / STORE / "zarr.json"
    path.write_bytes(path.read_bytes()[:200])


def no_ledger(folder: Path) -> None:
    for path in (folder / STORE).parent.glob("*.ledger.parquet"):
        path.unlink()


def file_named(name: str, content: str = "") -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content) and None


def unwritable(folder: Path) -> None:
    """A file in the place of a folder: the superuser may write into any folder."""
    (folder / "closed").write_text("")


GEOJSON = json.dumps(
    {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"name": "A"},
                "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]},
            }
        ],
    }
)
# name: (what is wrong on disk, the command, exit code, words of the message)
MISTAKES: dict[str, tuple[Callable[[Path], None], str, int, str]] = {
    # recipes
    "no recipe": (nothing, "plan none.yaml", USAGE, "none.yaml: the recipe cannot be read"),
    "a folder as recipe": (nothing, "plan .", USAGE, "the recipe cannot be read"),
    "an empty recipe": (text(""), f"plan {RECIPE}", USAGE, "the recipe is not a mapping"),
    "a list as recipe": (text("- a\n"), f"run {RECIPE}", USAGE, "the recipe is not a mapping"),
    "a recipe cut short": (cut_short, f"run {RECIPE}", USAGE, RECIPE),
    "bytes that are no text": (
        lambda folder: (folder / RECIPE).write_bytes(b"\xff\xfe\x00\x81") and None,
        f"plan {RECIPE}",
        USAGE,
        "the recipe is not YAML",
    ),
    "a word for a number": (
        recipe(grid={"resolution": "fine"}),
        f"plan {RECIPE}",
        USAGE,
        "grid.resolution",
    ),
    "a grid that does not close": (
        recipe(grid={"resolution": 7.0}),
        f"plan {RECIPE}",
        USAGE,
        "grid.resolution",
    ),
    "a period that ends before it begins": (
        recipe(period=[2002, 2001]),
        f"plan {RECIPE}",
        USAGE,
        "period ends (2001) before it begins (2002)",
    ),
    "a number for a period": (recipe(period=2001), f"plan {RECIPE}", USAGE, "period"),
    "an unknown source": (
        recipe(drivers=[{"source": "era6", "path": "x", "variables": ["tas"]}]),
        f"inventory {RECIPE}",
        USAGE,
        "drivers[0]",
    ),
    "an unknown variable": (
        recipe(drivers=[{"source": "gridded", "path": "x", "variables": {"tass": "t"}}]),
        f"plan {RECIPE}",
        USAGE,
        "tass",
    ),
    "an unknown model": (
        recipe(model={"architecture": "ridgeway"}),
        f"train {RECIPE}",
        USAGE,
        "model",
    ),
    "an unknown gas": (recipe(gas="ch5"), f"plan {RECIPE}", USAGE, "unknown gas 'ch5'"),
    "a product with a space": (recipe(product="My product"), f"plan {RECIPE}", USAGE, "product"),
    "a table that is not there": (
        recipe(model={"best": "none.json"}),
        f"plan {RECIPE}",
        USAGE,
        "no table of a benchmark",
    ),
    "a checkpoint that is not there": (
        recipe(model={"checkpoint": "nowhere"}),
        f"run {RECIPE} --cluster local:1",
        INPUT,
        "nowhere",
    ),
    # arguments of a recipe's commands
    "drivers of a year that nobody has": (
        nothing,
        f"run {RECIPE} --year 2050 --cluster local:1",
        INPUT,
        "2050",
    ),
    "an inventory of what is missing": (
        nothing,
        f"inventory {RECIPE} --year 2050",
        INPUT,
        "missing",
    ),
    "a year that is a word": (nothing, f"run {RECIPE} --year last", USAGE, "--year"),
    "a negative year": (nothing, f"plan {RECIPE} --year -3", USAGE, "--year"),
    "an unknown scenario": (nothing, f"plan {RECIPE} --scenario hot", USAGE, "Found hot."),
    "an unknown cluster": (nothing, f"plan {RECIPE} --cluster moon", USAGE, "Found moon."),
    "no amount of memory": (
        nothing,
        f"plan {RECIPE} --year 2001 --memory-limit much",
        USAGE,
        "Found much.",
    ),
    "no data folder": (nothing, f"plan {RECIPE} --data none", INPUT, "the data folder does not"),
    "a plan that is no plan": (
        file_named("plan.json", "{}"),
        f"run {RECIPE} --plan plan.json",
        INPUT,
        "plan.json",
    ),
    "no plan": (nothing, f"run {RECIPE} --plan none.json", INPUT, "none.json"),
    "fetching nothing": (nothing, f"fetch {RECIPE}", USAGE, "--year"),
    "an attribution of no periods": (nothing, f"attribute {RECIPE}", USAGE, "--from"),
    "an attribution from a word": (
        nothing,
        f"attribute {RECIPE} --from then --to 2001",
        USAGE,
        "then",
    ),
    "a benchmark without models": (
        nothing,
        f"benchmark {RECIPE} --models nothing",
        USAGE,
        "unknown model",
    ),
    # stores
    "verifying nothing": (nothing, "verify none.zarr", INPUT, "none.zarr"),
    "the status of a folder": (nothing, "status .", INPUT, "no product"),
    "repairing a file": (nothing, f"repair {RECIPE}", INPUT, "no published product"),
    "a store cut short": (cut_metadata, f"budget {STORE}", INPUT, "historical.zarr"),
    "no ledger": (no_ledger, f"verify {STORE}", INPUT, "ledger"),
    "a rollback without a reason": (nothing, f"rollback {STORE}", USAGE, "--retract"),
    "a rollback to the future": (
        nothing,
        f"rollback {STORE} --to 2030 --retract why",
        USAGE,
        "2030",
    ),
    "an explanation off the globe": (
        nothing,
        f"explain {STORE} --lat 99 --lon 0 --month 2001-07",
        USAGE,
        "99",
    ),
    "an explanation of no month": (
        nothing,
        f"explain {STORE} --lat 9 --lon 0 --month July",
        USAGE,
        "July",
    ),
    "an explanation of another year": (
        nothing,
        f"explain {STORE} --lat 9 --lon 0 --month 1901-07",
        INPUT,
        "1901",
    ),
    "a budget of a country that nobody named": (
        nothing,
        f"budget {STORE} --region atlantis",
        INPUT,
        "atlantis",
    ),
    "a budget of no file": (nothing, f"budget {STORE} --region no.geojson", INPUT, "no.geojson"),
    "a budget of no GeoJSON": (
        file_named("bad.geojson", "{"),
        f"budget {STORE} --region bad.geojson",
        INPUT,
        "bad.geojson",
    ),
    "a budget of an unknown feature": (
        file_named("a.geojson", GEOJSON),
        f"budget {STORE} --region a.geojson --feature B",
        INPUT,
        "B",
    ),
    "a budget of another year": (nothing, f"budget {STORE} --year 1901", INPUT, "1901"),
    "a mirror to a folder": (nothing, f"mirror {STORE} copy", USAGE, "this is no URL"),
    "a mirror to an unknown protocol": (
        nothing,
        f"mirror {STORE} moon://a/b.zarr",
        USAGE,
        "moon://",
    ),
    "a mirror with a password": (
        nothing,
        f"mirror {STORE} s3://me:secretword@a/b.zarr",
        USAGE,
        "the URL carries credentials",
    ),
    "a mirror of nothing": (nothing, "mirror none.zarr memory://a/b.zarr", INPUT, "none.zarr"),
    # catalogs and output
    "no catalog": (nothing, "catalog validate --catalog none", INPUT, "no catalog here"),
    "nothing to browse": (nothing, "browse --catalog none", INPUT, "nothing to browse"),
    "an output that cannot be written": (
        unwritable,
        "benchmark recipe.yaml --models ridge --cluster local:1 --quick --output closed",
        FAILED,
        "closed",
    ),
    "a plan where nothing can be written": (
        unwritable,
        f"plan {RECIPE} --map closed/map.geojson",
        FAILED,
        "closed",
    ),
    "an unknown command": (nothing, "plna recipe.yaml", USAGE, "plna"),
    "an unknown option": (nothing, f"verify {STORE} --jsno", USAGE, "--jsno"),
    "too many arguments": (nothing, f"verify {STORE} {STORE}", USAGE, "extra argument"),
}


def tree(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.suffix != ".lock" and "cache" not in p.parts
    }


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_without_a_traceback_and_changes_nothing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    make, command, code, words = MISTAKES[mistake]
    folder = tmp_path / "made"
    shutil.copytree(made, folder)
    make(folder)
    monkeypatch.chdir(folder)
    before = tree(folder)
    ended, _, err = documented.called(documented.arguments(f"ch4grid {command}"))
    assert "Traceback" not in err
    assert "an error that should not happen" not in err
    assert words in err, err
    assert ended == code, err
    assert "secretword" not in err
    paragraph = err.strip().splitlines()[-1]
    assert paragraph.startswith("ch4grid: ") or "Try 'ch4grid" in err or "╰" in err
    assert tree(folder) == before


def commands(group: Any, above: str = "") -> list[str]:
    found = [f"{above}{c.name or c.callback.__name__}" for c in group.registered_commands]
    for inner in group.registered_groups:
        found += commands(inner.typer_instance, f"{above}{inner.name} ")
    return found


@pytest.mark.parametrize("name", commands(app))
def test_the_help_of_a_command_says_what_it_does_and_shows_an_example(name: str) -> None:
    code, out, _ = documented.called([*name.split(), "--help"])
    assert code == 0
    assert f"ch4grid {name} " in out.split("Usage:")[1].split("\n", 1)[1]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_command_would_be_understood(name: str) -> None:
    for example in EXAMPLES[name]:
        documented.parse(documented.arguments(f"ch4grid {name} {example}"))


# Commands that print no table and no JSON, or nothing but JSON.
WITHOUT_JSON = {"browse", "catalog show"}


@pytest.mark.parametrize("name", sorted(set(commands(app)) - WITHOUT_JSON))
def test_a_command_offers_json(name: str) -> None:
    assert documented.unknown_words([*name.split(), "--json"]) == []


JSON = {
    "verify": f"verify {STORE} --json",
    "status": f"status {STORE} --json",
    "explain": f"explain {STORE} --lat 62 --lon 24 --month 2001-07 --json",
    "budget": f"budget {STORE} --year 2001 --compare --json",
    "mirror": f"mirror {STORE} memory://json/historical.zarr --json",
    "inventory": f"inventory {RECIPE} --json",
    "plan": f"plan {RECIPE} --json",
    "doctor": "doctor --json",
}


@pytest.mark.parametrize("name", JSON)
def test_json_is_all_that_stands_on_standard_output(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / "made"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    _, out, err = documented.called(documented.arguments(f"ch4grid {JSON[name]}"))
    assert json.loads(out) is not None, err


def test_the_package_runs_as_a_module() -> None:
    words = [sys.executable, "-m", "ch4grid", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ch4grid.__version__


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("ch4grid ", {"plan", "run", "verify", "doctor"}),
        ("ch4grid run recipe.yaml --device c", {"cpu", "cuda"}),
        ("ch4grid plan recipe.yaml --cluster s", {"slurm"}),
        ("ch4grid budget x.zarr --com", {"--compare"}),
    ],
)
def test_completion_offers_what_could_follow(
    monkeypatch: pytest.MonkeyPatch, typed: str, offered: set[str]
) -> None:
    monkeypatch.setenv("_CH4GRID_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split(" ")) - 1))
    _, out, _ = documented.called([])
    assert offered <= set(out.split())
    assert typed == "ch4grid " or set(out.split()) == offered
