"""Mediation: how much of a driver's lasting effect on the flux runs through another driver, and how sure that is.

In linear equations without interaction the natural direct effect is the response with the mediator held at what it
would have been, and the natural indirect effect the rest of the total one (Pearl 2001, UAI 17, 411).
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import erfc, exp, sqrt
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal.anomalies import departures
from ch4grid.causal.equations import equation, rows, solve
from ch4grid.causal.expert import admissible
from ch4grid.causal.intervals import interval, reach
from ch4grid.causal.monthly import Towers, towers
from ch4grid.causal.ordering import forced
from ch4grid.causal.structural import estimate_structure
from ch4grid.errors import InputError
from ch4grid.findings import Check, Finding
from ch4grid.graph import CausalGraph
from ch4grid.structure import POOL, StructuralModel
from ch4grid.vocabulary import GASES, VARIABLES

Floats = NDArray[np.float64]

EFFECTS = ("total", "direct", "indirect", "own")
LEVEL = 0.05

# Variables computed from others: what runs through them is arithmetic.
BUILT_FROM: dict[str, frozenset[str]] = {
    "vpd": frozenset({"tas", "hurs"}),
    "hurs": frozenset({"tas", "vpd"}),
    "dtr": frozenset({"tas"}),
    "psa": frozenset({"ps"}),
}
# Carbon fluxes that tower processing partitions by temperature and radiation, unless they are seen from space.
PARTITIONED = ("gpp", "npp")
REMOTE = "remote-sensing"


@dataclass(frozen=True, eq=False)
class Mediation:
    """Effects of one driver through another, per class.

    Args:
        treatment: The driver that is changed.
        mediator: The driver that it may act through.
        flux: Name of the flux variable.
        table: One row per class and effect, see `report_mediation`.
        interaction: p value of a product of treatment and mediator in the flux equation of each class.
        copies: Bootstrap samples, and how many of them had no steady state.
    """

    treatment: str
    mediator: str
    flux: str
    table: pd.DataFrame
    interaction: dict[str, float]
    copies: tuple[int, int]


def mediation(
    series: xr.Dataset,
    graph: CausalGraph,
    *,
    flux: str,
    treatment: str,
    mediator: str,
    seed: int,
    threshold: float = 0.5,
    bootstraps: int = 500,
) -> Mediation:
    """Lasting natural direct and indirect effects of `treatment` on the flux through `mediator`, per class.

    The equations are those of the structural model. Links from the treatment to the mediator and from both to the flux
    are estimated also where the graph has none, so that an absent effect is a finding, not an assumption.

    Args:
        series: Flux [kg m-2 s-1] and drivers (site, time), ecosystem and cluster (site), by month or week.
        graph: Link probabilities; those from `threshold` on are causes.
        flux: Name of the flux variable.
        treatment: Driver that is changed.
        mediator: Driver that it may act through.
        seed: Seed of the bootstrap over blocks of a cluster and a year.
        threshold: Smallest probability of a cause.
        bootstraps: Number of bootstrap samples.

    Raises:
        InputError: Treatment or mediator are absent, the mediator is computed from the treatment, is partitioned from
            tower fluxes, or causes the treatment.
    """
    _check(series, graph, treatment, mediator, threshold)
    links = [(treatment, flux), (mediator, flux), (treatment, mediator)]
    complete = forced(graph, links, threshold)
    fitted = estimate_structure(
        series, complete, flux=flux, seed=seed, threshold=threshold, bootstraps=bootstraps
    )
    model = fitted.model
    data = towers(series, graph.nodes)
    told = {r["ecosystem"]: r for r in model.provenance["equations"] if r["node"] == flux}
    names = [n for n in (*graph.ecosystems, POOL) if n in told]
    known = [n for n in names if _estimated(model, n, treatment, mediator)]
    samples = {
        n: np.array([effects(c, n, treatment, mediator) for c in fitted.copies]) for n in known
    }
    lost = max((int(np.isnan(s[:, 0]).sum()) for s in samples.values()), default=0)
    tables = [_table(model, n, treatment, mediator, samples[n], told[n]) for n in known]
    if not tables:
        raise InputError(
            "no class has enough rows for an equation of the flux",
            where="mediation",
            expected=f"{treatment} and {mediator} measured beside the flux",
            found=f"equations of {', '.join(names) or 'no class'}",
        )
    return Mediation(
        treatment=treatment,
        mediator=mediator,
        flux=flux,
        table=pd.concat(tables, ignore_index=True),
        interaction={
            n: _interaction(data, model, n, treatment, mediator) for n in known if n != POOL
        },
        copies=(bootstraps, lost),
    )


def effects(
    model: StructuralModel, ecosystem: str, treatment: str, mediator: str
) -> tuple[float, float, float, float]:
    """Lasting effects of a structural model [asinh units per transformed unit of the treatment].

    Returns:
        The total effect; the direct one, with the mediator held; the indirect one, their difference; and the
        treatment's own, with every other driver held. NaN where the equations have no steady state.
    """
    e, t = model.index(ecosystem), model.drivers.index(treatment)
    into = model.coefficient[e, -1].sum(axis=-1)
    unit = model.spread[e, -1] / model.spread[e, t]
    try:
        free = model.lasting([treatment], ecosystem)[:, t]
        held = model.lasting([treatment, mediator], ecosystem)[:, t]
    except ValueError:
        return (np.nan,) * 4
    total, direct = float(into @ free) * unit, float(into @ held) * unit
    return total, direct, total - direct, float(into[t]) * unit


def robustness(t_value: float, freedom: float, quantile: float = 0.0) -> float:
    """Share of the residual variance of cause and outcome that a confounder would have to explain to undo a link.

    With `quantile` 0 to bring the estimate to nothing, else to bring it within that many standard errors.

    Source:
        Cinelli and Hazlett (2020), J. R. Stat. Soc. B 82, 39, eqs. 16 and 17, q = 1.
    """
    if freedom <= 1:
        return 0.0
    f = max(0.0, abs(t_value) / sqrt(freedom) - quantile / sqrt(freedom - 1))
    return float((sqrt(f**4 + 4 * f**2) - f**2) / 2)


def e_value(effect: float) -> float:
    """Risk ratio by which a confounder would have to move cause and outcome to explain an effect away.

    Args:
        effect: Change of the outcome in its standard deviations per standard deviation of the cause.

    Source:
        VanderWeele and Ding (2017), Ann. Intern. Med. 167, 268, table 2, continuous outcomes.
    """
    ratio = exp(0.91 * abs(effect))
    return ratio + sqrt(ratio * (ratio - 1))


def _check(
    series: xr.Dataset, graph: CausalGraph, treatment: str, mediator: str, threshold: float
) -> None:
    where = f"mediation of {treatment} through {mediator}"
    absent = [n for n in (treatment, mediator) if n not in series or n not in graph.drivers]
    if absent or treatment == mediator:
        raise InputError(
            "treatment and mediator must be two drivers of the graph and the series",
            where=where,
            expected=f"two of {', '.join(graph.drivers)}",
            found=f"not there: {', '.join(absent) or 'none, but both are the same'}",
        )
    if treatment in BUILT_FROM.get(mediator, ()) or mediator in BUILT_FROM.get(treatment, ()):
        raise InputError(
            "one of the two is computed from the other, what runs through it is arithmetic",
            where=where,
            expected="a mediator that is measured by itself",
            found=mediator,
            fix="Use tsl, mrsos or evi",
        )
    if mediator in PARTITIONED and series[mediator].attrs.get("origin") != REMOTE:
        raise InputError(
            f"{mediator} partitioned from tower fluxes holds temperature and radiation by construction",
            where=where,
            expected=f"{mediator} seen from space, with the attribute origin = {REMOTE!r}",
            found=f"origin {series[mediator].attrs.get('origin', 'not stated')!r}",
            fix="Use evi or ndvi, or state the origin of the variable",
        )
    back = graph.probability[:, graph.drivers.index(treatment), graph.drivers.index(mediator)].mean(
        axis=0
    )
    if not admissible(treatment, mediator) or back.max() >= threshold:
        raise InputError(
            "the mediator is a cause of the treatment, not the other way round",
            where=where,
            expected=f"no link from {mediator} to {treatment} in the graph",
            found=f"probability {back.max():.2f}",
        )


def _estimated(model: StructuralModel, ecosystem: str, treatment: str, mediator: str) -> bool:
    """Whether the flux equation of a class and the way to it hold both drivers."""
    e = model.index(ecosystem)
    at = [model.drivers.index(n) for n in (treatment, mediator)]
    return bool((model.coefficient[e, -1, at] != 0).any(axis=-1).all())


def _table(
    model: StructuralModel,
    ecosystem: str,
    treatment: str,
    mediator: str,
    samples: Floats,
    told: Mapping[str, Any],
) -> pd.DataFrame:
    value = effects(model, ecosystem, treatment, mediator)
    steady = ~np.isnan(samples[:, 0])
    low, high = interval(samples[steady] if steady.any() else samples, told["clusters"])
    e = model.index(ecosystem)
    t, m = model.drivers.index(treatment), model.drivers.index(mediator)
    freedom = told["effective_rows"] - told["causes"] - 1
    links = [_t_value(model, e, -1, m), _t_value(model, e, m, t)]
    # in standard deviations of the flux per standard deviation of the treatment
    unit = model.spread[e, t] / model.spread[e, -1]
    near = max(0.0, low[2], -high[2]) * unit
    sensitivity = {
        "robustness": min(robustness(v, freedom) for v in links),
        "robustness_limit": min(robustness(v, freedom, reach(told["clusters"])) for v in links),
        "e_value": e_value(value[2] * unit),
        "e_value_limit": e_value(near),
    }
    rows = [
        {
            "ecosystem": ecosystem,
            "treatment": treatment,
            "mediator": mediator,
            "effect": name,
            "estimate": value[k],
            "lower": low[k],
            "upper": high[k],
            "share": value[k] / value[0] if value[0] else np.nan,
            **(sensitivity if name == "indirect" else dict.fromkeys(sensitivity, np.nan)),
            "sites": told["sites"],
            "clusters": told["clusters"],
            "rows": told["rows"],
            "effective_rows": told["effective_rows"],
        }
        for k, name in enumerate(EFFECTS)
    ]
    return pd.DataFrame(rows)


def _t_value(model: StructuralModel, e: int, to: int, source: int) -> float:
    """The largest t value of a link over its lags."""
    value, error = model.coefficient[e, to, source], model.error[e, to, source]
    return float((np.abs(value) / np.where(error > 0, error, np.inf)).max())


def _interaction(
    data: Towers, model: StructuralModel, ecosystem: str, treatment: str, mediator: str
) -> float:
    """P value of the product of treatment and mediator beside the causes of the flux in a class."""
    members = np.flatnonzero(data.ecosystems == ecosystem)
    e = model.index(ecosystem)
    links = [(int(i), int(lag)) for i, lag in np.argwhere(model.coefficient[e, -1] != 0)]
    columns = [data.lagged(model.drivers[i], lag)[members] / model.spread[e, i] for i, lag in links]
    both = []
    for name in (treatment, mediator):
        i = model.drivers.index(name)
        lag = int(np.abs(model.coefficient[e, -1, i]).argmax())
        both.append(departures(data.lagged(name, lag)[members], data.design) / model.spread[e, i])
    used = rows([*columns, both[0] * both[1]], data.values[model.target][members], data.design)
    if len(used.y) <= 3 * used.x.shape[1]:
        return 1.0
    found = solve(equation(used, data.blocks[members], int(data.blocks.max()) + 1))
    return erfc(abs(found.coefficient[-1]) / found.error[-1] / sqrt(2))


def report_mediation(results: Sequence[Mediation]) -> Finding:
    """The finding of one treatment through several mediators.

    Raises:
        ValueError: The results are of different treatments or fluxes, or there are none.
    """
    if len({(r.treatment, r.flux) for r in results}) != 1:
        raise ValueError("report_mediation: expected results of one treatment and one flux")
    first = results[0]
    through = ", ".join(r.mediator for r in results)
    gas = next(g for g in GASES.values() if g.flux == first.flux)
    table = pd.concat([r.table for r in results], ignore_index=True)
    per = VARIABLES[first.treatment].units
    indirect = table[table["effect"] == "indirect"]
    clear = indirect[(indirect["lower"] > 0) | (indirect["upper"] < 0)]
    answers = tuple(_answer(row, per) for row in clear.to_dict("records")) or (
        f"No effect of {first.treatment} through {through} can be told from none.",
    )
    pool = table[table["ecosystem"] == table["ecosystem"].iloc[-1]].iloc[0]
    return Finding(
        key=f"mediation-{first.treatment}",
        title=f"What {VARIABLES[first.treatment].long_name} does to the {gas.long_name} flux by way of other drivers",
        question=f"How much of a lasting effect of {first.treatment} runs through {through}?",
        data=f"{pool['sites']} towers, {pool['rows']} months worth {pool['effective_rows']:.0f} independent ones",
        answers=answers,
        table=table,
        columns={
            "ecosystem": "class, or all towers",
            "treatment": "driver that is changed",
            "mediator": "driver that it may act through",
            "effect": "total; direct, with the mediator held; indirect, through the mediator; own, all others held",
            "estimate": f"lasting change of the flux [asinh units per {per}, or per e-fold of rain, wind, radiation]",
            "lower": "lower end of the 90 % interval",
            "upper": "upper end of the 90 % interval",
            "share": "share of the total effect [1]",
            "robustness": "share of residual variance that a confounder of the weaker link must explain to undo it [1]",
            "robustness_limit": "the same to bring the 90 % interval to zero [1]",
            "e_value": "risk ratio by which a confounder must move both to explain the indirect effect away",
            "e_value_limit": "the same for the end of the interval nearest to none; 1 if that includes none",
            "sites": "towers in the flux equation",
            "clusters": "clusters of equal size that would weigh as much as theirs; they set the width of intervals",
            "rows": "months in the flux equation",
            "effective_rows": "independent months that would give the same standard errors",
        },
        checks=(*map(_interaction_check, results), _steady_check(results)),
        limits=(
            "Effects are consistent with the graph; a cause that no tower measures may stand behind mediator and flux.",
            "Lasting effects are extrapolated from month-to-month anomalies by linear equations.",
        ),
        attributes={"bootstraps": first.copies[0]},
    )


def _answer(row: Mapping[Hashable, Any], per: str) -> str:
    return (
        f"{row['ecosystem']}: of {row['treatment']} through {row['mediator']} {row['estimate']:+.3g} asinh units per "
        f"{per} (90 % interval {row['lower']:.3g} to {row['upper']:.3g}), {row['share']:.0%} of the total; a "
        f"confounder that explains {row['robustness']:.0%} of what is left of both ends of a link would undo it."
    )


def _interaction_check(result: Mediation) -> Check:
    found = result.interaction
    if not found:
        return Check(f"no interaction with {result.mediator}", None, "no class has rows of its own")
    name = min(found, key=lambda n: found[n])
    bound = LEVEL / len(found)
    return Check(
        f"no interaction of {result.treatment} with {result.mediator}",
        found[name] >= bound,
        f"expected p of their product in the flux equation of every class at or above {bound:.3g}; found "
        f"{found[name]:.3g} for {name}; under an interaction direct and indirect effects depend on the state",
    )


def _steady_check(results: Sequence[Mediation]) -> Check:
    lost, drawn = max(r.copies[1] for r in results), results[0].copies[0]
    return Check(
        "the equations have a steady state",
        lost <= 0.05 * drawn,
        f"expected in 95 % of the bootstrap samples at least; found {drawn - lost} of {drawn}",
    )
