"""Throughput of regridding against a copy of its input, a raw Zarr read, xarray-regrid and xESMF, in one run.

    python tests/bench/regrid.py [--steps 120] [--folder FOLDER]

Fields of 0.25 degree, monthly steps, three kinds of gaps. Every figure is the best of some repetitions; on a busy
machine the ratios within one run count. GB/s are of float32 input.
"""

import argparse
import gc
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import xarray as xr
import zarr

from ch4grid.grid import Grid
from ch4grid.regridding import Cells, Rule
from ch4grid.regridding.fields import separable_means
from ch4grid.regridding.methods import separable_weights
from ch4grid.regridding.streaming import zarr_to_zarr

THREADS = 2
LONGITUDE = np.arange(1440) * 0.25
LATITUDE = {721: np.linspace(90.0, -90.0, 721), 720: np.arange(89.875, -90.0, -0.25)}
CASES = (
    (721, 0.5, "conservative"),
    (721, 0.5, "bilinear"),
    (720, 1.0, "conservative"),
    (721, 0.25, "conservative"),
)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def best(task, repeats: int = 5) -> float:
    """Shortest duration [s]."""
    durations = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = task()
        durations.append(time.perf_counter() - start)
        del result
    return min(durations)


def fields(rows: int, steps: int, gaps: str) -> np.ndarray:
    """Temperatures (step, row, column) float32 without gaps, with a fixed land mask or a moving one [K]."""
    rng = np.random.default_rng(0)
    base = rng.normal(280.0, 10.0, (12, rows, 1440)).astype(np.float32)
    if gaps == "moving":
        base[rng.random(base.shape) < 0.15] = np.nan
    if gaps == "fixed":
        blocks = np.kron(rng.random((37, 72)) < 0.4, np.ones((20, 20), bool))
        base[:, blocks[:rows]] = np.nan
    return np.concatenate([base] * (steps // 12))


def copy_rate(values: np.ndarray, target: np.ndarray) -> float:
    """Two-thread copy into memory that is mapped already [GB s-1]."""
    half = len(values) // 2
    with ThreadPoolExecutor(THREADS) as pool:

        def task():
            parts = (slice(0, half), slice(half, None))
            list(pool.map(lambda part: np.copyto(target[part], values[part]), parts))

        return values.nbytes / best(task) / 1e9


def labelled(values: np.ndarray, rows: int) -> xr.DataArray:
    axes = {"time": np.arange(len(values)), "latitude": LATITUDE[rows], "longitude": LONGITUDE}
    return xr.DataArray(values, coords=axes, dims=("time", "latitude", "longitude"), name="tas")


def in_memory(steps: int) -> None:
    say("case | gaps | copy GB/s | here GB/s, of copy | gaps not skipped | into new memory")
    for rows, resolution, method in CASES:
        source = Cells.from_centres(LATITUDE[rows], LONGITUDE)
        weights = separable_weights(source, Cells.of_grid(Grid(resolution)), Rule(method))
        for gaps in ("none", "fixed", "moving"):
            values = fields(rows, steps, gaps)
            target = np.zeros_like(values)
            kept = separable_means(values, weights, threads=THREADS)
            rates, copies, plain, fresh = [], [], [], []
            # in turns, so that a burst of load from elsewhere falls on both
            for _ in range(4):
                copies.append(copy_rate(values, target))
                rates.append(_rate(values, weights, kept))
                plain.append(_rate(values, weights, kept, skip_missing=False))
                fresh.append(_rate(values, weights, None))
            copy, rate = max(copies), max(rates)
            say(
                f"{rows} -> {resolution} {method} | {gaps} | {copy:.1f} | {rate:.2f}, {rate / copy:.2f} "
                f"| {max(plain) / copy:.2f} | {max(fresh) / copy:.2f}"
            )
            del values, target, kept
            gc.collect()


def _rate(values: np.ndarray, weights, kept, *, skip_missing: bool = True) -> float:
    def task():
        return separable_means(
            values, weights, skip_missing=skip_missing, threads=THREADS, into=kept
        )

    return values.nbytes / best(task, 2) / 1e9


def others(steps: int) -> None:
    """xarray-regrid and xESMF, 721 -> 0.5 conservative with a moving mask."""
    values, grid = fields(721, steps, "moving"), Grid(0.5)
    data = labelled(values, 721).sortby("latitude")
    data = data.assign_coords(longitude=(LONGITUDE + 180.0) % 360.0 - 180.0).sortby("longitude")
    target = xr.Dataset(coords={"latitude": grid.latitude, "longitude": grid.longitude})
    weights = separable_weights(Cells.of(data), Cells.of_grid(grid))
    here = _rate(data.values, weights, None)
    if importlib.util.find_spec("xarray_regrid"):
        # with the package sparse its results are sparse arrays too and take seconds a step
        sys.modules["sparse"] = None
        import xarray_regrid  # noqa: F401

        chunked = data.chunk(time=12)

        def theirs():
            done = chunked.regrid.conservative(target, latitude_coord="latitude", skipna=True)
            return done.compute(scheduler="threads", num_workers=THREADS)

        rate = values.nbytes / best(theirs, 2) / 1e9
        say(f"xarray-regrid {rate:.2f} GB/s; here {here:.2f} GB/s, {here / rate:.1f} times")
    if importlib.util.find_spec("xesmf"):
        import netCDF4  # noqa: F401  (before esmpy)
        import xesmf

        axes = {"lat": data["latitude"].values, "lon": data["longitude"].values}
        made = xesmf.Regridder(axes, {"lat": grid.latitude, "lon": grid.longitude}, "conservative")
        rate = values.nbytes / best(lambda: made(data.values, skipna=True), 1) / 1e9
        say(f"xESMF {rate:.2f} GB/s; here {here / rate:.1f} times")
    else:
        say("xESMF is not installed")


def zarr_read(path: Path) -> float:
    """Duration of reading every chunk by two threads [s]."""
    array = zarr.open_group(path, mode="r")["tas"]
    blocks = [slice(i, i + 12) for i in range(0, array.shape[0], 12)]

    def task():
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(lambda block: float(array[block][0, 0, 0]), blocks):
                pass

    return best(task, 3)


def stores(steps: int, folder: Path) -> None:
    """Zarr to Zarr against a raw read of the same store."""
    for codec in ("zstd", "lz4"):
        path = folder / f"{codec}.zarr"
        _write(path, steps, codec)
        size = steps * 721 * 1440 * 4 / 1e9
        for resolution in (0.5, 1.0):
            for fractions in (False, True):
                reads, writes = [], []
                for turn in range(3):
                    reads.append(zarr_read(path))
                    target = folder / f"out-{codec}-{resolution}-{fractions}-{turn}.zarr"
                    start = time.perf_counter()
                    zarr_to_zarr(path, target, Grid(resolution), fractions=fractions)
                    writes.append(time.perf_counter() - start)
                read, write = min(reads), min(writes)
                kind = "with fractions" if fractions else "means only"
                say(
                    f"Zarr {codec} 721 -> {resolution} {kind}: raw read {size / read:.2f} GB/s, "
                    f"Zarr to Zarr {size / write:.2f} GB/s, {read / write:.2f} of the raw read"
                )


def _write(path: Path, steps: int, codec: str) -> None:
    from zarr.codecs import BloscCodec, ZstdCodec

    smooth = np.cumsum(fields(721, 12, "none") - 280.0, axis=-1) / 50.0 + 280.0
    values = np.concatenate([smooth.round(2).astype(np.float32)] * (steps // 12))
    values[:, 300:420, 200:500] = np.nan
    kind = ZstdCodec() if codec == "zstd" else BloscCodec(cname="lz4", shuffle="shuffle")
    encoding = {"tas": {"chunks": (12, 721, 1440), "compressors": (kind,)}}
    labelled(values, 721).to_dataset().to_zarr(path, encoding=encoding, consolidated=False)


def memory(folder: Path) -> None:
    """Peak memory of a process that streams a store, by its number of steps."""
    for steps in (120, 240, 480):
        path = folder / f"memory-{steps}.zarr"
        _write(path, steps, "lz4")
        command = [sys.executable, __file__, "--stream", str(path), str(folder / f"m-{steps}.zarr")]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        say(f"peak memory at {steps} steps: {said}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", choices=["memory", "stores", "others", "in_memory"])
    parser.add_argument("--stream", type=Path, nargs=2)
    options = parser.parse_args()
    if options.stream:
        zarr_to_zarr(*options.stream, Grid(0.5))
        # not ru_maxrss, which a new process takes over from the one that started it
        status = Path("/proc/self/status").read_text()
        say(next(line.split(":")[1].strip() for line in status.splitlines() if "VmHWM" in line))
        return
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        parts = {
            "in_memory": lambda: in_memory(options.steps),
            "others": lambda: others(options.steps),
            "stores": lambda: stores(options.steps, folder),
            "memory": lambda: memory(folder),
        }
        for part, task in parts.items():
            if options.only in (None, part):
                say(f"-- {part}; load {os.getloadavg()[0]:.1f}")
                task()


if __name__ == "__main__":
    main()
