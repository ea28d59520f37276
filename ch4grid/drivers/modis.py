"""MODIS monthly climate modelling grids (CMG, HDF4): vegetation index and land surface temperature in our units.

Scale, fill and valid range come from the attributes of the file, and pixels are judged by their quality layer before
anything is averaged: a fill code inside a mean is an error of a factor, not of a rounding.
"""

import datetime
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ch4grid.drivers.netcdf import refuse_missing, unreadable
from ch4grid.errors import InputError
from ch4grid.stores import Workspace
from ch4grid.vocabulary import VARIABLES, months

# The HDF4 library is not thread-safe.
_HDF4 = threading.Lock()

# Acquisition date in the name of a granule: year and day of year.
GRANULE = re.compile(r"^(M[OY]D\d\dC\d)\.A(\d{4})(\d{3})\.")


@dataclass(frozen=True)
class Layer:
    """A field of a product and the field that says how good its pixels are.

    Args:
        product: The product's name without its platform, `13C2` of MOD13C2 and MYD13C2.
        name: Scientific data set.
        quality: Scientific data set of the quality.
        kind: How the quality is coded.
    """

    product: str
    name: str
    quality: str
    kind: Literal["reliability", "lst_bits"]


LAYERS: dict[str, Layer] = {
    "evi": Layer(
        "13C2", "CMG 0.05 Deg Monthly EVI", "CMG 0.05 Deg Monthly pixel reliability", "reliability"
    ),
    "lst_day": Layer("11C3", "LST_Day_CMG", "QC_Day", "lst_bits"),
    "lst_night": Layer("11C3", "LST_Night_CMG", "QC_Night", "lst_bits"),
}


class MODIS(BaseModel):
    """Monthly CMG granules MOD13C2 and MOD11C3, or those of Aqua (MYD).

    Args:
        path: File or glob, relative to the data folder.
        variables: `evi`, `lst_day`, `lst_night`.
        reliability: Accepted ranks of the vegetation index: 0 good, 1 marginal, 2 snow or ice, 3 cloudy, 4 estimated.
            Snow stays in by default: the index over snow falls back to two bands, and without it winters are blank.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: Literal["modis"] = "modis"
    path: str
    variables: tuple[str, ...] = Field(strict=False)
    reliability: tuple[int, ...] = Field(default=(0, 1, 2), strict=False)

    @field_validator("variables")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [n for n in names if n not in LAYERS]
        if unknown or not names:
            raise ValueError(
                f"modis has no variable {', '.join(unknown)}; it has {', '.join(LAYERS)}"
            )
        return names

    def inputs(self, workspace: Workspace, first_year: int, last_year: int) -> list[Path]:
        """The granules that the years need, sorted.

        Raises:
            InputError: A month is missing or has two granules of one product.
        """
        granules = self._granules(workspace, first_year, last_year)
        return sorted({p for paths in granules.values() for p in paths})

    def open(self, workspace: Workspace, first_year: int, last_year: int) -> xr.Dataset:
        """All months of the years (time, latitude, longitude), north first, each granule read when it is needed.

        Raises:
            InputError: A month is missing, or a granule is not a readable CMG file.
        """
        granules = self._granules(workspace, first_year, last_year)
        return xr.Dataset(
            {name: self._series(name, paths) for name, paths in granules.items()}
        ).assign_coords(time=months(first_year, last_year))

    def _granules(
        self, workspace: Workspace, first_year: int, last_year: int
    ) -> dict[str, list[Path]]:
        """Per variable one granule for each month, in order."""
        table: dict[tuple[str, str], list[Path]] = {}
        for path in workspace.matches(self.path):
            match = GRANULE.match(path.name)
            if match:
                key = match[1][3:], _month(match[2], match[3], path)
                table.setdefault(key, []).append(path)
        if not table:
            raise InputError(
                "no monthly CMG granule among the files",
                where=f"modis, {self.path}",
                expected="names such as MOD13C2.A2001001.061.<date>.hdf or MOD11C3...",
                found=", ".join(p.name for p in workspace.matches(self.path)[:3]),
                fix="Tiles and daily products are not read; fetch the CMG products",
            )
        wanted = [str(m) for m in months(first_year, last_year).values.astype("datetime64[M]")]
        return {name: self._of_layer(table, LAYERS[name], wanted) for name in self.variables}

    def _of_layer(
        self, table: dict[tuple[str, str], list[Path]], layer: Layer, wanted: Sequence[str]
    ) -> list[Path]:
        where = f"modis, {self.path}"
        missing = [m for m in wanted if (layer.product, m) not in table]
        refuse_missing(missing, f"M?D{layer.product}", where)
        for month in wanted:
            twice = table[layer.product, month]
            if len(twice) > 1:
                raise InputError(
                    f"month {month} has {len(twice)} granules of one product",
                    where=where,
                    expected="one",
                    found=", ".join(p.name for p in twice),
                    fix="Narrow the path to one platform and version",
                )
        return [table[layer.product, month][0] for month in wanted]

    def _series(self, name: str, paths: Sequence[Path]) -> xr.DataArray:
        import dask
        import dask.array

        layer = LAYERS[name]
        shape = _shape(paths[0], layer)
        # only the path enters the graph: a worker opens the granule itself
        read = dask.delayed(read_layer, pure=True)
        fields = [
            dask.array.from_delayed(
                read(path, layer, self.reliability, shape), shape=shape, dtype=np.float32
            )
            for path in paths
        ]
        size = 180.0 / shape[0]
        return xr.DataArray(
            dask.array.stack(fields),
            dims=("time", "latitude", "longitude"),
            coords={
                "latitude": 90.0 - size * (np.arange(shape[0]) + 0.5),
                "longitude": -180.0 + size * (np.arange(shape[1]) + 0.5),
            },
            name=name,
            attrs=VARIABLES[name].attrs,
        )


def read_layer(
    path: Path, layer: Layer, reliability: tuple[int, ...], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """A field of a granule (latitude north first, longitude) in our units, NaN where missing or not good enough.

    Raises:
        InputError: The granule cannot be read, has another shape, or lacks the field or its quality.
    """
    with _granule(path) as granule:
        stored, attributes = _data(granule, layer.name, path)
        quality, _ = _data(granule, layer.quality, path)
    if stored.shape != shape or quality.shape != shape:
        raise InputError(
            f"field {layer.name!r} has another shape",
            where=path,
            expected=shape,
            found=stored.shape,
        )
    good = _good(quality, layer.kind, reliability) & (stored != attributes["_FillValue"])
    if "valid_range" in attributes:
        low, high = attributes["valid_range"]
        good &= (stored >= low) & (stored <= high)
    return np.where(good, scaled(stored, attributes), np.float32(np.nan))


def scaled(stored: NDArray[Any], attributes: dict[str, Any]) -> NDArray[np.float32]:
    """Physical values of stored integers.

    MOD13 writes a `scale_factor` of 10000 that divides, MOD11 one of 0.02 that multiplies (their user guides): a factor
    above one can only be the former.
    """
    factor = float(attributes.get("scale_factor", 1.0))
    values = stored.astype(np.float32) - np.float32(attributes.get("add_offset", 0.0))
    return values / np.float32(factor) if factor > 1 else values * np.float32(factor)


def _good(
    quality: NDArray[Any], kind: Literal["reliability", "lst_bits"], reliability: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Pixels worth averaging.

    Temperature bits 0 and 1 hold the mandatory flag (2 and 3: not produced), bits 6 and 7 the error class (3: above
    3 K), after the MOD11 user guide, table 13.
    """
    if kind == "reliability":
        accepted = np.isin(np.arange(256), reliability)
    else:
        bits = np.arange(256)
        accepted = ((bits & 0b11) <= 1) & ((bits >> 6) < 3)
    # one look-up per pixel: a rank of -1 (no data) is code 255
    return np.asarray(accepted[quality.astype(np.uint8)])


