"""Scores of predicted against measured months, with intervals from resampling whole clusters of towers.

In comes a frame with one row per scored month of one model under one split; out go scores of the mean flux and of the
predicted law. Months of a tower, and towers within 300 km of each other, are not independent: the interval of a score
comes from drawing clusters with replacement. Every score is a function of sums over months, so that a draw of clusters
is a weighted sum of what each cluster contributes.

Columns of a frame: site, time, cluster, ecosystem, latitude, distance_km; measured and predicted mean flux
[nmol m-2 s-1]; measured_asinh and predicted_asinh, the location in asinh space [1]; q05 to q95, quantiles of the
predicted law [nmol m-2 s-1], NaN for a model that gives none.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Terms = dict[str, Floats]

# Percentages of the quantiles of a predicted law, and their columns.
PERCENT = tuple(range(5, 100, 5))
QUANTILES = tuple(f"q{percent:02d}" for percent in PERCENT)
# Central intervals: name of the share inside, lower and upper column.
CENTRAL = {
    "coverage50": ("q25", "q75"),
    "coverage80": ("q10", "q90"),
    "coverage90": ("q05", "q95"),
}
SCORES = (
    "nse",
    "asinh_nse",
    "r2",
    "mae",
    "rmse",
    "bias",
    "nmae",
    *CENTRAL,
    "width90",
    "crps",
)
REPLICATES = 500
LEVEL = 0.90
# Fewer months than this make no score.
MIN_MONTHS = 3
# A variance below this share of the mean square is rounding.
ROUNDING = 1e-12


def scores(frame: pd.DataFrame) -> dict[str, float | None]:
    """The scores of all months of a frame; one that cannot be computed is None.

    A missing or infinite value makes a score None rather than a score of fewer months.

    Returns:
        nse: 1 - SSE / SST about the mean of the measured flux.
        asinh_nse: The same of the location in asinh space.
        r2: Squared Pearson correlation of the flux.
        mae, rmse, bias: Of the flux, predicted less measured [nmol m-2 s-1].
        nmae: mae over the standard deviation of the measured flux.
        coverage50, coverage80, coverage90: Share of months inside the central interval, ends included.
        width90: Mean width of the 90 % interval [nmol m-2 s-1].
        crps: Continuous ranked probability score of the law [nmol m-2 s-1], twice the mean pinball loss over the 19
            quantiles. The integral over all levels is lower, for a Laplace law by 4 %, as the tails beyond 5 and 95 %
            lose less than the levels between; that is the same for every model.
    """
    found = _from_sums({name: values.sum(keepdims=True) for name, values in _terms(frame).items()})
    return {name: _known(float(found[name][0])) for name in SCORES}


def intervals(
    frame: pd.DataFrame, *, seed: int, replicates: int = REPLICATES
) -> dict[str, list[float] | None]:
    """90 % interval of every score over clusters drawn with replacement; None with fewer than two clusters."""
    sums = resampled(_terms(frame), frame["cluster"], seed=seed, replicates=replicates)
    if sums is None:
        return dict.fromkeys(SCORES)
    found = _from_sums(sums)
    return {name: interval(found[name]) for name in SCORES}


def pit_histogram(frame: pd.DataFrame) -> list[float] | None:
    """Share of months in each tenth of the predicted law, from below the first decile up; None without quantiles.

    A calibrated law has a tenth in each; a U is a law too narrow, a hump one too wide, a slope one that is biased. A
    month on a quantile counts below it.
    """
    deciles = frame[[f"q{percent}" for percent in range(10, 100, 10)]].to_numpy(np.float64)
    if not len(frame) or not np.isfinite(deciles).all():
        return None
    tenth = (frame["measured"].to_numpy()[:, None] > deciles).sum(axis=1)
    return [float(share) for share in np.bincount(tenth, minlength=10) / len(frame)]


def reliability(frame: pd.DataFrame) -> pd.DataFrame:
    """Nominal level of each quantile and the share of months at or below it, NaN for a model without quantiles."""
    laws = frame[list(QUANTILES)].to_numpy(np.float64)
    below = (frame["measured"].to_numpy()[:, None] <= laws).mean(axis=0) if len(frame) else np.nan
    known = np.isfinite(laws).all(axis=0)
    return pd.DataFrame(
        {"nominal": np.array(PERCENT) / 100, "empirical": np.where(known, below, np.nan)}
    )


def skill(measured: Floats, predicted: Floats) -> dict[str, float]:
    """NSE, squared correlation and MAE of predictions of anything, NaN where there is none."""
    terms = _moments(measured, predicted)
    sums = {name: values.sum(keepdims=True) for name, values in terms.items()}
    with np.errstate(all="ignore"):
        found = {"nse": _nse(sums), "r2": _r2(sums), "mae": sums["absolute"] / sums["n"]}
    enough = len(measured) >= MIN_MONTHS
    return {
        name: float(v[0]) if enough and np.isfinite(v[0]) else np.nan for name, v in found.items()
    }


def resampled(
    terms: Terms, cluster: "pd.Series[int]", *, seed: int, replicates: int = REPLICATES
) -> Terms | None:
    """Sums of terms (month,) over clusters drawn with replacement (replicate,); None with fewer than two clusters."""
    names, home = np.unique(cluster.to_numpy(), return_inverse=True)
    size = len(names)
    if size < 2:
        return None
    # How often each cluster is drawn; as many are drawn as there are.
    random = np.random.default_rng(seed)
    drawn = random.multinomial(size, np.full(size, 1 / size), replicates).astype(np.float64)
    with np.errstate(all="ignore"):
        return {n: drawn @ np.bincount(home, weights=v, minlength=size) for n, v in terms.items()}


def interval(values: Floats) -> list[float] | None:
    """90 % interval of the finite values of replicates; None if there is none."""
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]


def _terms(frame: pd.DataFrame) -> Terms:
    """What each month adds to the sums that scores are made of (month,)."""
    measured = frame["measured"].to_numpy(np.float64)
    terms = _moments(measured, frame["predicted"].to_numpy(np.float64))
    away = _moments(
        frame["measured_asinh"].to_numpy(np.float64), frame["predicted_asinh"].to_numpy(np.float64)
    )
    terms |= {f"asinh_{name}": values for name, values in away.items()}
    laws = frame[list(QUANTILES)].to_numpy(np.float64)
    with np.errstate(all="ignore"):
        for name, (low, high) in CENTRAL.items():
            ends = laws[:, [QUANTILES.index(low), QUANTILES.index(high)]]
            inside = (measured >= ends[:, 0]) & (measured <= ends[:, 1])
            terms[name] = np.where(np.isfinite(ends).all(axis=1), inside, np.nan)
        terms["width90"] = laws[:, -1] - laws[:, 0]
        terms["crps"] = crps(measured, laws)
    return terms


def crps(measured: Floats, laws: Floats) -> Floats:
    """Twice the mean pinball loss (month,) of the quantiles (month, 19) of a law, in their units."""
    level = np.array(PERCENT) / 100
    short = measured[:, None] - laws
    return np.asarray(2 * np.maximum(level * short, (level - 1) * short).mean(axis=1))


def _moments(measured: Floats, predicted: Floats) -> Terms:
    """Terms of NSE, correlation and errors, about the mean of the measured months, which costs no digits."""
    with np.errstate(all="ignore"):
        centre = measured.mean() if len(measured) else 0.0
        y, p, error = measured - centre, predicted - centre, predicted - measured
        return {
            "n": np.ones(len(measured)),
            "y": y,
            "yy": y**2,
            "p": p,
            "pp": p**2,
            "yp": y * p,
            "error": error,
            "absolute": np.abs(error),
            "squared": error**2,
            "size": y**2 + centre**2,
            "p_size": p**2 + centre**2,
        }


def _from_sums(s: Terms) -> Terms:
    """Scores (replicate,) from sums of terms (replicate,), NaN where there is none."""
    with np.errstate(all="ignore"):
        away = {name.removeprefix("asinh_"): v for name, v in s.items() if "asinh_" in name}
        mae = s["absolute"] / s["n"]
        found = {
            "nse": _nse(s),
            "asinh_nse": _nse(away),
            "r2": _r2(s),
            "mae": mae,
            "rmse": np.sqrt(s["squared"] / s["n"]),
            "bias": s["error"] / s["n"],
            "nmae": mae / np.sqrt(_spread(s) / s["n"]),
        }
        found |= {name: s[name] / s["n"] for name in (*CENTRAL, "width90", "crps")}
    return {
        name: np.where((s["n"] >= MIN_MONTHS) & np.isfinite(v), v, np.nan)
        for name, v in found.items()
    }


def _spread(s: Terms) -> Floats:
    """Sum of squares of the measured about their mean, NaN where they are constant."""
    spread = s["yy"] - s["y"] ** 2 / s["n"]
    return np.where(spread > ROUNDING * s["size"], spread, np.nan)


def _nse(s: Terms) -> Floats:
    return np.asarray(1.0 - s["squared"] / _spread(s))


def _r2(s: Terms) -> Floats:
    power = s["pp"] - s["p"] ** 2 / s["n"]
    power = np.where(power > ROUNDING * s["p_size"], power, np.nan)
    return np.asarray((s["yp"] - s["y"] * s["p"] / s["n"]) ** 2 / (_spread(s) * power))


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
