"""`deploy/new-year.sh` with a command line whose answers are made up: what it asks, in which order, and how it ends.

The real one is run by the documentation: `docs/howto/scheduled-update.md`.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import documented
import pytest

SCRIPT = Path(__file__).parents[1] / "deploy" / "new-year.sh"
STORE = "out/a/v1/historical.zarr"
Answers = dict[str, list[int] | int]


class Machine:
    """A machine on which every command ends as it is told to, the last way again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[list[str]] = []
        self.answers: Answers = {}
        programs = folder / "programs"
        programs.mkdir()
        self.relay = documented.Relay(programs / "ch4grid", self._answer)
        self.environment = os.environ | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "TMPDIR": str(folder / "scratch"),
        }
        (folder / "scratch").mkdir()

    def _answer(self, words: list[str]) -> tuple[int, str, str]:
        self.asked.append(words)
        told = self.answers.get(words[0], 0)
        code = told if isinstance(told, int) else told.pop(0) if len(told) > 1 else told[0]
        out = json.dumps({"store": STORE}) if words[0] == "run" else ""
        return code, out, f"ch4grid: {words[0]} says {code}.\n" if code else ""

    def __call__(self, *arguments: str, **answers: list[int] | int) -> tuple[int, str, str]:
        self.asked.clear()
        self.answers = answers
        words = ["sh", str(SCRIPT), *arguments]
        return documented.shell(words, self.folder, self.environment, self.relay)

    @property
    def order(self) -> list[str]:
        return [words[0] for words in self.asked]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.relay.close()


YEAR = ("r.yaml", "--year", "2004")
MIRROR = ("--mirror", "s3://b/x.zarr", "--with-catalog")


def test_complete_inputs_are_planned_run_verified_and_mirrored(machine: Machine) -> None:
    code, out, _ = machine(*YEAR, *MIRROR, "--output", "out", "--device", "cpu")
    assert code == 0
    assert machine.order == ["inventory", "plan", "run", "verify", "mirror"]
    inventory, plan, run, verify, mirror = machine.asked
    assert inventory[1:4] == ["r.yaml", "--year", "2004"]
    # what was planned is what is run
    assert run[run.index("--plan") + 1] == plan[plan.index("--save") + 1]
    assert run[run.index("--device") + 1] == "cpu"
    assert verify == ["verify", STORE]
    assert mirror == ["mirror", STORE, "s3://b/x.zarr", "--catalog", "out/catalog"]
    assert f"2004 is published: {STORE}" in out


def test_a_mirror_without_the_catalog_is_of_the_store_alone(machine: Machine) -> None:
    assert machine(*YEAR, "--mirror", "s3://b/x.zarr")[0] == 0
    assert machine.asked[-1] == ["mirror", STORE, "s3://b/x.zarr"]


def test_what_is_lacking_is_fetched_before_anything_is_made(machine: Machine) -> None:
    assert machine(*YEAR, inventory=[3, 0])[0] == 0
    assert machine.order == ["inventory", "fetch", "inventory", "plan", "run", "verify"]


@pytest.mark.parametrize("fetched", [0, 1, 3])
def test_incomplete_inputs_end_without_harm_whatever_the_archive_said(
    machine: Machine, fetched: int
) -> None:
    code, out, err = machine(*YEAR, inventory=3, fetch=fetched)
    assert code == 0
    assert machine.order == ["inventory", "fetch", "inventory"]
    assert "not complete; nothing was changed" in out
    assert "inventory says 3" in err


def test_incomplete_inputs_are_an_error_when_asked_for(machine: Machine) -> None:
    assert machine(*YEAR, "--strict", inventory=3)[0] == 3


def test_nothing_is_fetched_when_inputs_come_by_other_means(machine: Machine) -> None:
    assert machine(*YEAR, "--no-fetch", inventory=3)[0] == 0
    assert machine.order == ["inventory"]


@pytest.mark.parametrize("code", [1, 2, 130])
def test_an_inventory_that_fails_ends_it_with_its_code(machine: Machine, code: int) -> None:
    assert machine(*YEAR, inventory=code)[0] == code
    assert machine.order == ["inventory"]


def test_a_wrong_recipe_is_told_by_the_fetch_too(machine: Machine) -> None:
    assert machine(*YEAR, inventory=3, fetch=2)[0] == 2


def test_months_that_the_recipe_does_not_accept_end_without_harm(machine: Machine) -> None:
    assert machine(*YEAR, plan=3)[0] == 0
    assert machine.order == ["inventory", "plan"]
    assert machine(*YEAR, "--strict", plan=3)[0] == 3


@pytest.mark.parametrize(
    ("command", "code"),
    [("plan", 1), ("plan", 2), ("run", 1), ("run", 3), ("verify", 1), ("mirror", 1)],
)
def test_a_failure_ends_it_with_its_code_and_nothing_after_it_happens(
    machine: Machine, command: str, code: int
) -> None:
    assert machine(*YEAR, *MIRROR, **{command: code})[0] == code
    assert machine.order[-1] == command


@pytest.mark.parametrize("answers", [{}, {"inventory": 3}, {"run": 1}])
def test_no_temporary_file_is_left(machine: Machine, answers: Answers) -> None:
    machine(*YEAR, **answers)
    assert list((machine.folder / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no recipe"),
        (("a.yaml", "b.yaml"), "more than one recipe"),
        (("a.yaml", "--year"), "--year needs a value"),
        (("a.yaml", "--year", "last"), "--year takes a number"),
        (("a.yaml", "--yaer", "2004"), "unknown option --yaer"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_asked(
    machine: Machine, arguments: tuple[str, ...], words: str
) -> None:
    code, _, err = machine(*arguments)
    assert (code, machine.order) == (2, [])
    assert words in err
    assert "usage: new-year.sh" in err


def test_the_year_is_the_last_one_when_left_out(machine: Machine) -> None:
    machine("r.yaml")
    code, out, _ = documented.shell(["date", "+%Y"], machine.folder, machine.environment, None)
    assert code == 0
    assert machine.asked[0][3] == str(int(out) - 1)


def test_every_command_that_it_asks_would_be_understood(machine: Machine) -> None:
    machine(*YEAR, *MIRROR, inventory=[3, 0])
    for words in machine.asked:
        documented.parse(words)


def test_without_an_active_environment_the_one_of_the_project_is_taken(tmp_path: Path) -> None:
    script = tmp_path / "project" / "deploy" / "new-year.sh"
    script.parent.mkdir(parents=True)
    script.write_bytes(SCRIPT.read_bytes())
    bare = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}

    def ended() -> tuple[int, str]:
        done = subprocess.run(
            ["sh", str(script), *YEAR], env=bare, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    code, told = ended()
    assert (code, "sh deploy/run.sh" in told) == (2, True)
    program = tmp_path / "project" / ".venv" / "bin" / "ch4grid"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho its own says $1 >&2\nexit 2\n")
    program.chmod(0o755)
    assert ended() == (2, "its own says inventory\n")
