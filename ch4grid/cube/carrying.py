"""Regions of a new version that rest on the very values of the version before: copied, not computed.

A year of the new version may be new because one month of one driver became final somewhere. Every region whose drivers,
classes and climate are the same, by the digest of the values that it was computed from, keeps its bytes.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from ch4grid import ledger
from ch4grid.cube import staging
from ch4grid.cube.staging import Plan, Record, Slices
from ch4grid.cube.version import attributes
from ch4grid.cube.writing import place_of
from ch4grid.stores import write_atomic


def carry_block(
    store: Path, previous: Path, *, year: int, tile: Slices, source: str
) -> Record | None:
    """Copy the objects of a region from the version before, if it was computed from the same values by the same parts.

    Args:
        store: A store in which the year was begun.
        previous: The published store of the version before, of the same scenario.
        year: The year.
        tile: Rows and columns of the region.
        source: Digest of the values that the region would be computed from.

    Returns:
        The record of the region; None where it must be computed, also because an object of the old one is damaged.

    Raises:
        RunError: The disk refuses.
    """
    plan = staging.read_plan(store)
    old = staging.kept_record(previous, year, tile)
    if old is None or not source or old.source != source or not _comparable(plan, previous, year):
        return None
    contents = _contents(previous, old)
    if contents is None:
        return None
    place, inputs = place_of(store, year), plan.fingerprint(year)
    for key, content in contents.items():
        write_atomic(place / key, content)
    record = replace(old, inputs=inputs, rows=tuple(replace(r, inputs=inputs) for r in old.rows))
    staging.write_record(store, record)
    return record


def _comparable(plan: Plan, previous: Path, year: int) -> bool:
    """Whether the version before has the year, the same parts and the same start of its time axis."""
    told = attributes(previous)
    return (
        year in ledger.published_years(previous)
        and json.loads(told["ch4grid_parts"]) == dict(plan.spec.parts)
        and int(told["ch4grid_first_year"]) == plan.spec.first_year
    )


def _contents(store: Path, record: Record) -> dict[str, bytes] | None:
    """Objects by key; None where one is not on disk with the digest under which it was published."""
    published = {r.key: r.sha256 for r in ledger.rows_of(store)}
    found = {}
    for row in record.rows:
        path = store / row.key
        content = path.read_bytes() if path.is_file() else b""
        digest = hashlib.sha256(content).hexdigest()
        if digest != row.sha256 or digest != published.get(row.key):
            return None
        found[row.key] = content
    return found
