"""`zarr_to_zarr`: a whole store regridded to another, a block of steps at a time.

One task reads the fields of one chunk, regrids them and writes them; the tasks share the processors. Memory depends on
the size of a chunk and not on the length of the series. Output chunks are as long as those of the source, so that no
two tasks share one, and compressed by lz4 with shuffled bytes, which reads twice as fast as the default.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.regridding.fields import available_threads, run, working_type
from ch4grid.regridding.methods import CONSERVATIVE, FRACTION_ATTRS, Rule, regridder

# Threads beyond the processors, so that one reads while others compute.
EXTRA_THREADS = 2

# Suffix of the variable that holds the valid fractions of another.
FRACTION = "_valid_fraction"


def zarr_to_zarr(
    source: Path,
    target: Path,
    grid: Grid,
    *,
    rule: Rule = CONSERVATIVE,
    variables: Sequence[str] | None = None,
    fractions: bool = True,
    threads: int | None = None,
) -> None:
    """Regrid variables (time, latitude, longitude) of a Zarr store into a new one, with their valid fractions.

    Args:
        source: Store to read.
        target: Store to write; must not exist.
        grid: Target grid.
        rule: Method, threshold and figure; the engine is `separable`.
        variables: Names; all with these dimensions if None.
        fractions: Write `<name>_valid_fraction` too.
        threads: Tasks at a time; processors + 2 if None.

    Raises:
        InputError: The target exists, or the source has no such variable.
    """
    if target.exists():
        raise InputError("the target exists", where=target, expected="a new store")
    with xr.open_zarr(source, chunks=None, consolidated=False) as data:
        names = _fields(data, variables, source)
        apply = regridder(data, grid, rule)
        _template(data[names], grid, rule, fractions).to_zarr(
            target, compute=False, consolidated=False
        )
    store, written = zarr.open_group(source, mode="r"), zarr.open_group(target, mode="r+")

    def work(task: tuple[str, int, int]) -> None:
        name, first, last = task
        means, valid = apply(_array(store, name)[first:last], 1)
        _array(written, name)[first:last] = means
        if fractions:
            _array(written, f"{name}{FRACTION}")[first:last] = valid

    tasks = [(name, *block) for name in names for block in _blocks(_array(store, name))]
    run(work, tasks, threads or available_threads() + EXTRA_THREADS)


def _array(group: zarr.Group, name: str) -> Any:
    return group[name]


def _blocks(array: Any) -> list[tuple[int, int]]:
    """First and last step of every chunk."""
    size, step = array.shape[0], array.chunks[0]
    return [(first, min(first + step, size)) for first in range(0, size, step)]


def _fields(data: xr.Dataset, variables: Sequence[str] | None, source: Path) -> list[str]:
    """Names of the variables to regrid: numbers that need no decoding on (time, latitude, longitude)."""
    dims = ("time", "latitude", "longitude")
    found = [str(name) for name, values in data.data_vars.items() if values.dims == dims]
    names = list(variables) if variables is not None else found
    if not names or not set(names) <= set(found):
        raise InputError(
            "has no such variable",
            where=source,
            expected=names or f"dimensions {dims}",
            found=found,
        )
    for name in names:
        packing = {"scale_factor", "add_offset", "_FillValue"} & set(data[name].encoding)
        fill = data[name].encoding.get("_FillValue", np.nan)
        if data[name].dtype.kind != "f" or packing - {"_FillValue"} or not np.isnan(fill):
            raise InputError(
                "is packed and cannot be streamed",
                where=f"{source}: {name}",
                expected="floating-point values, NaN where missing",
                found=f"{data[name].dtype} with {sorted(packing)}",
                fix="Open the store with xarray and regrid it lazily",
            )
    return names


def _template(data: xr.Dataset, grid: Grid, rule: Rule, fractions: bool) -> xr.Dataset:
    """The target's metadata: chunks as long as those of the source, whole fields."""
    import dask.array as da

    out = xr.Dataset(coords={"time": data["time"], **grid.coords}, attrs=data.attrs)
    # a higher level costs a third more time and saves nothing on such fields
    codec = BloscCodec(cname="lz4", clevel=1, shuffle="shuffle")
    for name, values in data.data_vars.items():
        shape = (values.sizes["time"], *grid.shape)
        chunks = (values.encoding["chunks"][0], *grid.shape)
        kinds = {str(name): (working_type(values), values.attrs | rule.attrs)}
        if fractions:
            kinds[f"{name}{FRACTION}"] = np.dtype(np.float32), FRACTION_ATTRS | rule.attrs
        for kind, (dtype, attrs) in kinds.items():
            empty = da.zeros(shape, chunks=chunks, dtype=dtype)
            out[kind] = (("time", "latitude", "longitude"), empty, attrs)
            out[kind].encoding = {"chunks": chunks, "compressors": (codec,), "_FillValue": np.nan}
    return out
