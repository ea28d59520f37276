"""The inventory tells of every variable and month what is held, how well and what it is, without the network too."""

import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from ch4grid import inventory as module
from ch4grid.drivers.source import Holding, Source
from ch4grid.errors import InputError
from ch4grid.inventory import STATES, Entry, Inventory, inventory
from ch4grid.recipe import Recipe
from ch4grid.sites import TowerTable
from ch4grid.stores import Workspace


class Folder(Source):
    """A file per month; the first word in it is the state, the rest the reason. A network path may be cut off."""

    source: Literal["folder"] = "folder"
    path: str = "months/*.txt"
    variables: tuple[str, ...] = Field(default=("tas",), strict=False)

    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        if (workspace.data / "offline").exists():
            raise InputError("the host does not answer", where=self.path)
        return [self._holding(workspace, n, m) for n in self.variables for m in wanted]

    def _holding(self, workspace: Workspace, name: str, month: pd.Timestamp) -> Holding:
        file = workspace.data / "months" / f"{month:%Y-%m}.txt"
        if not file.exists():
            return Holding("folder", name, month, "missing", (), "no file")
        state, _, reason = file.read_text().partition(" ")
        files = (Path(self.path) / "t2m",) if "://" in self.path else (file,)
        return Holding("folder", name, month, state, files, reason)  # type: ignore[arg-type]

    def open(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> xr.Dataset:
        raise NotImplementedError

    def statics(self, workspace: Workspace) -> xr.Dataset:
        return xr.Dataset()


def recipe(**changes: Any) -> Recipe:
    """A recipe with planted sources, areas and towers."""
    ecosystems = Recipe.model_fields["ecosystems"].annotation
    assert ecosystems is not None
    document = {
        "product": "planted",
        "period": (2002, 2002),
        "drivers": (Folder(),),
        "ecosystems": ecosystems.model_construct(areas=changes.pop("areas", ())),
        "spin_up": 1,
        "training": None,
        "sites": (),
    }
    return Recipe.model_construct(**(document | changes))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Two final years, then a missing, a damaged and a preliminary month."""
    folder = tmp_path / "data" / "months"
    folder.mkdir(parents=True)
    for month in pd.period_range("2001-01", "2002-12", freq="M"):
        (folder / f"{month}.txt").write_text("final")
    (folder / "2002-03.txt").unlink()
    (folder / "2002-05.txt").write_text("damaged 2002-05.txt is cut short")
    (folder / "2002-12.txt").write_text("preliminary ERA5T")
    return Workspace(tmp_path / "data", tmp_path / "products")


def test_every_month_of_the_year_and_its_spin_up_is_told(workspace: Workspace) -> None:
    made = inventory(recipe(), workspace)
    assert [e.month for e in made.entries] == [
        str(m) for m in pd.period_range("2001-01", "2002-12", freq="M")
    ]
    told = {e.month: (e.state, e.reason) for e in made.entries if e.state != "final"}
    assert told == {
        "2002-03": ("missing", "no file"),
        "2002-05": ("damaged", "2002-05.txt is cut short"),
        "2002-12": ("preliminary", "ERA5T"),
    }
    assert [e.month for e in made.lacking] == ["2002-03", "2002-05"]


def test_runs_of_months_are_drawn_together(workspace: Workspace) -> None:
    (row,) = inventory(recipe(), workspace).table()
    assert row["held"] == (
        "2001-01..2002-02 final, 2002-03 missing (no file), 2002-04 final, "
        "2002-05 damaged (2002-05.txt is cut short), 2002-06..2002-11 final, 2002-12 preliminary (ERA5T)"
    )


def test_months_that_lack_for_the_same_reason_are_one_run() -> None:
    entries = tuple(
        Entry("a", "p", "v", m, "missing", f"no file of {m}. Expected one", (), None, None)
        for m in ("2001-11", "2001-12", "2002-01")
    )
    (row,) = Inventory("p", entries).table()
    assert row["held"] == "2001-11..2002-01 missing (no file of the month)"
    (row,) = Inventory("p", entries[:1]).table()
    assert row["held"] == "2001-11 missing (no file of 2001-11)"


def test_a_source_of_drivers_and_areas_is_told_once(workspace: Workspace) -> None:
    made = inventory(recipe(areas=(Folder(variables=("tas", "pr")),)), workspace)
    keys = [(e.variable, e.month) for e in made.entries]
    assert len(keys) == len(set(keys)) == 36


@given(st.lists(st.sampled_from(STATES), min_size=1, max_size=40))
def test_runs_tell_exactly_the_months_they_are_made_from(states: list[str]) -> None:
    months = [str(m) for m in pd.period_range("1999-11", periods=len(states), freq="M")]
    entries = tuple(
        Entry("a", "p", "v", m, s, "", (), None, None)  # type: ignore[arg-type]
        for m, s in zip(months, states, strict=True)
    )
    (row,) = Inventory("p", entries).table()
    told: dict[str, str] = {}
    for run in row["held"].split(", "):
        span, state = run.rsplit(" ", 1)
        first, _, last = span.partition("..")
        told |= {str(m): state for m in pd.period_range(first, last or first, freq="M")}
    assert told == dict(zip(months, states, strict=True))
    assert len(row["held"].split(", ")) == 1 + sum(a != b for a, b in pairwise(states))


def test_size_and_fingerprint_are_those_of_the_file(workspace: Workspace) -> None:
    first = inventory(recipe(), workspace).entries[0]
    body = (workspace.data / "months" / "2001-01.txt").read_bytes()
    assert (first.bytes, first.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert first.files == ("months/2001-01.txt",)


def test_a_file_that_did_not_change_is_read_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = inventory(recipe(), workspace)

    def reads(path: Path) -> str:
        raise AssertionError(f"{path} is read again")

    monkeypatch.setattr("ch4grid.stores.sha256_file", reads)
    assert inventory(recipe(), workspace) == before


def test_a_changed_file_has_another_fingerprint(workspace: Workspace) -> None:
    before = inventory(recipe(), workspace).entries
    (workspace.data / "months" / "2001-06.txt").write_text("final, in another version")
    after = inventory(recipe(), workspace).entries
    assert [b.month for a, b in zip(before, after, strict=True) if a.sha256 != b.sha256] == [
        "2001-06"
    ]


def test_areas_are_told_for_the_years_without_spin_up(workspace: Workspace) -> None:
    areas = (Folder(variables=("wetland_fraction",)),)
    made = inventory(recipe(areas=areas), workspace)
    months = [e.month for e in made.entries if e.variable == "wetland_fraction"]
    assert (months[0], len(months)) == ("2002-01", 12)


def test_years_asked_for_replace_the_period(workspace: Workspace) -> None:
    made = inventory(recipe(), workspace, years=[2001])
    assert (made.entries[0].month, made.entries[-1].month) == ("2000-01", "2001-12")
    assert {e.state for e in made.entries[:12]} == {"missing"}


def test_towers_are_told_by_their_files(workspace: Workspace) -> None:
    towers = TowerTable(path="towers.csv", sites="stations.csv")
    missing = inventory(recipe(sites=(towers,)), workspace).entries[-1]
    assert (missing.variable, missing.state, missing.month) == ("towers", "missing", None)
    assert "stations.csv: no such file" in missing.reason
    (workspace.data / "towers.csv").write_text("site_id,time\n")
    (workspace.data / "stations.csv").write_text("SITE_ID\n")
    held = inventory(recipe(sites=(towers,)), workspace).entries[-1]
    assert (held.state, held.bytes) == ("final", 21)
    (workspace.data / "stations.csv").write_text("")
    assert inventory(recipe(sites=(towers,)), workspace).entries[-1].state == "damaged"


REMOTE = Folder(path="https://host/era5.zarr")


def test_a_source_on_the_network_is_remembered_when_it_cannot_be_reached(
    workspace: Workspace,
) -> None:
    before = inventory(recipe(drivers=(REMOTE,)), workspace)
    (workspace.data / "offline").touch()
    made = inventory(recipe(drivers=(REMOTE,)), workspace)
    assert all(e.remembered for e in made.entries)
    assert [(e.month, e.state, e.files) for e in made.entries] == [
        (e.month, e.state, e.files) for e in before.entries
    ]
    assert made.entries[0].files == ("https://host/era5.zarr/t2m",)
    assert "24 from memory, the source was not reached" in made.in_words()
    assert "2002-12 preliminary (ERA5T; as remembered)" in made.table()[0]["held"]


def test_a_source_never_reached_is_missing_for_the_reason_it_gives(workspace: Workspace) -> None:
    (workspace.data / "offline").touch()
    made = inventory(recipe(drivers=(REMOTE,)), workspace)
    assert {e.state for e in made.entries} == {"missing"}
    assert "the host does not answer" in made.entries[0].reason
    assert not any(e.remembered for e in made.entries)


def test_offline_no_source_on_the_network_is_asked(workspace: Workspace) -> None:
    before = inventory(recipe(drivers=(REMOTE,)), workspace, years=[2002])
    (workspace.data / "months" / "2002-01.txt").unlink()
    made = inventory(recipe(drivers=(REMOTE,)), workspace, years=[2002], offline=True)
    assert [e.state for e in made.entries] == [e.state for e in before.entries]
    later = inventory(recipe(drivers=(REMOTE,)), workspace, years=[2003], offline=True)
    assert later.entries[-1].reason == "not asked, and nothing is remembered"


def test_a_local_source_that_is_gone_is_missing_not_remembered(workspace: Workspace) -> None:
    inventory(recipe(), workspace)
    (workspace.data / "offline").touch()
    made = inventory(recipe(), workspace)
    assert {(e.state, e.remembered) for e in made.entries} == {("missing", False)}


def test_the_json_has_a_row_per_month_and_no_absolute_path(workspace: Workspace) -> None:
    made = inventory(recipe(), workspace).as_dict()
    text = json.dumps(made)
    assert json.loads(text) == made
    assert str(workspace.data) not in text
    assert made["count"] == {
        "final": 21,
        "preliminary": 1,
        "climatology": 0,
        "missing": 1,
        "damaged": 1,
    }
    assert made["complete"] is False
    assert set(made["rows"][0]) == {
        *("source", "path", "variable", "month", "state", "reason", "files", "bytes", "sha256"),
        "remembered",
    }


def test_the_cost_of_a_folder_counts_its_files_once(workspace: Workspace) -> None:
    store = workspace.data / "cube.zarr"
    store.mkdir()
    (store / "a").write_bytes(b"12345")
    (store / "b").write_bytes(b"123")
    files = module.fingerprints_of([store], workspace)
    assert files[store][0] == 8
    (store / "b").write_bytes(b"124")
    assert module.fingerprints_of([store], workspace)[store][1] != files[store][1]
