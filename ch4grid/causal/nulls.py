"""Null controls: what the same discovery finds in series where nothing causes the flux, and what that says about it.

In goes the series of a discovery, out come false-link rates per control and class, a trust per class in [0, 1], and a
graph drawn to the expert where the method finds links in noise.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import betaincinv

from ch4grid.causal.discovery import Discovery, discover
from ch4grid.causal.expert import expert_flux
from ch4grid.causal.prior import POOL
from ch4grid.causal.surrogates import KINDS, surrogate
from ch4grid.findings import Check, Finding
from ch4grid.graph import CausalGraph

Floats = NDArray[np.float64]
Mapper = Callable[..., Iterable[Any]]

# False-link rates up to which a method is fully trusted, and from which not at all: a method that links one in four
# drivers and lags of pure noise tells nothing about the others.
TOLERATED_RATE = 0.05
HOPELESS_RATE = 0.25
# Bootstrap replicates in a null run: enough to tell whether a link would be reported.
NULL_BOOTSTRAPS = 10
# Bootstrap frequency from which a link counts as found.
LINKED_FREQUENCY = 0.5
LEVEL = 0.9
# Name of the rates over the pool and all classes together.
ALL = "all"

MEANING = {
    "phases": "flux with random phases: its spectrum and values, no coupling",
    "years": "flux of other years of the same site: its season and gaps, no coupling",
    "shifted": "drivers of other years of the same site: their season and their own links, no coupling",
}


class NullRate(NamedTuple):
    """What one null control found in one class.

    Args:
        kind: One of `surrogates.KINDS`.
        ecosystem: Class, "pool" for all sites, or "all" for the tests of the pool and the classes together.
        replicates: Null series.
        tests: Pairs of driver and lag tested, over all replicates.
        linked: Share of the tests with a link in at least half of the bootstraps, the false-link rate [1].
        lower: Lower end of its 90 % interval.
        upper: Upper end of its 90 % interval.
        reported: Share of the tests that also pass the rule for a reported link [1].
        reported_lower: Lower end of its 90 % interval.
        reported_upper: Upper end of its 90 % interval.
        frequency: Mean bootstrap frequency of a link [1].
        any_reported: Share of the replicates with at least one reported link [1].
        significant: Share of the tests with p below the level of the test [1].
        significant_lower: Lower end of its 90 % interval.
        significant_upper: Upper end of its 90 % interval.
    """

    kind: str
    ecosystem: str
    replicates: int
    tests: int
    linked: float
    lower: float
    upper: float
    reported: float
    reported_lower: float
    reported_upper: float
    frequency: float
    any_reported: float
    significant: float
    significant_lower: float
    significant_upper: float


COLUMNS = {
    "kind": "null control",
    "ecosystem": "class, pool for all sites, or all for the tests of pool and classes together",
    "replicates": "null series",
    "tests": "pairs of driver and lag tested in all replicates",
    "linked": "share of the tests with a link in at least half of the bootstraps, the false-link rate [1]",
    "lower": "lower end of its 90 % interval [1]",
    "upper": "upper end of its 90 % interval [1]",
    "reported": "share of the tests that also pass the rule for a reported link [1]",
    "reported_lower": "lower end of its 90 % interval [1]",
    "reported_upper": "upper end of its 90 % interval [1]",
    "frequency": "mean bootstrap frequency of a link [1]",
    "any_reported": "share of the null series with at least one reported link [1]",
    "significant": "share of the tests with p below the level of the test [1]",
    "significant_lower": "lower end of its 90 % interval [1]",
    "significant_upper": "upper end of its 90 % interval [1]",
}


@dataclass(frozen=True, eq=False)
class NullControl:
    """False-link rates of a discovery.

    Args:
        rates: One per control and class tested.
        settings: Level of the test, replicates, seed and configuration as JSON values.
    """

    rates: tuple[NullRate, ...]
    settings: Mapping[str, Any]

    @property
    def trust(self) -> dict[str, float]:
        """Trust per class tested: that of its worst control, taken at the lower end of the rate's interval."""
        names = dict.fromkeys(rate.ecosystem for rate in self.rates if rate.ecosystem != ALL)
        return {
            name: min(trust(rate.lower) for rate in self.rates if rate.ecosystem == name)
            for name in names
        }

    def worst(self, ecosystem: str) -> NullRate:
        """The control with the highest false-link rate in a class."""
        return max(
            (rate for rate in self.rates if rate.ecosystem == ecosystem),
            key=lambda rate: rate.linked,
        )


