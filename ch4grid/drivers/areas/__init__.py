"""Maps of wetland, water, rice, coast, cities and peat, one file per family of data sets."""

from ch4grid.drivers.areas.coastal import Coastal
from ch4grid.drivers.areas.glwd import GLWD
from ch4grid.drivers.areas.peat import Peat
from ch4grid.drivers.areas.rice import Rice
from ch4grid.drivers.areas.settlement import Settlement
from ch4grid.drivers.areas.wetlands import Wetlands

__all__ = ["GLWD", "Coastal", "Peat", "Rice", "Settlement", "Wetlands"]
