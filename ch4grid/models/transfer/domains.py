"""The two domains of a transfer: simulated sites and towers, with predictors that both have, each in its own units.

No site outside the training set enters a scaler or the moments of a flux.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.grid import Grid, great_circle_km
from ch4grid.models.learner import NEIGHBOURHOOD_KM
from ch4grid.models.samples import Points, Scaler, Targets, predictor_names
from ch4grid.models.season import season
from ch4grid.models.windows import Windows
from ch4grid.vocabulary import Gas

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Singles = NDArray[np.float32]
Names = tuple[tuple[str, ...], tuple[str, ...]]

# Power of the weight of a simulated site (X-MethaneWet, reweight.py).
POWER = -5.0
# Smallest spread that a flux is divided by, in asinh space.
SMALLEST_SPREAD = 1e-3


@dataclass(frozen=True, eq=False)
class Domain:
    """Sites as rows for a network.

    Args:
        scaler: Scaler of its predictors.
        mean: Mean by which its flux is centred, in asinh space.
        spread: Standard deviation by which it is divided.
        inputs: Inputs (rows, months, features).
        target: Flux (rows, months) in units of the spread about the mean, 0 where there is none.
        weight: Weight (rows, months), 0 where there is no target.
        owner: Site of each row.
        ecosystem: Class of each row.
    """

    scaler: Scaler
    mean: float
    spread: float
    inputs: Singles
    target: Singles
    weight: Floats
    owner: Integers
    ecosystem: Integers

    @classmethod
    def of(
        cls, samples: xr.Dataset, gas: Gas, names: Names, like: "Domain | None" = None
    ) -> "Domain":
        """The domain of samples with these drivers and statics, in its own units or in those of another one."""
        points, targets = Points.of(samples, *names), Targets.of(samples, gas)
        if like is None:
            scaler = Scaler.fit(points, *names)
            mean = float(np.average(targets.transformed, weights=targets.weight))
            square = np.average((targets.transformed - mean) ** 2, weights=targets.weight)
            spread = max(float(np.sqrt(square)), SMALLEST_SPREAD)
        else:
            scaler, mean, spread = like.scaler, like.mean, like.spread
        windows = Windows.of(targets.weight)
        scores = np.where(targets.weight > 0, (targets.transformed - mean) / spread, 0.0)
        return cls(
            scaler=scaler,
            mean=mean,
            spread=spread,
            inputs=windows.cut(inputs(samples, scaler), 0.0),
            target=windows.cut(scores.astype(np.float32), 0.0),
            weight=windows.weights(targets.weight),
            owner=np.asarray(windows.owner, dtype=np.int64),
            ecosystem=points.ecosystem[windows.owner],
        )


def shared_names(samples: xr.Dataset, simulation: xr.Dataset, gas: Gas) -> Names:
    """Names of the drivers and statics that both domains have.

    Raises:
        InputError: They share no driver.
    """
    pairs = zip(predictor_names(samples, gas), predictor_names(simulation, gas), strict=True)
    drivers, statics = (tuple(n for n in ours if n in theirs) for ours, theirs in pairs)
    if not drivers:
        raise InputError(
            "simulation and towers share no driver",
            where="simulation",
            expected=", ".join(predictor_names(samples, gas)[0]),
            found=", ".join(predictor_names(simulation, gas)[0]),
        )
    return drivers, statics


def inputs(points: xr.Dataset, scaler: Scaler) -> Singles:
    """Inputs (site, time, features) of a network: driver channels, statics, class and season."""
    arrays = Points.of(points, scaler.drivers, scaler.statics)
    channels = scaler.inputs(arrays).transpose(2, 3, 0, 1)
    dynamic = channels.reshape(*channels.shape[:2], -1)
    static = scaler.static_features(arrays)[:, None]
    static = np.broadcast_to(static, (*dynamic.shape[:2], static.shape[-1]))
    return np.concatenate([dynamic, static, season(points)], axis=-1, dtype=np.float32)


def cell_index(latitude: Any, longitude: Any, resolution: float) -> tuple[Integers, Integers]:
    """Row from the south and column from 180 degrees west of the cells that hold the points.

    The index is the floor, so a cell begins at its southern and western edge and its centre is in its middle; the pole
    belongs to the last row and 180 east is 180 west.

    Args:
        latitude: Latitudes (n) [degrees_north].
        longitude: Longitudes (n) [degrees_east] of any convention.
        resolution: Size of a cell [degrees]; divides 180.

    Raises:
        InputError: A latitude is beyond a pole or missing.
    """
    north = np.asarray(latitude, dtype=np.float64)
    if not (np.abs(north) <= 90).all():
        raise InputError(
            "a latitude is beyond a pole", where="cell", expected="-90 to 90", found=north
        )
    return Grid(resolution).cell_of(north, np.asarray(longitude, dtype=np.float64))


def check_orientation(latitude: Floats, longitude: Floats, resolution: float) -> None:
    """Refuse axes that are not the cell centres from south to north and from 180 degrees west eastwards.

    Raises:
        InputError: They are edges, descend, begin at Greenwich or have another length.
    """
    grid = Grid(resolution)
    for name, axis, centres in (
        ("latitude", latitude, grid.latitude),
        ("longitude", longitude, grid.longitude),
    ):
        if axis.shape != centres.shape or not np.allclose(axis, centres, atol=resolution * 1e-3):
            raise InputError(
                f"{name} does not hold the centres of the cells in ascending order",
                where="grid",
                expected=f"{centres[0]:g}, {centres[1]:g} to {centres[-1]:g}",
                found=f"{axis[:2].tolist()} to {axis[-1:].tolist()}, {len(axis)} values",
            )


def away_from(
    simulation: xr.Dataset, towers: xr.Dataset, km: float = NEIGHBOURHOOD_KM
) -> xr.Dataset:
    """The simulated sites that lie no nearer than this to any tower.

    Give all towers, held out or not: a network that was trained on a simulation of the weather of a held-out tower has
    seen that weather.

    Raises:
        InputError: None is left.
    """
    distance = great_circle_km(
        simulation["latitude"].values[:, None],
        simulation["longitude"].values[:, None],
        towers["latitude"].values,
        towers["longitude"].values,
    )
    kept = np.flatnonzero((distance >= km).all(axis=1))
    if not len(kept):
        raise InputError(
            "no simulated site is away from all towers",
            where="simulation",
            expected=f"sites {km:g} km or farther from {towers.sizes['site']} towers",
            found=f"{simulation.sizes['site']} nearer sites",
        )
    return simulation.isel(site=kept)


def moments(samples: xr.Dataset, gas: Gas) -> Floats:
    """Weighted mean and standard deviation of each site's flux in asinh space (site, 2), NaN without a target."""
    targets = Targets.of(samples, gas)
    total = targets.weight.sum(axis=1)
    some = np.where(total > 0, total, np.nan)
    mean = (targets.weight * targets.transformed).sum(axis=1) / some
    square = (targets.weight * (targets.transformed - mean[:, None]) ** 2).sum(axis=1) / some
    return np.stack([mean, np.sqrt(square)], axis=1)


