"""Publication: crash, concurrency, extension, versions, full disks."""

import contextlib
import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import planted_product as planted
import pytest
import xarray as xr
import zarr
from planted_product import GRID, write_years

from ch4grid import budgets, cube, ledger, stores
from ch4grid.cube.version import Identity, next_version
from ch4grid.errors import RunError
from ch4grid.grid import Grid

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def three_years(tmp_path_factory):
    return write_years(tmp_path_factory.mktemp("three"), 2001, 2002, 2003)


def killed(folder: Path, kills: int, seed: int) -> dict:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    command = [sys.executable, str(REPOSITORY / "tests" / "killed_writer.py")]
    done = subprocess.run(
        [*command, str(folder), str(kills), str(seed)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"stderr": done.stderr}


def test_a_run_killed_anywhere_ends_byte_identical_after_a_rerun(tmp_path, record_property):
    told = killed(tmp_path, kills=100, seed=7)
    record_property(
        "counted", f"writers killed: {told['kills']}, same bytes after a rerun: {told['same']}"
    )
    assert told["same"] == told["kills"] == 100
    assert told["whole"] == 120, told["stderr"]
    assert told["watched"] == [0, 0], told["stderr"]


@pytest.mark.slow
def test_two_hundred_killed_runs_end_byte_identical(tmp_path, record_property):
    told = killed(tmp_path, kills=200, seed=11)
    record_property(
        "counted", f"writers killed: {told['kills']}, same bytes after a rerun: {told['same']}"
    )
    assert told["same"] == 200


def test_nothing_but_the_store_and_what_lies_beside_it_is_left(three_years):
    names = {p.name for p in three_years.parent.iterdir()} - {"historical.lock"}
    assert names == {
        "historical.zarr",
        "historical.ledger.parquet",
        "historical.metadata.json",
        "historical.records",
    }
    assert not list(three_years.parent.rglob("*.partial"))


def test_adding_a_year_leaves_every_earlier_object_byte_identical(tmp_path):
    store = write_years(tmp_path, 2001)
    before = {k: v for k, v in planted.tree(store).items() if not k.endswith("zarr.json")}
    write_years(tmp_path, 2002)
    after = planted.tree(store)
    assert {k: after[k] for k in before} == before


def test_the_order_of_years_does_not_matter(tmp_path, three_years):
    store = write_years(tmp_path, 2003)
    with xr.open_zarr(store, chunks=None) as ds:
        assert ds.sizes["time"] == 36
        assert bool((ds["quality_flag"][:24] == 255).all())
        assert bool(ds["ch4_flux"][:24].isnull().all())
    assert cube.verify(store) == []
    write_years(tmp_path, 2001)
    write_years(tmp_path, 2002)
    assert planted.tree(store) == planted.tree(three_years)
    assert ledger.rows_of(store) == ledger.rows_of(three_years)


def test_a_published_year_is_not_written_again(three_years):
    before = planted.tree(three_years.parent)
    write_years(three_years.parents[2], 2001, 2002, 2003)
    assert planted.tree(three_years.parent) == before


def test_changed_inputs_or_parts_of_a_published_year_are_refused(three_years):
    output = three_years.parents[2]
    with pytest.raises(RunError, match=r"other inputs of 2001.*new version"):
        write_years(output, 2001, inputs="other")
    with pytest.raises(RunError, match=r"other grid, model"):
        write_years(output, 2004, parts={"grid": "c", "model": "d"})
    with pytest.raises(RunError, match="before the start of the time axis"):
        write_years(output, 1999)


def test_a_growing_store_shows_the_published_years_also_without_consolidated_metadata(tmp_path):
    store = write_years(tmp_path, 2001)
    static = planted.planes(GRID)
    cube.begin(store, planted.spec(), {2002: "i-2002"})
    planted.write_tile(store, GRID, GRID.tiles()[0], 2002, static=static)
    for consolidated in (True, False):
        with xr.open_zarr(store, consolidated=consolidated, chunks=None) as ds:
            assert ds.sizes["time"] == 12
    cube.finish(store, 2002)
    with xr.open_zarr(store, consolidated=False, chunks=None) as ds:
        assert ds.sizes["time"] == 24


def test_finished_regions_are_kept_and_damaged_ones_done_again(tmp_path):
    grid = Grid(1.0)
    store, static = planted.store_path(tmp_path), planted.planes(grid)
    cube.create(store, planted.spec(), grid, static)
    cube.begin(store, planted.spec(), {2001: "i-2001"})
    first, second = grid.tiles()
    record = planted.write_tile(store, grid, first, 2001, static=static)
    cube.begin(store, planted.spec(), {2001: "i-2001"})
    kept = cube.staged(store, 2001, first)
    assert kept is not None
    assert kept.rows == record.rows
    np.testing.assert_array_equal(kept.budget, record.budget)
    assert cube.staged(store, 2001, second) is None
    with pytest.raises(RunError, match="1 missing"):
        cube.finish(store, 2001)
    (store / record.rows[0].key).write_bytes(b"")
    assert cube.staged(store, 2001, first) is None
    cube.begin(store, planted.spec(), {2001: "other"})
    assert not list((store / "ch4_flux").rglob("c/*/*/*")), "objects of abandoned inputs stay"


def test_damage_between_writing_and_publishing_is_not_published(tmp_path):
    store = write_years(tmp_path, 2001)
    static = planted.planes(GRID)
    cube.begin(store, planted.spec(), {2002: "i-2002"})
    record = planted.write_tile(store, GRID, GRID.tiles()[0], 2002, static=static)
    path = store / record.rows[3].key
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match="2002 was not published"):
        cube.finish(store, 2002)
    assert cube.staged(store, 2002, GRID.tiles()[0]) is None
    assert ledger.published_years(store) == (2001,)
    write_years(tmp_path, 2002)
    assert cube.verify(store) == []


