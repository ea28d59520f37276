"""The Global Lakes and Wetlands Database v2: 33 disjoint classes at 15 arc-seconds as area layers.

The share of every class in every pixel is summed exactly over the product's cells, straight from the ZIP archive, one
class and one strip of rows at a time. Which classes make up which layer is the table below; a recipe may state another.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ch4grid.drivers.areas import overlap
from ch4grid.drivers.areas.maps import FineMaps
from ch4grid.drivers.areas.rasters import (
    Decode,
    Raster,
    cell_fractions,
    held,
    layout,
    once,
    rasters,
)
from ch4grid.drivers.source import Holding, OnGrid
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace

# Source: Lehner et al. 2025 (ESSD 17, 2277), table 2; figshare 28519994, GLWD_Legend_v2_0.csv.
CLASSES = MappingProxyType(
    {
        1: "freshwater lake",
        2: "saline lake",
        3: "reservoir",
        4: "large river",
        5: "large estuarine river",
        6: "other permanent waterbody",
        7: "small streams",
        8: "lacustrine, forested",
        9: "lacustrine, non-forested",
        10: "riverine, regularly flooded, forested",
        11: "riverine, regularly flooded, non-forested",
        12: "riverine, seasonally flooded, forested",
        13: "riverine, seasonally flooded, non-forested",
        14: "riverine, seasonally saturated, forested",
        15: "riverine, seasonally saturated, non-forested",
        16: "palustrine, regularly flooded, forested",
        17: "palustrine, regularly flooded, non-forested",
        18: "palustrine, seasonally saturated, forested",
        19: "palustrine, seasonally saturated, non-forested",
        20: "ephemeral, forested",
        21: "ephemeral, non-forested",
        22: "arctic or boreal peatland, forested",
        23: "arctic or boreal peatland, non-forested",
        24: "temperate peatland, forested",
        25: "temperate peatland, non-forested",
        26: "tropical or subtropical peatland, forested",
        27: "tropical or subtropical peatland, non-forested",
        28: "mangrove",
        29: "saltmarsh",
        30: "large river delta",
        31: "other coastal wetland",
        32: "salt pan, saline or brackish wetland",
        33: "rice paddies",
    }
)

# Layers of the vocabulary and the classes that they are the sum of. Freshwater vegetated wetland is everything inland
# that is neither water, salt nor rice; peatland is a part of it and no layer of its own in the precedence. Deltas and
# other coastal wetlands go with mangrove and saltmarsh; salt pans (32) emit next to nothing and stay with the upland.
LAYERS: MappingProxyType[str, tuple[int, ...]] = MappingProxyType(
    {
        "open_water_fraction": tuple(range(1, 8)),
        "wetland_fraction": tuple(range(8, 28)),
        "peat_fraction": tuple(range(22, 28)),
        "coastal_fraction": (28, 29, 30, 31),
        "rice_fraction": (33,),
    }
)

# Layers that may not share a class: the precedence would count its area once for each and cut it off again.
DISJOINT = ("open_water_fraction", "wetland_fraction", "coastal_fraction", "rice_fraction")


@dataclass(frozen=True)
class ClassMaps:
    """The documented layout of the archives; a file for tests or a twin follows it to the letter.

    Args:
        archive: Name of the ZIP archive.
        member: Names inside it.
        dtype: Of the values.
        nodata: Declared missing value, on the ocean.
        scale: Value to percent of the pixel, or to hectares.
        bounds: West, south, east and north edge [degrees]; 240 pixels per degree, rows from the north.
        crs: Their projection.
        compress: Compression of the GeoTIFF.
        block: Side of its square tiles, so that a strip of rows is read without the rest [pixels].
    """

    archive: str
    member: str
    dtype: str
    nodata: int
    scale: float
    bounds: tuple[int, int, int, int] = (-180, -56, 180, 84)
    crs: str = "EPSG:4326"
    compress: str = "lzw"
    block: int = 256


MAPS = MappingProxyType(
    {
        "pct": ClassMaps(
            "GLWD_v2_0_area_by_class_pct_tif.zip",
            "GLWD_v2_0_area_by_class_pct/GLWD_v2_0_class_{:02d}_pct.tif",
            "uint8",
            255,
            1.0,
        ),
        "ha_x10": ClassMaps(
            "GLWD_v2_0_area_by_class_ha_tif.zip",
            "GLWD_v2_0_area_by_class_ha/GLWD_v2_0_class_{:02d}_ha_x10.tif",
            "int16",
            -1,
            0.1,
        ),
    }
)
NAME = re.compile(r"GLWD_v2_\w*?class_(\d\d)_(pct|ha_x10)\.tif$", re.IGNORECASE)

SQUARE_METRES_PER_HECTARE = 1e4


class GLWD(FineMaps):
    """GLWD v2 area by class: percent of each pixel, or hectares times ten.

    Args:
        path: The ZIP archive, a folder of the class maps, or a glob.
        variables: Layers to make.
        classes: Other classes for a layer than the table has.
    """

    source: Literal["glwd"] = "glwd"
    path: str
    variables: tuple[str, ...] = Field(
        default=("open_water_fraction", "wetland_fraction"), strict=False
    )
    classes: dict[str, tuple[int, ...]] = Field(default={}, strict=False)

    @field_validator("classes", mode="before")
    @classmethod
    def _lists(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}

    @field_validator("variables")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [n for n in names if n not in LAYERS]
        if unknown or not names:
            raise ValueError(
                f"GLWD makes {', '.join(LAYERS)}, not {', '.join(unknown) or 'nothing'}"
            )
        return names

    @field_validator("classes")
    @classmethod
    def _disjoint(cls, classes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        unknown = [n for n in classes if n not in LAYERS]
        wrong = sorted({c for some in classes.values() for c in some} - set(CLASSES))
        if unknown or wrong:
            raise ValueError(f"no layer {unknown} or class {wrong} in GLWD v2")
        table = dict(LAYERS) | classes
        taken = [c for name in DISJOINT for c in table[name]]
        twice = sorted({c for c in taken if taken.count(c) > 1})
        if twice:
            names = ", ".join(f"{c} ({CLASSES[c]})" for c in twice)
            raise ValueError(f"GLWD classes in two layers would count twice: {names}")
        return classes

    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        """What is held of every layer."""
        return held("glwd", self.variables, lambda: list(self._maps(workspace).values()))

    def statics_on_grid(self, workspace: Workspace, grid: Grid) -> OnGrid:
        """The layers on a grid (latitude, longitude), exact sums over the pixels of every cell.

        Raises:
            InputError: A class map is missing, cannot be read, or holds values that are no share.
        """
        maps = self._maps(workspace)
        told, used = self.model_dump(mode="json"), list(maps.values())
        return overlap.on_grid(
            once("glwd", told, used, grid, workspace, lambda: self._layers(maps, grid))
        )

    def _layers(self, maps: Mapping[int, Raster], grid: Grid) -> xr.Dataset:
        totals = {name: np.zeros(grid.shape) for name in self.variables}
        for number, raster in maps.items():
            share = class_fraction(raster, grid)
            for name in self.variables:
                if number in self._table()[name]:
                    totals[name] += share
        values = {
            name: overlap.layer(
                xr.DataArray(total, dims=("latitude", "longitude"), coords=grid.coords),
                name,
                self.path,
                classes=" ".join(map(str, self._table()[name])),
            )
            for name, total in totals.items()
        }
        return xr.Dataset(values)

    def _table(self) -> dict[str, tuple[int, ...]]:
        return dict(LAYERS) | self.classes

    def _maps(self, workspace: Workspace) -> dict[int, Raster]:
        """Class numbers and their maps, those that the layers need."""
        needed = sorted({c for name in self.variables for c in self._table()[name]})
        return class_maps(rasters(workspace, self.path), needed, self.path)


def class_maps(found: Sequence[Raster], needed: Sequence[int], where: str) -> dict[int, Raster]:
    """Class numbers and their maps; percents before hectares where both are there.

    Raises:
        InputError: A class has no map.
    """
    maps: dict[int, Raster] = {}
    for raster in found:
        match = NAME.search(raster.name)
        if match and (match[2].lower() == "pct" or int(match[1]) not in maps):
            maps[int(match[1])] = raster
    missing = [c for c in needed if c not in maps]
    if missing:
        raise InputError(
            "GLWD class maps are missing",
            where=where,
            expected=", ".join(f"GLWD_v2_0_class_{c:02d}_pct.tif" for c in missing[:4]),
            found=f"{len(maps)} class maps",
            fix="Fetch GLWD_v2_0_area_by_class_pct_tif.zip (figshare 28519994) whole",
        )
    return {c: maps[c] for c in needed}


def class_fraction(raster: Raster, grid: Grid) -> NDArray[np.float64]:
    """Fraction of every cell of the product that a class covers (latitude, longitude) [1].

    Raises:
        InputError: The map cannot be read or holds values that are no share.
    """
    match = NAME.search(raster.name)
    kind = match[2].lower() if match else "pct"
    decode = _decoder(raster, layout(raster).nodata, 100 if kind == "pct" else None)
    fraction = cell_fractions(raster, grid, decode, areas=kind != "pct")
    unit = 0.01 if kind == "pct" else MAPS["ha_x10"].scale * SQUARE_METRES_PER_HECTARE
    return np.asarray(fraction * unit)


def _decoder(raster: Raster, nodata: float | None, most: int | None) -> Decode:
    def decode(values: NDArray[Any]) -> NDArray[Any]:
        # the product with a mask is several times faster than a choice by it
        known = values if nodata is None else values * (values != nodata)
        if known.min() < 0 or (most is not None and known.max() > most):
            raise InputError(
                "a GLWD class map holds values that are no share",
                where=raster.address,
                expected=f"0 to {most}, nodata {nodata}" if most else "no negative hectares",
                found=f"{known.min()} to {known.max()}",
            )
        return known

    return decode
