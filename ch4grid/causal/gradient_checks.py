"""Checks that a reversal along the urban gradient has to stand (methods 3.14); each runs by itself or says why not.

In go the table of slopes and the rows behind it, out come `Check`s: one city behind it all, composition of classes,
heating instead of biology, human rhythms, wind sectors, the season.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal.reversals import ALPHA
from ch4grid.causal.rows import Rows, Setting, rows_of
from ch4grid.causal.slopes import Slopes, slopes_of
from ch4grid.findings import Check

Floats = NDArray[np.float64]

NAMES = (
    "leave one urban site out",
    "within classes (Simpson)",
    "heating degree days for temperature",
    "weekend and holiday contrast",
    "wind sectors",
    "de-seasonalised against raw",
    "logit of the urban fraction",
)
# Outdoor temperature below which buildings are heated [K]: 18 degC, the usual base of heating degree days.
HEATING_BASE = 291.15
SIGNIFICANT = ALPHA
SECTORS = 4
DAY = np.timedelta64(1, "D")
SATURDAY = 5


@dataclass(frozen=True, eq=False)
class Stratum:
    """A class, or all of them: its rows and the slopes fitted to them."""

    rows: Rows
    slopes: Slopes


Case = tuple[str, str]


def checks(
    table: pd.DataFrame, strata: Mapping[str, Stratum], series: xr.Dataset, how: Setting
) -> tuple[Check, ...]:
    """All checks, on the drivers and classes whose slope changes along the gradient with a reversal inside it.

    Args:
        table: Slopes as in `gradient`.
        strata: Rows and slopes by class.
        series: The towers.
        how: How rows were made.
    """
    plain = table[table["scale"] == "plain"]
    inside = plain[(plain["q"] <= SIGNIFICANT) & plain["lower"].notna()]
    inside = inside[~inside["why"].str.startswith("interval")]
    cases = [(str(e), str(d)) for e, d in zip(inside["ecosystem"], inside["driver"], strict=True)]
    runs: tuple[Callable[[], Check], ...] = (
        lambda: _one_city(inside),
        lambda: _simpson(cases, strata),
        lambda: _heating(cases, strata, series, how),
        lambda: _human_rhythm(strata, series, how),
        lambda: _sectors(cases, strata, series, how),
        lambda: _raw(cases, strata, series, how),
        lambda: _logit(cases, table),
    )
    if not cases:
        return unchecked("no slope changes along the gradient with a reversal inside it")
    return tuple(run() for run in runs)


def unchecked(reason: str) -> tuple[Check, ...]:
    """All checks as not run."""
    return tuple(Check(name, None, f"could not be run: {reason}") for name in NAMES)


def _one_city(cases: pd.DataFrame) -> Check:
    lost = cases[cases["kept"] < 1]
    told = f"{len(cases) - len(lost)} of {len(cases)} reversals stay when any one urban site is left out"
    if len(lost):
        told += "; not so " + _listed(zip(lost["ecosystem"], lost["driver"], strict=True))
    return Check(NAMES[0], len(lost) == 0, told)


def _simpson(cases: list[Case], strata: Mapping[str, Stratum]) -> Check:
    """Whether the change of the pooled slope has the sign of the change within every class that shows one."""
    classes = [name for name in strata if name != "pool"]
    drivers = [driver for name, driver in cases if name == "pool"]
    if "pool" not in strata or not classes:
        return Check(
            NAMES[1], None, "could not be run: only one class has towers along the gradient"
        )
    against = []
    for driver in drivers:
        pooled = _change(strata["pool"].slopes, driver)
        for name in classes:
            change, p = _tested(strata[name].slopes, driver)
            if p < SIGNIFICANT and np.sign(change) != np.sign(pooled):
                against.append((name, driver))
    told = f"{len(drivers)} pooled reversals compared with {len(classes)} classes"
    return Check(
        NAMES[1], not against, told + (f"; opposite in {_listed(against)}" * bool(against))
    )


def _heating(
    cases: list[Case], strata: Mapping[str, Stratum], series: xr.Dataset, how: Setting
) -> Check:
    """Whether temperature explains the flux better than the need for heating that goes with it."""
    names = [name for name, driver in cases if driver == "tas"]
    if not names:
        return Check(NAMES[2], None, "could not be run: no reversal of temperature to replace")
    degrees = (HEATING_BASE - series["tas"]).clip(min=0.0)
    other = _refitted(names, strata, series.assign(tas=degrees), how)
    worse, parts = [], []
    for name in names:
        ours, theirs = strata[name].slopes.unexplained, other[name].unexplained
        change, p = _tested(other[name], "tas")
        parts.append(
            f"{name}: unexplained {ours:.3f} with temperature, {theirs:.3f} with degree days, whose own change "
            f"along the gradient is {change:+.3g} (p = {p:.2g})"
        )
        worse += [name] * (theirs <= ours)
    return Check(NAMES[2], not worse, "expected temperature to explain more; " + "; ".join(parts))


def _human_rhythm(strata: Mapping[str, Stratum], series: xr.Dataset, how: Setting) -> Check:
    """Whether weekends and the days around New Year differ from other days more in cities than elsewhere."""
    time = pd.DatetimeIndex(series["time"].values)
    if len(time) < 2 or np.median(np.diff(time.values)) != DAY:
        step = series.attrs.get("step", "month")
        return Check(
            NAMES[3], None, f"could not be run: it needs daily data and the step is a {step}"
        )
    rows = strata["pool"].rows if "pool" in strata else next(iter(strata.values())).rows
    year_end = ((time.month == 12) & (time.day >= 24)) | ((time.month == 1) & (time.day <= 2))
    parts, failed = [], False
    for name, days in (
        ("weekend", time.day_of_week >= SATURDAY),
        ("24 December to 2 January", year_end),
    ):
        slope, p = _contrast(rows, np.asarray(days))
        failed |= p < SIGNIFICANT
        parts.append(f"{name}: {slope:+.3g} asinh units per urban fraction (p = {p:.2g})")
    return Check(
        NAMES[3], not failed, "expected no contrast with the gradient; " + "; ".join(parts)
    )


def _contrast(rows: Rows, days: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope over the sites of (marked days less others) on the urban fraction, and its p-value."""
    from scipy.stats import linregress

    marked = days[rows.step]
    sites = range(len(rows.urban))
    gap = np.array(
        [
            rows.target[(rows.site == s) & marked].mean()
            - rows.target[(rows.site == s) & ~marked].mean()
            for s in sites
        ]
    )
    found = linregress(rows.urban, gap)
    return float(found.slope), float(found.pvalue)