def test_the_group_metadata_is_what_zarr_would_consolidate(three_years, tmp_path):
    copy = tmp_path / "copy.zarr"
    shutil.copytree(three_years, copy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(copy)
    ours, theirs = (json.loads((s / "zarr.json").read_bytes()) for s in (three_years, copy))
    found = theirs["consolidated_metadata"]["metadata"]
    assert ours["consolidated_metadata"]["metadata"].keys() == found.keys()
    for name, doc in ours["consolidated_metadata"]["metadata"].items():
        assert {k: v for k, v in found[name].items() if v is not None} == doc, name
    assert ours["attributes"] == theirs["attributes"]


def test_a_second_run_stops_and_names_the_lock(tmp_path):
    store = planted.store_path(tmp_path)
    with (
        cube.lock(store),
        pytest.raises(RunError, match=r"another run.*historical\.lock"),
        cube.lock(store),
    ):
        pass
    with cube.lock(store):
        pass


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EFBIG])
def test_a_full_or_unwritable_disk_is_a_run_error_and_changes_nothing(tmp_path, monkeypatch, code):
    store = write_years(tmp_path, 2001)
    before = planted.tree(store)
    replace, calls = Path.replace, iter(range(10_000))

    def full(self, target):
        if next(calls) >= 6:
            raise OSError(code, os.strerror(code))
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(RunError, match=os.strerror(code)):
            write_years(tmp_path, 2002)
    assert {k: v for k, v in planted.tree(store).items() if k in before} == before
    with xr.open_zarr(store, chunks=None) as ds:
        assert ds.sizes["time"] == 12
    write_years(tmp_path, 2002)
    assert cube.verify(store) == []


def test_a_block_that_breaks_an_identity_is_refused(tmp_path):
    store, static = planted.store_path(tmp_path), planted.planes(GRID)
    cube.create(store, planted.spec(), GRID, static)
    cube.begin(store, planted.spec(), {2001: "i"})
    tile = GRID.tiles()[0]
    flux = planted.flux_block(GRID, tile, 2001)
    block = cube.cell_block(flux, GRID, tile)
    shares = static["region_fraction"][:, tile[0], tile[1]]
    budget = budgets.budget(flux, block["ch4_flux_member"], shares, GRID, tile)
    wrong = block.copy(deep=True)
    wrong["ch4_flux"] *= 1.00001
    with pytest.raises(RunError, match="differ from the sum of density x fraction"):
        cube.write_block(store, wrong, budget, year=2001, tile=tile)
    cube.write_block(store, block, budget * (1 + 1e-8), year=2001, tile=tile)
    with pytest.raises(RunError, match="not the sum over the stored members"):
        cube.finish(store, 2001)
    assert not (store / "zarr.json").exists()


def test_extending_keeps_the_version_and_changes_need_a_new_one(tmp_path):
    def identity(years, inputs="i", **parts):
        told = dict(planted.spec().parts) | parts
        return Identity("historical", told, {y: f"{inputs}-{y}" for y in years})

    first = next_version(tmp_path, "planted", identity([2001]))
    assert (first.version, first.years, first.previous) == (1, (2001,), None)
    write_years(tmp_path, 2001)
    same = next_version(tmp_path, "planted", identity([2001]))
    assert (same.version, same.years) == (1, ())
    more = next_version(tmp_path, "planted", identity([2001, 2002]))
    assert (more.version, more.years) == (1, (2002,))
    changed = next_version(tmp_path, "planted", identity([2002], model="new"))
    assert (changed.version, changed.years, changed.previous) == (2, (2001, 2002), 1)
    assert "model" in changed.reason
    inputs = next_version(tmp_path, "planted", identity([2001], inputs="other"))
    assert inputs.version == 2
    assert "inputs of 2001" in inputs.reason