def nulls(
    series: xr.Dataset,
    *,
    flux: str,
    drivers: Sequence[str],
    ecosystems: Sequence[str],
    config: Discovery,
    seed: int,
    kinds: Sequence[str] = KINDS,
    replicates: int = 10,
    mapper: Mapper = map,
) -> NullControl:
    """False-link rates of a discovery: the same method, with fewer bootstraps, on series where nothing is coupled.

    Args:
        series: The series of the discovery.
        flux: Name of the flux variable.
        drivers: Names of the drivers.
        ecosystems: Names of the classes.
        config: How the discovery was made.
        seed: Seed of the null series.
        kinds: Null controls to run.
        replicates: Null series of each kind.
        mapper: Maps a module-level function over picklable jobs, in order.

    Raises:
        InputError: A kind is unknown, or the series is too short for it.
    """
    quick = config.model_copy(
        update={
            "bootstraps": min(config.bootstraps, NULL_BOOTSTRAPS),
            "driver_bootstraps": 1,
            "sites": False,
            "bounds": False,
        }
    )
    run = partial(
        null_links,
        series=series,
        flux=flux,
        drivers=tuple(drivers),
        ecosystems=tuple(ecosystems),
        config=quick,
        seed=seed,
    )
    jobs = [(kind, replicate) for kind in kinds for replicate in range(replicates)]
    found = list(mapper(run, jobs))
    rates = []
    for kind in kinds:
        runs = [links for (k, _), links in zip(jobs, found, strict=True) if k == kind]
        names = dict.fromkeys(name for links in runs for name in links)
        rates += [
            _rate(kind, name, [run[name] for run in runs if name in run], quick.alpha)
            for name in names
        ]
    settings = {"replicates": replicates, "seed": seed, "config": quick.model_dump(mode="json")}
    return NullControl(tuple(rates), settings)


def null_links(
    job: tuple[str, int],
    *,
    series: xr.Dataset,
    flux: str,
    drivers: Sequence[str],
    ecosystems: Sequence[str],
    config: Discovery,
    seed: int,
) -> dict[str, Floats]:
    """Whether reported, p value and frequency (3, driver, lag) of the links of one null series, per class tested.

    Args:
        job: Null control and number of the replicate.
        series: The series of the discovery.
        flux: Name of the flux variable.
        drivers: Names of the drivers.
        ecosystems: Names of the classes.
        config: How to discover.
        seed: Seed of the null series.
    """
    kind, replicate = job
    own = int(np.random.SeedSequence([seed, replicate]).generate_state(1)[0])
    null = surrogate(series, kind, flux=flux, drivers=drivers, harmonics=config.harmonics, seed=own)
    graph = discover(
        null, flux=flux, drivers=drivers, ecosystems=ecosystems, config=config, seed=own
    )
    found = graph.provenance
    links = {
        name: np.stack([reported(graph, name, config), found["p"][name], found["frequency"][name]])
        for name in found["p"]
    }
    return links | ({ALL: np.concatenate(list(links.values()), axis=1)} if links else {})


def reported(graph: CausalGraph, ecosystem: str, config: Discovery) -> NDArray[np.bool_]:
    """Which links into the flux (driver tested, lag of the series) a discovery reports for a class or the pool."""
    q = np.asarray(graph.provenance["q"][ecosystem])
    frequency = np.asarray(graph.provenance["frequency"][ecosystem])
    return np.asarray((q < config.report_rate) & (frequency >= config.report_frequency))


def trust(
    rate: float, *, tolerated: float = TOLERATED_RATE, hopeless: float = HOPELESS_RATE
) -> float:
    """Weight in [0, 1] of what a method finds that finds links in noise at a rate: 1 up to `tolerated`, then falling.

    Linear between the two rates and 0 from `hopeless` on.
    """
    return float(np.clip((hopeless - rate) / (hopeless - tolerated), 0.0, 1.0))


def gated(graph: CausalGraph, control: NullControl) -> CausalGraph:
    """The graph with its links into the flux drawn to the expert by what the null controls leave of the trust in them.

        pi' = w pi + (1 - w) pi_expert

    with w the smaller trust of class and pool, for a class holds evidence of both; a class that was not tested rests
    on the pool alone. The provenance gains `nulls`.
    """
    weight = control.trust
    everyone = weight.get(POOL, 1.0)
    w = np.array([min(weight.get(name, 1.0), everyone) for name in graph.ecosystems])
    expert = expert_flux(graph.drivers, graph.ecosystems, graph.max_lag, graph.target)
    probability = graph.probability.copy()
    probability[:, -1] = _drawn(probability[:, -1], expert, w[:, None, None])
    record: dict[str, Any] = {"nulls": _record(control)}
    if "pooled" in graph.provenance:
        pooled = np.asarray(graph.provenance["pooled"])
        record["pooled"] = _drawn(pooled, expert.mean(axis=0), np.asarray(everyone)).tolist()
    return replace(graph, probability=probability, provenance=graph.provenance | record)


def _drawn(found: Floats, expert: Floats, weight: Floats) -> Floats:
    """Found probabilities as they are at weight 1, the expert's at 0."""
    return np.asarray(np.where(weight == 1, found, weight * found + (1 - weight) * expert))


def _record(control: NullControl) -> dict[str, Any]:
    rates = [dict(zip(COLUMNS, _rounded(rate), strict=True)) for rate in control.rates]
    return {"rates": rates, "trust": control.trust, **control.settings}


def _rounded(rate: NullRate) -> list[Any]:
    return [round(value, 6) if isinstance(value, float) else value for value in rate]


