"""The driver cube: made once, extended and revised by month, every gap and doubt on record."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from planted_source import Planted, plant

from ch4grid import ledger
from ch4grid.drivers.cube import DriverCube, revision
from ch4grid.drivers.cube.month import STATUS
from ch4grid.drivers.cube.planes import STATES
from ch4grid.errors import InputError, RecipeError
from ch4grid.grid import Grid
from ch4grid.stores import Fingerprints, Workspace
from ch4grid.vocabulary import months

GRID = Grid(20.0)
NAMES = ("tas", "evi", "elevation")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    plant(tmp_path / "in", NAMES, 2001, 2004, tas=280.0, evi=0.4, elevation=100.0)
    return Workspace(data=tmp_path, output=tmp_path / "products")


def cube(workspace: Workspace, policy: Any = "strict", **changes: Any) -> DriverCube:
    settings = {
        "first_year": 2001,
        "policy": policy,
        "reference": (2001, 2003),
        "fingerprints": Fingerprints(workspace.cache / "fingerprints.json"),
    } | changes
    source = Planted(path="in", variables=NAMES)
    return DriverCube(workspace.cache / "drivers", [source], GRID, workspace, **settings)


def put(workspace: Workspace, name: str, month: str, text: str | None) -> None:
    path = workspace.data / "in" / f"{name}-{month}.txt"
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text)


def reads(workspace: Workspace) -> list[str]:
    """Files read since the last look."""
    log = workspace.data / "read.log"
    lines = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def objects(store: Path) -> dict[str, tuple[bytes, int]]:
    return {
        p.relative_to(store).as_posix(): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in store.rglob("*")
        if p.is_file() and "/c/" in p.as_posix()
    }


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)}


def test_values_are_those_of_the_files_and_plain_xarray_opens_it(workspace: Workspace) -> None:
    made = cube(workspace)
    assert made.update(months(2001, 2001)) == []
    with xr.open_zarr(made.store, consolidated=False) as ds:
        assert ds["tas"].dims == ("time", "latitude", "longitude")
        assert str(ds["time"].values[3])[:10] == "2001-04-01"
        # the northern row of the source is the last row of the cube
        np.testing.assert_allclose(ds["tas"].isel(time=3, latitude=-1), 280.04, rtol=1e-6)
        np.testing.assert_allclose(ds["tas"].isel(time=3, latitude=0), 280.84, rtol=1e-6)
        np.testing.assert_allclose(ds["elevation"].isel(latitude=-1), 100.0)
        assert ds["tas"].attrs["units"] == "K"
        assert (ds["source_status"] == STATES["final"]).all()
        hole = np.isnan(ds["evi"].values)
        assert hole.sum() == 12
        assert (ds["driver_status"].values[hole] == STATUS["missing"]).all()
        assert (ds["driver_status"].values[~hole] == STATUS["valid"]).all()


def test_every_input_is_read_once_and_an_update_without_news_reads_nothing(
    workspace: Workspace,
) -> None:
    cube(workspace).update(months(2001, 2002))
    first = reads(workspace)
    assert len(first) == len(set(first)) == 2 * 24 + 1
    made = cube(workspace)
    before = objects(made.store)
    assert made.update(months(2001, 2002)) == []
    assert reads(workspace) == []
    assert changed(before, objects(made.store)) == set()


def test_more_months_leave_the_earlier_objects_alone(workspace: Workspace) -> None:
    made = cube(workspace)
    made.update(months(2001, 2001))
    before = objects(made.store)
    reads(workspace)
    cube(workspace).update(months(2001, 2002))
    assert {f[4:8] for f in reads(workspace)} == {"2002"}
    after = objects(made.store)
    data = {k for k in before if not k.startswith("time/")}
    assert {k: before[k] for k in data} == {k: after[k] for k in data}
    assert cube(workspace).open(2001, 2002).sizes["time"] == 24


def test_the_ledger_knows_every_object_by_its_bytes(workspace: Workspace) -> None:
    made = cube(workspace)
    made.update(months(2001, 2001))
    rows = ledger.rows_of(made.store)
    axes = ("time/", "latitude/", "longitude/")
    found = {k for k in objects(made.store) if not k.startswith(axes)}
    assert {r.key for r in rows} == found
    for row in rows:
        assert (
            ledger.row(
                row.variable,
                row.key,
                (made.store / row.key).read_bytes(),
                np.zeros(0),
                year=row.year,
                inputs=row.inputs,
            ).sha256
            == row.sha256
        )


def test_strict_stops_and_names_what_is_missing_damaged_or_preliminary(
    workspace: Workspace,
) -> None:
    put(workspace, "evi", "2001-03", None)
    put(workspace, "tas", "2001-07", "cut")
    put(workspace, "tas", "2001-12", "281.12 early")
    with pytest.raises(InputError) as caught:
        cube(workspace).update(months(2001, 2001))
    told = str(caught.value)
    assert "evi 2001-03 missing: no file" in told
    assert "tas 2001-07 damaged: tas-2001-07.txt is cut short" in told
    assert "tas 2001-12 preliminary" in told
    assert caught.value.exit_code == 3
    assert not cube(workspace).store.exists()


@pytest.mark.parametrize("policy", ["flag", "fill"])
def test_gaps_are_marked_in_exactly_their_months(workspace: Workspace, policy: str) -> None:
    put(workspace, "evi", "2002-03", None)
    put(workspace, "tas", "2002-07", "cut")
    put(workspace, "tas", "2002-12", "281.12 early")
    made = cube(workspace, policy)
    made.update(months(2002, 2002))
    ds = made.open(2002, 2002)
    states = ds["source_status"].values
    expected = np.zeros((12, 2), np.uint8)
    expected[2, 1], expected[6, 0], expected[11, 0] = (
        STATES["missing"],
        STATES["damaged"],
        STATES["preliminary"],
    )
    np.testing.assert_array_equal(states, expected)
    whole = np.ones(GRID.shape, bool)
    whole[-1, 9] = False  # where evi never has a value
    status = ds["driver_status"].values[:, whole]
    gap = STATUS["missing"] if policy == "flag" else STATUS["filled"]
    for number in range(12):
        name = {2: gap, 6: gap, 11: STATUS["preliminary"]}.get(number, STATUS["valid"])
        assert (status[number] == name).all(), number
    bits = ds["driver_climatology"].values
    if policy == "flag":
        assert not bits.any()
        assert np.isnan(ds["evi"].values[2]).all()
        assert np.isnan(ds["tas"].values[6]).all()
    else:
        assert set(np.nonzero(bits.any(axis=(1, 2)))[0]) == {2, 6}
        assert (bits[2][whole] == 2).all()
        assert (bits[6] == 1).all()
        # the mean of the two other years of the reference
        np.testing.assert_allclose(ds["evi"].values[2][whole], 0.43, rtol=1e-6)
        np.testing.assert_allclose(ds["tas"].values[6, -1], 280.07, rtol=1e-6)
    np.testing.assert_allclose(ds["tas"].values[11, -1], 281.12, rtol=1e-6)


@pytest.mark.parametrize("policy", ["strict", "flag", "fill"])
@pytest.mark.parametrize("name", ["evi", "elevation"])
def test_a_variable_that_nothing_holds_is_a_mistake_under_any_policy(
    workspace: Workspace, policy: str, name: str
) -> None:
    for path in (workspace.data / "in").glob(f"{name}-*.txt"):
        path.unlink()
    with pytest.raises(InputError, match=f"{name} (2001-01 to|static)"):
        cube(workspace, policy).update(months(2001, 2001))


def test_damage_that_only_reading_finds_spoils_its_own_variable(workspace: Workspace) -> None:
    put(workspace, "tas", "2001-05", "broken")
    with pytest.raises(InputError, match="cannot read"):
        cube(workspace).update(months(2001, 2001))
    made = cube(workspace, "flag")
    made.update(months(2001, 2001))
    ds = made.open(2001, 2001)
    assert ds["source_status"].values[4].tolist() == [STATES["damaged"], STATES["final"]]
    assert np.isnan(ds["tas"].values[4]).all()
    np.testing.assert_allclose(ds["evi"].values[4, 0], 0.45, rtol=1e-6)


@pytest.mark.parametrize("policy", ["flag", "fill"])
def test_a_final_file_changes_its_own_cells_and_no_other(workspace: Workspace, policy: str) -> None:
    put(workspace, "tas", "2003-12", "280.12 early moved")
    made = cube(workspace, policy, reference=(2001, 2002))
    made.update(months(2003, 2003))
    before = objects(made.store)
    put(workspace, "tas", "2003-12", "280.12")
    later = cube(workspace, policy, reference=(2001, 2002))
    (revised,) = later.update(months(2003, 2003))
    assert (revised.month, revised.drivers) == (pd.Timestamp("2003-12-01"), {"tas": 2})
    touched = changed(before, objects(made.store))
    index = 35
    assert touched == {
        f"tas/c/{index}/0/0",
        f"driver_status/c/{index}/0/0",
        f"source_status/c/{index}/0",
    }
    cells = revision.table(made.store)
    assert cells["latitude"].tolist() == [0.0, 0.0]
    assert sorted(cells["longitude"]) == [150.0, 170.0]
    affected = revision.affected(cells, 15)
    assert (affected["first_month"] == pd.Timestamp("2003-12-01")).all()
    assert (affected["last_month"] == pd.Timestamp("2005-02-01")).all()


def test_an_update_after_revisions_equals_a_new_cube(workspace: Workspace) -> None:
    put(workspace, "evi", "2002-03", None)
    put(workspace, "tas", "2003-12", "280.12 early moved")
    made = cube(workspace, "fill")
    made.update(months(2001, 2003))
    put(workspace, "evi", "2002-03", "0.5")
    put(workspace, "tas", "2003-12", "280.12")
    cube(workspace, "fill").update(months(2001, 2003))
    revised = {k: v[0] for k, v in objects(made.store).items()}
    rows = ledger.path_of(made.store).read_bytes()
    shutil.rmtree(workspace.cache)
    cube(workspace, "fill").update(months(2001, 2003))
    assert {k: v[0] for k, v in objects(made.store).items()} == revised
    assert ledger.path_of(made.store).read_bytes() == rows


class StoppedError(Exception):
    """The power went."""


def stopping(after: int) -> Callable[[str, Callable[[Any], Any], Sequence[Any]], list[Any]]:
    """A mapper that does some jobs of every kind and then stops."""
    left = [after]

    def run(_stage: str, function: Callable[[Any], Any], jobs: Sequence[Any]) -> list[Any]:
        done = []
        for job in jobs:
            if not left[0]:
                raise StoppedError
            left[0] -= 1
            done.append(function(job))
        return done

    return run


@pytest.mark.parametrize("after", [0, 1, 5, 12, 13, 30, 36, 37, 50, 70])
def test_an_interrupted_update_ends_like_one_that_was_not(workspace: Workspace, after: int) -> None:
    put(workspace, "evi", "2002-03", None)
    whole = cube(workspace, "fill")
    whole.update(months(2001, 2003))
    put(workspace, "tas", "2002-06", "281.06 moved")
    whole = cube(workspace, "fill")
    copy = whole.store.parent.with_name("copy")
    shutil.copytree(whole.store.parent, copy)
    (expected,) = whole.update(months(2001, 2003))
    aim = {k: v[0] for k, v in objects(whole.store).items()}
    shutil.rmtree(whole.store.parent)
    copy.rename(whole.store.parent)
    again = cube(workspace, "fill")
    try:
        again.update(months(2001, 2003), stopping(after))
        told = []
    except StoppedError:
        told = cube(workspace, "fill").update(months(2001, 2003))
        assert told == [expected]
    assert {k: v[0] for k, v in objects(whole.store).items()} == aim


@pytest.mark.parametrize("left", [b"", b"half an object", None])
def test_what_a_killed_process_left_of_an_object_is_written_again(
    workspace: Workspace, left: bytes | None
) -> None:
    made = cube(workspace)
    made.update(months(2001, 2001))
    aim = {k: v[0] for k, v in objects(made.store).items()}
    # the ledger of a killed update does not know the month, and its object is cut
    rows = [r for r in ledger.rows_of(made.store) if "/c/4/" not in r.key]
    ledger.write(made.store, rows, root_sha256=None)
    path = made.store / "tas/c/4/0/0"
    path.write_bytes(path.read_bytes()[:100] if left is None else left)
    (path.parent / "0.7f.partial").write_bytes(b"begun")
    cube(workspace).update(months(2001, 2001))
    assert {k: v[0] for k, v in objects(made.store).items()} == aim
    assert not list(made.store.rglob("*.partial"))


def test_a_variable_from_two_sources_is_refused(workspace: Workspace) -> None:
    source = Planted(path="in", variables=NAMES)
    twice = DriverCube(
        workspace.cache / "drivers",
        [source, Planted(path="in", variables=("tas",))],
        GRID,
        workspace,
        first_year=2001,
        reference=(2001, 2001),
        fingerprints=Fingerprints(workspace.cache / "fingerprints.json"),
    )
    with pytest.raises(RecipeError, match="'tas' comes from two"):
        twice.update(months(2001, 2001))


def test_large_grids_are_stored_in_parts_that_regions_share(tmp_path: Path) -> None:
    import zarr

    from ch4grid.drivers.cube import planes

    planes.create(tmp_path / "a.zarr", Grid(0.25), months(2001, 2001), ("tas",))
    array = zarr.open_array(tmp_path / "a.zarr" / "tas")
    assert (array.shards, array.chunks) == ((1, 720, 1440), (1, 180, 180))
