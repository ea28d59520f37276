"""Counterfactuals at towers: the flux that would have been measured had drivers been changed and nothing else.

Abduction, action, prediction (Pearl 2009, Causality, section 7.1): what the equations do not explain in a month stays
in it; the drivers are changed, with or without their consequences for other drivers; the flux equation says the rest.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal.hull import outside
from ch4grid.causal.intervals import interval
from ch4grid.causal.monthly import Towers, by_month, towers
from ch4grid.errors import InputError, RecipeError
from ch4grid.findings import Check, Finding
from ch4grid.structure import LOG_FLOOR, POOL, StructuralModel
from ch4grid.vocabulary import FLUX_UNITS, GASES

Floats = NDArray[np.float64]

# Copies drawn from the standard errors where none of the bootstrap are given.
DRAWS = 200


def counterfactual(
    series: xr.Dataset,
    structure: StructuralModel,
    *,
    do: Mapping[str, float],
    propagate: bool = True,
    course: Literal["lasting", "transient"] = "lasting",
    copies: Sequence[StructuralModel] = (),
    seed: int = 0,
) -> xr.Dataset:
    """The measured flux under an intervention, month by month.

    A month is blanked when a changed driver leaves the range observed at the towers of its class, or when the causes of
    the flux in it are less like those of any other cluster of the class than towers are among each other.

    Args:
        series: Flux [kg m-2 s-1] and drivers (site, time), ecosystem and cluster (site), by month or week.
        structure: The equations.
        do: What is added to drivers in their units; to rain, wind and radiation a share (0.1 is +10 %).
        propagate: Whether the consequences for other drivers follow, or only the named ones change.
        course: "lasting": as if the change had always held; "transient": from the first month of the series on.
        copies: The structure fitted to bootstrap samples, for the intervals; drawn from its standard errors, as if
            those were independent, where none are given.
        seed: Seed of that draw.

    Returns:
        `measured`, `flux`, `lower`, `upper` (site, time) [kg m-2 s-1], NaN where not measured or blanked, `blanked`
        (site, time); per class and the pool `change`, `change_lower`, `change_upper` (ecosystem) [kg m-2 s-1], means
        over the months that stay, `months` measured and `months_blanked` (ecosystem). Intervals are 90 %.

    Raises:
        RecipeError: An intervention names a driver that the structure does not have, or takes away all of one.
        InputError: The flux or a driver to be changed is absent from the series.
    """
    _check(do, structure, series)
    data = towers(series, structure.nodes, modifiers=sorted(structure.modification))
    monthly = by_month(series, structure.nodes)
    gas = next(g for g in GASES.values() if g.flux == structure.target)
    scale = gas.asinh_scale * gas.kg_per_nmol
    measured = np.asarray(
        monthly[structure.target].transpose("site", "time").values, dtype=np.float64
    )
    star = np.arcsinh(measured / scale)
    shifts = driver_changes(data, structure, do, propagate=propagate, course=course)
    blank = outside(data, structure, shifts, forced=tuple(do)) & np.isfinite(measured)
    keep = np.where(blank, np.nan, 1.0)
    change = flux_change(data, structure, shifts)
    flux = np.where(change == 0, measured, scale * np.sinh(star + change)) * keep
    samples = np.stack(
        [
            scale * np.sinh(star + _copied(data, copy, do, propagate, course)) * keep
            for copy in (copies or _drawn(structure, seed))
        ]
    )
    groups = {n: data.ecosystems == n for n in structure.ecosystems}
    groups[POOL] = np.ones(len(data.ecosystems), dtype=bool)
    clusters = {n: structure.clusters(n, structure.target) for n in groups}
    low, high = _site_intervals(samples, data, clusters)
    fields = {"measured": measured, "flux": flux, "lower": low, "upper": high}
    out: dict[str, Any] = {
        n: (("site", "time"), v, {"units": FLUX_UNITS}) for n, v in fields.items()
    }
    classes = [
        _class_change(measured, flux, samples, blank, rows, clusters[n])
        for n, rows in groups.items()
    ]
    out |= {
        n: ("ecosystem", np.array(v), {"units": FLUX_UNITS if "change" in n else "1"})
        for n, v in zip(CLASS_COLUMNS, zip(*classes, strict=True), strict=True)
    }
    place = {n: series[n] for n in ("latitude", "longitude") if n in series.coords}
    return xr.Dataset(
        {**out, "blanked": (("site", "time"), blank)},
        coords=place
        | {
            "site": series["site"],
            "time": monthly["time"],
            "site_class": ("site", data.ecosystems),
            "ecosystem": list(groups),
        },
        attrs={
            "do": ", ".join(
                f"{n} {v:+g}{' (share)' if n in LOG_FLOOR else ''}" for n, v in sorted(do.items())
            ),
            "propagate": str(propagate).lower(),
            "course": course,
            "pooled": ", ".join(_pooled(structure, data)),
            "interval": "90 % by "
            + ("bootstrap of blocks" if copies else "independent standard errors"),
        },
    )


CLASS_COLUMNS = ("change", "change_lower", "change_upper", "months", "months_blanked")


def driver_changes(
    data: Towers,
    structure: StructuralModel,
    do: Mapping[str, float],
    *,
    propagate: bool,
    course: Literal["lasting", "transient"],
) -> Floats:
    """Change (site, time, driver) of every driver in transformed units."""
    spread = _site_spread(data, structure)
    size = {n: np.log1p(v) if n in LOG_FLOOR else v for n, v in do.items()}
    forced = {n: size[n] / spread[:, structure.drivers.index(n)] for n in sorted(do)}
    months = len(data.design)
    change = np.zeros((len(spread), months, len(structure.drivers)))
    for name in np.unique(data.ecosystems):
        rows = np.flatnonzero(data.ecosystems == name)
        here = {n: v[rows] for n, v in forced.items()}
        known = str(name) if name in structure.ecosystems else POOL
        if not propagate:
            for n, v in here.items():
                change[rows, :, structure.drivers.index(n)] = v[:, None]
        elif course == "lasting":
            response = structure.lasting(list(here), known)
            total = sum(
                np.outer(v, response[:, structure.drivers.index(n)]) for n, v in here.items()
            )
            change[rows] = np.asarray(total)[:, None, :]
        else:
            path = {n: np.broadcast_to(v, (months, len(rows))) for n, v in here.items()}
            change[rows] = structure.transient(path, known).transpose(2, 0, 1)
    return np.asarray(change * spread[:, None, :])


def flux_change(data: Towers, structure: StructuralModel, shifts: Floats) -> Floats:
    """Change (site, time) of the flux in asinh space under changes of the drivers (site, time, driver)."""
    effects = flux_effects(data, structure)
    steady = np.ptp(shifts, axis=1).max(initial=0.0) == 0
    total = np.zeros(shifts.shape[:2])
    for lag in range(structure.max_lag + 1):
        moved = shifts if steady else _delayed(shifts, lag)
        total += np.einsum("sp,stp->st", effects[..., lag], moved)
    return total


def flux_effects(data: Towers, structure: StructuralModel) -> Floats:
    """Effects on the flux (site, driver, lag) in asinh units per transformed unit, as modified at a site."""
    rows = np.array(
        [structure.index(n) if n in structure.ecosystems else -1 for n in data.ecosystems]
    )
    size = structure.coefficient[rows, -1]
    for name, table in structure.modification.items():
        if name in data.statics:
            mean = np.asarray(structure.provenance["modifiers"][name])[rows]
            beyond = np.nan_to_num(data.statics[name] - mean)
            size = size + table[rows] * beyond[:, None, None]
    unit = structure.spread[rows, -1:] / structure.spread[rows, :-1]
    return np.asarray(size * unit[..., None])


def _delayed(shifts: Floats, lag: int) -> Floats:
    out = np.zeros_like(shifts)
    out[:, lag:] = shifts[:, : shifts.shape[1] - lag]
    return out


def _copied(
    data: Towers,
    copy: StructuralModel,
    do: Mapping[str, float],
    propagate: bool,
    course: Literal["lasting", "transient"],
) -> Floats:
    shifts = driver_changes(data, copy, do, propagate=propagate, course=course)
    return flux_change(data, copy, shifts)


def _drawn(structure: StructuralModel, seed: int) -> list[StructuralModel]:
    """Copies whose coefficients are drawn from the standard errors, each by itself."""
    rng = np.random.default_rng(seed)
    return [
        replace(
            structure,
            coefficient=structure.coefficient
            + structure.error * rng.standard_normal(structure.error.shape),
        )
        for _ in range(DRAWS)
    ]


def _pooled(structure: StructuralModel, data: Towers) -> list[str]:
    """Classes with towers but without a flux equation of their own: they take that of all towers."""
    told = structure.provenance.get("equations", [])
    own = {r["ecosystem"] for r in told if r["node"] == structure.target}
    return sorted(set(map(str, data.ecosystems)) - own)


def _site_spread(data: Towers, structure: StructuralModel) -> Floats:
    """Spreads (site, driver) of each site's own anomalies, of its class where a driver is not measured there."""
    rows = np.array(
        [structure.index(n) if n in structure.ecosystems else -1 for n in data.ecosystems]
    )
    own = data.spread[:, :-1]
    return np.where(np.isfinite(own), own, structure.spread[rows, :-1])


