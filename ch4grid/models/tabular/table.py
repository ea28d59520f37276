"""The predictor table: points in, one row per site and month out, the same columns for every tabular model.

Columns are each driver at lags of 0 to 3 months, each static, one per class, sine and cosine of the season, and the
distance from the equator. A missing value is NaN, and the months before the record are missing; a model that cannot
bear that asks for medians of the training rows. Nothing of the flux enters a column.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.models.learner import TrainingSet
from ch4grid.models.samples import MAX_SCORE, class_codes, predictor_names
from ch4grid.models.season import season
from ch4grid.vocabulary import ECOSYSTEMS

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Cause = tuple[str, int]

MAX_LAG = 3
# Below this spread, relative to the mean, a column is a constant.
SMALLEST_SPREAD = 1e-6


@dataclass(frozen=True, eq=False)
class PredictorTable:
    """Which columns there are, and what fills and scales them.

    Args:
        lagged: Drivers and lags [months].
        statics: Names of the static predictors.
        calendar: Whether season and distance from the equator are columns.
        fill: Median of each column over the training rows; None leaves NaN.
        mean: Mean of each filled column over the training rows; None leaves units.
        spread: Its standard deviation.
    """

    lagged: tuple[Cause, ...]
    statics: tuple[str, ...]
    calendar: bool = True
    fill: Singles | None = None
    mean: Singles | None = None
    spread: Singles | None = None

    @classmethod
    def of(cls, training: TrainingSet) -> "PredictorTable":
        """The columns of a training set: every driver at every lag, NaN where missing."""
        drivers, statics = predictor_names(training.samples, training.gas)
        return cls(tuple((n, lag) for n in drivers for lag in range(MAX_LAG + 1)), statics)

    def filled(self, rows: Singles) -> "PredictorTable":
        """These columns with medians of training rows (row, column) where a value is missing."""
        return replace(self, fill=_medians(rows))

    def scaled(self, rows: Singles) -> "PredictorTable":
        """These columns filled, then standardised by training rows (row, column)."""
        fill = _medians(rows)
        full = np.where(np.isfinite(rows), rows, fill).astype(np.float64)
        mean, spread = full.mean(axis=0), full.std(axis=0)
        known = spread > SMALLEST_SPREAD * (1e-30 + np.abs(mean))
        return replace(
            self,
            fill=fill,
            mean=mean.astype(np.float32),
            # An endless spread turns the score of a constant into zero, whatever it is elsewhere.
            spread=np.where(known, spread, np.inf).astype(np.float32),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each column."""
        lagged = [f"{name}_lag{lag}" for name, lag in self.lagged]
        calendar = ["season_sine", "season_cosine", "absolute_latitude"] if self.calendar else []
        return (*lagged, *self.statics, *ECOSYSTEMS, *calendar)

    def matrix(self, points: xr.Dataset) -> Singles:
        """Predictors (site x time, column), sites one after another.

        Raises:
            InputError: A predictor of the training is not among the points.
        """
        steps = points.sizes["time"]
        columns = [*lagged(points, self.lagged), *place(points, self.statics, steps)]
        if self.calendar:
            columns += [*np.moveaxis(season(points), -1, 0)]
            columns.append(_along_time(np.abs(points["latitude"].values), steps))
        return self.treated(_flat(columns))

    def treated(self, raw: Singles) -> Singles:
        """Raw columns (row, column) filled and scaled as this table asks for."""
        values = raw
        if self.fill is not None:
            values = np.where(np.isfinite(values), values, self.fill)
        if self.mean is not None and self.spread is not None:
            values = np.clip((values - self.mean) / self.spread, -MAX_SCORE, MAX_SCORE)
        return values


def lagged(points: xr.Dataset, causes: Sequence[Cause]) -> list[Floats]:
    """Each driver (site, time) at its lag [months], NaN before the record.

    Raises:
        InputError: A driver is not among the points.
    """
    require(points, [name for name, _ in causes])
    frames = {n: pd.DataFrame(points[n].transpose("time", "site").values) for n, _ in causes}
    return [frames[name].shift(lag).to_numpy(dtype=np.float64).T for name, lag in causes]


def place(points: xr.Dataset, statics: Sequence[str], steps: int) -> list[Floats]:
    """Each static and each class as a column (site, time).

    Raises:
        InputError: A static is not among the points.
    """
    require(points, statics)
    one_hot = np.eye(len(ECOSYSTEMS))[class_codes(points)]
    columns = [np.asarray(points[name].values, dtype=np.float64) for name in statics]
    return [_along_time(column, steps) for column in (*columns, *one_hot.T)]


def require(points: xr.Dataset, names: Iterable[str]) -> None:
    """Checks that the points hold these predictors.

    Raises:
        InputError: One is missing.
    """
    wanted = sorted(set(names))
    missing = [name for name in wanted if name not in points]
    if missing:
        raise InputError(
            "predictors are missing",
            where="points",
            expected=", ".join(wanted),
            found=f"no {', '.join(missing)}",
            fix="Give the drivers and statics that the model was trained with",
        )


def _flat(columns: Sequence[NDArray[np.floating]]) -> Singles:
    """Columns (site, time) as a matrix (site x time, column), infinities missing."""
    table = np.stack([column.ravel() for column in columns], axis=1).astype(np.float32)
    return np.where(np.isfinite(table), table, np.float32(np.nan))


def _medians(rows: Singles) -> Singles:
    """Median of each column without NaN, 0 for one that has no value."""
    empty = ~np.isfinite(rows).any(axis=0)
    return np.nanmedian(np.where(empty, 0.0, rows), axis=0).astype(np.float32)


def _along_time(values: Floats, steps: int) -> Floats:
    return np.broadcast_to(np.asarray(values, dtype=np.float64)[:, None], (len(values), steps))
