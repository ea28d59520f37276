"""The mean year of each class: what a map without any driver would say, and the floor that every model must beat.

    y_km = sum w y / sum w      over the months m of the towers of class k, w the weight of the month

(7 classes, 12 months). A month that a class never measured takes the class mean, an unseen class the mean of its month
over all classes. Months are those of the calendar in both hemispheres, as in a table of a review. No paper; this is the
"class mean" of bottom-up budgets (Saunois et al. 2020, ESSD 12, 10.5194/essd-12-1561-2020) with a season.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.models.learner import Law, Learner, Regressor, TrainingSet
from ch4grid.models.samples import class_codes
from ch4grid.vocabulary import ECOSYSTEMS

Floats = NDArray[np.float64]

MONTHS = 12


class Climatology(Learner):
    """Settings of the climatology: there are none.

    Args:
        architecture: Discriminator.
    """

    architecture: Literal["climatology"] = "climatology"

    def fit(self, training: TrainingSet) -> Regressor:
        """Weighted means of the measured months."""
        weight, target = training.weights, training.targets.transformed
        month = np.broadcast_to(_month(training.samples), weight.shape)
        code = np.broadcast_to(class_codes(training.samples)[:, None], weight.shape)
        top, bottom = (np.zeros((len(ECOSYSTEMS), MONTHS)) for _ in range(2))
        np.add.at(top, (code, month), weight * target)
        np.add.at(bottom, (code, month), weight)
        overall = _ratio(top.sum(axis=0), bottom.sum(axis=0), top.sum() / bottom.sum())
        by_class = _ratio(top.sum(axis=1), bottom.sum(axis=1), np.nan)[:, None]
        otherwise = np.where(np.isfinite(by_class), by_class, overall)
        return ClassMonths(_ratio(top, bottom, otherwise), int((bottom > 0).sum()))


@dataclass(frozen=True, eq=False)
class ClassMonths:
    """The fitted climatology.

    Args:
        table: Transformed flux (class, month).
        parameters: Number of means that were measured.
    """

    table: Floats
    parameters: int

    def predict(self, points: xr.Dataset) -> Law:
        """The mean of class and month."""
        return Law(self.table[class_codes(points)[:, None], _month(points)])


def _month(points: xr.Dataset) -> NDArray[np.int64]:
    """Calendar month of each time step, 0 to 11 (time)."""
    return np.asarray(pd.DatetimeIndex(points["time"].values).month, dtype=np.int64) - 1


def _ratio(top: Floats, bottom: Floats, otherwise: Floats | float) -> Floats:
    """Quotient, or `otherwise` where nothing was counted."""
    safe = np.where(bottom > 0, bottom, 1.0)
    return np.where(bottom > 0, top / safe, otherwise)
