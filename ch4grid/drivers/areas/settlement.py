"""Cities as drivers: the Global Human Settlement Layer, degree of urbanisation (SMOD) or built-up surface (BUILT_S).

SMOD marks a cell of 1 km as a whole, so its urban area is that of cities and towns with all that lies in them; BUILT_S
is the area of the buildings alone. The Mollweide maps are area-true on a sphere, not on the ellipsoid: their pixels are
0.7 % smaller than 1 km2 at the equator and larger at the poles, which is taken into account.
"""

from collections.abc import Sequence
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

# Source: GHSL Data Package 2023, table 22 (degree of urbanisation, level 2).
# Codes beyond it are no codes; it bounds the look-up table.
LARGEST_CODE = 300
SMOD_CODES = MappingProxyType(
    {
        10: "water",
        11: "very low density rural",
        12: "low density rural",
        13: "rural cluster",
        21: "suburban or peri-urban",
        22: "semi-dense urban cluster",
        23: "dense urban cluster",
        30: "urban centre",
    }
)

# Towns, suburbs and cities: level 1 of the degree of urbanisation.
URBAN = (21, 22, 23, 30)


@dataclass(frozen=True)
class SettlementMap:
    """The documented layout of a map; a file for tests or a twin follows it to the letter.

    Args:
        file: Name of the GeoTIFF; its ZIP archive has the same stem.
        crs: Projection.
        origin: West and north edge [degrees or m]. The maps on latitude and longitude start 0.0079 degrees west of 180
            and reach around the globe by two pixels more than once.
        step: Pixel size [degrees or m].
        shape: Rows and columns.
        dtype: Of the values.
        nodata: Declared missing value.
    """

    file: str
    crs: str
    origin: tuple[float, float]
    step: float
    shape: tuple[int, int]
    dtype: str
    nodata: int


_MOLLWEIDE = ("ESRI:54009", (-18041000.0, 9000000.0), 1000.0, (18000, 36082))
_DEGREES = ("EPSG:4326", (-180.00791593130032, 89.0995831776456), 1 / 120, (21384, 43202))
MAPS = MappingProxyType(
    {
        "smod-mollweide": SettlementMap(
            "GHS_SMOD_E2020_GLOBE_R2023A_54009_1000_V2_0.tif", *_MOLLWEIDE, "int16", -200
        ),
        "smod-degrees": SettlementMap(
            "GHS_SMOD_E2020_GLOBE_R2023A_4326_30ss_V2_0.tif", *_DEGREES, "int16", -200
        ),
        "built-mollweide": SettlementMap(
            "GHS_BUILT_S_E2020_GLOBE_R2023A_54009_1000_V1_0.tif", *_MOLLWEIDE, "uint32", 4294967295
        ),
        "built-degrees": SettlementMap(
            "GHS_BUILT_S_E2020_GLOBE_R2023A_4326_30ss_V1_0.tif", *_DEGREES, "uint32", 4294967295
        ),
    }
)


class Settlement(FineMaps):
    """The urban area.

    Args:
        path: GeoTIFF of SMOD or BUILT_S, its ZIP archive, a folder of tiles, or a glob.
        product: Which of the two; by the file name if not given.
        codes: Codes of SMOD that count as urban.
    """

    source: Literal["ghsl"] = "ghsl"
    path: str
    product: Literal["smod", "built_s"] | None = None
    codes: tuple[int, ...] = Field(default=URBAN, min_length=1, strict=False)
    variables: tuple[Literal["urban_fraction"], ...] = Field(
        default=("urban_fraction",), strict=False
    )

    @field_validator("codes")
    @classmethod
    def _known(cls, codes: tuple[int, ...]) -> tuple[int, ...]:
        wrong = [c for c in codes if c not in SMOD_CODES]
        if wrong:
            raise ValueError(f"no code {wrong} in SMOD: {', '.join(map(str, SMOD_CODES))}")
        return codes

    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        """What is held of the layer."""
        return held("ghsl", self.variables, lambda: self._maps(workspace)[1])

    def statics_on_grid(self, workspace: Workspace, grid: Grid) -> OnGrid:
        """The layer on a grid (latitude, longitude), exact sums over the pixels of every cell.

        Raises:
            InputError: A map cannot be read or is of neither product.
        """
        product, maps = self._maps(workspace)
        told = self.model_dump(mode="json")
        return overlap.on_grid(
            once("ghsl", told, maps, grid, workspace, lambda: self._layer(product, maps, grid))
        )

    def _layer(self, product: str, maps: Sequence[Raster], grid: Grid) -> xr.Dataset:
        total = np.zeros(grid.shape)
        for raster in maps:
            decode = _codes(self.codes, raster) if product == "smod" else _surface(raster)
            total += cell_fractions(raster, grid, decode, areas=product == "built_s")
        field = xr.DataArray(total, dims=("latitude", "longitude"), coords=grid.coords)
        told = f"SMOD codes {' '.join(map(str, self.codes))}" if product == "smod" else "BUILT_S"
        return overlap.layer(field, "urban_fraction", self.path, comment=told).to_dataset()

    def _maps(self, workspace: Workspace) -> tuple[str, list[Raster]]:
        """The product and its maps."""
        found = rasters(workspace, self.path)
        kinds = {r.name: self.product or _product(r.name) for r in found}
        products = sorted({kind for kind in kinds.values() if kind})
        maps = [r for r in found if kinds[r.name]]
        if len(products) != 1:
            raise InputError(
                "settlement maps of one product are needed",
                where=self.path,
                expected="GHS_SMOD_*.tif or GHS_BUILT_S_*.tif",
                found=", ".join(sorted(kinds)),
                fix="Name one file, or state `product: smod` or `product: built_s`",
            )
        return products[0], maps


def _product(name: str) -> str | None:
    upper = name.upper()
    return "smod" if "SMOD" in upper else "built_s" if "BUILT_S" in upper else None


def _codes(codes: tuple[int, ...], raster: Raster) -> Decode:
    nodata = layout(raster).nodata
    known = [*SMOD_CODES, 0, -200, *([] if nodata is None else [int(nodata)])]
    table = np.arange(-LARGEST_CODE, LARGEST_CODE + 1)
    is_known, is_wanted = np.isin(table, known), np.isin(table, codes)

    def decode(values: NDArray[Any]) -> NDArray[Any]:
        # one look-up per pixel: a map has a thousand million of them
        place = np.clip(values, -LARGEST_CODE, LARGEST_CODE).astype(np.intp) + LARGEST_CODE
        strange = ~is_known[place]
        if strange.any():
            raise InputError(
                "the map holds codes that SMOD does not have",
                where=raster.address,
                expected=", ".join(map(str, SMOD_CODES)),
                found=", ".join(map(str, np.unique(values[strange])[:6])),
            )
        return np.asarray(is_wanted[place])

    return decode


def _surface(raster: Raster) -> Decode:
    where = layout(raster)
    most = 1.05 * (where.step[0] * where.step[1] if where.mollweide else np.inf)

    def decode(values: NDArray[Any]) -> NDArray[Any]:
        known = values if where.nodata is None else np.where(values == where.nodata, 0, values)
        known = np.maximum(known, 0)
        if known.max() > most:
            raise InputError(
                "a pixel holds more built-up surface than it has area",
                where=raster.address,
                expected=f"at most {most:g} m2",
                found=f"{known.max():g}",
            )
        return np.asarray(known)

    return decode
