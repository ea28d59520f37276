"""From points as a Dataset to the arrays that a network sees: predictors scaled inside the fold, and targets.

A missing predictor is zero with mask zero, never filled from another month. Every driver enters twice, on its global
scale and as departure from the point's own climate, so that a level and a season can be told apart.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.vocabulary import ECOSYSTEMS, Gas

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

CHANNELS = 3
# Months measured for less than a fifth are no targets; full weight from three fifths on (methods 3.1).
MIN_COVERAGE = 0.2
FULL_COVERAGE = 0.6
# Air pressure says how high a place lies; only its departure from the place's mean may act as a driver (methods 3.1).
ANOMALY_ONLY = ("ps",)
# Beyond this many standard deviations a predictor is held, so that the network is not asked far outside its towers.
MAX_SCORE = 5.0
# Below this spread, relative to the mean, a predictor is a constant.
SMALLEST_SPREAD = 1e-9


@dataclass(frozen=True, eq=False)
class Points:
    """Predictors at points.

    Args:
        dynamic: Drivers (S, T, P) in their units, NaN where missing.
        static: Static predictors (S, N) in their units.
        latitude: Latitudes (S) [degrees_north].
        longitude: Longitudes (S) [degrees_east].
        ecosystem: Index of the class (S).
        month: Calendar month (T), 0 to 11.
        site: Names (S).
    """

    dynamic: Singles
    static: Singles
    latitude: Floats
    longitude: Floats
    ecosystem: Integers
    month: Integers
    site: NDArray[np.str_]

    @classmethod
    def of(cls, points: xr.Dataset, drivers: Sequence[str], statics: Sequence[str]) -> "Points":
        """The arrays of a Dataset with drivers (site, time), statics (site) and coordinates per site.

        Raises:
            InputError: A predictor is missing.
        """
        missing = [n for n in (*drivers, *statics) if n not in points]
        if missing:
            raise InputError(
                "predictors of the model are missing",
                where="points",
                expected=", ".join((*drivers, *statics)),
                found=f"no {', '.join(missing)}",
                fix="Give the drivers that the checkpoint was trained with",
            )
        size = points.sizes["site"]
        dynamic = [points[n].transpose("site", "time").values for n in drivers]
        static = [points[n].values for n in statics]
        return cls(
            dynamic=np.stack(dynamic, axis=-1).astype(np.float32),
            static=np.stack(static, axis=-1).astype(np.float32)
            if static
            else np.zeros((size, 0), np.float32),
            latitude=points["latitude"].values.astype(np.float64),
            longitude=points["longitude"].values.astype(np.float64),
            ecosystem=class_codes(points),
            month=np.asarray(pd.DatetimeIndex(points["time"].values).month, dtype=np.int64) - 1,
            site=points["site"].values.astype(str),
        )

    def at(self, index: NDArray[np.intp]) -> "Points":
        """The points of an index."""
        names = ("dynamic", "static", "latitude", "longitude", "ecosystem", "site")
        return replace(self, **{name: getattr(self, name)[index] for name in names})


@dataclass(frozen=True, eq=False)
class Targets:
    """Measured months.

    Args:
        transformed: asinh(flux / c) (S, T), c the scale of the gas, 0 where there is no target.
        weight: Weight of each month (S, T) by its coverage, 0 where there is no target.
    """

    transformed: Floats
    weight: Floats

    @classmethod
    def of(cls, samples: xr.Dataset, gas: Gas) -> "Targets":
        """Targets of samples that hold flux and coverage (site, time).

        Raises:
            InputError: No month is measured well enough.
        """
        flux = samples[gas.flux].transpose("site", "time").values.astype(np.float64)
        coverage = samples[f"{gas.flux}_coverage"].transpose("site", "time").values
        good = np.isfinite(flux) & (coverage >= MIN_COVERAGE)
        if not good.any():
            raise InputError(
                "no month is measured well enough to be a target",
                where=gas.flux,
                expected=f"coverage of at least {MIN_COVERAGE:g}",
                found=f"{int(np.isfinite(flux).sum())} measured months",
            )
        return cls(
            transformed=np.where(good, np.arcsinh(np.where(good, flux, 0) / flux_scale(gas)), 0.0),
            weight=np.where(good, np.clip(coverage / FULL_COVERAGE, 0.0, 1.0), 0.0),
        )


@dataclass(frozen=True)
class Scaler:
    """Means and spreads of the training towers.

    Args:
        drivers: Names of the drivers.
        statics: Names of the static predictors.
        mean: Mean of each driver.
        spread: Standard deviation of each driver.
        departure: Standard deviation of each driver's departure from the point's mean, 0 where that is unknown.
        static_mean: Mean of each static predictor.
        static_spread: Its standard deviation.
    """

    drivers: tuple[str, ...]
    statics: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    departure: tuple[float, ...]
    static_mean: tuple[float, ...]
    static_spread: tuple[float, ...]

    @classmethod
    def fit(cls, points: Points, drivers: Sequence[str], statics: Sequence[str]) -> "Scaler":
        """The scaler of training points."""
        flat = points.dynamic.reshape(-1, len(drivers)).astype(np.float64)
        mean, spread = _moments(flat)
        local = _local_means(points, drivers, statics)
        departure = _moments((points.dynamic - local[:, None]).reshape(-1, len(drivers)))[1]
        static_mean, static_spread = _moments(points.static.astype(np.float64))
        return cls(
            drivers=tuple(drivers),
            statics=tuple(statics),
            mean=_tuple(mean),
            spread=_tuple(spread),
            departure=_tuple(np.where(np.isfinite(local).any(axis=0), departure, 0.0)),
            static_mean=_tuple(static_mean),
            static_spread=_tuple(static_spread),
        )

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Scaler":
        """The scaler of a JSON object."""
        return cls(**{name: tuple(values) for name, values in document.items()})

    def to_json(self) -> dict[str, Any]:
        """The scaler as a JSON object."""
        return {name: list(values) for name, values in asdict(self).items()}

    @property
    def features(self) -> int:
        """Number of static features F: predictors and one per class."""
        return len(self.statics) + len(ECOSYSTEMS)

    def inputs(self, points: Points) -> Singles:
        """Input channels (P, C, S, T): score on the global scale, score of the departure, mask of what is there."""
        values = points.dynamic.transpose(2, 0, 1)
        mask = np.isfinite(values)
        local = _local_means(points, self.drivers, self.statics).T[:, :, None]
        shape = (-1, 1, 1)
        level = (values - np.reshape(self.mean, shape)) / np.reshape(self.spread, shape)
        unit = np.reshape(self.departure, shape)
        known = (unit > 0) & np.isfinite(local)
        away = np.where(known, (values - local) / np.where(unit > 0, unit, 1.0), 0.0)
        hidden = np.isin(self.drivers, ANOMALY_ONLY).reshape(shape) & known
        channels = [np.where(hidden, 0.0, level), away, np.ones_like(level)]
        scores = [np.where(mask, np.clip(c, -MAX_SCORE, MAX_SCORE), 0.0) for c in channels]
        return np.stack(scores, axis=1).astype(np.float32)

    def static_scores(self, points: Points) -> Singles:
        """Scores (S, N) of the static predictors, 0 where missing."""
        scores = (points.static - np.asarray(self.static_mean)) / np.asarray(self.static_spread)
        clipped = np.clip(scores, -MAX_SCORE, MAX_SCORE)
        return np.where(np.isfinite(clipped), clipped, 0.0).astype(np.float32)

    def static_features(self, points: Points) -> Singles:
        """Static features (S, F): scores, then one column per class."""
        one_hot = np.eye(len(ECOSYSTEMS), dtype=np.float32)[points.ecosystem]
        return np.concatenate([self.static_scores(points), one_hot], axis=1)


def predictor_names(samples: xr.Dataset, gas: Gas) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the drivers (site, time) and of the statics (site) of samples, each in alphabetical order.

    Raises:
        InputError: There is no driver.
    """
    targets = {gas.flux, f"{gas.flux}_coverage"}
    data = {str(n): set(v.dims) for n, v in samples.data_vars.items() if str(n) not in targets}
    drivers = tuple(sorted(n for n, dims in data.items() if dims == {"site", "time"}))
    if not drivers:
        raise InputError(
            "no driver", where="samples", expected="a variable (site, time)", found=sorted(data)
        )
    return drivers, tuple(sorted(n for n, dims in data.items() if dims == {"site"}))


