"""`examine`: a discovery with every check that a report needs, and the refusals that a training fold does not make.

In goes what `discover` takes, out comes an `Examination`: the graph, the evidence behind it, all links in one table,
and checks. Series that are not stationary and graphs that are nearly full are refused unless they are accepted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal.density import check_density
from ch4grid.causal.discovery import (
    Mapper,
    driver_links,
    gather,
    graph_of,
    laid_out,
    panel_of,
)
from ch4grid.causal.independence import LaggedRows, Node
from ch4grid.causal.preparation import HUMIDITY, Panel
from ch4grid.causal.prior import POOL, WEEKS_PER_MONTH, Evidence, calibrated
from ch4grid.causal.sensitivity import Nonlinear, joint_links, nonlinear_test
from ch4grid.causal.settings import Discovery
from ch4grid.causal.stationarity import check_stationarity, stationarity
from ch4grid.errors import InputError, RunError
from ch4grid.findings import Check
from ch4grid.graph import CausalGraph

Floats = NDArray[np.float64]
# A link (driver, lag) and its conditions.
Chosen = tuple[tuple[int, int], list[Node]]

# Share of links on which J-PCMCI+ and the pooled graph must agree, of those found by either.
MIN_AGREEMENT = 0.8
# Links per class that the nonlinear test looks at: reported ones first, then the strongest others.
NONLINEAR_REPORTED, NONLINEAR_OTHERS = 4, 1
NONLINEAR_LEVEL = 0.05

COLUMNS = {
    "ecosystem": "class; pool is all towers together, where links among drivers stand",
    "source": "driver that acts",
    "target": "flux or driver that is acted on",
    "lag": "steps after which it acts",
    "lag_months": "the same in months; four weeks are a month",
    "frequency": "share of block-bootstrap replicates that hold the link [1]",
    "chance": "share of links of such a frequency that were true on synthetic planets [1]",
    "strength": "partial correlation given the other parents of the target and the past of the driver [1]",
    "lower": "lower end of its 90 % bootstrap interval [1]",
    "upper": "upper end of its 90 % bootstrap interval [1]",
    "sign": "sign of the strength",
    "p": "p value of the strength [1]",
    "q": "false discovery rate over all drivers, lags, classes and towers looked at alone [1]",
    "reported": "whether q and frequency are beyond the limits of a reported link",
    "probability": "probability of the link in the prior, after shrinkage, at its month [1]",
    "effective_size": "independent pairs of steps that the anomalies are worth",
    "sites": "towers of the class",
}


@dataclass(frozen=True, eq=False)
class Examination:
    """A discovery and everything that its tables, pictures and checks need.

    Args:
        graph: The shrunk graph, the prior.
        panel: The anomalies it rests on.
        evidence: Frequencies, strengths, p values; None when the panel held nothing to test.
        config: How causes were discovered.
        links: All tested links, see `COLUMNS`.
        checks: Stationarity, density, agreement with J-PCMCI+ and with a nonlinear test.
        nonlinear: Outcome of the nonlinear test by class.
    """

    graph: CausalGraph
    panel: Panel
    evidence: Evidence | None
    config: Discovery
    links: pd.DataFrame
    checks: tuple[Check, ...]
    nonlinear: dict[str, list[Nonlinear]]

    @property
    def into_flux(self) -> pd.DataFrame:
        """Links into the flux."""
        return self.links[self.links["target"] == self.graph.target]


def examine(
    series: xr.Dataset,
    *,
    flux: str,
    drivers: Sequence[str],
    ecosystems: Sequence[str],
    config: Discovery,
    seed: int,
    mapper: Mapper = map,
    accept: bool = False,
) -> Examination:
    """A discovery with its checks.

    Args:
        series: Flux [kg m-2 s-1] and drivers (site, time), coordinates ecosystem and cluster (site).
        flux: Name of the flux variable.
        drivers: Names of the drivers, in the order of the graph.
        ecosystems: Names of the classes, in the order of the graph.
        config: How to discover; `config.thorough` looks at long sites alone and gives strengths intervals.
        seed: Seed of the bootstrap and of the sample of the nonlinear test.
        mapper: `map`, or one that runs jobs in parallel and keeps their order.
        accept: Whether to go on with series that are not stationary and with a graph that is nearly full.

    Raises:
        InputError: The drivers hold temperature, deficit and humidity at once, or the series are not stationary.
        RunError: The graph comes out nearly full.
    """
    if set(HUMIDITY) <= set(drivers):
        raise InputError(
            "any two of temperature, vapour pressure deficit and relative humidity determine the third",
            where="discovery",
            expected="at most two of tas, vpd and hurs among the drivers",
            found="all three",
            fix="Leave one out; the report looks at all three pairs",
        )
    panel = panel_of(series, flux=flux, drivers=drivers, config=config)
    steady = check_stationarity(stationarity(panel))
    if steady.passed is False and not accept:
        raise InputError(
            "the series are not stationary after season and trend are gone",
            where="discovery",
            found=steady.told,
            fix="Leave these towers out, shorten the period, or accept it and read the links with caution",
        )
    evidence = gather(panel, ecosystems=ecosystems, config=config, seed=seed, mapper=mapper)
    graph = graph_of(
        evidence, panel, drivers=drivers, ecosystems=ecosystems, config=config, seed=seed
    )
    if evidence is None:
        none = pd.DataFrame(columns=list(COLUMNS))
        return Examination(graph, panel, None, config, none, (steady,), {})
    dense = check_density(evidence, config)
    if dense.passed is False and not accept:
        raise RunError(
            "the graph is nearly full, which anomalies of separate causes are not",
            where="discovery",
            found=dense.told,
            fix="Look for a season or level left in the series, use more harmonics, or accept it",
        )
    links = links_table(evidence, panel, graph, config)
    joint, nonlinear, bent = _other_methods(panel, evidence, links, config, (seed, mapper))
    return Examination(
        graph, panel, evidence, config, links, (steady, dense, joint, bent), nonlinear
    )


def links_table(
    evidence: Evidence, panel: Panel, graph: CausalGraph, config: Discovery
) -> pd.DataFrame:
    """All tested links, one row each, see `COLUMNS`."""
    rows = [
        row for name in evidence.into for row in _flux_rows(name, evidence, panel, graph, config)
    ]
    rows += _driver_rows(evidence, panel, graph, config)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _flux_rows(
    name: str, evidence: Evidence, panel: Panel, graph: CausalGraph, config: Discovery
) -> list[tuple[object, ...]]:
    frequency, strength, q = evidence.into[name], evidence.strength[name], evidence.q[name]
    chance = calibrated(frequency, config.bootstraps)
    unknown = np.full((2, *frequency.shape), np.nan)
    bounds = evidence.bounds.get(name, unknown)
    reported = (q < config.report_rate) & (frequency >= config.report_frequency)
    sites = len(panel.sites) if name == POOL else len(panel.of_class(name))
    rows: list[tuple[object, ...]] = []
    for i, lag in np.ndindex(frequency.shape):
        month = months_of(lag, panel.step)
        rows.append(
            (
                name,
                panel.variables[i],
                graph.target,
                lag,
                month,
                float(frequency[i, lag]),
                float(chance[i, lag]),
                float(strength[i, lag]),
                float(bounds[0, i, lag]),
                float(bounds[1, i, lag]),
                _sign(float(strength[i, lag])),
                float(evidence.p[name][i, lag]),
                float(q[i, lag]),
                bool(reported[i, lag]),
                _probability(graph, name, graph.target, panel.variables[i], month),
                float(evidence.effective[name][i]),
                sites,
            )
        )
    return rows


def _driver_rows(
    evidence: Evidence, panel: Panel, graph: CausalGraph, config: Discovery
) -> list[tuple[object, ...]]:
    among = evidence.among
    strength = np.zeros_like(among) if evidence.strength_among is None else evidence.strength_among
    chance = np.full_like(among, np.nan)
    rows: list[tuple[object, ...]] = []
    for to, source, lag in np.ndindex(among.shape):
        if to == source and lag == 0:
            continue
        month, at = months_of(lag, panel.step), (to, source, lag)
        names = panel.variables[source], panel.variables[to]
        nothing = (np.nan, np.nan)
        found = (float(among[at]), float(chance[at]), float(strength[at]), *nothing)
        held = bool(among[at] >= config.report_frequency)
        probability = _probability(graph, POOL, names[1], names[0], month)
        rows.append(
            (
                *(POOL, *names, lag, month, *found, _sign(float(strength[at])), *nothing),
                *(held, probability, np.nan, len(panel.sites)),
            )
        )
    return rows


def months_of(lag: int, step: str) -> int:
    """Month of a lag in steps: lag 0 holds weeks 0 to 4, lag m the four weeks after."""
    return lag if step == "month" else max(0, (lag - 1) // WEEKS_PER_MONTH)


def _probability(graph: CausalGraph, ecosystem: str, to: str, source: str, month: int) -> float:
    """Prior probability of a link; for the pool that of the pool, NaN beyond the graph's lags."""
    if month > graph.max_lag:
        return float("nan")
    i = graph.drivers.index(source)
    if ecosystem == POOL and to == graph.target:
        return float(graph.provenance["pooled"][i][month])
    e = 0 if ecosystem == POOL else graph.ecosystems.index(ecosystem)
    return float(graph.probability[e, graph.nodes.index(to), i, month])


