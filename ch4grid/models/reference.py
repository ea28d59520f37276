"""What the area of applicability is measured against: predictors of training months, scaled like those of any point.

A checkpoint carries it; distances and the threshold are the business of `ch4grid.uncertainty`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ch4grid.models.samples import ANOMALY_ONLY, Points, Scaler

Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Applicability:
    """What the area of applicability is measured against.

    Args:
        features: Scaled predictors of the training months (rows, features).
        weights: Importance of each feature (features).
        mean_distance: Mean weighted distance between training rows.
        threshold: Largest dissimilarity index inside the area of applicability.
    """

    features: Singles
    weights: Singles
    mean_distance: float
    threshold: float


def applicability_rows(points: Points, scaler: Scaler) -> Singles:
    """Scaled drivers and statics (S, T, P + N), 0 where missing."""
    inputs = scaler.inputs(points)
    anomaly = np.isin(scaler.drivers, ANOMALY_ONLY)[:, None, None]
    level = (inputs[:, 0] + np.where(anomaly, inputs[:, 1], 0.0)).transpose(1, 2, 0)
    static = scaler.static_scores(points)[:, None]
    spread = np.broadcast_to(static, (*level.shape[:2], static.shape[-1]))
    return np.concatenate([level, spread], axis=-1).astype(np.float32)