@contextmanager
def _granule(path: Path) -> Iterator[Any]:
    from pyhdf.error import HDF4Error
    from pyhdf.SD import SD, SDC

    with _HDF4:
        try:
            granule = SD(str(path), SDC.READ)
        except HDF4Error as error:
            raise unreadable(path, error) from error
        try:
            yield granule
        except HDF4Error as error:
            raise unreadable(path, error) from error
        finally:
            granule.end()


def _data(granule: Any, name: str, path: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    found = granule.datasets()
    if name not in found:
        raise InputError(
            f"field {name!r} is missing",
            where=path,
            expected=name,
            found=", ".join(sorted(found)[:12]) or "none",
            fix="Give the monthly 0.05 degree CMG product",
        )
    data = granule.select(name)
    values, attributes = np.asarray(data.get()), dict(data.attributes())
    data.endaccess()
    return values, {"_FillValue": None} | attributes


def _shape(path: Path, layer: Layer) -> tuple[int, int]:
    """Rows and columns of a field, a globe of square cells."""
    with _granule(path) as granule:
        found = granule.datasets()
        if layer.name not in found:
            _data(granule, layer.name, path)
        rows, columns = found[layer.name][1]
    if columns != 2 * rows:
        raise InputError(
            f"field {layer.name!r} is not a global grid of square cells",
            where=path,
            expected="twice as many columns as rows",
            found=(rows, columns),
        )
    return int(rows), int(columns)


def _month(year: str, day: str, path: Path) -> str:
    """Month (YYYY-MM) of the year and day of year of a granule that starts with a month."""
    date = datetime.date(int(year), 1, 1) + datetime.timedelta(days=int(day) - 1)
    if date.day != 1:
        raise InputError(
            "the granule does not start with a month",
            where=path,
            expected="a monthly product, A + year + day of year of a first day",
            found=str(date),
        )
    return f"{date:%Y-%m}"
