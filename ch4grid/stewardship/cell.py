"""One cell and month of a published store: its values, and the chunk objects that hold them."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ch4grid import ledger
from ch4grid.cube.objects import dims_of, open_planned, read_document
from ch4grid.ledger import Row
from ch4grid.stores import sha256_file


@dataclass(frozen=True)
class Holder:
    """A chunk object: its ledger row, and whether the disk holds the published bytes."""

    row: Row
    sound: bool


@dataclass(frozen=True)
class Cell:
    """A place and month of a store.

    Args:
        store: The store.
        index: Position along time, latitude and longitude.
        months: Length of the published time axis.
        rows: The ledger by key.
    """

    store: Path
    index: Mapping[str, int]
    months: int
    rows: Mapping[str, Row]

    def holders(self, name: str) -> tuple[Holder, ...]:
        """The objects of a variable that hold this cell and month, along its other dimensions."""
        doc = read_document(self.store, name)
        chunks = doc["chunk_grid"]["configuration"]["chunk_shape"]
        blocks = [
            [self.index[dim] // chunk] if dim in self.index else range(-(-size // chunk))
            for dim, size, chunk in zip(dims_of(doc), doc["shape"], chunks, strict=True)
        ]
        keys = ["/".join([name, "c", *map(str, block)]) for block in itertools.product(*blocks)]
        return tuple(Holder(self.rows[key], self._sound(key)) for key in keys)

    def _sound(self, key: str) -> bool:
        path = self.store / key
        return path.is_file() and sha256_file(path) == self.rows[key].sha256

    def values(self, name: str) -> NDArray[Any] | None:
        """Values of a variable along its other dimensions; None where an object that holds them is damaged."""
        if not all(h.sound for h in self.holders(name)):
            return None
        dims = dims_of(read_document(self.store, name))
        where = tuple(self.index.get(dim, slice(None)) for dim in dims)
        return np.asarray(open_planned(self.store, name, self.months)[where])

    def value(self, name: str) -> float | None:
        """The one value of a variable; None where it is missing or damaged."""
        found = self.values(name)
        return None if found is None or not np.isfinite(found) else float(found)


def cell_at(store: Path, index: Mapping[str, int], months: int) -> Cell:
    """A cell and month with the ledger read."""
    return Cell(store, index, months, {r.key: r for r in ledger.rows_of(store)})
