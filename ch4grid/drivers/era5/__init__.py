"""ERA5 and ERA5-Land in every form of their archives."""

from ch4grid.drivers.era5.source import ERA5

__all__ = ["ERA5"]