def class_codes(points: xr.Dataset) -> Integers:
    """Index of each point's class in the vocabulary; classes may be given by name or by that index."""
    classes = points["ecosystem"].values
    if np.issubdtype(classes.dtype, np.integer):
        return np.asarray(classes, dtype=np.int64)
    return np.array([ECOSYSTEMS.index(str(name)) for name in classes], dtype=np.int64)


def flux_scale(gas: Gas) -> float:
    """The scale c of asinh(flux / c) [kg m-2 s-1]."""
    return gas.asinh_scale * gas.kg_per_nmol


def _local_means(points: Points, drivers: Sequence[str], statics: Sequence[str]) -> Singles:
    """Mean of each driver at each point (S, P) from the statics `<name>_mean`, NaN where there is none."""
    out = np.full((len(points.static), len(drivers)), np.nan, dtype=np.float32)
    for i, name in enumerate(drivers):
        if f"{name}_mean" in statics:
            out[:, i] = points.static[:, list(statics).index(f"{name}_mean")]
    return out


def _moments(values: NDArray[np.floating[Any]]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column without NaN; (0, 1) for an empty or constant one."""
    ok = np.isfinite(values)
    count = np.maximum(ok.sum(axis=0), 1)
    mean = np.where(ok, values, 0.0).sum(axis=0, dtype=np.float64) / count
    spread = np.sqrt((np.where(ok, values - mean, 0.0) ** 2).sum(axis=0, dtype=np.float64) / count)
    return mean, np.where(spread > SMALLEST_SPREAD * (1e-30 + np.abs(mean)), spread, 1.0)


def _tuple(values: Floats) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