def test_a_new_version_cut_short_still_owes_the_years_of_the_old_one(tmp_path):
    write_years(tmp_path, 2001, 2002)
    parts = {"grid": "a", "model": "new"}
    write_years(tmp_path, 2001, version=2, parts=parts)
    told = Identity("historical", parts, {2001: "i-2001"})
    assert next_version(tmp_path, "planted", told).years == (2002,)


def test_the_difference_report_measures_cells_and_budgets(tmp_path):
    old = write_years(tmp_path, 2001)
    new = write_years(tmp_path, 2001, version=2, seed=1, parts={"grid": "a", "model": "new"})
    paths = cube.write_difference(old, new, "model changed")
    assert paths[0].name == "diff-v1-v2.historical.json"
    report = json.loads(paths[0].read_bytes())
    with xr.open_zarr(old, chunks=None) as a, xr.open_zarr(new, chunks=None) as b:
        step = abs(b["ch4_flux"].astype(float) - a["ch4_flux"].astype(float))
        total = [
            float(d["ch4_budget"].mean("member").sum(("time", "ecosystem"))[0]) for d in (a, b)
        ]
    found = report["variables"]["ch4_flux"]
    assert found["largest_absolute_change"] == pytest.approx(float(step.max()))
    globe = report["budget_tg"]["globe"]["2001"]
    assert globe["change"] == pytest.approx(total[1] - total[0])
    assert "| globe | 2001 |" in paths[1].read_text()
    assert cube.verify(new) == []


def test_rollback_takes_the_last_year_back(tmp_path, three_years):
    store = write_years(tmp_path, 2001, 2002)
    expected = planted.tree(store)
    write_years(tmp_path, 2003)
    assert cube.rollback(store, reason="a wrong map") == (2003,)
    assert planted.tree(store) == expected
    assert cube.verify(store) == []
    write_years(tmp_path, 2003)
    assert planted.tree(store) == planted.tree(three_years)


def test_temporary_files_carry_no_machine_path_into_the_store(three_years):
    for name, content in planted.tree(three_years.parent).items():
        assert str(three_years.parents[3]).encode() not in content, name
    assert stores.beside(three_years, ".lock").name == "historical.lock"


@pytest.fixture(scope="module")
def last_year(tmp_path_factory):
    return write_years(tmp_path_factory.mktemp("last"), 2003)


def begun_before_the_last(output: Path, last_year: Path) -> Path:
    """A store that shows 2003 and in which all regions of 2001 were written and not published."""
    store = planted.store_path(output)
    shutil.copytree(last_year.parent, store.parent)
    with cube.lock(store):
        cube.begin(store, planted.spec(), {2001: "i-2001"})
        for tile in GRID.tiles():
            planted.write_tile(store, GRID, tile, 2001, static=planted.planes(GRID))
    return store


def months_of_2001(store: Path) -> tuple[bool, bool]:
    """Whether readers see nothing of 2001, and whether they see it whole."""
    with xr.open_zarr(store, chunks=None) as ds:
        flag = ds["quality_flag"][:12].values
        values = [ds[n][:12].notnull().any() for n in ("ch4_flux", "ch4_flux_standard_error")]
    return bool((flag == 255).all()) and not any(values), bool((flag < 255).all())


def test_a_year_before_a_published_one_is_not_seen_before_its_publication(tmp_path, last_year):
    store = begun_before_the_last(tmp_path, last_year)
    assert months_of_2001(store) == (True, False)
    with cube.lock(store):
        assert all(cube.staged(store, 2001, tile) is not None for tile in GRID.tiles())
        cube.finish(store, 2001)
    assert months_of_2001(store) == (False, True)
    assert cube.verify(store) == []
    assert planted.tree(store) == planted.tree(write_years(tmp_path / "other", 2001, 2003))


def test_moving_a_year_in_is_completed_without_computing(tmp_path, monkeypatch, last_year):
    begun = begun_before_the_last(tmp_path / "begun", last_year)
    expected = planted.tree(write_years(tmp_path / "other", 2001, 2003))
    for after in itertools.count(0, 4):
        store = planted.store_path(tmp_path / str(after))
        shutil.copytree(begun.parent, store.parent)
        with monkeypatch.context() as patched:
            writes = ending(patched, after)
            with contextlib.suppress(Ended), cube.lock(store):
                cube.finish(store, 2001)
        with cube.lock(store):
            if cube.begin(store, planted.spec(), {2001: "i-2001"}):
                assert all(cube.staged(store, 2001, tile) is not None for tile in GRID.tiles())
                cube.finish(store, 2001)
        assert planted.tree(store) == expected, after
        if len(writes) <= after:
            break
    assert after > 0


