"""Gridded predictors and area layers to DRIVERS: a file per family of sources, a cube by month on the product grid."""

from typing import Annotated

from pydantic import Field

from ch4grid.drivers.assembly import assemble, at_sites, normals
from ch4grid.drivers.coastal import Coastal
from ch4grid.drivers.era5 import ERA5
from ch4grid.drivers.glwd import GLWD
from ch4grid.drivers.gridded import Gridded
from ch4grid.drivers.landcover import LandCover
from ch4grid.drivers.modis import MODIS
from ch4grid.drivers.peat import Peat
from ch4grid.drivers.rice import Rice
from ch4grid.drivers.settlement import Settlement
from ch4grid.drivers.tiles import ModisTiles
from ch4grid.drivers.twin import TwinDrivers
from ch4grid.drivers.wetlands import Wetlands

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
]
