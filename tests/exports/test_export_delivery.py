"""An export is whole or is not there: the same bytes again, killed, on a full disk, from a damaged store."""

import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import planted_product as planted
import pytest

import ch4grid
from ch4grid.errors import InputError, RunError
from ch4grid.exports import EXPORTS, delivery
from ch4grid.grid import Grid

GRID = Grid(10.0)
KILLED = """
import os, signal, sys
import ch4grid
from ch4grid.exports import delivery
sync, count = delivery._sync, 0
def die(path):
    global count
    count += 1
    if count == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    sync(path)
delivery._sync = die
ch4grid.export(sys.argv[1], "icos", output=sys.argv[2])
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("name", EXPORTS)
def test_the_same_product_gives_the_same_bytes_at_another_time_and_place(
    store, exported, tmp_path, name
):
    time.sleep(1.05 if name == "cf-netcdf" else 0)  # a clock in the file would tick
    grid = "4x5" if name == "imi" else ""
    ch4grid.export(store, name, output=tmp_path / "again", grid=grid)
    assert contents(tmp_path / "again") == contents(exported.folder / name)


def test_a_year_that_is_added_changes_no_byte_of_the_years_before(tmp_path):
    store = planted.write_years(tmp_path, 2001, grid=GRID)
    for name in ("cf-netcdf", "csv-inventory"):
        ch4grid.export(store, name, output=tmp_path / "before" / name)
    planted.write_years(tmp_path, 2001, 2002, grid=GRID)
    for name in ("cf-netcdf", "csv-inventory"):
        ch4grid.export(store, name, years=2001, output=tmp_path / "after" / name)
    assert contents(tmp_path / "before") == contents(tmp_path / "after")


def test_a_killed_export_leaves_no_file_and_the_next_one_sweeps_and_finishes(
    store, exported, tmp_path
):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(store), str(tmp_path / "out")], check=False
    )
    assert done.returncode == -signal.SIGKILL
    left = list((tmp_path / "out").iterdir())
    assert [p.name.startswith(".ch4grid-export-") for p in left] == [True]
    ch4grid.export(store, "icos", output=tmp_path / "out")
    assert contents(tmp_path / "out") == contents(exported.folder / "icos")
    assert all(p.is_file() for p in (tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["cf-netcdf", "csv-inventory"])
def test_a_full_disk_is_told_and_leaves_no_file(store, tmp_path, name):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(RunError, match="cannot write"):
            ch4grid.export(store, name, output=tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "out").iterdir()) == []


def test_files_that_cannot_be_put_in_place_are_told_with_those_that_were(
    store, tmp_path, monkeypatch
):
    replace, count = Path.replace, 0

    def failing(self, target):
        nonlocal count
        count += Path(target).parent.name == "out"
        if count == 2:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(RunError, match=r"No space left on device; in place: CH4_2001_1000_monthly"):
        ch4grid.export(store, "icos", output=tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["CH4_2001_1000_monthly.nc"]


def test_another_export_that_still_runs_is_not_swept_away(tmp_path):
    import os

    alive = tmp_path / delivery.STAGE.format(os.getppid())
    alive.mkdir()
    delivery._sweep(tmp_path)
    assert alive.is_dir()


@pytest.fixture
def copy(store, tmp_path) -> Path:
    shutil.copytree(store.parent, tmp_path / "v1")
    return tmp_path / "v1" / store.name


def test_a_flipped_byte_is_named_and_no_file_is_made(copy, tmp_path):
    path = copy / "ch4_flux" / "c" / "1" / "0" / "0"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"store is damaged.*ch4_flux/c/1/0/0"):
        ch4grid.export(copy, "icos", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert ch4grid.export(copy, "icos", years=2001, output=tmp_path / "out").years == (2001,)


def test_a_lost_chunk_is_named(copy, tmp_path):
    (copy / "ecosystem_fraction" / "c" / "3" / "0" / "0" / "0").unlink()
    with pytest.raises(InputError, match=r"ecosystem_fraction/c/3/0/0/0.*is gone"):
        ch4grid.export(copy, "geoschem", output=tmp_path / "out")


def test_a_product_without_its_ledger_is_refused(copy, tmp_path):
    (copy.parent / "historical.ledger.parquet").unlink()
    with pytest.raises(InputError, match="no ledger"):
        ch4grid.export(copy, "icos", output=tmp_path / "out")


def test_group_metadata_that_nobody_published_is_refused(copy, tmp_path):
    path = copy / "zarr.json"
    path.write_text(path.read_text().replace('"A made-up product"', '"A better product"'))
    with pytest.raises(InputError, match="group metadata is not what was published"):
        ch4grid.export(copy, "icos", output=tmp_path / "out")


def test_a_store_of_no_product_is_refused(tmp_path):
    import synthetic_product

    store = synthetic_product.write_store(tmp_path / "x.zarr", 2001, 2001)
    with pytest.raises(InputError, match="no published product to export"):
        ch4grid.export(store, "icos", output=tmp_path / "out")


def test_a_product_behind_a_url_gives_the_files_of_its_folder(store, exported, tmp_path):
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    pytest.importorskip("aiohttp", reason="the client of https is not installed")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = partial(Quiet, directory=str(store.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/{store.name}"
        ch4grid.export(url, "openghg", output=tmp_path / "out")
    finally:
        server.shutdown()
        server.server_close()
    assert contents(tmp_path / "out") == contents(exported.folder / "openghg")
