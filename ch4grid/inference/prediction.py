"""A checkpoint over one region of the globe for one year: DRIVERS and class fractions in, FLUX out.

The unit of work is the (cell, class) pair. Pairs are stacked along `site`, so the network sees towers and cells
through the same door, and come in chunks of fixed size, so memory does not grow with the region. All members are
predicted in one pass over the drivers.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from distributed import WorkerPlugin, get_worker
from numpy.typing import NDArray

from ch4grid import extents
from ch4grid.drivers.cube.month import STATUS
from ch4grid.grid import Grid
from ch4grid.inference.region import MONTHS, Region, areas_of, equations, given, tiled, under
from ch4grid.models import Checkpoint
from ch4grid.scenarios import flux_change
from ch4grid.schema import check_flux
from ch4grid.structure import StructuralModel
from ch4grid.uncertainty import QUANTILES, Calibrated, Calibration, dissimilarity
from ch4grid.vocabulary import ECOSYSTEMS, FLUX_UNITS, QUALITY_FLAGS, Gas

CELL = ("time", "latitude", "longitude")
BLOCK = ("ecosystem", *CELL)
# Pairs predicted together: bounds memory at 10 members to about 100 MB.
PAIRS = 2048


class CheckpointPlugin(WorkerPlugin):
    """Loads a checkpoint once per Dask worker; tasks find it by the folder that stands in their arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"ch4grid-{folder.name}"

    def setup(self, worker: Any) -> None:
        """Load on the worker."""
        worker.ch4grid_checkpoints = getattr(worker, "ch4grid_checkpoints", {}) | {
            self.folder: Checkpoint.load(self.folder)
        }


def loaded(folder: Path) -> Checkpoint:
    """The checkpoint that the plugin loaded on this worker."""
    checkpoint: Checkpoint = get_worker().ch4grid_checkpoints[folder]
    return checkpoint


def predict_region(
    checkpoint: Checkpoint, region: Region, *, gas: Gas, device: str = "cpu", pairs: int = PAIRS
) -> xr.Dataset:
    """FLUX of a region for the last year of its drivers.

    A month in which no driver is left has no flux; one in which some are missing is predicted without them and flagged.

    Args:
        checkpoint: The model.
        region: Where the inputs lie.
        gas: The gas.
        device: Torch device.
        pairs: (cell, class) pairs predicted together; changes memory and time, not the result.
    """
    history = given(checkpoint, region)
    drivers = under(checkpoint, region, history)
    models = equations(checkpoint, region.scenario)
    areas, statics = areas_of(region), tiled(region.normals, region)
    flux = _empty(checkpoint, drivers, areas, region)
    calibration = Calibration.from_json(checkpoint.calibration)
    for where in _chunks(flux["ecosystem_fraction"].values, pairs):
        points = _points(checkpoint, drivers, statics, where)
        before = _points(checkpoint, history, statics, where) if models else points
        law = checkpoint.predict(before, device=device, last=MONTHS)
        location = _moved(law["location"].values, models, before, points)
        found = calibration.apply(location, law["scale"].values, where[0][:, None])
        seen = _seen(points, checkpoint.drivers)
        _scatter(flux, f"{gas.flux}_density", found, gas, where, seen)
        _scatter_dissimilarity(flux, checkpoint, points, where)
    flux = extents.deal(flux, areas["ecosystem_fraction"], gas)
    left = _left_training(flux, checkpoint, region, history, statics, pairs)
    return check_flux(_flagged(flux, drivers, areas, checkpoint, gas, left), gas)


def laws(
    checkpoint: Checkpoint,
    drivers: xr.Dataset,
    statics: xr.Dataset,
    present: NDArray[np.bool_],
    *,
    device: str = "cpu",
    pairs: int = PAIRS,
) -> NDArray[np.float32]:
    """Location and scale of the flux of every member where a class is present, in asinh space.

    Args:
        checkpoint: The model.
        drivers: DRIVERS with the months of the model's memory.
        statics: Static predictors.
        present: Pairs that are wanted (ecosystem, latitude, longitude); others are NaN.
        device: Torch device.
        pairs: (cell, class) pairs predicted together.

    Returns:
        (location and scale, member, ecosystem, month, latitude, longitude) [1].
    """
    shape = (2, len(checkpoint.members), present.shape[0], MONTHS, *present.shape[1:])
    out = np.full(shape, np.nan, dtype=np.float32)
    for where in _chunks(present[:, None], pairs):
        points = _points(checkpoint, drivers, statics, where)
        law = checkpoint.predict(points, device=device, last=MONTHS)
        ecosystem, row, column = where
        both = np.stack([law["location"].values, law["scale"].values])
        out[:, :, ecosystem, :, row, column] = _pair_first(both)
    return out


