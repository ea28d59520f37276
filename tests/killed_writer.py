"""Writes a made-up product in child processes, kills them, runs again and compares; prints one JSON line.

A program of its own: it forks before Zarr has started any thread.
"""

import importlib
import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

import planted_product as planted
import xarray as xr

from ch4grid.grid import Grid

GRID = Grid(10.0)
YEARS = (2001, 2002)
warnings.simplefilter("error")
# loaded once, before the first fork, instead of in every child
for module in ("dask.array", "filelock", "numcodecs.blosc", "pyarrow.parquet", "pyproj", "zarr"):
    importlib.import_module(module)
# a killed process loses nothing that the system has taken; syncing guards against power loss and only costs time here
os.fsync = lambda descriptor: None


def fork(work, *args) -> int:
    """Process id of a child that does the work and leaves."""
    pid = os.fork()
    if pid == 0:
        try:
            work(*args)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def write(output: Path) -> None:
    planted.write_years(output, *YEARS, grid=GRID)


def write_and_die(output: Path, at: int) -> None:
    """Die in the middle of the write number `at`, the temporary file half written."""
    count = 0
    replace = Path.replace

    def replacing(self, target):
        nonlocal count
        count += 1
        if count == at:
            self.write_bytes(self.read_bytes()[: self.stat().st_size // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)

    Path.replace = replacing
    write(output)


def check_readers_see_whole_years(output: Path) -> None:
    """Whatever can be opened holds published years only, each of them whole."""
    store = planted.store_path(output)
    try:
        xr.open_zarr(store)
    except FileNotFoundError:
        return
    assert (store / "zarr.json").exists(), "an unpublished store can be opened"
    with xr.open_zarr(store, chunks=None) as ds:
        assert ds.sizes["time"] == 12 * len(ds.attrs["published_years"]), ds.sizes
        assert int(ds["quality_flag"].max()) < 255
        assert bool(ds["ch4_budget"].notnull().all())
        assert len(set(ds["time"].values.tolist())) == ds.sizes["time"]


def read_until_told(output: Path, told: Path) -> None:
    """Read over and over until the file `told` appears, and once more."""
    # a store that appears between xarray's two ways of opening is opened the second way, with a warning
    warnings.simplefilter("ignore", RuntimeWarning)
    while not told.exists():
        check_readers_see_whole_years(output)
    check_readers_see_whole_years(output)


def main(folder: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    clean = folder / "clean"
    start = time.monotonic()
    assert wait(fork(write, clean)) == 0
    seconds = time.monotonic() - start
    expected = planted.tree(clean)
    writes = len(expected) + 20
    same, seen = 0, 0
    for i in range(kills):
        output = folder / f"killed-{i}"
        for _ in range(2 if i % 5 == 4 else 1):
            if i % 3:
                pid = fork(write_and_die, output, rng.randrange(1, writes))
            else:
                pid = fork(write, output)
                time.sleep(rng.uniform(0.0, seconds))
                os.kill(pid, signal.SIGKILL)
            wait(pid)
            seen += wait(fork(check_readers_see_whole_years, output)) == 0
        assert wait(fork(write, output)) == 0
        same += planted.tree(output) == expected
    watched = folder / "watched"
    writer = fork(write, watched)
    reader = fork(read_until_told, watched, folder / "told")
    ended = [wait(writer)]
    (folder / "told").touch()
    ended.append(wait(reader))
    told = {"same": same, "kills": kills, "whole": seen, "watched": ended, "files": len(expected)}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