def _site_intervals(
    samples: Floats, data: Towers, clusters: Mapping[str, float]
) -> tuple[Floats, Floats]:
    """Intervals (site, time) as wide as the clusters of each site's class ask for."""
    low, high = (np.full(samples.shape[1:], np.nan) for _ in range(2))
    for name in np.unique(data.ecosystems):
        here = data.ecosystems == name
        low[here], high[here] = interval(samples[:, here], clusters.get(str(name), clusters[POOL]))
    return low, high


def _class_change(
    measured: Floats,
    flux: Floats,
    samples: Floats,
    blank: NDArray[np.bool_],
    rows: NDArray[np.bool_],
    clusters: float,
) -> tuple[float, float, float, int, int]:
    """Mean change over the months that stay, its interval, months measured and months blanked."""
    there = np.isfinite(measured[rows])
    months, blanked = int(there.sum()), int(blank[rows].sum())
    ok = there & ~blank[rows]
    if not ok.any():
        return np.nan, np.nan, np.nan, months, blanked
    change = float((flux[rows] - measured[rows])[ok].mean())
    low, high = interval((samples[:, rows] - measured[rows])[:, ok].mean(axis=1), clusters)
    return change, float(low), float(high), months, blanked


def _check(do: Mapping[str, float], structure: StructuralModel, series: xr.Dataset) -> None:
    unknown = sorted(set(do) - set(structure.drivers))
    if unknown or not do:
        raise RecipeError(
            "the intervention names no driver of the structure",
            where="do",
            expected=f"some of {', '.join(structure.drivers)}",
            found=", ".join(unknown) or "nothing",
        )
    for name, size in do.items():
        if name in LOG_FLOOR and size <= -1:
            raise RecipeError(
                "the change takes away all of a driver that is changed by a share of itself",
                where=f"do.{name}",
                expected="a share above -1",
                found=size,
            )
    absent = sorted({*do, structure.target} - set(map(str, series.data_vars)))
    if absent:
        raise InputError(
            "a driver to be changed, or the flux, is absent from the series",
            where="do",
            expected=sorted({*do, structure.target}),
            found=absent,
        )


