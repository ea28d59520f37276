"""Predicted against measured after a run: seconds, stored bytes and peak memory by stage."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ch4grid.planning.measurements import Measurement
from ch4grid.planning.tasks import STAGES


@dataclass(frozen=True)
class Compared:
    """A stage of a run; seconds are of all its tasks one after the other, memory is that of its largest process."""

    stage: str
    tasks: int
    predicted_seconds: float
    measured_seconds: float
    predicted_bytes: int
    measured_bytes: int
    predicted_peak_memory: int
    measured_peak_memory: int


def compare(found: Measurement) -> tuple[Compared, ...]:
    """Rows of the stages that did something, in the order of a run."""
    return tuple(
        Compared(
            stage=stage,
            tasks=row.tasks,
            predicted_seconds=round(row.predicted["seconds"], 3),
            measured_seconds=round(row.measured["seconds"], 3),
            predicted_bytes=int(row.predicted["bytes"]),
            measured_bytes=int(row.measured["bytes"]),
            predicted_peak_memory=int(row.predicted["peak_memory"]),
            measured_peak_memory=int(row.measured["peak_memory"]),
        )
        for stage, row in ((s, found.stages[s]) for s in STAGES if s in found.stages)
    )


def as_dicts(rows: Sequence[Compared]) -> list[dict[str, Any]]:
    """The rows as JSON values."""
    return [asdict(row) for row in rows]


def in_words(rows: Sequence[Compared]) -> list[str]:
    """The rows as lines for people, with their total; none where nothing was done."""
    if not rows:
        return []
    lines = ["took (predicted):"]
    lines += [
        f"  {r.stage:<18} {r.tasks:>5} tasks  {r.measured_seconds:.1f} s ({r.predicted_seconds:.1f})  "
        f"{r.measured_bytes / 1e6:.2f} MB ({r.predicted_bytes / 1e6:.2f})  "
        f"{r.measured_peak_memory / 1e9:.2f} GB ({r.predicted_peak_memory / 1e9:.2f}) in the largest process"
        for r in rows
    ]
    measured, predicted = (
        sum(getattr(r, f"{kind}_seconds") for r in rows) for kind in ("measured", "predicted")
    )
    return [*lines, f"  in all {measured:.1f} s ({predicted:.1f}) on one core"]