def test_a_refused_year_before_a_published_one_is_taken_out_of_sight(
    tmp_path, monkeypatch, last_year
):
    store = begun_before_the_last(tmp_path, last_year)
    problem = cube.Problem("identity", "ch4_flux/c/0/0/0", "planted")
    with monkeypatch.context() as patched, cube.lock(store):
        patched.setattr(cube.publish, "year_problems", lambda *asked: [problem])
        with pytest.raises(RunError, match="year 2001 was not published: planted"):
            cube.finish(store, 2001)
    assert months_of_2001(store) == (True, False)
    write_years(tmp_path, 2001)
    assert planted.tree(store) == planted.tree(write_years(tmp_path / "other", 2001, 2003))


class Ended(BaseException):
    """Stands in for a process that ends."""


def ending(monkeypatch, after: int):
    """Have every write but the first `after` fail, as of a process that has ended; yields how many were asked for."""
    replace, asked = Path.replace, []

    def counted(self, target):
        asked.append(target)
        if len(asked) > after:
            raise Ended
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", counted)
    return asked


@pytest.mark.parametrize("asked", [(2001,), (2002,), (2001, 2002)])
def test_a_run_that_ended_right_after_publication_is_settled_by_any_run(
    tmp_path, monkeypatch, asked
):
    store = write_years(tmp_path, 2001, 2002)
    expected = planted.tree(store.parent)
    cube.rollback(store, reason="a wrong map")
    write = ledger.write

    def fail(store, rows, *, root_sha256):
        if all(r.state == "published" for r in rows):
            raise KeyboardInterrupt
        write(store, rows, root_sha256=root_sha256)

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "write", fail)
        with pytest.raises(KeyboardInterrupt):
            write_years(tmp_path, 2002)
    with xr.open_zarr(store, chunks=None) as ds:
        assert ds.sizes["time"] == 24
    assert ledger.published_years(store) == (2001,)
    write_years(tmp_path, *asked)
    assert beside_the_log(store) == expected
    assert cube.verify(store) == []


def beside_the_log(store: Path) -> dict[str, bytes]:
    """Everything of a version but the log of retractions."""
    tree = planted.tree(store.parent)
    return {k: v for k, v in tree.items() if not k.endswith(".retractions.json")}


def test_a_rollback_cut_short_at_any_write_has_not_happened_or_is_completed(tmp_path, monkeypatch):
    one, two = write_years(tmp_path / "one", 2001), write_years(tmp_path / "two", 2001, 2002)
    seen = []
    for after in itertools.count():
        store = planted.store_path(tmp_path / str(after))
        shutil.copytree(two.parent, store.parent)
        with monkeypatch.context() as patched:
            writes = ending(patched, after)
            with contextlib.suppress(Ended):
                cube.rollback(store, reason="a wrong map")
        with xr.open_zarr(store, chunks=None) as ds:
            seen.append(ds.sizes["time"])
        write_years(tmp_path / str(after), 2001)
        expected = {24: two, 12: one}[seen[-1]]
        assert beside_the_log(store) == beside_the_log(expected), after
        assert cube.verify(store) == []
        if len(writes) <= after:
            break
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {24, 12}


def test_leftovers_of_a_worker_that_died_are_removed(tmp_path):
    store, static = planted.store_path(tmp_path), planted.planes(GRID)
    cube.create(store, planted.spec(), GRID, static)
    cube.begin(store, planted.spec(), {2001: "i-2001"})
    planted.write_tile(store, GRID, GRID.tiles()[0], 2001, static=static)
    (store / "ch4_flux/c/0/0/.0.4711.partial").write_bytes(b"half")
    cube.finish(store, 2001)
    assert cube.verify(store) == []


def test_a_folder_that_cannot_be_made_is_a_run_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"), cube.lock(tmp_path / "file" / "a.zarr"):
        pass


def test_a_year_that_was_published_meanwhile_needs_no_computing(tmp_path):
    store = write_years(tmp_path, 2001)
    before = planted.tree(store.parent)
    with cube.lock(store):
        assert cube.begin(store, planted.spec(), {2001: "i-2001"}) == ()
        assert all(cube.staged(store, 2001, tile) is not None for tile in GRID.tiles())
        cube.finish(store, 2001)
    assert planted.tree(store.parent) == before


def test_staging_left_after_the_last_publication_is_cleared_by_the_lock(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(cube.staging, "remove", lambda path: None)
        store = write_years(tmp_path, 2001)
    assert (store.parent / "historical.staging").exists()
    with cube.lock(store):
        assert not (store.parent / "historical.staging").exists()