def densities(
    checkpoint: Checkpoint,
    law: NDArray[np.float32],
    statics: xr.Dataset,
    present: NDArray[np.bool_],
    *,
    gas: Gas,
    models: Sequence[StructuralModel] = (),
    old: xr.Dataset | None = None,
    new: xr.Dataset | None = None,
    pairs: int = PAIRS,
) -> NDArray[np.float32]:
    """Flux density of every member where a class is present, as `predict_region` has it before areas come in.

    Args:
        checkpoint: The model.
        law: What `laws` gives.
        statics: Static predictors.
        present: Pairs that are wanted (ecosystem, latitude, longitude); others are NaN.
        gas: The gas.
        models: Structural models by which the flux moves from old to new drivers; none for the law as it is.
        old: DRIVERS of the law; needed with `models` only.
        new: DRIVERS to which the flux moves.
        pairs: (cell, class) pairs taken together.

    Returns:
        (member, ecosystem, month, latitude, longitude) [kg m-2 s-1].
    """
    out = np.full(law.shape[1:], np.nan, dtype=np.float32)
    calibration = Calibration.from_json(checkpoint.calibration)
    for where in _chunks(present[:, None], pairs):
        ecosystem, row, column = where
        location, scale = np.moveaxis(law[:, :, ecosystem, :, row, column], 0, 2)
        if models and old is not None and new is not None:
            ends = (_points(checkpoint, d, statics, where) for d in (old, new))
            location = _moved(location, models, *ends)
        found = calibration.apply(location, scale, ecosystem[:, None])
        out[:, ecosystem, :, row, column] = _pair_first(found.mean * gas.kg_per_nmol)
    return out


def _moved(
    location: NDArray[np.float32],
    models: Sequence[StructuralModel],
    old: xr.Dataset,
    new: xr.Dataset,
) -> NDArray[np.float32]:
    """Location (member, site, time) after the change of the drivers by the structural equations, if there are any."""
    return location + flux_change(models, old, new, MONTHS) if models else location


def _empty(
    checkpoint: Checkpoint, drivers: xr.Dataset, areas: xr.Dataset, region: Region
) -> xr.Dataset:
    """FLUX without values."""
    grid = Grid(region.resolution)
    time = drivers["time"].values[-MONTHS:]
    cells = (len(ECOSYSTEMS), MONTHS, drivers.sizes["latitude"], drivers.sizes["longitude"])
    members = len(checkpoint.members)
    mean = extents.mean_fraction(areas["ecosystem_fraction"], members)
    fraction = mean.transpose("ecosystem", ..., "latitude", "longitude").values
    fraction = np.broadcast_to(fraction if fraction.ndim == 4 else fraction[:, None], cells)
    density = {"units": FLUX_UNITS}
    name = f"{checkpoint.gas}_flux_density"

    def nan(*shape: int) -> NDArray[np.float32]:
        return np.full(shape, np.nan, dtype=np.float32)

    return xr.Dataset(
        {
            name: (("member", *BLOCK), nan(members, *cells), density),
            f"{name}_variance": (BLOCK, nan(*cells), {"units": "kg2 m-4 s-2"}),
            f"{name}_quantile": (("quantile", *BLOCK), nan(len(QUANTILES), *cells), density),
            "ecosystem_fraction": (BLOCK, fraction.astype(np.float32), {"units": "1"}),
            "dissimilarity": (BLOCK, nan(*cells)),
        },
        coords={
            "member": np.arange(members, dtype=np.int32),
            "quantile": list(QUANTILES),
            "ecosystem": list(ECOSYSTEMS),
            "time": time,
            "latitude": grid.latitude[region.tile[0]],
            "longitude": grid.longitude[region.tile[1]],
        },
        attrs={"step": "month"},
    )


def _chunks(
    fraction: NDArray[np.float32] | NDArray[np.bool_], pairs: int
) -> Iterator[tuple[NDArray[np.intp], ...]]:
    """Class, row and column of the pairs with any area in the year, `pairs` at a time, sorted by class."""
    found = np.nonzero((fraction > 0).any(axis=1))
    for start in range(0, len(found[0]), pairs):
        yield tuple(index[start : start + pairs] for index in found)


def _points(
    checkpoint: Checkpoint,
    drivers: xr.Dataset,
    statics: xr.Dataset,
    where: tuple[NDArray[np.intp], ...],
) -> xr.Dataset:
    """The pairs as points (site, time)."""
    ecosystem, row, column = where
    dynamic = {
        n: (("site", "time"), drivers[n].values[:, row, column].T) for n in checkpoint.drivers
    }
    static = {n: (("site",), statics[n].values[row, column]) for n in checkpoint.statics}
    place = {
        "latitude": ("site", drivers["latitude"].values[row]),
        "longitude": ("site", drivers["longitude"].values[column]),
        "ecosystem": ("site", ecosystem.astype(np.int8)),
    }
    coords = place | {"site": np.arange(len(row)), "time": drivers["time"].values}
    return xr.Dataset(dynamic | static, coords=coords, attrs={"step": "month"})


