"""The chain of an investigation: its parts in order, what each one answers, and why one could not answer.

A part that fails with an error of this package leaves its reason, and the others go on; only a failed discovery ends
the investigation, for everything else rests on its graph.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
import xarray as xr
from numpy.linalg import LinAlgError
from threadpoolctl import threadpool_limits

from ch4grid.causal import (
    EffectSettings,
    Mediation,
    compare_flux,
    counterfactual,
    estimate_structure,
    mediation,
    report_counterfactual,
    report_effects,
    report_mediation,
    report_structure,
)
from ch4grid.causal.discovery import panel_of
from ch4grid.causal.discovery_report import report_discovery
from ch4grid.causal.effort import estimate
from ch4grid.causal.examination import examine
from ch4grid.causal.gradient import gradient
from ch4grid.causal.gradient_report import report_gradient
from ch4grid.causal.humidity import stability_of_humidity
from ch4grid.causal.nulls import NullControl, gated, nulls, report_nulls
from ch4grid.causal.prior import POOL
from ch4grid.errors import Ch4gridError, InputError, RunError
from ch4grid.findings import Finding
from ch4grid.graph import CausalGraph
from ch4grid.investigation.question import Question
from ch4grid.pages.figures import figure
from ch4grid.trends import report_seasons, report_trends, seasons, trends

# The intervention that every report answers: air warmer by this much [K].
WARMING = {"tas": 2.0}
# What may carry an effect of air temperature to the flux, and the bootstrap samples behind the answer.
HURS = "hurs"
TREATMENT, MEDIATORS = "tas", ("tsl", "mrsos", "evi")
COPIES, QUICK_COPIES = 200, 50
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
        humidity: Links of relative humidity beside temperature: ecosystem, lag, frequency, strength, q.
        reversals: Reversals along the urban gradient by driver, see `REVERSAL_COLUMNS`.
    """

    graph: CausalGraph
    links: pd.DataFrame
    findings: list[Finding] = field(default_factory=list)
    unanswered: list[Unanswered] = field(default_factory=list)
    control: NullControl | None = None
    effects: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=EFFECT_COLUMNS))
    humidity: pd.DataFrame = field(default_factory=pd.DataFrame)
    reversals: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=REVERSAL_COLUMNS))


Part = Callable[[Question, Answers], Sequence[Finding]]


def answer(question: Question) -> Answers:
    """All parts of the chain in order.

    Raises:
        Ch4gridError: The discovery failed.
    """
    # One thread, as in every task: small matrices are slower with more, and sums would depend on their number.
    with threadpool_limits(1):
        answers = _discovered(question)
        for title, part in PARTS.items():
            _try(title, part, question, answers)
    return answers


def _try(title: str, part: Part, question: Question, answers: Answers) -> None:
    """Add what a part finds, or why it could not find it."""
    try:
        answers.findings += part(question, answers)
    except Ch4gridError as error:
        answers.unanswered.append(Unanswered(title, str(error), error.exit_code))
    except LinAlgError as error:
        told = RunError("its equations have no solution with these data", found=error)
        answers.unanswered.append(Unanswered(title, str(told), told.exit_code))


def _discovered(question: Question) -> Answers:
    found = examine(
        question.series,
        flux=question.flux,
        drivers=question.drivers,
        ecosystems=question.ecosystems,
        config=question.config if question.quick else question.config.thorough,
        seed=question.seed,
        mapper=mapper(question, "discovery"),
        accept=question.accept,
    )
    return Answers(found.graph, found.links, list(report_discovery(found)))


def effort(question: Question) -> str:
    """How long the discovery will take, in words; runs a few replicates to find out."""
    panel = panel_of(
        question.series, flux=question.flux, drivers=question.drivers, config=question.config
    )
    return estimate(panel, ecosystems=question.ecosystems, config=question.config).told()


def _humidity(question: Question, answers: Answers) -> Sequence[Finding]:
    """Temperature, deficit and humidity: any two of the three, which determine one another."""
    finding = stability_of_humidity(
        question.series,
        flux=question.flux,
        drivers=question.drivers,
        ecosystems=question.ecosystems,
        config=question.config,
        seed=question.seed,
        mapper=mapper(question, "humidity pairs"),
    )
    table = finding.table
    answers.humidity = table[(table["driver"] == HURS) & table["pair"].str.contains(TREATMENT)]
    return [finding]


def _trends(question: Question, answers: Answers) -> Sequence[Finding]:
    """Trends and mean years of the product that the recipe made, where it has made one."""
    if question.product is None:
        return ()
    gas = question.gas.name
    with xr.open_zarr(question.product) as product:
        return [
            report_trends(trends(product, gas=gas, record=question.record, seed=question.seed)),
            report_seasons(seasons(product, gas=gas, record=question.record, seed=question.seed)),
        ]


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


