"""The memory guard: what the processes of a run would hold at once on this machine, and a refusal above a limit.

Refused is before any work: a process that is killed for want of memory says nothing about why.
"""

import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ch4grid.errors import RecipeError
from ch4grid.planning.costs import PROCESS_BYTES, READER_BYTES
from ch4grid.planning.document import Plan
from ch4grid.planning.tasks import SPREAD, STAGES, largest

# Share of the machine's memory that a run may take when nobody says otherwise.
DEFAULT_SHARE = 0.9
UNITS = {
    "": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
# Where Linux says how much memory a container may use: control groups of version 2 and 1.
CGROUPS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_LIMIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(%|[KMGT]I?B|B?)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Footprint:
    """Predicted memory of a run on this machine in the stage that takes most of it.

    Args:
        first: The first process in that stage, and everything where it works alone [bytes].
        worker: One worker in that stage [bytes]; zero where there are none on this machine.
        workers: Worker processes on this machine.
        limit: What they may hold together [bytes].
        asked: The limit as the user wrote it; empty for the default.
        alone: One process that does everything by itself, at its peak in any stage [bytes].
    """

    first: int
    worker: int
    workers: int
    limit: int
    asked: str = ""
    alone: int = 0

    @property
    def total(self) -> int:
        """All processes together [bytes]."""
        return self.first + self.workers * self.worker

    def as_dict(self) -> dict[str, Any]:
        """The footprint as JSON values."""
        return asdict(self) | {"total": self.total}

    def in_words(self) -> str:
        """The footprint as a line for people."""
        return f"memory on this machine: {self.sum_in_words()}, limit {_gigabytes(self.limit)}"

    def sum_in_words(self) -> str:
        """How the total comes about."""
        if not self.workers:
            return f"{_gigabytes(self.total)} in one process"
        return (
            f"{_gigabytes(self.first)} in the first process + {self.workers} workers x "
            f"{_gigabytes(self.worker)} = {_gigabytes(self.total)}"
        )


def footprint(plan: Plan, processes: int | None, limit: str = "") -> Footprint:
    """What a plan would hold on this machine.

    Args:
        plan: The plan.
        processes: Worker processes on this machine: none where tasks run inside the first process, None where the
            workers are those of a scheduler, whose memory is not of this machine.
        limit: Bytes such as `8GB`, a share of this machine such as `50%`, or nothing for the default share.

    Raises:
        RecipeError: The limit is neither bytes nor a share.
    """
    allowed = limit_bytes(limit) if limit else round(DEFAULT_SHARE * machine_memory())
    peaks = {stage: largest(t for t in plan.tasks if t.stage == stage) for stage in STAGES}
    alone = max(peaks.values())
    found = [
        Footprint(*_held(stage, peak, processes), processes or 0, allowed, limit, alone)
        for stage, peak in peaks.items()
        if peak
    ]
    return max(found, key=lambda f: f.total, default=Footprint(0, 0, 0, allowed, limit))


def _held(stage: str, peak: int, processes: int | None) -> tuple[int, int]:
    """What the first process and a worker hold in a stage [bytes]: stages follow one another, so one of them waits."""
    if processes == 0:
        return peak, 0
    return (PROCESS_BYTES, peak) if stage in SPREAD else (peak, READER_BYTES)


def refuse_above(found: Footprint) -> None:
    """Refuse a run that would hold more than it may.

    Raises:
        RecipeError: The predicted memory is above the limit; the message has both and what to change.
    """
    if found.total <= found.limit:
        return
    raise RecipeError(
        "the run would take more memory than it may",
        where="--memory-limit",
        expected=f"at most {_gigabytes(found.limit)}"
        + (f" ({found.asked})" if found.asked else f" ({DEFAULT_SHARE:.0%} of this machine)"),
        found=f"a predicted peak of {found.sum_in_words()}",
        fix=_advice(found),
    )


def limit_bytes(text: str) -> int:
    """Bytes of a limit such as `8GB`, `512MiB` or `50%` of this machine.

    Raises:
        RecipeError: It is none of these, or zero, or more than the whole machine in per cent.
    """
    match = _LIMIT.fullmatch(text)
    number, unit = (float(match[1]), match[2].upper()) if match else (0.0, "")
    if number <= 0 or (unit == "%" and number > 100):
        raise RecipeError(
            "no such amount of memory",
            where="--memory-limit",
            expected="bytes such as 8GB or 512MiB, or a share of this machine such as 50%",
            found=text,
        )
    if unit == "%":
        return round(number / 100 * machine_memory())
    return round(number * UNITS[unit if unit != "B" else ""])


def machine_memory() -> int:
    """Memory of this machine [bytes], or of the container if that is less."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in CGROUPS:
        with suppress(OSError, ValueError):
            found = min(found, int(path.read_text()))
    return found


def _advice(found: Footprint) -> str:
    """What to change so that the run fits."""
    fitting = (found.limit - found.first) // found.worker if found.worker else 0
    fits = max(found.first, found.worker, found.alone) <= found.limit
    if fits and found.workers > fitting >= 2:
        return f"Use fewer workers: --cluster local:{fitting}"
    if fits and found.workers > 1:
        return "Work in one process: --cluster local:1"
    return (
        "One process alone is above the limit: raise it, use a machine with more memory, or a coarser grid or fewer "
        "members in the recipe"
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
