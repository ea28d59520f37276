"""Association baselines that a causal model must beat: the mean year of each class, a random forest on lagged drivers.

Both see what CT-GAT sees (drivers, statics, class) and the same targets and weights. Neither is tuned:
their settings are fixed here, so no test set can have chosen them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.models.samples import Targets, class_codes, predictor_names
from ch4grid.vocabulary import ECOSYSTEMS, FLUX_UNITS, Gas

Floats = NDArray[np.float64]

MAX_LAG = 3


@dataclass
class ClassMonthClimatology:
    """Mean transformed flux of each class and calendar month: what a map without any driver would say.

    A month that a class never measured takes the class mean, an unseen class the mean of its month over all classes.
    """

    table: Floats = field(default_factory=lambda: np.empty((0, 12)))

    def fit(self, samples: xr.Dataset, gas: Gas) -> "ClassMonthClimatology":
        """The climatology of samples (site, time) with flux and coverage."""
        targets = Targets.of(samples, gas)
        month = np.broadcast_to(_month(samples), targets.transformed.shape)
        code = np.broadcast_to(class_codes(samples)[:, None], month.shape)
        ok = targets.weight > 0
        sums = np.zeros((2, len(ECOSYSTEMS), 12))
        np.add.at(sums[0], (code[ok], month[ok]), (targets.weight * targets.transformed)[ok])
        np.add.at(sums[1], (code[ok], month[ok]), targets.weight[ok])
        overall = _ratio(sums[0].sum(axis=0), sums[1].sum(axis=0), sums[0].sum() / sums[1].sum())
        by_class = _ratio(sums[0].sum(axis=1), sums[1].sum(axis=1), np.nan)[:, None]
        self.table = _ratio(sums[0], sums[1], np.where(np.isfinite(by_class), by_class, overall))
        return self

    def predict(self, points: xr.Dataset) -> Floats:
        """Transformed flux (site, time)."""
        return self.table[class_codes(points)[:, None], _month(points)]


@dataclass
class RandomForest:
    """Random forest of the transformed flux on drivers at lags 0 to 3 months, statics and class.

    Missing values go down the branch that fits them better (scikit-learn); the months before the record are missing.

    Args:
        trees: Number of trees.
        min_leaf: Fewest months in a leaf.
        seed: Seed of the forest.
    """

    trees: int = 100
    min_leaf: int = 5
    seed: int = 0
    names: tuple[str, ...] = ()
    forest: Any = None

    def fit(self, samples: xr.Dataset, gas: Gas) -> "RandomForest":
        """The forest of samples (site, time) with flux and coverage."""
        from sklearn.ensemble import RandomForestRegressor  # heavy

        targets = Targets.of(samples, gas)
        self.names = tuple(name for names in predictor_names(samples, gas) for name in names)
        ok = targets.weight.ravel() > 0
        self.forest = RandomForestRegressor(
            n_estimators=self.trees,
            min_samples_leaf=self.min_leaf,
            max_features=1 / 3,
            random_state=self.seed,
            n_jobs=1,
        )
        self.forest.fit(
            features(samples, self.names)[ok],
            targets.transformed.ravel()[ok],
            sample_weight=targets.weight.ravel()[ok],
        )
        return self

    def predict(self, points: xr.Dataset) -> Floats:
        """Transformed flux (site, time)."""
        table = features(points, self.names)
        shape = (points.sizes["site"], points.sizes["time"])
        return np.asarray(self.forest.predict(table), dtype=np.float64).reshape(shape)


def features(points: xr.Dataset, names: Sequence[str]) -> NDArray[np.float32]:
    """Predictor table (site x time, column): each driver at lags 0 to 3, each static once, one column per class.

    Raises:
        InputError: A predictor of the training is not among the points.
    """
    missing = [name for name in names if name not in points]
    if missing:
        raise InputError("predictors are missing", where="points", expected=names, found=missing)
    columns: list[Floats] = []
    for name in names:
        if "time" in points[name].dims:
            frame = pd.DataFrame(points[name].transpose("time", "site").values)
            columns += [frame.shift(lag).to_numpy().T for lag in range(MAX_LAG + 1)]
        else:
            columns.append(_along_time(points[name].values, points.sizes["time"]))
    one_hot = np.eye(len(ECOSYSTEMS))[class_codes(points)]
    columns += [_along_time(column, points.sizes["time"]) for column in one_hot.T]
    return np.stack([column.ravel() for column in columns], axis=1).astype(np.float32)


def flux_attrs(gas: Gas) -> dict[str, str]:
    """Attributes of a predicted flux."""
    return {"units": FLUX_UNITS, "long_name": f"predicted {gas.long_name} flux"}


def _month(points: xr.Dataset) -> NDArray[np.int64]:
    """Calendar month of each time step, 0 to 11 (time)."""
    return np.asarray(pd.DatetimeIndex(points["time"].values).month, dtype=np.int64) - 1


def _along_time(values: Floats, steps: int) -> Floats:
    return np.broadcast_to(np.asarray(values, dtype=np.float64)[:, None], (len(values), steps))


def _ratio(top: Floats, bottom: Floats, otherwise: Floats | float) -> Floats:
    """Quotient, or `otherwise` where nothing was counted."""
    safe = np.where(bottom > 0, bottom, 1.0)
    return np.where(bottom > 0, top / safe, otherwise)
