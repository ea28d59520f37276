"""Regions from GeoJSON: polygons in, the exact share of every cell's WGS84 area that lies in them out."""

from ch4grid.regions.collection import RegionSet
from ch4grid.regions.geojson import Feature, features
from ch4grid.regions.shares import named, region_share

__all__ = ["Feature", "RegionSet", "features", "named", "region_share"]
