"""Skill of a prediction, every metric over the same measured values."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Fewer pairs say nothing of a correlation.
FEWEST = 3


class Skill(NamedTuple):
    """Skill over the pairs where both values are known.

    Args:
        n: Number of pairs.
        rmse: Root mean square error, in the unit of the values.
        nrmse: The same over the mean of the measured values [1]; meaningless where that mean is near zero.
        r2: Squared Pearson correlation [1].
        nse: Nash-Sutcliffe efficiency, one less the error over the variance about the measured mean [1].
    """

    n: int
    rmse: float
    nrmse: float
    r2: float
    nse: float


def skill(measured: NDArray[np.floating[Any]], predicted: NDArray[np.floating[Any]]) -> Skill:
    """Skill of a prediction; a pair with a missing value enters no metric, NaN where a metric is undefined."""
    known = np.isfinite(measured) & np.isfinite(predicted)
    y, said = measured[known].astype(np.float64), predicted[known].astype(np.float64)
    if not len(y):
        return Skill(0, np.nan, np.nan, np.nan, np.nan)
    square = float(((y - said) ** 2).sum())
    rmse, mean = float(np.sqrt(square / len(y))), float(y.mean())
    total = float(((y - mean) ** 2).sum())
    enough = len(y) >= FEWEST and total > 0
    return Skill(
        n=len(y),
        rmse=rmse,
        nrmse=rmse / mean if mean else np.nan,
        r2=float(np.corrcoef(y, said)[0, 1] ** 2) if enough and np.ptp(said) > 0 else np.nan,
        nse=1.0 - square / total if enough else np.nan,
    )
