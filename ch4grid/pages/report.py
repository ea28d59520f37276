"""The page about a run: what was planned and what it took, stage by stage, what was skipped, warned of or failed.

It tells of seconds and memory of one machine, so it is no part of a catalog; it loads nothing and has no script.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ch4grid.pages.figures import figure
from ch4grid.pages.templates import render
from ch4grid.stores import write_atomic


@dataclass(frozen=True)
class StageReport:
    """A stage of a run.

    Args:
        stage: Its name.
        new: Tasks done for the first time.
        again: Tasks done again.
        skipped: Tasks that needed nothing.
        seconds: Predicted and measured time of all tasks one after the other [s].
        bytes: Predicted and measured stored bytes.
        memory: Predicted and measured peak memory of the largest process [bytes].
        learned: Measured runs that the prediction rests on; 0 for formulas alone.
    """

    stage: str
    new: int
    again: int
    skipped: int
    seconds: tuple[float, float]
    bytes: tuple[int, int]
    memory: tuple[int, int]
    learned: int


class YearReport(NamedTuple):
    """A year of a run: what the plan said, why, and whether readers have it now."""

    year: int
    action: str
    reason: str
    published: bool


@dataclass(frozen=True)
class RunReport:
    """Everything that the page about a run shows.

    Args:
        title: Product, version and scenario.
        headline: How the run ended, in a sentence.
        whole: Whether nothing failed.
        years: The years asked for.
        stages: Stages that had tasks, in the order of a run.
        again: Why tasks were done again, one sentence each.
        warnings: What is not final or was filled, one sentence each.
        quarantined: Regions that could not be computed: place and reason.
        revised: Drivers whose files had changed, one sentence each.
        facts: What the run rests on, by heading.
        links: Other pages and files by what they are called, relative to the report.
    """

    title: str
    headline: str
    whole: bool
    years: Sequence[YearReport]
    stages: Sequence[StageReport]
    again: Sequence[str]
    warnings: Sequence[str]
    quarantined: Sequence[tuple[str, str]]
    revised: Sequence[str]
    facts: dict[str, str]
    links: dict[str, str]


class Bar(NamedTuple):
    """A stage in the drawing of times: its name, lengths in per cent of the longest, and its times in words."""

    name: str
    predicted: float
    measured: float
    told: str


def write_report(path: Path, report: RunReport) -> Path:
    """Write the page about a run, atomically; it replaces that of the run before.

    Raises:
        RunError: The file cannot be written.
    """
    text = render(
        "report.html.j2",
        report=report,
        bars=_bars(report.stages),
        rows=[_row(s) for s in report.stages],
        total=[duration(sum(s.seconds[k] for s in report.stages)) for k in (0, 1)],
    )
    write_atomic(path, text.encode())
    return path


def duration(seconds: float) -> str:
    """A time as people say it: `0.31 s`, `12 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{figure(seconds) if seconds < 10 else round(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """Bytes as people say them: `0`, `12 kB`, `3.4 MB`, `1.2 GB`."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            value = count / unit
            return f"{value:.0f} {name}" if value >= 100 else f"{value:.2g} {name}"
    return f"{count:.0f} B" if count else "0"


def _bars(stages: Sequence[StageReport]) -> list[Bar]:
    longest = max((max(s.seconds) for s in stages), default=0.0) or 1.0
    return [
        Bar(
            s.stage,
            round(100 * s.seconds[0] / longest, 1),
            round(100 * s.seconds[1] / longest, 1),
            f"{duration(s.seconds[1])} (planned {duration(s.seconds[0])})",
        )
        for s in stages
        if max(s.seconds) > 0
    ]


def _row(s: StageReport) -> dict[str, object]:
    return {
        "stage": s.stage,
        "counts": (s.new, s.again, s.skipped),
        "pairs": (
            *(tuple(map(duration, s.seconds)),),
            *(tuple(map(size, s.bytes)),),
            *(tuple(map(size, s.memory)),),
        ),
        "source": f"{s.learned} measured run{'s' * (s.learned > 1)}" if s.learned else "formulas",
    }
