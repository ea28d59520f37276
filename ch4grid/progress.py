"""How a long command tells that it lives: bars with elapsed and remaining time on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

# stage, steps done, steps in all
Report = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """A report that goes nowhere."""


@contextmanager
def reporting(stream: TextIO | None = None) -> Iterator[Report]:
    """A report that draws on `stream` (standard error by default) while the block runs."""
    stream = stream or sys.stderr
    if stream.isatty():
        with _bars(stream) as report:
            yield report
    else:
        yield _lines(stream)


def _lines(stream: TextIO) -> Report:
    start = time.monotonic()

    def report(stage: str, done: int, total: int) -> None:
        stream.write(f"{time.monotonic() - start:7.1f} s  {stage} {done}/{total}\n")
        stream.flush()

    return report


@contextmanager
def _bars(stream: TextIO) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=stream)) as bars:
        tasks: dict[str, int] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(bars.tasks[tasks[stage]].id, completed=done, total=total)

        yield report
