"""The Zarr group of a driver cube: one object per variable and month, so that a month is written and replaced alone.

An object is a shard of inner chunks, which a reader of one region fetches by part. Bytes depend on the values only.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from ch4grid import ledger
from ch4grid.drivers.cube.month import STATUS
from ch4grid.drivers.source import FIGURE, State
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import unwritable
from ch4grid.vocabulary import EPOCH, VARIABLES

CUBE = ("time", "latitude", "longitude")
# Largest inner chunk along an axis [cells]: a region of the product reads whole chunks.
INNER = 180
# What belongs to a month besides the drivers.
MARKS = ("driver_partial", "driver_climatology", "driver_status", "valid_fraction")
NEVER = 255
STATES: dict[State, int] = {
    "final": 0,
    "preliminary": 1,
    "climatology": 2,
    "missing": 3,
    "damaged": 4,
}


def create(store: Path, grid: Grid, time: pd.DatetimeIndex, dynamic: Sequence[str]) -> None:
    """Make the group and its arrays, or lengthen those that are there.

    Args:
        store: The group.
        grid: The product grid.
        time: All months from the first of the cube.
        dynamic: Variables that change, in the order of the bits.

    Raises:
        RunError: The folder cannot be written.
    """
    try:
        group = zarr.open_group(store, mode="a", zarr_format=3)
        told = {"regrid_method": "conservative", "regrid_figure": FIGURE}
        group.attrs.update(
            {"Conventions": "CF-1.11", "title": "Drivers on the product grid"} | told
        )
        for name in dynamic:
            _array(group, name, grid, len(time), "float32", np.nan, VARIABLES[name].attrs)
        for name, attrs in _mark_attrs(dynamic).items():
            kind = {"driver_status": "uint8", "valid_fraction": "float32"}.get(name, "uint32")
            fill: float = NEVER if kind == "uint8" else np.nan if kind == "float32" else 0
            _array(group, name, grid, len(time), kind, fill, attrs)
        _states(group, len(time), dynamic)
        _axes(group, grid, time)
    except OSError as error:
        raise unwritable(store, error) from error


def _mark_attrs(dynamic: Sequence[str]) -> dict[str, dict[str, Any]]:
    masks = {
        "flag_masks": [1 << i for i in range(len(dynamic))],
        "flag_meanings": " ".join(dynamic),
    }
    return {
        "driver_partial": {"long_name": "drivers that stand on less than half of the cell"} | masks,
        "driver_climatology": {"long_name": "drivers filled with their mean year"} | masks,
        "driver_status": {
            "long_name": "state of the drivers",
            "flag_values": list(STATUS.values()),
            "flag_meanings": " ".join(STATUS),
        },
        "valid_fraction": {
            "units": "1",
            "long_name": "smallest valid area fraction of the drivers",
        },
    }


def _array(
    group: zarr.Group,
    name: str,
    grid: Grid,
    months: int,
    dtype: str,
    fill: float,
    attrs: dict[str, Any],
) -> None:
    shape = (months, *grid.shape)
    inner = (1, *(_inner(n) for n in grid.shape))
    _made(
        group,
        name,
        shape=shape,
        dtype=dtype,
        fill_value=fill,
        chunks=inner,
        shards=None if inner[1:] == grid.shape else (1, *grid.shape),
        dimension_names=CUBE,
        attributes=attrs,
    )


def _inner(cells: int) -> int:
    """The largest divisor of the number of cells that is no larger than the limit."""
    return next(n for n in range(min(cells, INNER), 0, -1) if cells % n == 0)


def _made(group: zarr.Group, name: str, **spec: Any) -> None:
    """An array, or the one that is there at its new length."""
    if name in group:
        array: Any = group[name]
        if array.shape[0] < spec["shape"][0] and "time" in spec["dimension_names"]:
            array.resize((spec["shape"][0], *array.shape[1:]))
        return
    codec = BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
    group.create_array(name, compressors=codec, **spec)


def _states(group: zarr.Group, months: int, dynamic: Sequence[str]) -> None:
    spec = {
        "dtype": "uint8",
        "fill_value": NEVER,
        "chunks": (1, len(dynamic)),
        "dimension_names": ("time", "driver"),
    }
    attrs = {
        "long_name": "how well the files of a month hold a driver",
        "flag_values": list(STATES.values()),
        "flag_meanings": " ".join(STATES),
        "drivers": " ".join(dynamic),
    }
    _made(group, "source_status", shape=(months, len(dynamic)), attributes=attrs, **spec)


def _axes(group: zarr.Group, grid: Grid, time: pd.DatetimeIndex) -> None:
    days = (time.values.astype("datetime64[D]") - EPOCH).astype(np.int64)
    attrs = {"units": "days since 1970-01-01", "calendar": "standard", "standard_name": "time"}
    axes: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {"time": (days, attrs | {"axis": "T"})}
    for name, coordinate in grid.coords.items():
        kept = {str(k): v for k, v in coordinate.attrs.items() if k != "bounds"}
        axes[name] = (coordinate.values, kept)
    for name, (values, told) in axes.items():
        _made(
            group,
            name,
            shape=values.shape,
            dtype=str(values.dtype),
            fill_value=0,
            chunks=(12,) if name == "time" else values.shape,
            dimension_names=(name,),
            attributes=told,
        )
        array: Any = group[name]
        if not np.array_equal(array[: values.size], values):
            array[: values.size] = values


def write_static(
    store: Path, name: str, values: NDArray[np.float32], fingerprint: str
) -> ledger.Row:
    """Write a variable that does not change; returns its ledger row.

    Raises:
        RunError: The folder cannot be written.
    """
    group = zarr.open_group(store, mode="a", zarr_format=3)
    spec = {"dtype": "float32", "fill_value": np.nan, "chunks": tuple(map(_inner, values.shape))}
    shards = None if spec["chunks"] == values.shape else values.shape
    attrs = VARIABLES[name].attrs
    _made(
        group,
        name,
        shape=values.shape,
        shards=shards,
        dimension_names=CUBE[1:],
        attributes=attrs,
        **spec,
    )
    return _written(store, name, (slice(None),) * 2, "c/0/0", values, None, fingerprint)


def write_plane(
    store: Path, name: str, index: int, values: NDArray[Any], year: int, fingerprint: str
) -> ledger.Row:
    """Write one month of an array unless it holds exactly these values; returns its ledger row.

    Raises:
        RunError: The folder cannot be written.
    """
    key = "/".join(["c", str(index), *["0"] * values.ndim])
    return _written(store, name, (index,), key, values, year, fingerprint)


def _written(
    store: Path,
    name: str,
    where: tuple[Any, ...],
    key: str,
    values: NDArray[Any],
    year: int | None,
    fingerprint: str,
) -> ledger.Row:
    with zarr.config.set({"array.write_empty_chunks": True}):  # an object says that it was written
        array: Any = zarr.open_array(store / name, mode="r+")
    path = store / name / key
    try:
        if not (path.exists() and _holds(array, where, values)):
            array[where] = values
        content = path.read_bytes()
    except OSError as error:
        raise unwritable(path, error) from error
    made = ledger.row(name, f"{name}/{key}", content, values, year=year, inputs=fingerprint)
    return ledger.in_state([made], "verified")[0]


def _holds(array: Any, where: tuple[Any, ...], values: NDArray[Any]) -> bool:
    """Whether a part of an array holds exactly these values; what a killed process left unreadable does not."""
    try:
        return np.array_equal(array[where], values, equal_nan=values.dtype.kind == "f")
    except (OSError, RuntimeError, ValueError):
        return False


def read_plane(store: Path, name: str, index: int) -> NDArray[Any]:
    """One month of an array (latitude, longitude).

    Raises:
        InputError: An object of the cube cannot be decoded.
    """
    array: Any = zarr.open_array(store / name, mode="r")
    try:
        return np.asarray(array[index])
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            "the driver cube is damaged",
            where=store / name,
            found=" ".join(str(error).split())[:200],
            fix=f"Delete the folder {store}: the next run makes it again",
        ) from error