def _sectors(
    cases: list[Case], strata: Mapping[str, Stratum], series: xr.Dataset, how: Setting
) -> Check:
    """Whether the change of the slope has one sign whatever sector the wind blows from."""
    if "wind_direction" not in series:
        return Check(NAMES[4], None, "could not be run: the towers have no wind_direction")
    against: list[tuple[str, str]] = []
    seen = 0
    sector = np.floor((series["wind_direction"] % 360.0) / (360.0 / SECTORS))
    for number in range(SECTORS):
        part = series.assign({how.flux: series[how.flux].where(sector == number)})
        for name, fit in _refitted([name for name, _ in cases], strata, part, how).items():
            seen += 1
            drivers = [driver for case, driver in cases if case == name]
            against += [(name, d) for d in drivers if _opposite(fit, strata[name].slopes, d)]
    if not seen:
        return Check(NAMES[4], None, "could not be run: too few steps per sector")
    told = f"{SECTORS} sectors, {seen} fits" + (f"; opposite in {_listed(against)}" * bool(against))
    return Check(NAMES[4], not against, told)


def _raw(
    cases: list[Case], strata: Mapping[str, Stratum], series: xr.Dataset, how: Setting
) -> Check:
    """Whether the raw series, with harmonics as regressors, show the change that the de-seasonalised ones show."""
    raw = _refitted([name for name, _ in cases], strata, series, how, seasonal=True)
    against = [
        (name, d)
        for name, d in cases
        if name not in raw or _opposite(raw[name], strata[name].slopes, d)
    ]
    told = f"{len(cases) - len(against)} of {len(cases)} changes have the same sign with the season left in"
    return Check(NAMES[5], not against, told + (f"; not so {_listed(against)}" * bool(against)))


def _logit(cases: list[Case], table: pd.DataFrame) -> Check:
    """Whether the slope changes as well along the logit of the urban fraction."""
    logit, plain = (_by_case(table[table["scale"] == scale]) for scale in ("logit", "plain"))
    against = [
        case
        for case in cases
        if not logit[case]["q"] <= SIGNIFICANT
        or np.sign(logit[case]["change"]) != np.sign(plain[case]["change"])
    ]
    points = "; ".join(
        f"{case[0]} {case[1]} {plain[case]['reversal']:.2f} and {logit[case]['reversal']:.2f}"
        for case in cases
    )
    told = f"reversal on the plain and the logit scale: {points}"
    return Check(NAMES[6], not against, told + (f"; not so {_listed(against)}" * bool(against)))


def _by_case(table: pd.DataFrame) -> dict[Case, dict[Any, Any]]:
    return {(row["ecosystem"], row["driver"]): row for row in table.to_dict("records")}


def _refitted(
    names: list[str],
    strata: Mapping[str, Stratum],
    series: xr.Dataset,
    how: Setting,
    *,
    seasonal: bool = False,
) -> dict[str, Slopes]:
    """Slopes of some strata from other series of the same sites; a stratum that lost most sites is left out."""
    rows = rows_of(series, how, seasonal=seasonal)
    out = {}
    for name in dict.fromkeys(names):
        here = np.isin(rows.names, strata[name].rows.names)
        if here.sum() >= max(4, len(strata[name].rows.names) // 2):
            out[name] = slopes_of(rows.at(here))
    return out


def _change(fit: Slopes, driver: str) -> float:
    return float(fit.change[fit.drivers.index(driver)])


def _opposite(fit: Slopes, other: Slopes, driver: str) -> bool:
    return bool(np.sign(_change(fit, driver)) != np.sign(_change(other, driver)))


def _tested(fit: Slopes, driver: str) -> tuple[float, float]:
    """Change of a slope and its p-value."""
    from scipy.stats import t

    k = fit.drivers.index(driver)
    error = float(np.sqrt(fit.covariance[k, 1, 1]))
    p = 2 * float(t.sf(abs(fit.change[k]) / error, fit.freedom)) if error > 0 else 1.0
    return float(fit.change[k]), p


def _listed(cases: Iterable[Case]) -> str:
    return ", ".join(f"{driver} in {name}" for name, driver in cases)
