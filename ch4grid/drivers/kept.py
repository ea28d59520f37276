"""Datasets computed once and kept as Zarr folders: written beside their place and renamed, found whole or not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import xarray as xr

from ch4grid.stores import exclusive, unwritable


def keep(folder: Path, make: Callable[[], xr.Dataset]) -> Path:
    """The folder of a Dataset that `make` computes when it is not there yet; of several runs, one computes it.

    Args:
        folder: Where it lies, below the cache.
        make: Computes the Dataset.

    Raises:
        RunError: The folder cannot be written.
    """
    if not folder.exists():
        with exclusive(folder.with_name(f".{folder.name}.lock")):
            if not folder.exists():
                _write_whole(folder, make())
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
