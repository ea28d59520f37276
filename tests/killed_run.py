"""The real command on two worker processes, killed whole or one worker at random moments, with a reader looking on."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import xarray as xr
from test_end_to_end import objects, small_recipe, store_of

FIRST: tuple[str, ...] = ()
SECOND = ("--year", "2002")
# Seconds between two looks of the reader, which takes a core while it looks.
LOOK = 0.1


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
        time.sleep(LOOK)
    assert process.returncode == 0, process.communicate()[1].decode()
    process.communicate()
    check_that_whole_years_are_seen(folder)
    return time.monotonic() - begun


def run_and_kill(folder: Path, years: tuple[str, ...], seconds: float, *, whole: bool) -> str:
    """Run and kill everything, or one of its processes, after some seconds; what came of it, in words."""
    begun = time.monotonic()
    process = start(folder, years)
    while process.poll() is None and time.monotonic() - begun < seconds:
        check_that_whole_years_are_seen(folder)
        time.sleep(LOOK)
    told = "ended before the kill"
    if process.poll() is None and whole:
        os.killpg(process.pid, signal.SIGKILL)
        told = "killed whole"
    elif process.poll() is None:
        told = "lost a worker" if kill_a_worker(process.pid) else "had no worker yet, killed whole"
        if told != "lost a worker":
            os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    check_that_whole_years_are_seen(folder)
    return (
        f"{told}, went on to the end"
        if told == "lost a worker" and not process.returncode
        else told
    )


def kill_a_worker(pid: int) -> bool:
    """Kill one of the worker processes of a run; whether there was one."""
    try:
        family = psutil.Process(pid).children(recursive=True)
        workers = [p for p in family if "multiprocessing.spawn" in " ".join(p.cmdline())]
        if workers:
            random.choice(workers).kill()
    except psutil.NoSuchProcess:
        return False
    return bool(workers)


def kills(
    folder: Path,
    years: tuple[str, ...],
    count: int,
    *,
    seed: int = 20,
    every_other: bool = True,
    tell: Callable[[str], object] = lambda text: None,
) -> tuple[Counter[str], dict[str, Sequence[str]]]:
    """Kill runs spread over their whole length and run each again to its end.

    Args:
        folder: An empty folder.
        years: What is asked of the command: a new product, or the year after a published one.
        count: Number of kills.
        seed: Of the moments.
        every_other: Kill a single worker every other time.
        tell: Told how it stands after every kill.

    Returns:
        How many of what kind, and the objects that differ from those of a run that nothing killed, by moment.
    """
    before, clean = folder / "before", folder / "clean"
    before.mkdir()
    small_recipe(before)
    if years == SECOND:
        run_to_the_end(before, FIRST)
    shutil.copytree(before, clean)
    seconds = run_to_the_end(clean, years)
    expected = everything(clean)
    moments = random.Random(seed)
    told: Counter[str] = Counter()
    differing: dict[str, Sequence[str]] = {}
    for kill in range(count):
        copy = folder / f"killed-{kill}"
        shutil.copytree(before, copy)
        moment = seconds * (kill + moments.random()) / count
        told[run_and_kill(copy, years, moment, whole=not every_other or kill % 2 == 0)] += 1
        run_to_the_end(copy, years)
        found = everything(copy)
        if found != expected:
            differing[f"{moment:.1f} of {seconds:.1f} s"] = sorted(
                dict(found.items() ^ expected.items())
            )
        shutil.rmtree(copy)
        tell(f"{kill + 1} kills, {kill + 1 - len(differing)} with the same bytes")
    return told, differing


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
