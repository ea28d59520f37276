"""Where the inputs of a region and year lie, and what they are before and under a scenario."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import xarray as xr

from ch4grid.drivers.cube import open_cube
from ch4grid.models import Checkpoint
from ch4grid.scenarios import Scenario, answering, apply, apply_areas, intervene
from ch4grid.structure import StructuralModel

MONTHS = 12


@dataclass(frozen=True)
class Region:
    """Where a region's inputs lie: paths and slices only, so that it can travel to a worker.

    Args:
        drivers: The driver cube.
        years: First year of the model's memory and the predicted year.
        areas: Folder of `ecosystem_fraction`, `land_fraction` and `area_filled` of the year.
        normals: Folder of the static predictors.
        scenario: What is changed in drivers and areas.
        resolution: Of the product grid [degrees].
        tile: Rows and columns.
        spreads: Folder of the spreads of the drivers' anomalies, where a scenario propagates.
    """

    drivers: Path
    years: tuple[int, int]
    areas: Path
    normals: Path
    scenario: Scenario
    resolution: float
    tile: tuple[slice, slice] = (slice(None), slice(None))
    spreads: Path | None = None

    def at(self, tile: tuple[slice, slice]) -> "Region":
        """The same inputs for other rows and columns."""
        return replace(self, tile=tile)


class Inputs(Protocol):
    """Who knows in which folders the inputs of a year lie: an `Assembly`."""

    def update(self, first_year: int, last_year: int) -> Path:
        """The driver cube, brought up to date for some years."""

    def areas(self, year: int) -> Path:
        """Class areas of a year."""

    def normals(self, period: tuple[int, int]) -> Path:
        """Static predictors."""

    def spreads(self, period: tuple[int, int]) -> Path:
        """Spreads of the drivers' anomalies."""


def region_of(
    inputs: Inputs,
    year: int,
    scenario: Scenario,
    *,
    spin_up: int,
    period: tuple[int, int],
    resolution: float,
) -> Region:
    """The whole globe in a year, its inputs made where they are not there yet.

    Args:
        inputs: Who knows the folders.
        year: The year.
        scenario: What is changed.
        spin_up: Years of drivers before it.
        period: Years of the climate normals and of the spreads.
        resolution: Of the product grid [degrees].
    """
    return Region(
        drivers=inputs.update(year - spin_up, year),
        years=(year - spin_up, year),
        areas=inputs.areas(year),
        normals=inputs.normals(period),
        scenario=scenario,
        resolution=resolution,
        spreads=inputs.spreads(period) if scenario.propagate else None,
    )


def tiled(folder: Path, region: Region) -> xr.Dataset:
    """A kept Dataset at the cells of a region."""
    window = {"latitude": region.tile[0], "longitude": region.tile[1]}
    with xr.open_zarr(folder, consolidated=False, chunks=None) as kept:
        found: xr.Dataset = kept.isel(window).load()
    return found


def given(checkpoint: Checkpoint, region: Region) -> xr.Dataset:
    """DRIVERS of a region as they were, before any scenario."""
    used = [*checkpoint.drivers, "driver_status"]
    cube = open_cube(region.drivers, *region.years)[used]
    window = {"latitude": region.tile[0], "longitude": region.tile[1]}
    return cube.isel(window).load().assign_attrs(step="month")


def under(checkpoint: Checkpoint, region: Region, drivers: xr.Dataset) -> xr.Dataset:
    """DRIVERS of a region under its scenario."""
    return apply(drivers, region.scenario, checkpoint.structure, _spreads(region))


def equations(checkpoint: Checkpoint, scenario: Scenario) -> tuple[StructuralModel, ...]:
    """The structural model of each member where the flux answers a scenario by its equations; none where it does not.

    Raises:
        RecipeError: The scenario asks for the equations and they cannot answer.
    """
    if not scenario.by_equations:
        return ()
    reason = checkpoint.meta.get("structure", "")
    structure = answering(scenario, checkpoint.structure, checkpoint.drivers, reason)
    if structure is None:
        return ()
    return tuple(structure.copy(m) for m in range(len(checkpoint.members)))


def areas_of(region: Region) -> xr.Dataset:
    """Class fractions, land and filled months of a region under its scenario."""
    areas = tiled(region.areas, region)
    return areas.assign(
        ecosystem_fraction=apply_areas(areas["ecosystem_fraction"], region.scenario)
    )


def source_digest(checkpoint: Checkpoint, region: Region) -> str:
    """SHA-256 of the values that a region is predicted from: drivers with their months of memory, classes, climate.

    The scenario is not in it; it is a part of the product.
    """
    digest = hashlib.sha256()
    kept = [tiled(region.areas, region), tiled(region.normals, region), _spreads(region)]
    for dataset in [given(checkpoint, region), *(k for k in kept if k is not None)]:
        for name in sorted(map(str, dataset.variables)):
            variable = dataset[name]
            values = np.ascontiguousarray(variable.values)
            digest.update(f"{name} {variable.dims} {values.shape} {values.dtype}\n".encode())
            plain = values.dtype.kind in "OU"
            digest.update("\n".join(map(str, values.flat)).encode() if plain else values.tobytes())
    return digest.hexdigest()


def count_clipped(checkpoint: Checkpoint, region: Region) -> dict[str, int]:
    """How many values of each driver a scenario would take out of the driver's range, in land months of the year."""
    land = tiled(region.areas, region)["land_fraction"] > 0
    drivers = given(checkpoint, region)
    masked = drivers.where(land).isel(time=slice(-MONTHS, None))
    found = intervene(masked, region.scenario, checkpoint.structure, _spreads(region))
    return dict(found.clipped)


def _spreads(region: Region) -> xr.Dataset | None:
    return None if region.spreads is None else tiled(region.spreads, region)
