"""HDF4 and HDF4-EOS files: whether they are whole, their fields with attributes, and where their grids lie.

The HDF4 library reads what is left of a file that was cut short, so completeness is judged from the table of data
descriptors at the head of the file. The library is not thread-safe; one lock guards it.
"""

import re
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ch4grid.drivers.modis.sinusoidal import Window
from ch4grid.errors import InputError

MAGIC = b"\x0e\x03\x13\x01"

# Tag of an unused descriptor and the offset of an element that was never written (HDF4 specification, 2 and 9).
NULL_TAG, UNWRITTEN = 1, 0xFFFFFFFF
# A file has thousands of descriptors in blocks of 16 and more; a longer chain runs in a circle.
MOST_BLOCKS = 1_000_000

_HDF4 = threading.Lock()


class Stored(NamedTuple):
    """A field as it is stored, and its attributes."""

    values: NDArray[Any]
    attributes: dict[str, Any]


def flaw(path: Path) -> str:
    """Why a file is not a whole HDF4 file, in words; empty if it is. Remembered by size and modification time."""
    stat = path.stat()
    return _flaw(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=65536)
def _flaw(path: Path, size: int, modified: int) -> str:
    if size == 0:
        return f"{path.name} is empty"
    with path.open("rb") as stream:
        magic = stream.read(4)
        if magic != MAGIC:
            return f"{path.name} begins with {magic!r}, which is not HDF4"
        try:
            reach = _reach(stream, size)
        except struct.error:
            return f"{path.name} ends within its table of contents, {size} bytes"
    return f"{path.name} has {size} bytes of at least {reach}" if reach > size else ""


def _reach(stream: IO[bytes], size: int) -> int:
    """End of the furthest element [bytes], from the chain of descriptor blocks that starts after the magic number."""
    at: int = len(MAGIC)
    reach: int = 0
    for _ in range(MOST_BLOCKS):
        stream.seek(at)
        count, following = struct.unpack(">HI", stream.read(6))
        block = stream.read(12 * count)
        for tag, _, offset, length in struct.iter_unpack(">HHII", block):
            if tag != NULL_TAG and UNWRITTEN not in (offset, length):
                reach = max(reach, int(offset) + int(length))
        if len(block) < 12 * count or following > size:
            return max(reach, at + 6 + 12 * int(count), int(following))
        if following == 0:
            break
        at = int(following)
    return reach


def read(path: Path, names: Sequence[str]) -> dict[str, Stored]:
    """Fields of a file by name, as stored.

    Raises:
        InputError: The file is not whole or cannot be read, or lacks a field; the message lists what it has.
    """
    with opened(path) as file:
        found = file.datasets()
        for name in names:
            if name not in found:
                raise lacking(path, name, sorted(found))
        return {name: _field(file, name) for name in names}


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of all fields of a file.

    Raises:
        InputError: The file is not whole or cannot be read.
    """
    with opened(path) as file:
        return {str(n): tuple(map(int, found[1])) for n, found in file.datasets().items()}


def lacking(path: Path, name: str, found: Sequence[str]) -> InputError:
    """The error for a field that a file does not have."""
    return InputError(
        f"field {name!r} is missing",
        where=path,
        expected=name,
        found=", ".join(found[:12]) or "none",
        fix="Fetch the product whose name the file bears",
    )


def damaged(path: Path, reason: str) -> InputError:
    """The error for a file that cannot be read."""
    return InputError(
        "cannot read this file",
        where=path,
        expected="a complete file of the format its name says",
        found=reason,
        fix="The download was probably cut short: delete the file and fetch it again",
    )


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An open file, alone in the library.

    Raises:
        InputError: The file is absent, not whole or cannot be read.
    """
    from pyhdf.error import HDF4Error
    from pyhdf.SD import SD, SDC

    if not path.is_file():
        raise damaged(path, "no such file")
    if reason := flaw(path):
        raise damaged(path, reason)
    with _HDF4:
        try:
            file = SD(str(path), SDC.READ)
        except HDF4Error as error:
            raise damaged(path, str(error)) from error
        try:
            yield file
        except HDF4Error as error:
            raise damaged(path, str(error)) from error
        finally:
            file.end()


def blocks(path: Path, name: str, rows: int) -> Iterator[tuple[slice, NDArray[Any]]]:
    """A field as stored, some rows at a time in order, so that a deflated field is inflated once.

    Raises:
        InputError: The file is not whole or cannot be read, or lacks the field.
    """
    with opened(path) as file:
        if name not in file.datasets():
            raise lacking(path, name, sorted(file.datasets()))
        data = file.select(name)
        shape = data.info()[2]
        for start in range(0, shape[0], rows):
            count = min(rows, shape[0] - start)
            values = data.get([start, *[0] * (len(shape) - 1)], [count, *shape[1:]])
            yield slice(start, start + count), np.asarray(values)
        data.endaccess()


def _field(file: Any, name: str) -> Stored:
    data = file.select(name)
    try:
        return Stored(np.asarray(data.get()), dict(data.attributes()))
    finally:
        data.endaccess()


def window(path: Path, name: str) -> Window:
    """Where the grid of a field lies, from the structural metadata of HDF4-EOS.

    Raises:
        InputError: There is none for this field, or the grid is not sinusoidal.
    """
    with opened(path) as file:
        attributes = file.attributes()
    text = "".join(
        str(attributes[key]) for key in sorted(attributes) if key.startswith("StructMetadata")
    )
    for grid in re.findall(r"GROUP=(GRID_\d+)\s(.*?)END_GROUP=\1\s", text, re.DOTALL):
        if f'DataFieldName="{name}"' in grid[1]:
            return _window(grid[1], path)
    raise InputError(
        f"no grid is described for field {name!r}",
        where=path,
        expected="HDF4-EOS structural metadata (StructMetadata.0)",
        found=f"{len(text)} characters of it",
        fix="Give the granule as it was distributed",
    )


def _window(text: str, path: Path) -> Window:
    entries = dict(re.findall(r"^\s*(\w+)=(.+?)\s*$", text, re.MULTILINE))
    try:
        columns, rows = int(entries["XDim"]), int(entries["YDim"])
        left, top = _numbers(entries["UpperLeftPointMtrs"])[:2]
        right, bottom = _numbers(entries["LowerRightMtrs"])[:2]
        radius = _numbers(entries["ProjParams"])[0]
    except (KeyError, ValueError, IndexError) as error:
        raise damaged(path, f"its structural metadata lack {error}") from error
    if entries.get("Projection") != "GCTP_SNSOID":
        raise InputError(
            "the grid is not sinusoidal",
            where=path,
            expected="Projection=GCTP_SNSOID",
            found=entries.get("Projection", "none"),
            fix="Climate modelling grids belong to the source modis",
        )
    return Window(
        left, top, (right - left) / columns, (top - bottom) / rows, (rows, columns), radius
    )


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.strip("()").split(",")]