def _rate(kind: str, ecosystem: str, runs: list[Floats], alpha: float) -> NullRate:
    """Rates of one control in one class over its replicates, each (3, driver, lag)."""
    links = np.stack([run.reshape(3, -1) for run in runs])
    told = links[:, 0] > 0
    linked = links[:, 2] >= LINKED_FREQUENCY
    significant = links[:, 1] < alpha
    return NullRate(
        kind,
        ecosystem,
        len(runs),
        linked.size,
        float(linked.mean()),
        *share_interval(linked),
        float(told.mean()),
        *share_interval(told),
        float(links[:, 2].mean()),
        float(told.any(axis=1).mean()),
        float(significant.mean()),
        *share_interval(significant),
    )


def share_interval(hits: NDArray[np.bool_]) -> tuple[float, float]:
    """90 % interval of the share of hits (replicate, test), exact for independent tests (Clopper and Pearson 1934).

    Lags and drivers of one null series are not independent: where the number of hits varies more between series than
    independent tests would, the number of tests counts for as much less (design effect, never below one).
    """
    share, n = float(hits.mean()), float(hits.size)
    if len(hits) > 1 and 0 < share < 1:
        between = float(hits.mean(axis=1).var(ddof=1))
        n /= max(1.0, between / (share * (1 - share) / hits.shape[1]))
    k, tail = share * n, (1 - LEVEL) / 2
    lower = float(betaincinv(k, n - k + 1, tail)) if k > 0 else 0.0
    upper = float(betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0
    return lower, upper


def report_nulls(control: NullControl) -> Finding:
    """The null controls as a finding: rates with intervals, what they let through, and the trust that is left."""
    table = pd.DataFrame(control.rates, columns=list(COLUMNS))
    kinds = list(dict.fromkeys(table["kind"]))
    alpha = control.settings["config"]["alpha"]
    return Finding(
        key="null-controls",
        title="Null controls",
        question="How many links into the flux does the same discovery find where nothing causes it?",
        data=f"{control.settings['replicates']} null series of each kind: "
        + "; ".join(f"{kind}, {MEANING[kind]}" for kind in kinds),
        answers=tuple(_answer(control, kind) for kind in kinds) + _trusted(control),
        table=table,
        columns=COLUMNS,
        checks=tuple(check for kind in kinds for check in _checks(control, kind, alpha)),
        limits=(
            "A low rate says that links are rarely made of noise, not that a link is causal: a common cause that was "
            "not measured passes every null control.",
            "Random phases are drawn per site, so only the other two controls see what neighbouring towers share.",
            "Other years of one site are its anomalies dealt anew, which sum to about zero: in records of few years a "
            "true cause leaves a trace of opposite sign there, so that rates of years and shifted are upper bounds.",
        ),
        attributes=dict(control.settings) | {"trust": control.trust},
    )


def _answer(control: NullControl, kind: str) -> str:
    total, worst = _summary(control, kind)
    return (
        f"{kind}: {round(total.linked * total.tests)} of {total.tests} tests came out linked ({_percent(total)}), most "
        f"in {worst.ecosystem} ({_percent(worst)}); {round(total.reported * total.tests)} would have been reported."
    )


def _summary(control: NullControl, kind: str) -> tuple[NullRate, NullRate]:
    """Rate of one control over all tests, and its highest rate in a class or the pool."""
    rates = {rate.ecosystem: rate for rate in control.rates if rate.kind == kind}
    total = rates.pop(ALL)
    return total, max(rates.values(), key=lambda rate: rate.linked)


def _percent(rate: NullRate) -> str:
    return f"{rate.linked:.2%}, 90 % interval {rate.lower:.2%} to {rate.upper:.2%}"


def _trusted(control: NullControl) -> tuple[str, ...]:
    """One sentence on what the controls leave of the evidence."""
    if not control.rates:
        return ("No class had enough data to be tested.",)
    drawn = [f"{name} ({weight:.2f})" for name, weight in control.trust.items() if weight < 1]
    if not drawn:
        return ("The evidence of every class keeps its full weight in the prior.",)
    return (f"Evidence drawn to the expert, with the weight left to it: {', '.join(drawn)}.",)


def _checks(control: NullControl, kind: str, alpha: float) -> tuple[Check, ...]:
    """That few tests are linked in any class; under random phases also that all tests together hold their level."""
    total, worst = _summary(control, kind)
    few = Check(
        f"false-link rate, {kind}",
        worst.linked <= TOLERATED_RATE,
        f"expected at most {TOLERATED_RATE:.0%} of the tests in every class; found at most {_percent(worst)}, in "
        f"{worst.ecosystem}",
    )
    if kind != "phases":
        return (few,)
    level = Check(
        f"level of the test, {kind}",
        total.significant_lower <= alpha,
        f"expected p < {alpha:g} in at most {alpha:.1%} of the tests; found {total.significant:.2%}, 90 % interval "
        f"{total.significant_lower:.2%} to {total.significant_upper:.2%}",
    )
    return few, level
