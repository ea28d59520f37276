"""Mangrove and tidal marsh as drivers: binary maps of 10 to 25 m, or the classes 28 and 29 of GLWD v2.

Global Mangrove Watch and the tidal-marsh map come as tiles that hold 1 where the ecosystem is. GLWD was made with them:
taking one kind from both would count its area twice, which is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from ch4grid.drivers.areas import overlap
from ch4grid.drivers.areas.glwd import NAME, class_fraction
from ch4grid.drivers.areas.maps import FineMaps
from ch4grid.drivers.areas.rasters import Raster, cell_fractions, held, once, rasters
from ch4grid.drivers.source import Holding, OnGrid
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace

# Classes of GLWD v2 that are the kinds of this source.
GLWD_CLASS = MappingProxyType({"mangrove": 28, "tidal_marsh": 29})

# Pixel value of the ecosystem in both binary maps.
PRESENT = 1


@dataclass(frozen=True)
class Tiles:
    """The documented layout of binary tiles; a file for tests or a twin follows it to the letter.

    Args:
        file: Name of a tile.
        degrees: Size of a tile; the name gives its north-west corner.
        pixels: Rows and columns of a tile.
        dtype: Of the values, 1 present and 0 absent.
        nodata: Declared missing value.
    """

    file: str
    degrees: int
    pixels: int
    dtype: str = "uint8"
    nodata: int | None = 0
    crs: str = "EPSG:4326"


# Sources: Bunting et al. 2022 (Remote Sens. 14, 3657), 1-degree tiles; Worthington et al. 2024 (Glob. Ecol. Biogeogr.
# 33, e13852), Zenodo 8420753, whose tiles are named freely.
TILES = MappingProxyType(
    {
        "mangrove": Tiles("GMW_{NS}{lat:02d}{EW}{lon:03d}_2020_v3.tif", 1, 4500),
        "tidal_marsh": Tiles("tidal_marsh_{tile}.tif", 1, 11132),
    }
)


class Coastal(FineMaps):
    """Mangrove and tidal marsh.

    Args:
        mangrove: Tiles of Global Mangrove Watch, or GLWD v2: paths, folders or globs.
        tidal_marsh: Tiles of the tidal-marsh map, or GLWD v2.
    """

    source: Literal["coastal"] = "coastal"
    mangrove: tuple[str, ...] = Field(default=(), strict=False)
    tidal_marsh: tuple[str, ...] = Field(default=(), strict=False)
    variables: tuple[Literal["coastal_fraction"], ...] = Field(
        default=("coastal_fraction",), strict=False
    )

    @field_validator("mangrove", "tidal_marsh", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _some(self) -> "Coastal":
        if not self.mangrove and not self.tidal_marsh:
            raise ValueError("coastal needs the maps of mangrove, of tidal_marsh or of both")
        return self

    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        """What is held of the layer."""

        def found() -> list[Raster]:
            return [r for maps in self._maps(workspace).values() for r in maps]

        return held("coastal", self.variables, found)

    def statics_on_grid(self, workspace: Workspace, grid: Grid) -> OnGrid:
        """The layer on a grid (latitude, longitude), exact sums over the pixels of every cell.

        Raises:
            InputError: A map cannot be read, or one kind comes from two maps.
        """
        maps = [r for some in self._maps(workspace).values() for r in some]
        told = self.model_dump(mode="json")
        return overlap.on_grid(
            once("coastal", told, maps, grid, workspace, lambda: _layer(maps, grid))
        )

    def _maps(self, workspace: Workspace) -> dict[str, list[Raster]]:
        """Maps by kind.

        Raises:
            InputError: A kind has no map, or comes from GLWD and another map.
        """
        named = {"mangrove": self.mangrove, "tidal_marsh": self.tidal_marsh}
        return {
            kind: _maps_of(kind, [r for p in patterns for r in rasters(workspace, p)])
            for kind, patterns in named.items()
            if patterns
        }


def _maps_of(kind: str, found: Sequence[Raster]) -> list[Raster]:
    """The maps of one kind: tiles, or the class of GLWD."""
    number = GLWD_CLASS[kind]
    glwd = [r for r in found if _is_glwd(r)]
    own = [r for r in glwd if int(NAME.search(r.name)[1]) == number]  # type: ignore[index]
    tiles = [r for r in found if not _is_glwd(r)]
    if glwd and tiles:
        raise InputError(
            f"{kind} would be counted twice",
            where=f"coastal.{kind}",
            expected=f"either class {number} of GLWD v2, which contains such maps, or another map",
            found=f"{glwd[0].name} and {tiles[0].name}",
            fix="Remove one of them from the recipe",
        )
    if glwd and not own:
        raise InputError(
            "the class map is missing",
            where=f"coastal.{kind}",
            expected=f"class {number} of GLWD v2",
        )
    names = [r.name for r in tiles]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise InputError(
            f"{kind} would be counted twice",
            where=f"coastal.{kind}",
            expected="every tile once",
            found=", ".join(twice[:4]),
        )
    percents = [r for r in own if r.name.lower().endswith("_pct.tif")]
    return tiles or percents[:1] or own[:1]


def _layer(maps: Sequence[Raster], grid: Grid) -> xr.Dataset:
    total = np.zeros(grid.shape)
    for raster in maps:
        total += class_fraction(raster, grid) if _is_glwd(raster) else _binary(raster, grid)
    field = xr.DataArray(total, dims=("latitude", "longitude"), coords=grid.coords)
    return overlap.layer(field, "coastal_fraction", "coastal").to_dataset()


def _is_glwd(raster: Raster) -> bool:
    return NAME.search(raster.name) is not None


def _binary(raster: Raster, grid: Grid) -> NDArray[np.float64]:
    """Fraction of every cell of the product that holds the value 1."""

    def present(values: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(values == PRESENT)

    return cell_fractions(raster, grid, present)