def report_counterfactual(results: Mapping[str, xr.Dataset], *, target: str) -> Finding:
    """The finding of one intervention seen in several ways.

    Args:
        results: Outcomes of `counterfactual` by how they are called, e.g. "ceteris paribus" and "propagated".
        target: Name of the flux variable.
    """
    gas = next(g for g in GASES.values() if g.flux == target)
    table = pd.concat(
        [_table(name, result, gas.kg_per_nmol) for name, result in results.items()],
        ignore_index=True,
    )
    first = next(iter(results.values()))
    pool = table[table["ecosystem"] == POOL]
    answers = tuple(_answer(row, first.attrs["do"]) for row in pool.to_dict("records"))
    return Finding(
        key=f"counterfactual-{'-'.join(first.attrs['do'].replace('+', '').replace(',', '').split())}",
        title=f"{gas.long_name.capitalize()} flux under {first.attrs['do']}",
        question=f"What would the towers have measured had {first.attrs['do']} held?",
        data=f"{first.sizes['site']} towers, {int(pool['months'].iloc[0])} measured months",
        answers=answers,
        table=table,
        columns={
            "ecosystem": "class, or all towers",
            "reading": "which consequences follow",
            "change": "mean change of the flux over the months that stay [nmol m-2 s-1]",
            "lower": "lower end of the 90 % interval [nmol m-2 s-1]",
            "upper": "upper end of the 90 % interval [nmol m-2 s-1]",
            "relative": "change over the size of the mean measured flux of the same months [1]",
            "months": "measured months",
            "blanked": "months blanked because the changed drivers leave what towers of the class have seen",
        },
        checks=_checks(results),
        limits=(
            "Consistent with the equations, whose causes are those of the graph; what drives the flux and is not "
            "measured is held as it was.",
            "Equations are linear and come from month-to-month anomalies; slow adaptation of soils and plants is not "
            "in them.",
            f"Under the equation of all towers for want of their own: {first.attrs['pooled'] or 'no class'}.",
        ),
        attributes={name: dict(result.attrs) for name, result in results.items()},
    )


def _answer(row: Mapping[Hashable, Any], do: str) -> str:
    return (
        f"{row['reading']}: had {do} held, the measured flux of all towers would have differed by "
        f"{row['change']:+.3g} nmol m-2 s-1 (90 % interval {row['lower']:.3g} to {row['upper']:.3g}), on "
        f"{row['months'] - row['blanked']} of {row['months']} months."
    )


def _table(reading: str, result: xr.Dataset, unit: float) -> pd.DataFrame:
    classes = [str(n) for n in result["ecosystem"].values]
    stays = result["measured"].where(result["flux"].notnull())
    means = [
        float(stays.mean()) if n == POOL else float(stays.where(result["site_class"] == n).mean())
        for n in classes
    ]
    change = result["change"].values
    return pd.DataFrame(
        {
            "ecosystem": classes,
            "reading": reading,
            "change": change / unit,
            "lower": result["change_lower"].values / unit,
            "upper": result["change_upper"].values / unit,
            "relative": change / np.abs(means),
            "months": result["months"].values,
            "blanked": result["months_blanked"].values,
        }
    ).query("months > 0")


def _checks(results: Mapping[str, xr.Dataset]) -> tuple[Check, ...]:
    shares = {
        name: float(r["months_blanked"].values[-1] / max(1, r["months"].values[-1]))
        for name, r in results.items()
    }
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return (
        Check(
            "changed drivers stay within what towers have seen",
            max(shares.values()) <= 0.5,
            f"expected at most 50 % of the months blanked; found {told}",
        ),
    )
