"""The urban gradient: where along it the effect of a driver changes sign, and whether that may be claimed at all.

In go towers with an urban fraction, out comes a `Gradient`: for every driver and class the slope of the flux in nature,
its change with the built-up share, the share at which it changes sign with an interval, and the checks that a reversal
has to stand (methods 3.14). The wording is "consistent with": cities differ from wetlands by more than their asphalt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal.gradient_checks import Stratum, checks, unchecked
from ch4grid.causal.reversals import COLUMNS, URBAN, judged, reversals
from ch4grid.causal.rows import Rows, Setting, class_names, rows_of
from ch4grid.causal.slopes import slopes_of
from ch4grid.errors import InputError
from ch4grid.findings import Check

Floats = NDArray[np.float64]

POOL = "pool"
MIN_URBAN_SITES = 3
MIN_SITES = 6
# Share of the sites that must have a driver.
MIN_SHARE = 0.8


@dataclass(frozen=True, eq=False)
class Gradient:
    """Slopes along the urban gradient.

    Args:
        table: One row per class (and `pool`), driver and scale of the urban fraction; columns: `reversals.COLUMNS`.
        checks: The checks of methods 3.14.
        data: Towers and steps behind it, in words.
        reason: Why nothing could be estimated; empty when it could.
        untested: Drivers and classes left out, each with its reason.
        attributes: Settings as JSON values.
    """

    table: pd.DataFrame
    checks: tuple[Check, ...]
    data: str
    reason: str = ""
    untested: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, object] = field(default_factory=dict)


def gradient(
    series: xr.Dataset,
    *,
    flux: str,
    drivers: Sequence[str],
    ecosystems: Sequence[str] | None = None,
    lags: Mapping[str, int] | None = None,
    memory: int = 1,
    harmonics: int = 2,
    min_coverage: float = 0.2,
    seed: int = 0,
) -> Gradient:
    """Slopes of the flux on its drivers along the urban gradient, per class and pooled, with reversals and checks.

    A reversal is claimed only if the change of the slope is significant after the false discovery rate over drivers
    and classes, the interval of the reversal is bounded and inside the urban fractions that were observed, the fit
    without any single urban site keeps it, and the sign differs between the ends of the gradient with 95 %.

    Args:
        series: SITES with `flux` [kg m-2 s-1], drivers (site, time) and `urban_fraction` (site) [1].
        flux: Name of the flux.
        drivers: Drivers wanted; one that most sites lack is left out and said so.
        ecosystems: Classes wanted; all that are there by default.
        lags: Steps by which a driver acts later; 0 where not named.
        memory: Earlier steps of every driver that enter as further regressors, see `rows.Setting`.
        harmonics: Annual harmonics taken out per site.
        min_coverage: Steps whose measured share is below this are not used [1].
        seed: Seed of the parametric bootstrap.

    Raises:
        InputError: The flux is absent, or a class is not in the series.
    """
    series = _of_classes(series, ecosystems)
    untested = {name: _why_left_out(series, name) for name in drivers}
    used = tuple(name for name in drivers if not untested[name])
    untested = {name: reason for name, reason in untested.items() if reason}
    how = Setting(flux, used, harmonics, min_coverage, memory, dict(lags or {}))
    attributes: dict[str, object] = {"drivers": list(used), "seed": seed, "harmonics": harmonics}
    attributes |= {"lags": dict(how.lags), "memory": memory}
    reason = _why_unanswerable(series, used)
    if reason:
        return Gradient(
            pd.DataFrame({name: [] for name in COLUMNS}),
            unchecked(reason),
            _told(series, flux),
            reason,
            untested,
            attributes,
        )
    rows = rows_of(series, how)
    parts, short = _strata(rows)
    untested |= short
    if not parts:
        reason = "no class nor all of them together have enough towers along the gradient"
        return Gradient(
            pd.DataFrame({name: [] for name in COLUMNS}),
            unchecked(reason),
            _told(series, flux),
            reason,
            untested,
            attributes,
        )
    strata = {name: Stratum(part, slopes_of(part)) for name, part in parts.items()}
    table = judged(pd.concat([reversals(n, s.rows, s.slopes, seed) for n, s in strata.items()]))
    found = checks(table, strata, series, how)
    return Gradient(table, found, _told(series, flux), "", untested, attributes)


def _of_classes(series: xr.Dataset, ecosystems: Sequence[str] | None) -> xr.Dataset:
    """The sites of some classes."""
    if ecosystems is None:
        return series
    names = class_names(series)
    absent = sorted(set(ecosystems) - set(names.tolist()))
    if absent:
        raise InputError(
            "classes are absent from the series",
            where="gradient",
            expected=list(ecosystems),
            found=sorted(set(names.tolist())),
            fix="Name classes that have towers",
        )
    return series.isel(site=np.isin(names, list(ecosystems)))


def _why_left_out(series: xr.Dataset, name: str) -> str:
    """Empty when a driver can be used, else the reason why it cannot."""
    if name not in series:
        return "absent from the series"
    if set(series[name].dims) != {"site", "time"}:
        return "static"
    share = float(series[name].notnull().any("time").mean())
    return "" if share >= MIN_SHARE else f"measured at {share:.0%} of the towers"


def _why_unanswerable(series: xr.Dataset, drivers: tuple[str, ...]) -> str:
    """Empty when the data can answer the question, else what is missing."""
    if not drivers:
        return "no driver is measured at enough towers"
    if "urban_fraction" not in series.variables:
        urban = int((class_names(series) == "urban").sum())
        return f"the towers have no urban_fraction ({urban} of {series.sizes['site']} are of class urban)"
    fraction = np.asarray(series["urban_fraction"].values, dtype=np.float64)
    urban = int((fraction >= URBAN).sum())
    if urban < MIN_URBAN_SITES:
        return (
            f"{urban} of {len(fraction)} towers have an urban fraction of {URBAN:g} or more and "
            f"{MIN_URBAN_SITES} are needed: with one or two cities the gradient is those cities"
        )
    return ""


def _told(series: xr.Dataset, flux: str) -> str:
    """Towers by class and measured steps, in words."""
    names, counts = np.unique(class_names(series), return_counts=True)
    towers = ", ".join(f"{n} {name}" for name, n in zip(names, counts, strict=True))
    steps = int(series[flux].notnull().sum()) if flux in series else 0
    step = series.attrs.get("step", "month")
    text = f"{series.sizes['site']} towers ({towers}) with {steps} measured {step}s"
    if "urban_fraction" in series.variables:
        fraction = np.asarray(series["urban_fraction"].values, dtype=np.float64)
        urban = int((fraction >= URBAN).sum())
        text += (
            f"; urban fraction {np.nanmin(fraction):.2f} to {np.nanmax(fraction):.2f}, "
            f"{urban} towers at {URBAN:g} or more"
        )
    return text


def _strata(rows: Rows) -> tuple[dict[str, Rows], dict[str, str]]:
    """Classes with enough towers along the gradient and all towers together; classes left out with the reason."""
    parts: dict[str, Rows] = {}
    short: dict[str, str] = {}
    classes = sorted(set(rows.ecosystem.tolist()))
    for name in [*classes, POOL]:
        part = rows if name == POOL else rows.at(rows.ecosystem == name)
        sites, urban = len(part.urban), int((part.urban >= URBAN).sum())
        if sites < MIN_SITES or urban < MIN_URBAN_SITES or sites - urban < MIN_URBAN_SITES:
            short[name] = f"{sites} usable towers, {urban} of them urban"
        elif name != POOL or len(classes) > 1:
            parts[name] = part
    return parts, short