def _sign(strength: float) -> str:
    return "" if strength == 0 or not np.isfinite(strength) else "+" if strength > 0 else "-"


def _other_methods(
    panel: Panel,
    evidence: Evidence,
    links: pd.DataFrame,
    config: Discovery,
    how: tuple[int, Mapper],
) -> tuple[Check, dict[str, list[Nonlinear]], Check]:
    """Agreement with J-PCMCI+ and with the nonlinear test, class by class; `how` is seed and mapper."""
    seed, mapper = how
    data = laid_out(panel, config)
    lagged = driver_links(data, np.ones(len(data.rows.site)), config)[1]
    jobs = []
    for name in (n for n in evidence.into if n != POOL):
        rows = links[(links["ecosystem"] == name) & (links["target"] == panel.variables[-1])]
        jobs.append((panel.of_class(name).tolist(), _chosen(rows, panel)))
    found = mapper(partial(_class_methods, data.rows, lagged, config, seed), jobs)
    both = either = 0
    differing: list[str] = []
    nonlinear: dict[str, list[Nonlinear]] = {}
    for name, (theirs, tests) in zip((n for n in evidence.into if n != POOL), found, strict=True):
        mine = evidence.into[name] >= config.report_frequency
        both, either = both + int((mine & theirs).sum()), either + int((mine | theirs).sum())
        differing += [
            f"{panel.variables[i]} lag {lag} ({name})" for i, lag in np.argwhere(mine != theirs)
        ]
        nonlinear[name] = tests
    share = both / either if either else 1.0
    joint = Check(
        "J-PCMCI+ with a dummy for the tower",
        share >= MIN_AGREEMENT if either else None,
        f"expected {MIN_AGREEMENT:.0%} of the links into the flux found by either to be found by both; found"
        f" {share:.0%} of {either}; differing: {', '.join(differing) or 'none'}",
    )
    return joint, nonlinear, _check_nonlinear(nonlinear, links, panel)


