"""Reversals: the urban fraction at which a slope changes sign, its interval, and what speaks against claiming it.

In go fitted slopes, out comes one row per driver and scale of the urban fraction. A reversal is a ratio of uncertain
numbers, so that its interval may be unbounded (Fieller 1954); then nothing is claimed.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ch4grid.causal.rows import Rows
from ch4grid.causal.slopes import Slopes, between, slopes_of

Floats = NDArray[np.float64]

# A site counts as urban from this built-up share [1].
URBAN = 0.2
# Built-up shares between which a sign is asked to differ (methods 3.14), cut to the range that was observed [1].
ENDS = (0.05, 0.9)
LEVEL = 0.9
ALPHA = 0.05
CERTAIN = 0.95
DRAWS = 4000
# The logit of a built-up share is taken inside these bounds, or the greenest site would outweigh all others [1].
LOGIT_BOUNDS = (0.01, 0.99)
SCALES = ("plain", "logit")

COLUMNS: dict[str, str] = {
    "ecosystem": "class, or pool for all classes together with a slope in nature of each",
    "driver": "driver; sfcWind as log(m s-1), pr as log(1 + mm per day)",
    "scale": "urban fraction as it is (plain) or its logit",
    "sites": "towers",
    "steps": "months or weeks with flux and all drivers",
    "effective_steps": "independent steps that would say as much",
    "nature": "slope at position 0 of the scale [asinh units per unit of the driver]",
    "nature_error": "standard error of the slope at position 0 [the same]",
    "change": "change of the slope per unit of the scale [the same]",
    "change_lower": "lower bound of the change, 90 %",
    "change_upper": "upper bound of the change, 90 %",
    "covariance": "covariance of the slope at position 0 and its change [the same, squared]",
    "between": "slope of the site means of the flux on those of the driver (Mundlak)",
    "p": "p-value of the change, t with sites less two degrees of freedom",
    "q": "false discovery rate over drivers and classes (Benjamini-Hochberg)",
    "reversal": "urban fraction at which the slope changes sign [1]",
    "lower": "lower bound of the reversal (Fieller), 90 %; missing when unbounded",
    "upper": "upper bound of the reversal (Fieller), 90 %; missing when unbounded",
    "lower_bootstrap": "lower bound of the reversal by parametric bootstrap, 90 %",
    "upper_bootstrap": "upper bound of the reversal by parametric bootstrap, 90 %",
    "sign_differs": "probability that the signs at the ends of the observed gradient differ",
    "kept": "share of the fits without one urban site that keep the reversal",
    "claimed": "whether a reversal is claimed",
    "why": "what speaks against a claim; empty when claimed",
}


def reversals(name: str, rows: Rows, slopes: Slopes, seed: int) -> pd.DataFrame:
    """Rows of the table of one class, or of all together, on both scales; not yet judged.

    Args:
        name: Class, or `pool`.
        rows: Its rows.
        slopes: Slopes fitted to them along the plain urban fraction.
        seed: Seed of the parametric bootstrap.
    """
    logit = slopes_of(rows.along(_logit(rows.urban)))
    return pd.concat(
        [
            _table(name, rows, fit, scale, seed)
            for fit, scale in zip((slopes, logit), SCALES, strict=True)
        ]
    )


def _table(name: str, rows: Rows, fit: Slopes, scale: str, seed: int) -> pd.DataFrame:
    from scipy.stats import t

    quantile = float(t.ppf((1 + LEVEL) / 2, fit.freedom))
    error = np.sqrt(np.maximum(fit.covariance[:, 1, 1], 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * t.sf(np.abs(fit.change) / error, fit.freedom)
        position = -fit.nature / fit.change
    bounds = fieller(fit.nature, fit.change, fit.covariance, quantile)
    differs, drawn = _bootstrap(fit, rows.urban, scale, seed)
    return pd.DataFrame(
        {
            "ecosystem": name,
            "driver": fit.drivers,
            "scale": scale,
            "sites": len(rows.urban),
            "steps": fit.steps,
            "effective_steps": round(fit.effective),
            "nature": fit.nature,
            "nature_error": np.sqrt(np.maximum(fit.covariance[:, 0, 0], 0.0)),
            "change": fit.change,
            "change_lower": fit.change - quantile * error,
            "change_upper": fit.change + quantile * error,
            "covariance": fit.covariance[:, 0, 1],
            "between": between(rows),
            "p": p,
            "reversal": _fraction(position, scale),
            "lower": _fraction(bounds[:, 0], scale),
            "upper": _fraction(bounds[:, 1], scale),
            "lower_bootstrap": _fraction(drawn[0], scale),
            "upper_bootstrap": _fraction(drawn[1], scale),
            "sign_differs": differs,
            "kept": _kept(fit, rows, scale),
            "least": float(rows.urban.min()),
            "most": float(rows.urban.max()),
        }
    )


def fieller(nature: Floats, change: Floats, covariance: Floats, quantile: float) -> Floats:
    """Bounds (driver, 2) of -nature / change, NaN where unbounded.

    All u with (b + d u)^2 <= q^2 var(b + d u): between two roots if d differs from zero at this level, else a half
    line, two half lines or all (Fieller 1954).

    Args:
        nature: b (driver).
        change: d (driver).
        covariance: Of both (driver, 2, 2).
        quantile: q, of the t distribution.
    """
    square = quantile**2
    a = change**2 - square * covariance[:, 1, 1]
    b = nature * change - square * covariance[:, 0, 1]
    c = nature**2 - square * covariance[:, 0, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(b**2 - a * c)
        bounds = np.stack([(-b - root) / a, (-b + root) / a], axis=-1)
    return np.where((a > 0)[:, None], bounds, np.nan)


def _bootstrap(fit: Slopes, urban: Floats, scale: str, seed: int) -> tuple[Floats, Floats]:
    """Probability that the signs at the ends differ (driver); 90 % interval of the reversal (2, driver)."""
    rng = np.random.default_rng([seed, 14, SCALES.index(scale)])
    ends = np.array([max(ENDS[0], urban.min()), min(ENDS[1], urban.max())])
    if scale == "logit":
        ends = _logit(ends)
    wide = np.sqrt(fit.freedom / rng.chisquare(fit.freedom, DRAWS))
    normal = rng.standard_normal((DRAWS, 2))
    differs = np.full(len(fit.drivers), np.nan)
    interval = np.full((2, len(fit.drivers)), np.nan)
    for k, covariance in enumerate(fit.covariance):
        value, vector = np.linalg.eigh(covariance)
        draws = (normal * wide[:, None]) @ (vector * np.sqrt(np.maximum(value, 0.0))).T
        b, d = fit.nature[k] + draws[:, 0], fit.change[k] + draws[:, 1]
        if np.any(d == 0):
            continue
        differs[k] = np.mean((b + d * ends[0]) * (b + d * ends[1]) < 0)
        interval[:, k] = np.quantile(-b / d, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return differs, interval


def _kept(fit: Slopes, rows: Rows, scale: str) -> Floats:
    """Share of the fits without one urban site that keep sign, significance and a reversal inside the rest (driver)."""
    from scipy.stats import t

    urban = np.flatnonzero(rows.urban >= URBAN)
    pair, covariance = fit.omitted
    critical = float(t.ppf(1 - ALPHA / 2, max(fit.freedom - 1, 1)))
    kept = np.zeros(len(fit.drivers))
    for site in urban:
        b, d = pair[site, :, 0], pair[site, :, 1]
        left = np.delete(rows.urban, site)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = _fraction(-b / d, scale)
        strong = np.abs(d) > critical * np.sqrt(covariance[site, :, 1, 1])
        same = np.sign(d) == np.sign(fit.change)
        kept += strong & same & (at >= left.min()) & (at <= left.max())
    return kept / len(urban)


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """The table with false discovery rates per scale, what speaks against each claim, and the claims."""
    from scipy.stats import false_discovery_control

    table = table.reset_index(drop=True)
    table["q"] = np.nan
    for scale in SCALES:
        family = (table["scale"] == scale) & table["p"].notna()
        table.loc[family, "q"] = false_discovery_control(table.loc[family, "p"])
    table["why"] = [_why_not(row) for row in table.to_dict("records")]
    table["claimed"] = (table["why"] == "") & (table["scale"] == "plain")
    return table[list(COLUMNS)]


def _why_not(row: Mapping[Any, Any]) -> str:
    """The first condition of a claim that a row of the table fails."""
    if not row["q"] <= ALPHA:
        return "no change along the gradient"
    if not np.isfinite(row["lower"]):
        return "interval unbounded"
    if row["lower"] < row["least"] or row["upper"] > row["most"]:
        return "interval leaves the observed gradient"
    if row["kept"] < 1:
        return "rests on one urban site"
    if not row["sign_differs"] >= CERTAIN:
        return "signs at the ends may agree"
    return ""


def _logit(fraction: Floats) -> Floats:
    inside = np.clip(fraction, *LOGIT_BOUNDS)
    return np.asarray(np.log(inside / (1 - inside)), dtype=np.float64)


def _fraction(position: Floats, scale: str) -> Floats:
    """Urban fraction at a position on the scale."""
    if scale == "plain":
        return position
    return np.asarray(1 / (1 + np.exp(-np.clip(position, -700.0, 700.0))), dtype=np.float64)