def source_weights(source: Floats, target: Floats) -> Floats:
    """Weight of each simulated site, w = (1 + min over towers of |d mean| / a * |d sd| / b)^-5.

    As published, mean and standard deviation enter as a product, so a site that agrees with a tower in one of them has
    weight one. The published a and b are 50 and 0.05 in units of its own; here they are the spreads over the towers.

    Args:
        source: Mean and standard deviation of the flux of simulated sites (site, 2), as of `moments`.
        target: Those of towers.

    Returns:
        Weights (site), 0 for a simulated site without a flux.
    """
    known = target[np.isfinite(target).all(axis=1)]
    unit = np.maximum(known.std(axis=0), SMALLEST_SPREAD)
    away = np.abs(source[:, None] - known[None]) / unit
    weight = (1.0 + away.prod(axis=-1).min(axis=1)) ** POWER
    return np.where(np.isfinite(weight), weight, 0.0)


def reweighted(weight: Floats, owner: Integers, site_weight: Sequence[float] | Floats) -> Floats:
    """Weights (rows, months) times the weight of each row's site, with the same sum as before.

    Raises:
        InputError: All are zero.
    """
    out = weight * np.asarray(site_weight)[owner][:, None]
    if not out.sum() > 0:
        raise InputError("no simulated site resembles a tower", where="simulation")
    return np.asarray(out * (weight.sum() / out.sum()))
