"""What of a store is published at one moment: group metadata, array metadata, ledger rows, all in agreement.

Taken without a lock, so that a store that cannot be written to can be mirrored, also while a run adds a year.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ch4grid import ledger
from ch4grid.cube.objects import METADATA, serialised
from ch4grid.cube.publish import TIME
from ch4grid.errors import InputError, RunError
from ch4grid.ledger import Row


@dataclass(frozen=True)
class Snapshot:
    """The published state of a store.

    Args:
        store: The store.
        root: Bytes of the group's `zarr.json`.
        rows: Ledger rows of what the group shows.
    """

    store: Path
    root: bytes
    rows: tuple[Row, ...]

    @cached_property
    def shown(self) -> "Shown":
        """What readers of the group metadata are told."""
        return Shown.of(self.root, self.store)

    @property
    def arrays(self) -> dict[str, bytes]:
        """Bytes of every array's `zarr.json` by key, as the group metadata has them."""
        documents = json.loads(self.root)["consolidated_metadata"]["metadata"]
        return {f"{name}/{METADATA}": serialised(doc) for name, doc in sorted(documents.items())}

    @property
    def ledger(self) -> bytes:
        """Bytes of the ledger's file for exactly this state."""
        return ledger.content_of(self.rows, root_sha256=hashlib.sha256(self.root).hexdigest())


@dataclass(frozen=True)
class Shown:
    """What the group metadata tells of a product: its parts, published years and their inputs."""

    parts: dict[str, str]
    years: tuple[int, ...]
    inputs: dict[str, str]

    @staticmethod
    def of(root: bytes, where: object) -> "Shown":
        """Of the bytes of a group's `zarr.json` that lies at `where`.

        Raises:
            InputError: They are not those of a product.
        """
        try:
            told: dict[str, Any] = json.loads(root)["attributes"]
            return Shown(
                parts=json.loads(told["ch4grid_parts"]),
                years=tuple(told["published_years"]),
                inputs=json.loads(told["ch4grid_inputs"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                "the group metadata is not that of a product",
                where=where,
                expected="a product that ch4grid published",
                found=repr(error)[:200],
                fix="`ch4grid verify` tells what is damaged",
            ) from error


def take(store: Path) -> Snapshot:
    """The published state of a store.

    Raises:
        InputError: There is no published product.
        RunError: Ledger and group metadata disagree.
    """
    path = store / METADATA
    rows = ledger.rows_of(store)
    if not rows or not path.is_file():
        raise InputError(
            "no published product to mirror",
            where=store,
            expected=f"{METADATA} and {ledger.path_of(store).name}",
            found=f"{'a' if rows else 'no'} ledger",
            fix="Give the folder ending in .zarr; `ch4grid run` publishes it",
        )
    root = path.read_bytes()
    years = Shown.of(root, path).years
    kept = tuple(r for r in rows if r.year is None or r.year in years or _calendar(r, years))
    if ledger.root_digest(store) != hashlib.sha256(root).hexdigest():
        raise RunError(
            "the ledger is not that of the group metadata",
            where=store,
            expected="the state after a publication",
            found="a store that a run is publishing now, a run that was stopped there, or damage",
            fix="Wait for the run or run the recipe again; `ch4grid verify` tells of damage",
        )
    return Snapshot(store, root, kept)


def _calendar(row: Row, years: tuple[int, ...]) -> bool:
    """Whether a row is the time of a year between published ones that holds no data."""
    return row.variable in TIME and row.year is not None and row.year <= max(years)
