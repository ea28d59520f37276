"""MODIS: climate modelling grids, sinusoidal tiles and land cover."""

from ch4grid.drivers.modis.cmg import MODIS
from ch4grid.drivers.modis.landcover import LandCover
from ch4grid.drivers.modis.tiles import ModisTiles

__all__ = ["MODIS", "LandCover", "ModisTiles"]
