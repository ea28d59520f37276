"""NetCDF-4 files of the classic model, written part by part, the same bytes for the same values.

No dimension is unlimited, nothing of the clock is stored, and an error of the disk becomes an error for people.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from ch4grid.stores import unwritable

# Where a part of a variable goes, and its values.
Part = tuple[Any, NDArray[Any]]
COMPRESSION = 4
# Rows of a chunk at most: those that are read and written at a time.
CHUNK_ROWS = 180


@dataclass(frozen=True)
class Variable:
    """A variable of a file.

    Args:
        dims: Its dimensions in order.
        dtype: NetCDF type: `f4`, `f8`, `i4`, `i1` or `S1`.
        parts: Gives its values part by part.
        attrs: Attributes.
        fill: What stands for a missing value; None where none is missing.
    """

    dims: tuple[str, ...]
    dtype: str
    parts: Callable[[], Iterable[Part]]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    fill: float | int | None = None


def whole(values: Any) -> Callable[[], Iterable[Part]]:
    """Parts of a variable that is written at once."""
    return lambda: [(Ellipsis, np.asarray(values))]


def labels(names: Iterable[str], dim: str, long_name: str) -> tuple[int, Variable]:
    """Length of the longest name, and a variable of characters (dim, name_length) that xarray reads as texts."""
    encoded = [n.encode() for n in names]
    length = max(map(len, encoded))
    values = np.array(encoded, dtype=f"S{length}").view("S1").reshape(len(encoded), length)
    attrs = {"long_name": long_name, "_Encoding": "utf-8"}
    return length, Variable((dim, f"{dim}_length"), "S1", whole(values), attrs)


def write(
    path: Path,
    sizes: Mapping[str, int],
    variables: Mapping[str, Variable],
    attributes: Mapping[str, Any],
) -> None:
    """Write a file.

    Args:
        path: The file.
        sizes: Length of every dimension.
        variables: Variables by name.
        attributes: Attributes of the file.

    Raises:
        RunError: The system refuses to write it.
    """
    with refusals(path):
        file = netCDF4.Dataset(path, "w", format="NETCDF4_CLASSIC")
        # values are written as they are: characters and flags need no second look
        file.set_auto_maskandscale(False)
    try:
        with refusals(path):
            _define(file, sizes, variables, attributes)
        for name, variable in variables.items():
            # read from the product outside of what turns errors of the library into those of the disk
            for place, values in variable.parts():
                with refusals(path):
                    file.variables[name][place] = values
    finally:
        with refusals(path):
            file.close()


def _define(
    file: Any,
    sizes: Mapping[str, int],
    variables: Mapping[str, Variable],
    attributes: Mapping[str, Any],
) -> None:
    for dim, size in sizes.items():
        file.createDimension(dim, size)
    for name, variable in variables.items():
        large = {"lat", "latitude"} & set(variable.dims) and len(variable.dims) > 1
        packed = {"zlib": True, "complevel": COMPRESSION, "shuffle": True} if large else {}
        made = file.createVariable(
            name,
            variable.dtype,
            variable.dims,
            chunksizes=_chunks(variable.dims, sizes) if large else None,
            fill_value=False if variable.fill is None else variable.fill,
            **packed,
        )
        made.set_auto_maskandscale(False)
        made.set_auto_chartostring(False)
        made.setncatts(dict(variable.attrs))
    file.setncatts(dict(attributes))


def _chunks(dims: tuple[str, ...], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """One field, cut into stripes of rows."""
    lengths = {"lat": CHUNK_ROWS, "latitude": CHUNK_ROWS, "lon": 2**31, "longitude": 2**31}
    return tuple(min(sizes[d], lengths.get(d, 1)) for d in dims)


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Errors of the NetCDF library while it writes a file as errors for people.

    Raises:
        RunError: The library or the system refused.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        told = error if isinstance(error, OSError) else OSError(0, str(error))
        raise unwritable(path, told) from error
