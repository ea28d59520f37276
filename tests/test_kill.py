"""The real command, killed with all its processes at random moments and run again, ends where an unkilled one does."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xarray as xr
from test_end_to_end import objects, small_recipe, store_of

pytestmark = [
    pytest.mark.slow,
    # a store that appears between xarray's two ways of opening is opened the second way, with a warning
    pytest.mark.filterwarnings("ignore:Failed to open Zarr store:RuntimeWarning"),
]

KILLS = 10
FIRST: tuple[str, ...] = ()
SECOND = ("--year", "2002")


def start(folder: Path, years: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """The command on two worker processes, in a process group of its own."""
    command = ("-m", "ch4grid.cli", "run", "small.yaml", "--cluster", "local:2", *years)
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def run_to_the_end(folder: Path, years: tuple[str, ...]) -> float:
    """Run and look on as a reader; the seconds it took."""
    begun = time.monotonic()
    process = start(folder, years)
    while process.poll() is None:
        check_that_whole_years_are_seen(folder)
        time.sleep(0.02)
    assert process.returncode == 0, process.communicate()[1].decode()
    process.communicate()
    check_that_whole_years_are_seen(folder)
    return time.monotonic() - begun


def run_and_kill(folder: Path, years: tuple[str, ...], seconds: float) -> None:
    begun = time.monotonic()
    process = start(folder, years)
    while process.poll() is None and time.monotonic() - begun < seconds:
        check_that_whole_years_are_seen(folder)
        time.sleep(0.02)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    check_that_whole_years_are_seen(folder)


def check_that_whole_years_are_seen(folder: Path) -> None:
    try:
        opened = xr.open_zarr(store_of(folder), chunks=None, mask_and_scale=False)
    except FileNotFoundError:
        return
    with opened as ds:
        assert ds.sizes["time"] == 12 * len(ds.attrs["published_years"])
        assert int(ds["quality_flag"].max()) < 255


def everything(folder: Path) -> dict[str, str]:
    """Files of stores, ledgers, staging, catalog and models with their digests; the cache is nobody's business."""
    parts = (folder / "products" / name for name in ("ch4-small", "catalog", "models"))
    return {f"{part.name}/{key}": digest for part in parts for key, digest in objects(part).items()}


@pytest.mark.parametrize("years", [FIRST, SECOND], ids=["new product", "second year"])
def test_a_killed_run_ends_with_the_bytes_of_an_unkilled_one(
    years: tuple[str, ...], tmp_path: Path
) -> None:
    before, clean = tmp_path / "before", tmp_path / "clean"
    before.mkdir()
    small_recipe(before)
    if years == SECOND:
        run_to_the_end(before, FIRST)
    shutil.copytree(before, clean)
    seconds = run_to_the_end(clean, years)
    expected = everything(clean)
    random_moment = random.Random(20)
    differing = {}
    for kill in range(KILLS):
        folder = tmp_path / f"killed-{kill}"
        shutil.copytree(before, folder)
        moment = seconds * (kill + random_moment.random()) / KILLS
        run_and_kill(folder, years, moment)
        run_to_the_end(folder, years)
        found = everything(folder)
        if found != expected:
            differing[f"{moment:.1f} of {seconds:.1f} s"] = sorted(
                dict(found.items() ^ expected.items())
            )
        shutil.rmtree(folder)
    assert differing == {}
