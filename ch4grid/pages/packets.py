"""Arrays as small scripts: what a page opened from a disk can load, where it may not fetch files.

A packet is one call of `ch4grid.receive(name, {...})` in a file of its own: the fields' names, types and shapes, and
their bytes as differences along the last axis, shuffled by byte, deflated, in base64. `templates/packet.js` undoes it.
Values lose precision on purpose, to a stated bound. Same arrays, same bytes.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Unsigned integers of 1, 2 and 4 bytes; floats of 2 bytes (the upper half of a float32: relative error up to 2^-8) and
# of 4 bytes with the last bits of the mantissa cleared (relative error up to 2^-11).
Kind = Literal["u1", "u2", "u4", "b2", "f4"]
INTEGERS: dict[Kind, type[np.unsignedinteger[Any]]] = {
    "u1": np.uint8,
    "u2": np.uint16,
    "u4": np.uint32,
}
MANTISSA = 23
KEPT = {"b2": 7, "f4": 10}
NAN = 0x7FC00000
LEVEL = 6


class Field(NamedTuple):
    """An array with the name and kind under which a packet carries it."""

    name: str
    kind: Kind
    values: NDArray[Any]


def script(name: str, fields: Sequence[Field]) -> bytes:
    """The file that hands the fields to the page under a name."""
    body = zlib.compress(b"".join(_bytes(f) for f in fields), LEVEL)
    head = [{"name": f.name, "kind": f.kind, "shape": list(f.values.shape)} for f in fields]
    told = {"fields": head, "data": base64.b64encode(body).decode()}
    return f"ch4grid.receive({json.dumps(name)}, {json.dumps(told)});\n".encode()


def rounded(values: NDArray[Any], kept: int) -> NDArray[np.uint32]:
    """Bit patterns of float32 values with `kept` bits of the mantissa, rounded to the nearest; one pattern for NaN."""
    floats = np.asarray(values, dtype=np.float32)
    bits = np.ascontiguousarray(floats).view(np.uint32).astype(np.uint64)
    lost = MANTISSA - kept
    near = ((bits + (1 << (lost - 1))) >> lost) << lost
    return np.where(np.isfinite(floats), near, NAN).astype(np.uint32)


def integers(field: Field) -> NDArray[np.unsignedinteger[Any]]:
    """The unsigned integers that stand for a field's values in the file."""
    if field.kind == "b2":
        return (rounded(field.values, KEPT["b2"]) >> 16).astype(np.uint16)
    if field.kind == "f4":
        return rounded(field.values, KEPT["f4"])
    return np.asarray(field.values).astype(INTEGERS[field.kind], casting="same_kind")


def _bytes(field: Field) -> bytes:
    numbers = integers(field)
    # neighbours are alike, and bit patterns of floats grow with the values: the differences have few bits
    numbers[..., 1:] -= numbers[..., :-1].copy()
    little = np.ascontiguousarray(numbers.astype(numbers.dtype.newbyteorder("<")))
    return little.view(np.uint8).reshape(-1, numbers.dtype.itemsize).T.tobytes()
