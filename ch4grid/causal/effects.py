"""Effects: how much the flux changes with a driver, per class, adjusted as the causal graph says, with its doubts.

Every row has an interval over clusters of towers, its overlap and its placebos. A causal forest over all classes says
where an effect is larger and where smaller.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal.adjustment import Lagged
from ch4grid.causal.anomalies import anomalies
from ch4grid.causal.estimates import EffectSettings, Job, estimated
from ch4grid.causal.heterogeneity import Grove, grown
from ch4grid.causal.treatments import class_index, modifiers, monthly
from ch4grid.errors import InputError
from ch4grid.graph import CausalGraph
from ch4grid.vocabulary import ECOSYSTEMS

Mapper = Callable[..., Iterable[Any]]

# The treatment that every class is asked about, whatever its graph says.
ALWAYS = Lagged("tas", 0)


@dataclass(frozen=True, eq=False)
class Effects:
    """Effects of drivers on the flux.

    Args:
        table: One row per class, treatment, kind and contrast; columns as in `COLUMNS`.
        sites: Conditional effects `driver, lag, site, ecosystem, urban_fraction, effect, lower, upper`.
        forests: Tests of the forests `driver, lag, months, gain, calibration, lower, upper`.
        config: How they were estimated.
        seed: Seed of forests and placebos.
    """

    table: pd.DataFrame
    sites: pd.DataFrame
    forests: pd.DataFrame
    config: EffectSettings
    seed: int


COLUMNS: Mapping[str, str] = {
    "ecosystem": "class of the towers; pool is all of them",
    "driver": "treatment",
    "lag": "months between the treatment and the flux",
    "kind": "total: by all ways; direct: with all other causes of the flux held",
    "contrast": "what is compared",
    "effect": "change of asinh(flux / 10 nmol m-2 s-1), weighted by the treatment's unexplained variation",
    "lower": "lower end of the 90 % interval over blocks",
    "upper": "upper end",
    "unit": "unit of effect, lower and upper",
    "spread": "standard deviation of the treatment's anomaly, in its unit",
    "in_graph": "whether the graph has the link from the treatment to the flux",
    "n": "months",
    "n_eff": "months that are as good as independent",
    "clusters": "blocks that the interval is over",
    "blocks": "what a block is: a cluster of towers, or a year of one tower",
    "adjustment": "what was held",
    "overlap": "share of the treatment's variance left, or of months with propensity 0.1 to 0.9",
    "placebo": "effect of the treatment one month after the flux; should be none",
    "placebo_lower": "lower end of its 90 % interval",
    "placebo_upper": "upper end",
    "placebo_zero": "whether that interval contains zero",
    "shuffled_lower": "lower end of the 90 % interval of the effect with the sign of every year dealt anew",
    "shuffled_upper": "upper end",
    "status": "estimated, or why the row is an association only, or why there is no estimate",
}


def effects(
    series: xr.Dataset,
    graph: CausalGraph,
    *,
    flux: str,
    ecosystems: Sequence[str],
    treatments: Sequence[tuple[str, int]] | None = None,
    config: EffectSettings,
    seed: int,
    mapper: Mapper = map,
) -> Effects:
    """Effects of treatments on the flux of every class, and how they differ between places.

    Args:
        series: Flux [kg m-2 s-1], its coverage and drivers (site, time) by month or week, coordinates ecosystem and
            cluster (site); `urban_fraction` and `soil_organic_carbon` (site) if known.
        graph: What causes what; lags in months.
        flux: Name of the flux.
        ecosystems: Classes wanted.
        treatments: Drivers and lags [months]; None takes the causes in the graph, and temperature, of each class.
        config: How to estimate.
        seed: Seed of forests and placebos.
        mapper: `map`, or a parallel one.

    Raises:
        InputError: The flux is absent, no driver of the graph is in the series, or a forest would not fit in memory.
    """
    by_month = monthly(series, flux)
    departures = _departures(by_month, graph, flux, config)
    chosen = {name: _treatments(graph, name, treatments, config) for name in ecosystems}
    x = modifiers(by_month)
    codes = class_index(by_month)
    jobs = [
        _job(departures, x, codes, graph, name, treatment, flux, config, seed)
        for name in ecosystems
        for treatment in chosen[name]
    ]
    rows = [row for part in mapper(estimated, jobs) for row in part]
    groves = [
        Grove(departures, x, graph, treatment, flux, config, seed)
        for treatment in _shared(chosen, departures, config.forests)
    ]
    woods = list(mapper(grown, groves))
    rows += [row for part in woods for row in part[0]]
    return Effects(
        table=pd.DataFrame(rows, columns=list(COLUMNS)),
        sites=pd.concat([part[1] for part in woods]) if woods else pd.DataFrame(),
        forests=pd.DataFrame([part[2] for part in woods if part[2]]),
        config=config,
        seed=seed,
    )


def _departures(
    series: xr.Dataset, graph: CausalGraph, flux: str, config: EffectSettings
) -> xr.Dataset:
    """Anomalies of the flux and of all drivers of the graph that the series has by month."""
    there = [
        name
        for name in graph.drivers
        if name in series and set(series[name].dims) == {"site", "time"}
    ]
    if not there:
        raise InputError(
            "no driver of the graph is in the series",
            where="effects",
            expected=", ".join(graph.drivers),
            found=", ".join(map(str, series.data_vars)),
        )
    return anomalies(
        series,
        flux=flux,
        drivers=there,
        harmonics=config.harmonics,
        min_coverage=config.min_coverage,
    )


def _treatments(
    graph: CausalGraph,
    ecosystem: str,
    wanted: Sequence[tuple[str, int]] | None,
    config: EffectSettings,
) -> tuple[Lagged, ...]:
    if wanted is not None:
        return tuple(Lagged(*item) for item in wanted)
    parents = graph.parents(
        ecosystem, graph.target, top=config.max_treatments, floor=config.threshold
    )
    found = [Lagged(parent.driver, parent.lag) for parent in parents]
    return tuple(dict.fromkeys([*found, ALWAYS] if ALWAYS.driver in graph.drivers else found))


def _shared(
    chosen: Mapping[str, Sequence[Lagged]], departures: xr.Dataset, count: int
) -> list[Lagged]:
    """The treatments of most classes, of those measured; ties by name and lag."""
    times: dict[Lagged, int] = {}
    for treatments in chosen.values():
        for treatment in treatments:
            if treatment.driver in departures:
                times[treatment] = times.get(treatment, 0) + 1
    return sorted(times, key=lambda treatment: (-times[treatment], treatment))[:count]


def _job(
    departures: xr.Dataset,
    x: pd.DataFrame,
    codes: NDArray[np.int64],
    graph: CausalGraph,
    ecosystem: str,
    treatment: Lagged,
    flux: str,
    config: EffectSettings,
    seed: int,
) -> Job:
    inside = np.flatnonzero(codes == ECOSYSTEMS.index(ecosystem))
    urban = x["urban_fraction"].to_numpy()[inside] if "urban_fraction" in x else None
    part = departures.isel(site=inside)
    return Job(part, urban, graph, ecosystem, treatment, flux, config, seed)