def _effects(question: Question, answers: Answers) -> Sequence[Finding]:
    finding = report_effects(
        question.series,
        answers.graph,
        flux=question.flux,
        ecosystems=question.ecosystems,
        config=EffectSettings(),
        seed=question.seed,
        mapper=mapper(question, "effects"),
    )
    answers.effects = _total(finding.table)
    return [finding]


def _total(table: pd.DataFrame) -> pd.DataFrame:
    """Total effects per unit of the driver, with whether each may be read as an effect.

    That takes an adjustment set, overlap, a clean placebo, and no effect where the years of the driver are dealt anew.
    """
    rows = table[(table["kind"] == "total") & (table["contrast"] == "per unit")]
    dealt = (rows["shuffled_lower"] > 0) | (rows["shuffled_upper"] < 0)
    sound = rows["status"].astype(str).str.startswith("estimated") & ~dealt
    unit = "asinh units " + rows["unit"].fillna("").astype(str).str.replace("per 1", "per unit")
    return rows.assign(sound=sound, unit=unit)[list(EFFECT_COLUMNS)]


def _structure(question: Question, answers: Answers) -> Sequence[Finding]:
    """The structural model, and the measured flux had it been warmer."""
    fitted = estimate_structure(
        question.series,
        answers.graph,
        flux=question.flux,
        seed=question.seed,
        bootstraps=QUICK_COPIES if question.quick else COPIES,
    )
    results = {
        name: counterfactual(
            question.series,
            fitted.model,
            do=WARMING,
            propagate=propagate,
            copies=fitted.copies,
            seed=question.seed,
        )
        for name, propagate in (("ceteris paribus", False), ("propagated", True))
    }
    trees = (
        None if question.quick else compare_flux(question.series, fitted.model, seed=question.seed)
    )
    return [
        report_structure(fitted.model, trees),
        report_counterfactual(results, target=question.flux),
    ]


def _mediation(question: Question, answers: Answers) -> Sequence[Finding]:
    """How much of what air temperature does goes through soil, water and plants."""
    found: list[Mediation] = []
    refused: list[str] = []
    for mediator in (name for name in MEDIATORS if name in answers.graph.drivers):
        try:
            found.append(
                mediation(
                    question.series,
                    answers.graph,
                    flux=question.flux,
                    treatment=TREATMENT,
                    mediator=mediator,
                    seed=question.seed,
                    bootstraps=QUICK_COPIES if question.quick else COPIES,
                )
            )
        except InputError as error:
            refused.append(f"{mediator} was not asked about: {error}")
    if not found:
        raise InputError(
            "no driver can be asked about as a mediator",
            where="mediation",
            expected=f"one of {', '.join(MEDIATORS)} beside {TREATMENT}",
            found=" ".join(refused) or "none of them in the graph",
        )
    finding = report_mediation(found)
    return [replace(finding, limits=(*finding.limits, *refused))]


def _gradient(question: Question, answers: Answers) -> Sequence[Finding]:
    """Slopes along the urban gradient, and which of the claimed reversals they show."""
    found = gradient(
        question.series,
        flux=question.flux,
        drivers=question.drivers,
        ecosystems=question.ecosystems,
        seed=question.seed,
    )
    answers.reversals = reversals_of(found.table)
    finding = report_gradient(found)
    if "urban_fraction" not in question.series:
        return [finding]
    urban = question.series["urban_fraction"]
    reach = {"urban_fraction": [float(urban.min()), float(urban.max())]}
    return [replace(finding, attributes=dict(finding.attributes) | reach)]


def reversals_of(table: pd.DataFrame) -> pd.DataFrame:
    """What the gradient of all classes together says about every driver, in words."""
    rows = []
    pool = (
        table[(table["ecosystem"] == POOL) & (table["scale"] == "plain")] if len(table) else table
    )
    for _, row in pool.iterrows():
        found = f"slope {figure(row['nature'])} in nature, change {figure(row['change'])} per unit of urban fraction"
        if row["claimed"]:
            found += f", reverses at {figure(row['reversal'])} ({figure(row['lower'])} to {figure(row['upper'])})"
        verdict = "supported" if row["claimed"] else "undecided"
        rows.append((row["driver"], verdict, found, str(row["why"]) or "stands all checks"))
    return pd.DataFrame(rows, columns=list(REVERSAL_COLUMNS))


def mapper(question: Question, stage: str) -> Callable[..., Iterable[Any]]:
    """The mapper of the question for one stage, called like `map`."""
    return partial(question.mapper, stage)


PARTS: dict[str, Part] = {
    "Null controls": _nulls,
    "Humidity pairs": _humidity,
    "Effects": _effects,
    "Structure and counterfactuals": _structure,
    "Mediation": _mediation,
    "Urban gradient": _gradient,
    "Trends and seasons": _trends,
}