def _class_methods(
    rows: LaggedRows,
    lagged: dict[int, list[Node]],
    config: Discovery,
    seed: int,
    job: tuple[list[int], list[Chosen]],
) -> tuple[NDArray[np.bool_], list[Nonlinear]]:
    """Links of one class by J-PCMCI+, and nonlinear tests of the chosen ones."""
    members, chosen = job
    tests = [nonlinear_test(rows, members, link, given, seed=seed) for link, given in chosen]
    return joint_links(rows, members, lagged, config), tests


def _chosen(rows: pd.DataFrame, panel: Panel) -> list[Chosen]:
    """Links for the nonlinear test with their conditions, the reported links."""
    ordered = rows.assign(size=rows["strength"].abs()).sort_values(
        "size", ascending=False, kind="stable"
    )
    index = panel.variables.index
    pairs = {
        held: [(index(s), int(lag)) for s, lag in zip(part["source"], part["lag"], strict=True)]
        for held, part in ordered.groupby("reported")
    }
    reported, others = pairs.get(True, []), pairs.get(False, [])
    given = [(i, -lag) for i, lag in reported]
    return [(link, given) for link in reported[:NONLINEAR_REPORTED] + others[:NONLINEAR_OTHERS]]


def _check_nonlinear(
    nonlinear: dict[str, list[Nonlinear]], links: pd.DataFrame, panel: Panel
) -> Check:
    """Whether most reported links are found again by the nonlinear test; others that it finds are named."""
    into = links[links["target"] == panel.variables[-1]]
    reported = {
        (row.ecosystem, panel.variables.index(row.source), row.lag)
        for row in into[into["reported"]].itertuples()
    }
    tested = [(name, test) for name, tests in nonlinear.items() for test in tests]
    again = [test.p <= NONLINEAR_LEVEL for name, test in tested if (name, *test[:2]) in reported]
    extra = [
        f"{panel.variables[test.driver]} lag {test.lag} ({name})"
        for name, test in tested
        if (name, *test[:2]) not in reported and test.p <= NONLINEAR_LEVEL
    ]
    share = float(np.mean(again)) if again else 0.0
    return Check(
        "nonlinear test",
        share >= MIN_AGREEMENT if again else None,
        f"expected {MIN_AGREEMENT:.0%} of reported links again by conditional mutual information of nearest neighbours;"
        f" found {share:.0%} of {len(again)}; strongest unreported links that it finds: {', '.join(extra) or 'none'}",
    )
