"""Scores of predicted against measured flux, with intervals from resampling whole clusters of towers.

Months of one tower, and towers within 300 km of each other, are not independent: the interval of a score comes from
drawing clusters with replacement, so that it says how the score would move with other towers, not with other months.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SCORES = ("nse", "asinh_nse", "r2", "mae", "rmse", "coverage90")
REPLICATES = 500
LEVEL = 0.90
# Fewer months than this make no score.
MIN_MONTHS = 3


@dataclass(frozen=True, eq=False)
class Pairs:
    """Measured months with their predictions, all (month,).

    Args:
        measured: Measured flux [nmol m-2 s-1].
        predicted: Predicted mean flux [nmol m-2 s-1].
        measured_asinh: Measured flux in asinh space [1].
        predicted_asinh: Predicted location in asinh space [1].
        lower: Lower end of the 90 % interval [nmol m-2 s-1], NaN where the model gives none.
        upper: Its upper end.
        cluster: Cluster of the tower.
    """

    measured: Floats
    predicted: Floats
    measured_asinh: Floats
    predicted_asinh: Floats
    lower: Floats
    upper: Floats
    cluster: NDArray[np.int64]

    def at(self, index: NDArray[np.intp]) -> "Pairs":
        """The months of an index, which may repeat."""
        return replace(self, **{name: values[index] for name, values in vars(self).items()})

    @classmethod
    def joined(cls, parts: "list[Pairs]") -> "Pairs":
        """All months of several sets."""
        return cls(
            **{name: np.concatenate([vars(p)[name] for p in parts]) for name in vars(parts[0])}
        )


def scores(pairs: Pairs) -> dict[str, float | None]:
    """NSE in flux and in asinh space, squared correlation, MAE and RMSE [nmol m-2 s-1], share inside the 90 % interval.

    NSE = 1 - SSE / SST about the mean of the measured months. A score that cannot be computed is None.
    """
    error = pairs.predicted - pairs.measured
    inside = (pairs.measured >= pairs.lower) & (pairs.measured <= pairs.upper)
    bounded = np.isfinite(pairs.lower) & np.isfinite(pairs.upper)
    if len(error) < MIN_MONTHS:
        return dict.fromkeys(SCORES)
    values = {
        "nse": _nse(pairs.measured, pairs.predicted),
        "asinh_nse": _nse(pairs.measured_asinh, pairs.predicted_asinh),
        "r2": _squared_correlation(pairs.measured, pairs.predicted),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "coverage90": float(inside[bounded].mean()) if bounded.any() else np.nan,
    }
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def intervals(
    pairs: Pairs, *, seed: int, replicates: int = REPLICATES
) -> dict[str, list[float] | None]:
    """90 % interval of every score over clusters drawn with replacement; None with fewer than two clusters."""
    members = [np.flatnonzero(pairs.cluster == c) for c in np.unique(pairs.cluster)]
    if len(members) < 2:
        return dict.fromkeys(SCORES)
    random = np.random.default_rng(seed)
    draws = [random.integers(0, len(members), len(members)) for _ in range(replicates)]
    table = [scores(pairs.at(np.concatenate([members[i] for i in draw]))) for draw in draws]
    return {name: _interval([row[name] for row in table]) for name in SCORES}


def _interval(values: list[float | None]) -> list[float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]


def _nse(measured: Floats, predicted: Floats) -> float:
    spread = float(((measured - measured.mean()) ** 2).sum())
    return 1.0 - float(((measured - predicted) ** 2).sum()) / spread if spread > 0 else np.nan


def _squared_correlation(measured: Floats, predicted: Floats) -> float:
    a, b = measured - measured.mean(), predicted - predicted.mean()
    power = float((a**2).sum() * (b**2).sum())
    return float((a * b).sum()) ** 2 / power if power > 0 else np.nan
