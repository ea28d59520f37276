"""What an input file holds, learnt once: its variables, its times and how far they can be trusted.

A header is read from the file's metadata alone and remembered by size and modification time, in a small JSON file below
the cache, so that a second look at thousands of files is quick and needs neither them nor the network.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ch4grid.errors import RunError
from ch4grid.stores import write_atomic

FORMAT = 1
Times = NDArray[np.datetime64]


def _no_times() -> Times:
    return np.empty(0, "datetime64[s]")


@dataclass(frozen=True, eq=False)
class Header:
    """What a file, a part of a ZIP archive, a variable of a GRIB file or a Zarr store holds.

    Args:
        path: The file or Zarr folder; a URL as text.
        names: Its data variables with at least two dimensions.
        times: Labels of its time axis, in file order; empty for statics and climatologies.
        climatology: Whether it holds one mean year on a dimension `month`.
        steps: Where each time lies: number along the time axis, or byte offset of a GRIB message.
        preliminary: Whether each time is ERA5T, to be replaced in two or three months.
        lasting: The names that do not change with time.
        part: Name in a ZIP archive, or variable of a GRIB file.
        traits: What the metadata tell: `land` (ERA5-Land), `by-hour` (monthly means of one hour of the day), `monthly`,
            `instants`, `grib`, `store`.
        moment: The one time of a file without time axis, in words.
        problem: Why the file cannot be read; then all else is empty.
    """

    path: Path | str
    names: frozenset[str] = frozenset()
    times: Times = field(default_factory=_no_times)
    climatology: bool = False
    steps: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    preliminary: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    lasting: frozenset[str] = frozenset()
    part: str = ""
    traits: frozenset[str] = frozenset()
    moment: str = ""
    problem: str = ""

    @cached_property
    def months(self) -> tuple[np.datetime64, ...]:
        """First days of the months that its times lie in, in file order."""
        return tuple(self.times.astype("datetime64[M]").astype("datetime64[s]"))

    @property
    def label(self) -> str:
        """Its file name, with the part that is meant."""
        name = self.path.name if isinstance(self.path, Path) else self.path
        return f"{name}, {self.part}" if self.part else name


class HeaderMemory:
    """Headers remembered in a JSON file by path, size and modification time.

    Args:
        memory: The file; a folder that cannot be written costs the memory, not the survey.
    """

    def __init__(self, memory: Path) -> None:
        self.memory = memory
        self._changed = False
        self._table: dict[str, list[Any]] = {}
        with suppress(OSError, ValueError):
            document = json.loads(memory.read_text())
            self._table = document["headers"] if document["format"] == FORMAT else {}

    def of(
        self, path: Path | str, mark: Sequence[int], read: Callable[[], list[Header]]
    ) -> list[Header]:
        """The headers of a file, from memory if the mark (size, modification time) is the remembered one.

        A file that cannot be read is not remembered: the reason may lie outside of it.
        """
        known = self._table.get(str(path))
        if known and known[0] == list(mark):
            return [_decoded(path, document) for document in known[1]]
        found = read()
        if not any(header.problem for header in found):
            self.learn(path, mark, found)
        return found

    def learn(self, path: Path | str, mark: Sequence[int], found: Sequence[Header]) -> None:
        """Remember the headers of a file."""
        entry = [list(mark), [_encoded(header) for header in found]]
        if self._table.get(str(path)) != entry:
            self._table[str(path)] = entry
            self._changed = True

    def last(self, path: Path | str) -> list[Header]:
        """The headers as last seen, whatever the file has become; empty if never seen."""
        known = self._table.get(str(path))
        return [_decoded(path, document) for document in known[1]] if known else []

    def keep(self) -> None:
        """Write the memory if something was learnt."""
        if self._changed:
            document = {"format": FORMAT, "headers": self._table}
            with suppress(RunError):
                write_atomic(self.memory, json.dumps(document, sort_keys=True).encode())


def _encoded(header: Header) -> dict[str, Any]:
    return {
        "names": sorted(header.names),
        "times": _runs(header.times.astype("datetime64[s]").astype(np.int64)),
        "climatology": header.climatology,
        "steps": _runs(header.steps),
        "preliminary": _runs(header.preliminary.astype(np.int64)),
        "lasting": sorted(header.lasting),
        "part": header.part,
        "traits": sorted(header.traits),
        "moment": header.moment,
        "problem": header.problem,
    }


def _decoded(path: Path | str, document: dict[str, Any]) -> Header:
    return Header(
        path,
        frozenset(document["names"]),
        _unrolled(document["times"]).astype("datetime64[s]"),
        bool(document["climatology"]),
        _unrolled(document["steps"]),
        _unrolled(document["preliminary"]).astype(np.bool_),
        frozenset(document["lasting"]),
        document["part"],
        frozenset(document["traits"]),
        document["moment"],
        document["problem"],
    )


def _runs(values: NDArray[np.int64]) -> list[list[int]]:
    """Integers as [first, step, number]: a century of hours is one entry."""
    runs: list[list[int]] = []
    start = 0
    steps = np.diff(values)
    changes = np.append(np.flatnonzero(np.diff(steps)) + 1, len(steps))
    while start < len(values):
        after = (
            changes[np.searchsorted(changes, start, side="right")] if start < len(steps) else start
        )
        runs.append(
            [int(values[start]), int(steps[start]) if after > start else 0, int(after - start + 1)]
        )
        start = int(after) + 1
    return runs


def _unrolled(runs: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    parts = [first + step * np.arange(number, dtype=np.int64) for first, step, number in runs]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
