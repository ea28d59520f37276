"""The chain of an investigation: its parts in order, what each one answers, and why one could not answer.

A part that fails with an error of this package leaves its reason, and the others go on; only a failed discovery ends
the investigation, for everything else rests on its graph.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import pandas as pd

from ch4grid.causal import discover
from ch4grid.causal.nulls import NullControl, gated, nulls, report_nulls
from ch4grid.errors import Ch4gridError
from ch4grid.findings import Finding
from ch4grid.graph import CausalGraph
from ch4grid.investigation.links import links_of
from ch4grid.investigation.question import Question
from ch4grid.recipe import Recipe
from ch4grid.stores import Workspace

# Null series of each kind, and of a quick look.
NULL_SERIES, QUICK_NULL_SERIES = 10, 3

EFFECT_COLUMNS = ("ecosystem", "driver", "effect", "lower", "upper", "unit", "sound")
REVERSAL_COLUMNS = ("driver", "verdict", "found", "why")


class Unanswered(NamedTuple):
    """A part that ended in an error: title, reason and exit code."""

    title: str
    reason: str
    exit_code: int


@dataclass
class Answers:
    """What the parts have found so far.

    Args:
        graph: The graph of the discovery, drawn to the expert where the null controls ask for it.
        links: Links: ecosystem, source, target, lag [steps], frequency, strength, p, q.
        findings: Of all parts, in order.
        unanswered: Parts that failed.
        control: The null controls.
        effects: Total effects by class and driver, see `EFFECT_COLUMNS`.
        reversals: Reversals along the urban gradient by driver, see `REVERSAL_COLUMNS`.
    """

    graph: CausalGraph
    links: pd.DataFrame
    findings: list[Finding] = field(default_factory=list)
    unanswered: list[Unanswered] = field(default_factory=list)
    control: NullControl | None = None
    effects: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=EFFECT_COLUMNS))
    reversals: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=REVERSAL_COLUMNS))


Part = Callable[[Question, Answers], Sequence[Finding]]


def answer(question: Question, workspace: Workspace, recipe: Recipe) -> Answers:
    """All parts of the chain in order.

    Raises:
        Ch4gridError: The discovery failed.
    """
    answers = _discovered(question)
    for title, part in PARTS.items():
        try:
            answers.findings += part(question, answers)
        except Ch4gridError as error:
            answers.unanswered.append(Unanswered(title, str(error), error.exit_code))
    return answers


def _discovered(question: Question) -> Answers:
    graph = discover(
        question.series,
        flux=question.flux,
        drivers=question.drivers,
        ecosystems=question.ecosystems,
        config=question.config,
        seed=question.seed,
    )
    return Answers(graph, links_of(graph))


def _nulls(question: Question, answers: Answers) -> Sequence[Finding]:
    """The false-link rate, which draws the graph to the expert where it is high."""
    answers.control = nulls(
        question.series,
        flux=question.flux,
        drivers=question.drivers,
        ecosystems=question.ecosystems,
        config=question.config,
        seed=question.seed,
        replicates=QUICK_NULL_SERIES if question.quick else NULL_SERIES,
        mapper=mapper(question, "null controls"),
    )
    answers.graph = gated(answers.graph, answers.control)
    return [report_nulls(answers.control)]


def mapper(question: Question, stage: str) -> Callable[..., Iterable[Any]]:
    """The mapper of the question for one stage, called like `map`."""
    return partial(question.mapper, stage)


PARTS: dict[str, Part] = {"Null controls": _nulls}
