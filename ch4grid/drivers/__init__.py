"""Gridded predictors and area layers to DRIVERS: a file per family of sources, a cube by month on the product grid."""

from typing import Annotated

from pydantic import Field

from ch4grid.drivers.areas import GLWD, Coastal, Peat, Rice, Settlement, Wetlands
from ch4grid.drivers.assembly import assemble, at_sites, normals, spreads
from ch4grid.drivers.era5 import ERA5
from ch4grid.drivers.gridded import Gridded
from ch4grid.drivers.modis import MODIS, LandCover, ModisTiles
from ch4grid.drivers.twin import TwinDrivers

DriverSource = Annotated[
    ERA5
    | MODIS
    | ModisTiles
    | LandCover
    | Gridded
    | Wetlands
    | GLWD
    | Rice
    | Coastal
    | Settlement
    | Peat
    | TwinDrivers,
    Field(discriminator="source"),
]

__all__ = [
    "ERA5",
    "GLWD",
    "MODIS",
    "Coastal",
    "DriverSource",
    "Gridded",
    "LandCover",
    "ModisTiles",
    "Peat",
    "Rice",
    "Settlement",
    "TwinDrivers",
    "Wetlands",
    "assemble",
    "at_sites",
    "normals",
    "spreads",
]
