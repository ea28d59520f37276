"""What work takes: seconds, bytes written and the peak memory of the process that does it, by stage of a run.

A stage is either work of the first process or a map over workers inside it. Measurements stay outside the product:
they never enter its bytes or attributes.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

STATUS = Path("/proc/self/status")
# Writing 5 here makes the kernel forget the peak (proc(5)), so that the next one is that of the work that follows.
CLEAR = Path("/proc/self/clear_refs")
KILOBYTE = 1024


@dataclass(frozen=True)
class Effort:
    """What a piece of work took.

    Args:
        seconds: Time [s] in the process that did it.
        peak_memory: Peak resident memory of that process meanwhile [bytes].
        process: Its number.
    """

    seconds: float
    peak_memory: int
    process: int


@dataclass(frozen=True)
class Written:
    """What the task of a region wrote: stored bytes, and the (cell, class) pairs that it predicted."""

    bytes: int
    pairs: int


@dataclass
class Spent:
    """What a stage took.

    Args:
        efforts: One per piece of work.
        bytes: Stored bytes.
        pairs: (cell, class) pairs of a year by write region.
        regions: Year and name of the write regions that were done.
    """

    efforts: list[Effort] = field(default_factory=list)
    bytes: int = 0
    pairs: dict[str, int] = field(default_factory=dict)
    regions: set[tuple[int, str]] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        """Time of all pieces of work one after the other [s]."""
        return sum(e.seconds for e in self.efforts)

    @property
    def peak_memory(self) -> int:
        """Peak of the largest process [bytes]."""
        return max((e.peak_memory for e in self.efforts), default=0)


class Meter:
    """Collects what the stages of a run take."""

    def __init__(self) -> None:
        self.spent: dict[str, Spent] = {}
        self._stage = ""
        self._mapped = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[Spent]:
        """Measure a stage of this process; time in which it waits for workers is theirs.

        Args:
            name: The stage, to which the maps inside it count as well.
        """
        outer, self._stage = self._stage, name
        mapped, start = self._mapped, time.perf_counter()
        forget_peak()
        spent = self.of(name)
        try:
            yield spent
        finally:
            own = time.perf_counter() - start - (self._mapped - mapped)
            spent.efforts.append(Effort(max(own, 0.0), peak_memory(), os.getpid()))
            self._stage = outer

    def of(self, stage: str) -> Spent:
        """What a stage took so far."""
        return self.spent.setdefault(stage, Spent())

    def mapped(self, seconds: float, efforts: Sequence[Effort], stage: str = "") -> None:
        """Take in a map over workers: how long this process waited, and what its tasks took.

        Args:
            seconds: Time from the first task sent to the last result [s].
            efforts: One per task.
            stage: The stage that it counts to; the one in which it runs when empty.
        """
        self._mapped += seconds
        if stage or self._stage:
            self.of(stage or self._stage).efforts += efforts


def measured(function: Callable[[T], R], item: T) -> tuple[R, Effort]:
    """The result of a task and what it took."""
    forget_peak()
    start = time.perf_counter()
    result = function(item)
    return result, Effort(time.perf_counter() - start, peak_memory(), os.getpid())


def forget_peak() -> None:
    """Begin to measure the peak memory of this process anew, where the system can."""
    with suppress(OSError):
        CLEAR.write_text("5")


def peak_memory() -> int:
    """Peak resident memory of this process [bytes] since `forget_peak`, or since it began where the system can't."""
    with suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * KILOBYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE
