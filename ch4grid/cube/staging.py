"""What a run has done so far: the plan of the years in work and one record per finished write region.

Staging lies beside the store and is gone once every planned year is published. A record is written after the objects
it names, so a region is either recorded and whole or done again. Records of published years are kept: by them a later
version knows what it need not compute again.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ch4grid.cube.template import ProductSpec
from ch4grid.errors import RunError
from ch4grid.ledger import Row
from ch4grid.stores import beside, sha256_json, unwritable, write_atomic
from ch4grid.vocabulary import GASES

SUFFIX = ".staging"
# Suffix of the folder that keeps the records of published years.
KEPT = ".records"
Slices = tuple[slice, slice]


@dataclass(frozen=True)
class Plan:
    """The product and the years that a run is to publish, with the fingerprint of each year's inputs."""

    spec: ProductSpec
    inputs: Mapping[int, str]

    def fingerprint(self, year: int) -> str:
        """Digest of everything that determines the cells of a year."""
        return cells_fingerprint(self.spec.parts, self.inputs[year])


@dataclass(frozen=True)
class Record:
    """What came of one write region: its ledger rows and its share of the budget [Tg per month].

    Args:
        year: The year.
        tile: Rows and columns.
        inputs: Fingerprint of what it was computed from.
        rows: One ledger row per object.
        budget: Mass of the region's cells (member, time, ecosystem, region) [Tg].
        source: Digest of the values that it was computed from; empty where nobody knows.
    """

    year: int
    tile: Slices
    inputs: str
    rows: tuple[Row, ...]
    budget: NDArray[np.float64]
    source: str = ""


def cells_fingerprint(parts: Mapping[str, str], inputs: str) -> str:
    """Digest of everything that determines the cells of a year.

    Args:
        parts: Digests of the parts of the product.
        inputs: Fingerprint of the inputs of the year.
    """
    return sha256_json({"parts": dict(parts), "inputs": inputs})


def folder(store: Path) -> Path:
    """The staging folder of a store."""
    return beside(store, SUFFIX)


def write_plan(store: Path, plan: Plan) -> None:
    """Record the plan atomically."""
    spec = {f.name: getattr(plan.spec, f.name) for f in fields(plan.spec)}
    spec |= {"gas": plan.spec.gas.name, "ecosystems": list(plan.spec.ecosystems)}
    spec |= {n: dict(spec[n]) for n in ("recipe", "parts", "attributes")}
    document = {"spec": spec, "inputs": {str(y): d for y, d in plan.inputs.items()}}
    write_atomic(folder(store) / "plan.json", json.dumps(document, sort_keys=True).encode())


def read_plan(store: Path) -> Plan:
    """The plan of the run in work.

    Raises:
        RunError: No run was begun.
    """
    path = folder(store) / "plan.json"
    if not path.exists():
        raise RunError(
            "no run is in work",
            where=store,
            expected=f"a plan at {path.name}",
            found="none",
            fix="Begin the years before writing their blocks",
        )
    document = json.loads(path.read_bytes())
    spec = document["spec"]
    spec |= {"gas": GASES[spec["gas"]], "ecosystems": tuple(spec["ecosystems"])}
    return Plan(ProductSpec(**spec), {int(y): d for y, d in document["inputs"].items()})


@dataclass(frozen=True)
class Failure:
    """A region in quarantine: its computation raised, and the others went on.

    Args:
        year: The year.
        tile: Rows and columns.
        reason: What was raised, in words.
    """

    year: int
    tile: Slices
    reason: str

    @property
    def place(self) -> str:
        """The region in words."""
        rows, columns = self.tile
        return f"year {self.year}, rows {rows.start}:{rows.stop}, columns {columns.start}:{columns.stop}"


def _failure_path(store: Path, year: int, tile: Slices) -> Path:
    return folder(store) / str(year) / f"{tile[0].start}-{tile[1].start}.failed"


def write_failure(store: Path, failure: Failure) -> None:
    """Put a region in quarantine; it leaves with its record, or with its year."""
    rows, columns = failure.tile
    document = {
        "year": failure.year,
        "tile": [rows.start, rows.stop, columns.start, columns.stop],
        "reason": failure.reason,
    }
    path = _failure_path(store, failure.year, failure.tile)
    write_atomic(path, json.dumps(document, sort_keys=True).encode())