def _seen(points: xr.Dataset, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Whether any driver is there in each month of the year (site, time)."""
    present = [np.isfinite(points[n].values[:, -MONTHS:]) for n in names]
    return np.asarray(np.any(present, axis=0))


def _scatter(
    flux: xr.Dataset,
    name: str,
    found: Calibrated,
    gas: Gas,
    where: tuple[NDArray[np.intp], ...],
    seen: NDArray[np.bool_],
) -> None:
    """Put the pairs of a chunk where they belong, in kg m-2 s-1; a variance scales with the square."""
    ecosystem, row, column = where
    unit = gas.kg_per_nmol
    for target, values, factor in (
        (name, found.mean, unit),
        (f"{name}_quantile", found.quantile, unit),
        (f"{name}_variance", found.variance, unit**2),
    ):
        flux[target].values[..., ecosystem, :, row, column] = _pair_first(
            np.where(seen, values * factor, np.nan)
        )


def _pair_first(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """(..., site, time) as (site, ..., time): numpy puts advanced indices that a slice separates first."""
    return np.moveaxis(values, -2, 0).astype(np.float32)


def _scatter_dissimilarity(
    flux: xr.Dataset,
    checkpoint: Checkpoint,
    points: xr.Dataset,
    where: tuple[NDArray[np.intp], ...],
) -> None:
    ecosystem, row, column = where
    index = _dissimilarity(checkpoint, points)
    flux["dissimilarity"].values[ecosystem, :, row, column] = index


def _dissimilarity(checkpoint: Checkpoint, points: xr.Dataset) -> NDArray[np.float32]:
    """Dissimilarity index of points in the months of the year (site, time)."""
    area = checkpoint.applicability
    rows = checkpoint.applicability_features(points.isel(time=slice(-MONTHS, None)))
    index = dissimilarity(
        area.features,
        area.weights,
        rows.reshape(-1, rows.shape[-1]),
        mean_distance=area.mean_distance,
    )
    return index.reshape(rows.shape[:2])


def _left_training(
    flux: xr.Dataset,
    checkpoint: Checkpoint,
    region: Region,
    history: xr.Dataset,
    statics: xr.Dataset,
    pairs: int,
) -> xr.DataArray | None:
    """Cell-months (time, latitude, longitude) that a scenario's drivers take out of the area of applicability.

    Those that lay outside before are not among them. History is looked at only where the scenario is outside, and with
    the areas of the scenario, so that a change of area alone takes nothing out. None where no driver is changed.
    """
    if not region.scenario.forced:
        return None
    fraction, limit = flux["ecosystem_fraction"], checkpoint.applicability.threshold
    outside = flux["dissimilarity"].weighted(fraction).mean("ecosystem") > limit
    before = xr.full_like(flux["dissimilarity"], np.nan)
    here = fraction.where(outside.any("time"), 0.0).transpose(*fraction.dims)
    for where in _chunks(here.values, pairs):
        ecosystem, row, column = where
        index = _dissimilarity(checkpoint, _points(checkpoint, history, statics, where))
        before.values[ecosystem, :, row, column] = index
    return outside & ~(before.weighted(fraction).mean("ecosystem") > limit)


def _flagged(
    flux: xr.Dataset,
    drivers: xr.Dataset,
    areas: xr.Dataset,
    checkpoint: Checkpoint,
    gas: Gas,
    left: xr.DataArray | None,
) -> xr.Dataset:
    """FLUX with the area-weighted dissimilarity of every cell and the reason for every doubt; later ones prevail.

    Cell-months that a scenario takes out of the training have no flux.
    """
    left = (
        xr.zeros_like(flux["ecosystem_fraction"].isel(ecosystem=0), bool) if left is None else left
    )
    fraction = flux["ecosystem_fraction"]
    present = (fraction > 0).any("ecosystem")
    index = flux["dissimilarity"].weighted(fraction).mean("ecosystem")
    status = drivers["driver_status"].isel(time=slice(-MONTHS, None))
    land = areas["land_fraction"] > 0
    ruled = (areas["area_filled"] > 0) & present
    flag = xr.zeros_like(index, dtype=np.uint8)
    for name, applies in (
        ("driver_preliminary", status == STATUS["preliminary"]),
        ("driver_filled", (status == STATUS["filled"]) | ruled),
        ("outside_applicability", index > checkpoint.applicability.threshold),
        ("driver_missing", status == STATUS["missing"]),
        ("intervention_outside_training", left),
        ("no_ecosystem", ~present),
        ("ocean", ~land & ~present),
    ):
        flag = flag.where(~applies, np.uint8(QUALITY_FLAGS[name]))
    name = f"{gas.flux}_density"
    used = (fraction > 0) & ~left
    masked = {n: flux[n].where(used) for n in (name, f"{name}_variance", f"{name}_quantile")}
    order = {n: v.transpose(*flux[n].dims).assign_attrs(flux[n].attrs) for n, v in masked.items()}
    return flux.drop_vars("dissimilarity").assign(
        {
            **order,
            "dissimilarity_index": index.transpose(*CELL).astype(np.float32),
            "quality_flag": flag.transpose(*CELL).astype(np.uint8),
        }
    )
