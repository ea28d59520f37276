"""Gridded predictors to DRIVERS: one file per source, brought together on the product grid."""

from typing import Annotated

from pydantic import Field

from ch4grid.drivers.assembly import assemble, at_sites, normals
from ch4grid.drivers.era5 import ERA5
from ch4grid.drivers.gridded import Gridded
from ch4grid.drivers.modis import MODIS
from ch4grid.drivers.twin import TwinDrivers

DriverSource = Annotated[ERA5 | MODIS | Gridded | TwinDrivers, Field(discriminator="source")]

__all__ = [
    "ERA5",
    "MODIS",
    "DriverSource",
    "Gridded",
    "TwinDrivers",
    "assemble",
    "at_sites",
    "normals",
]