def failures(store: Path) -> tuple[Failure, ...]:
    """Regions in quarantine, by year and place."""
    found = []
    for path in folder(store).glob("*/*.failed"):
        document = json.loads(path.read_bytes())
        r0, r1, c0, c1 = document["tile"]
        found.append(Failure(document["year"], (slice(r0, r1), slice(c0, c1)), document["reason"]))
    return tuple(sorted(found, key=lambda f: (f.year, f.tile[0].start, f.tile[1].start)))


def finished(store: Path, year: int) -> int:
    """Number of regions of a year with a record from the planned inputs."""
    wanted = read_plan(store).fingerprint(year)
    found = (json.loads(p.read_bytes()) for p in (folder(store) / str(year)).glob("*.json"))
    return sum(document["inputs"] == wanted for document in found)


def _record_path(store: Path, year: int, tile: Slices) -> Path:
    return folder(store) / str(year) / f"{tile[0].start}-{tile[1].start}.json"


def write_record(store: Path, record: Record) -> None:
    """Record a finished region atomically, out of quarantine; its objects must be on disk."""
    rows, columns = record.tile
    document: dict[str, Any] = {
        "year": record.year,
        "tile": [rows.start, rows.stop, columns.start, columns.stop],
        "inputs": record.inputs,
        "rows": [asdict(r) for r in record.rows],
        "budget": record.budget.tolist(),
        "source": record.source,
    }
    _failure_path(store, record.year, record.tile).unlink(missing_ok=True)
    path = _record_path(store, record.year, record.tile)
    write_atomic(path, json.dumps(document, sort_keys=True).encode())


def read_record(store: Path, year: int, tile: Slices) -> Record | None:
    """The record of a region; None when it is not finished."""
    return _read_record(_record_path(store, year, tile), tile)


def kept_record(store: Path, year: int, tile: Slices) -> Record | None:
    """The record of a region of a published year; None when there is none or it cannot be read."""
    path = beside(store, KEPT) / str(year) / _record_path(store, year, tile).name
    try:
        return _read_record(path, tile)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read_record(path: Path, tile: Slices) -> Record | None:
    if not path.exists():
        return None
    document = json.loads(path.read_bytes())
    r0, r1, c0, c1 = document["tile"]
    if (tile[0].stop, tile[1].stop) != (r1, c1):
        return None
    return Record(
        year=document["year"],
        tile=(slice(r0, r1), slice(c0, c1)),
        inputs=document["inputs"],
        rows=tuple(Row(**r) for r in document["rows"]),
        budget=np.asarray(document["budget"], dtype=np.float64),
        source=document["source"],
    )


def forget_record(store: Path, year: int, tile: Slices) -> None:
    """Have a region done again."""
    _record_path(store, year, tile).unlink(missing_ok=True)


def hidden(store: Path, year: int) -> Path:
    """Where the objects of a year wait that readers of the store would see, because a later year is published."""
    return folder(store) / str(year) / "objects"


def keep(store: Path, years: Iterable[int]) -> None:
    """Move the records of published years out of staging.

    Raises:
        RunError: The disk refuses.
    """
    for year in years:
        source, target = folder(store) / str(year), beside(store, KEPT) / str(year)
        if not source.is_dir():
            continue
        remove(hidden(store, year))
        remove(target)
        try:
            for path in [*source.glob("*.failed"), *source.glob(".*.partial")]:
                path.unlink()
            target.parent.mkdir(exist_ok=True)
            source.replace(target)
        except OSError as error:
            raise unwritable(target, error) from error


def forget_kept(store: Path, years: Iterable[int]) -> None:
    """Drop the kept records of years that are published no more.

    Raises:
        RunError: The system refuses.
    """
    for year in years:
        remove(beside(store, KEPT) / str(year))


def remove(path: Path) -> None:
    """Remove a folder and all below it.

    Raises:
        RunError: The system refuses.
    """
    try:
        if path.exists():
            shutil.rmtree(path)
    except OSError as error:
        raise unwritable(path, error) from error
