"""Versions: extending keeps the version, changing a published cell takes a new one, and the tool decides which.

A product is determined by parts (grid, checkpoint, drivers, areas, gas, format of the product) and by the inputs of
each year. Both stand as digests in the attributes of every store, so the decision reads what was published, not what
anybody remembers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ch4grid import ledger
from ch4grid.cube.objects import METADATA
from ch4grid.errors import InputError

# The part that belongs to one scenario; all others are shared by the scenarios of a version.
SCENARIO = "scenario"
# How the name of a store begins that is no scenario but the attribution of a change.
ATTRIBUTION = "attribution-"


@dataclass(frozen=True)
class Identity:
    """What a run is about to write.

    Args:
        scenario: Scenario name, the store's file name.
        parts: Digest by name of everything that determines a cell but the inputs of a year; the part `scenario` is
            the scenario's own change of the drivers.
        inputs: Fingerprint of the inputs by year, for every year asked for.
    """

    scenario: str
    parts: Mapping[str, str]
    inputs: Mapping[int, str]


@dataclass(frozen=True)
class Decision:
    """Which version to write and why.

    Args:
        version: Version number.
        reason: One sentence for people.
        years: Years to compute for it, ascending; empty when nothing is to be done.
        previous: The version it replaces and is compared with, None when it replaces none.
    """

    version: int
    reason: str
    years: tuple[int, ...]
    previous: int | None


def next_version(output: Path, product: str, identity: Identity) -> Decision:
    """The version that a run belongs to.

    Every year of the scenario that the previous version published belongs to a new version too: a product never
    shrinks.
    """
    found = versions(output, product)
    if not found:
        return Decision(1, "first version", tuple(sorted(identity.inputs)), None)
    latest = max(found)
    changes = [c for store in found[latest] for c in _changes(store, identity)]
    if changes:
        years = {*identity.inputs, *_years(found[latest], identity.scenario)}
        reason = (
            f"{', '.join(dict.fromkeys(changes))} changed since v{latest}, which keeps its cells"
        )
        return Decision(latest + 1, reason, tuple(sorted(years)), latest)
    done = _years(found[latest], identity.scenario)
    previous = max((v for v in found if v < latest), default=None)
    owed = _years(found[previous], identity.scenario) if previous is not None else set()
    years = ({*identity.inputs} | owed) - done
    reason = (
        f"extends v{latest}"
        if years
        else f"v{latest} holds every year asked for, from the same inputs"
    )
    return Decision(latest, reason, tuple(sorted(years)), previous)


def versions(output: Path, product: str) -> dict[int, list[Path]]:
    """Published stores by version number, scenarios in name order."""
    stores = sorted((output / product).glob(f"v*/*.zarr/{METADATA}"))
    found: dict[int, list[Path]] = {}
    for path in stores:
        folder = path.parents[1].name
        if folder[1:].isdigit() and not path.parent.name.startswith(ATTRIBUTION):
            found.setdefault(int(folder[1:]), []).append(path.parent)
    return found


def attributes(store: Path) -> dict[str, Any]:
    """Attributes of a published store.

    Raises:
        InputError: The group metadata is missing or not JSON.
    """
    path = store / METADATA
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())["attributes"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            "the store cannot be read",
            where=path,
            expected="the group metadata of a published product",
            found=error,
            fix="`ch4grid repair` writes it anew",
        ) from error
    return found


def _changes(store: Path, identity: Identity) -> list[str]:
    """Names of what differs between a published store and the run."""
    told = attributes(store)
    old: dict[str, str] = json.loads(told["ch4grid_parts"])
    same_scenario = store.stem == identity.scenario
    names = sorted({*old, *identity.parts} - (set() if same_scenario else {SCENARIO}))
    changed = [n for n in names if old.get(n) != identity.parts.get(n)]
    if same_scenario:
        inputs: dict[str, str] = json.loads(told["ch4grid_inputs"])
        both = sorted(y for y in identity.inputs if str(y) in inputs)
        changed += [f"inputs of {y}" for y in both if inputs[str(y)] != identity.inputs[y]]
    return changed


def _years(stores: list[Path], scenario: str) -> set[int]:
    return {y for s in stores if s.stem == scenario for y in ledger.published_years(s)}
