"""Chunk objects: array values to the exact bytes of Zarr objects and back.

Bytes are made in memory, so their digest is known before the disk sees them and reading back proves the disk. Every
chunk is written, also one that is all missing: an object that is not there is an object that was lost.
"""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ch4grid.cube.layout import Layout
from ch4grid.errors import InputError

if TYPE_CHECKING:
    import zarr

Document = dict[str, Any]
METADATA = "zarr.json"


@dataclass(frozen=True)
class ChunkObject:
    """One object: its key inside the store, its bytes and the array values it holds (padding excluded)."""

    key: str
    content: bytes
    values: NDArray[Any]


def document(layout: Layout, shape: tuple[int, ...]) -> Document:
    """The `zarr.json` of an array of this layout: blosc zstd 3 with shuffle, then crc32c."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec
    from zarr.storage import MemoryStore

    held: dict[str, Any] = {}
    zarr.create_array(
        MemoryStore(held),
        shape=shape,
        dtype=layout.dtype,
        chunks=layout.chunks,
        compressors=(BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"), Crc32cCodec()),
        fill_value=layout.fill,
        dimension_names=layout.dims,
        attributes=layout.attrs,
    )
    parsed: Document = json.loads(held[METADATA].to_bytes())
    return parsed


def encode(
    name: str, doc: Document, values: NDArray[Any], first: tuple[int, ...]
) -> list[ChunkObject]:
    """The objects of a block of whole chunks.

    Args:
        name: Name of the array.
        doc: Its metadata.
        values: The block; starts on chunk bounds, ends on chunk bounds or at the end of the array.
        first: Chunk index of the block's first chunk along every dimension.
    """
    from zarr.storage import MemoryStore

    held: dict[str, Any] = {}
    block = _array(MemoryStore(held), doc | {"shape": list(values.shape)})
    block.with_config({"write_empty_chunks": True})[...] = values
    chunks: list[int] = doc["chunk_grid"]["configuration"]["chunk_shape"]
    counts = [-(-n // c) for n, c in zip(values.shape, chunks, strict=True)]
    result = []
    for index in itertools.product(*map(range, counts)):
        content = held["/".join(["c", *map(str, index)])].to_bytes()
        place = "/".join([name, "c", *(str(i + f) for i, f in zip(index, first, strict=True))])
        part = values[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunks, strict=True))]
        result.append(ChunkObject(place, content, np.asarray(part)))
    return result


def read_document(store: Path, name: str) -> Document:
    """The metadata of an array of the store.

    Raises:
        InputError: It is missing or not JSON.
    """
    path = store / name / METADATA
    try:
        parsed: Document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            "the array cannot be read",
            where=path,
            expected="its Zarr metadata",
            found=error,
            fix="`ch4grid repair` writes it anew where the store is a product",
        ) from error
    return parsed


def dims_of(doc: Document) -> list[str]:
    """Dimension names of an array; a scalar has none."""
    return list(doc.get("dimension_names") or ())


def serialised(doc: Document) -> bytes:
    """A metadata document as bytes, the same for the same document."""
    return json.dumps(doc, indent=2, allow_nan=False).encode()


def open_planned(store: Path, name: str, months: int | None = None) -> "zarr.Array[Any]":
    """An array on disk, read-only, as long along time as asked whether or not that is published yet."""
    from zarr.storage import LocalStore

    doc = read_document(store, name)
    if months is not None and "time" in dims_of(doc):
        axis = dims_of(doc).index("time")
        doc["shape"][axis] = months
    return _array(LocalStore(store / name, read_only=True), doc)


def _array(store: Any, doc: Document) -> "zarr.Array[Any]":
    import zarr
    from numcodecs import blosc  # type: ignore[import-untyped]
    from zarr.storage import StorePath

    # threads inside blosc place compressed blocks in the order they finish: same values, different bytes
    blosc.use_threads = False
    return zarr.Array.from_dict(StorePath(store), doc)
