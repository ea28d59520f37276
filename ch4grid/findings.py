"""`Finding`: what an analysis was asked, what it answers, how sure that is and what it does not show.

Every causal analysis ends in one: a table with intervals, checks that ran by themselves, and limits in words. The
report, the CSV files and the command line show findings and know nothing about how they came about.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Check:
    """A test that the result had to stand.

    Args:
        name: What was checked, in a few words.
        passed: Whether it was passed; None when it could not be run.
        told: What was expected and what was found, with figures, or why it could not be run.
    """

    name: str
    passed: bool | None
    told: str


@dataclass(frozen=True, eq=False)
class Finding:
    """The outcome of one analysis.

    Args:
        key: Stem of its files, lower case with hyphens.
        title: Heading.
        question: What was asked, one sentence.
        data: What it rests on: towers, months, effective sample sizes.
        answers: Results in sentences, each with its interval.
        table: All results, one row each.
        columns: Meaning and unit of every column of the table.
        checks: Tests that ran with it.
        limits: What it does not show, one sentence each.
        attributes: Settings and software as JSON values.
    """

    key: str
    title: str
    question: str
    data: str
    answers: tuple[str, ...]
    table: pd.DataFrame
    columns: Mapping[str, str]
    checks: tuple[Check, ...] = ()
    limits: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unexplained = sorted(set(map(str, self.table.columns)) ^ set(self.columns))
        if unexplained:
            raise ValueError(
                f"Finding {self.key}: columns and their meanings differ: {unexplained}"
            )

    @property
    def sound(self) -> bool:
        """Whether no check failed."""
        return all(check.passed is not False for check in self.checks)
