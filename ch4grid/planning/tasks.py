"""The tasks of a run: driver months, class areas, fits, regions of years, publications; their cost and their reason.

Stages carry the names under which a run measures them, so that the next plan can learn from it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

READ = "read drivers"
AREAS = "make class areas"
FIT = "fit model"
COPY = "copy unchanged regions"
PREDICT = "predict regions"
PUBLISH = "publish years"
# In the order of a run.
STAGES = (READ, AREAS, FIT, COPY, PREDICT, PUBLISH)

# Stages whose tasks are spread over workers; others are work of the first process.
SPREAD = (READ, FIT, COPY, PREDICT)

# Rows from, to and columns from, to of a write region.
Corners = tuple[int, int, int, int]
TaskAction = Literal["new", "recompute", "skip"]
# From the one that says most about a set of tasks.
ACTIONS: tuple[TaskAction, ...] = ("recompute", "new", "skip")


@dataclass(frozen=True)
class Task:
    """One piece of work.

    Args:
        stage: One of `STAGES`.
        name: What it is about within its stage: a month, a fit, a year and region.
        action: Whether it is done for the first time, again, or not at all.
        why: The reason, in words.
        year: Its year; None where it belongs to none.
        tile: Its write region; None where it has none.
        bytes: Predicted stored bytes.
        peak_memory: Predicted peak memory of the process that does it [bytes].
        seconds: Predicted time on one core [s].
        pairs: (cell, class) pairs that it predicts.
    """

    stage: str
    name: str
    action: TaskAction
    why: str
    year: int | None = None
    tile: Corners | None = None
    bytes: int = 0
    peak_memory: int = 0
    seconds: float = 0.0
    pairs: int = 0

    @property
    def owed(self) -> bool:
        """Whether there is anything to do."""
        return self.action != "skip"

    def as_dict(self) -> dict[str, Any]:
        """The task as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class StageTotal:
    """The tasks of a stage added up: how many of each action, stored bytes, seconds, and the largest process."""

    stage: str
    new: int
    recompute: int
    skip: int
    bytes: int
    peak_memory: int
    seconds: float


def corners(tile: tuple[slice, slice]) -> Corners:
    """Rows from, to and columns from, to of a write region given as slices."""
    return tile[0].start, tile[0].stop, tile[1].start, tile[1].stop


def label(tile: Corners) -> str:
    """Name of a write region: its first row and column."""
    return f"{tile[0]}-{tile[2]}"


def by_stage(tasks: Sequence[Task]) -> tuple[StageTotal, ...]:
    """Totals of the stages that have tasks, in the order of a run."""
    found = {stage: [t for t in tasks if t.stage == stage] for stage in STAGES}
    return tuple(
        StageTotal(
            stage=stage,
            new=sum(t.action == "new" for t in mine),
            recompute=sum(t.action == "recompute" for t in mine),
            skip=sum(t.action == "skip" for t in mine),
            bytes=sum(t.bytes for t in mine),
            peak_memory=largest(mine),
            seconds=sum(t.seconds for t in mine),
        )
        for stage, mine in found.items()
        if mine
    )


def largest(tasks: Iterable[Task]) -> int:
    """Peak memory of the largest process among tasks [bytes]; zero where nothing is owed."""
    return max((t.peak_memory for t in tasks if t.owed), default=0)


def strongest(actions: Iterable[TaskAction]) -> TaskAction:
    """The action that says most about several: done again, else new, else skipped."""
    found = set(actions)
    return next((a for a in ACTIONS if a in found), "skip")
