"""The granules on hand for a variable, and how well they cover a month: which tiles and composites are lacking.

The set of tiles is the one seen on any date; a month needs each of its composites for each of them.
"""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from ch4grid.drivers.modis.granules import PLATFORMS, Granule, newest
from ch4grid.drivers.modis.layers import Product
from ch4grid.drivers.source import Holding, State
from ch4grid.errors import InputError

# Which platform's granules to read: one, or the mean over both.
Platform = Literal["terra", "aqua", "combined", "both"]
PREFIXES = {"terra": ("MOD",), "aqua": ("MYD",), "combined": ("MCD",), "both": ("MOD", "MYD")}

# Names written out in a reason before the rest is counted.
NAMED = 6


class Place(NamedTuple):
    """A granule's place on the shelf: platform, first day and tile."""

    platform: str
    start: datetime.date
    tile: str


class Coverage(NamedTuple):
    """What a month needs and what is on hand of it.

    Args:
        whole: Granules that can be read, in order of time.
        lacking: Why others cannot, in words.
        damaged: Files that cannot be read.
        share: Part of the needed tile-days that is on hand [1].
        notes: Choices made between versions, in words.
    """

    whole: list[Granule]
    lacking: list[str]
    damaged: list[Path]
    share: float
    notes: list[str]


@dataclass(frozen=True)
class Shelf:
    """Granules of one product that hold a variable.

    Args:
        source: Kind of the source, for holdings.
        name: The variable.
        product: The product's name without its platform; empty if nothing is on hand.
        composites: The product's row of the table.
        granules: All versions.
        screened: Whether a granule without its quality layer counts as lacking.
        note: What else lies among the files, in words.
    """

    source: str
    name: str
    product: str
    composites: Product
    granules: tuple[Granule, ...]
    screened: bool
    note: str = ""

    @cached_property
    def places(self) -> dict[Place, tuple[Granule, str]]:
        """The version to take at every place, and why."""
        table: dict[Place, list[Granule]] = {}
        for granule in self.granules:
            place = Place(granule.platform, granule.start, granule.tile)
            table.setdefault(place, []).append(granule)
        return {place: newest(versions) for place, versions in table.items()}

    @cached_property
    def tiles(self) -> tuple[str, ...]:
        """Tiles seen on any date, sorted."""
        return tuple(sorted({place.tile for place in self.places}))

    def coverage(self, month: pd.Timestamp) -> Coverage:
        """What the month needs, and what is there."""
        whole, lacking, damaged, notes = [], [], [], []
        held = needed = 0
        for place, days in self._needed(month):
            needed += days
            granule, note = self.places.get(place, (None, ""))
            reason = self._lack(granule, place)
            if granule is None or reason:
                lacking.append(reason)
                damaged += granule.files if granule and granule.flaw else []
                continue
            held += days
            whole.append(granule)
            notes += [note] if note else []
        return Coverage(whole, lacking, damaged, held / needed if needed else 0.0, notes)

    def _needed(self, month: pd.Timestamp) -> list[tuple[Place, int]]:
        """Places of the month with their days in it, of the platforms that have any granule there."""
        out = []
        for platform in sorted({place.platform for place in self.places}):
            cycle = self.composites.cycle(platform)
            days = {s: cycle.weights(s)[month] for s in cycle.starts(month)}
            places = [(Place(platform, s, t), n) for s, n in days.items() for t in self.tiles]
            if any(place in self.places for place, _ in places):
                out += places
        return sorted(out, key=lambda item: (item[0].start, item[0].tile, item[0].platform))

    def _lack(self, granule: Granule | None, place: Place) -> str:
        if granule is None:
            return f"no {place.platform}{self.product} of {place.start} {place.tile}".rstrip()
        if granule.flaw:
            return granule.flaw
        layer = self.composites.layers[self.name]
        judged = self.screened and layer.judged
        if judged and granule.part(layer.quality, layer.aliases[1]) is None:
            return f"{granule.name} comes without its quality, {layer.quality!r}"
        return ""

    def holding(self, month: pd.Timestamp, least: float) -> Holding:
        """How well the month is held; a share of at least `least` of its tile-days is enough."""
        seen = self.coverage(month)
        reasons = listed(seen.lacking)
        if seen.whole and seen.share >= least:
            early = [g.name for g in seen.whole if g.preliminary]
            state: State = "preliminary" if early else "final"
            words = [
                f"near-real-time: {listed(early)}" if early else "",
                listed(seen.notes),
                reasons,
            ]
            files = tuple(sorted({f for g in seen.whole for f in g.files}))
            return Holding(self.source, self.name, month, state, files, _joined(words))
        if seen.damaged:
            files = tuple(sorted(set(seen.damaged)))
            return Holding(self.source, self.name, month, "damaged", files, reasons)
        words = [reasons or f"no granule for {month:%Y-%m}", self.note]
        return Holding(self.source, self.name, month, "missing", (), _joined(words))


def listed(words: Iterable[str]) -> str:
    """Words in a row, each once, the tail of a long row counted."""
    unique = list(dict.fromkeys(w for w in words if w))
    rest = len(unique) - NAMED
    return "; ".join(unique[:NAMED]) + (f"; and {rest} more" if rest > 0 else "")


def _joined(words: Sequence[str]) -> str:
    return "; ".join(w for w in words if w)


def on_platform(
    granules: Sequence[Granule], platform: Platform | None, where: str
) -> list[Granule]:
    """The granules of the platform asked for; of the only one there is if none is.

    Raises:
        InputError: None is asked for and there are several.
    """
    if platform:
        return [g for g in granules if g.platform in PREFIXES[platform]]
    seen = sorted({g.platform for g in granules})
    if len(seen) > 1:
        raise InputError(
            "the granules come from more than one platform",
            where=where,
            expected="one, or platform: both for their mean",
            found=", ".join(f"{p} ({PLATFORMS.get(p, p)})" for p in seen),
            fix="Narrow the path or give platform: terra, aqua, combined or both",
        )
    return list(granules)
