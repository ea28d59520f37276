"""The driver cube: DRIVERS by calendar year on the product grid, assembled once and kept as Zarr.

A year is one folder named by what determines it (sources, grid, fingerprints of the input files), written beside and
renamed, so a reader finds a whole year or none. Years are independent of each other.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import xarray as xr

from ch4grid.stores import sha256_json, unwritable

FORMAT = 1


def year_key(
    sources: Sequence[dict[str, object]], resolution: float, inputs: dict[str, str]
) -> str:
    """The name of a year of drivers: a digest of the sources as written, the grid and the input files."""
    return sha256_json([FORMAT, list(sources), resolution, sorted(inputs.values())])[:16]


def keep(folder: Path, make: Callable[[], xr.Dataset]) -> Path:
    """The folder of a Dataset that `make` computes when it is not there yet; of several runs, one computes it.

    Args:
        folder: Where it lies, below the cache.
        make: Computes the Dataset.

    Raises:
        RunError: The folder cannot be written.
    """
    from filelock import FileLock

    if folder.exists():
        return folder
    held = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        held.acquire()
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        if not folder.exists():
            _write_whole(folder, make())
    finally:
        held.release()
    return folder


def _write_whole(folder: Path, ds: xr.Dataset) -> None:
    """Write a Dataset beside its folder and rename it."""
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        _variable_length(ds).drop_encoding().to_zarr(partial, zarr_format=3, consolidated=False)
        partial.replace(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise unwritable(folder, error) from error


def _variable_length(ds: xr.Dataset) -> xr.Dataset:
    """The Dataset with its text coordinates as variable-length strings, which Zarr v3 specifies."""
    text = {n: c.astype(object) for n, c in ds.coords.items() if c.dtype.kind == "U"}
    return ds.assign_coords(text)


def open_years(folders: Sequence[Path]) -> xr.Dataset:
    """DRIVERS of consecutive years as one lazy Dataset (time, latitude, longitude), statics from the last."""
    years = [xr.open_zarr(folder, consolidated=False, chunks=None) for folder in folders]
    statics = [str(n) for n in years[-1].data_vars if "time" not in years[-1][n].dims]
    dynamic = xr.concat(
        [y.drop_vars(statics) for y in years],
        dim="time",
        coords="minimal",
        compat="override",
        join="exact",
    )
    whole: xr.Dataset = dynamic.assign({n: years[-1][n] for n in statics})
    return whole
