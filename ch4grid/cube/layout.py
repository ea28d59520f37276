"""The arrays of a product: dimensions, types, chunks, fill values and CF attributes, as data.

A year is one block along time and shares no object with another year, so adding a year leaves every earlier object as
it was. Nothing here touches a disk.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ch4grid.grid import TILE, Grid
from ch4grid.vocabulary import (
    BUDGET_UNITS,
    FLUX_UNITS,
    NEVER_WRITTEN,
    QUALITY_FLAGS,
    SCENARIO_FLAGS,
    Gas,
)

MONTHS = 12
# Attributes of the time axis.
TIME: dict[str, str] = {
    "standard_name": "time",
    "long_name": "first day of the month",
    "units": "days since 1970-01-01",
    "calendar": "proleptic_gregorian",
    "axis": "T",
    "bounds": "time_bnds",
    "units_metadata": "leap_seconds: none",
}
MEMBER_TILE = 60
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

# Mantissa bits kept in the statistics: relative error at most 2^-(KEEP_BITS + 1).
KEEP_BITS = 10

CELL = ("time", "latitude", "longitude")
MEAN = "time: mean area: mean"
_ROUNDED = (
    f"rounded to {KEEP_BITS} mantissa bits: relative error at most 2^-{KEEP_BITS + 1} = "
    f"{2.0 ** -(KEEP_BITS + 1):.2%}"
)


@dataclass(frozen=True)
class Layout:
    """One array of the store: its dimensions, Zarr data type, chunk shape, fill value and attributes."""

    dims: tuple[str, ...]
    dtype: str
    chunks: tuple[int, ...]
    fill: Any
    attrs: dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """Sizes of every dimension of a product except time."""

    grid: Grid
    members: int
    ecosystems: int
    regions: int

    def chunk(self, dim: str, *, tile: int = TILE) -> int:
        """Chunk length along a dimension: a year, a write region, one class, one quantile, all members."""
        rows, columns = self.grid.shape
        lengths = {
            "time": MONTHS,
            "latitude": min(tile, rows),
            "longitude": min(tile, columns),
            "member": self.members,
            "region": self.regions,
            "ecosystem": 1,
            "quantile": 1,
        }
        return lengths[dim]

    def size(self, dim: str) -> int:
        """Length of a dimension; time starts empty and grows by whole years."""
        rows, columns = self.grid.shape
        lengths = {"time": 0, "latitude": rows, "longitude": columns, "member": self.members}
        lengths |= {"ecosystem": self.ecosystems, "quantile": len(QUANTILES), "bnds": 2}
        return (lengths | {"region": self.regions})[dim]


def arrays(
    gas: Gas, shape: Shape, *, static_fraction: bool = False, intervened: bool = False
) -> dict[str, Layout]:
    """Every array of a product by name: coordinates, statics and yearly variables."""
    diagnostics = _diagnostics(shape, static_fraction, intervened)
    data = _fluxes(gas, shape) | _ensemble(gas, shape) | diagnostics
    quality = (f"{gas.flux}_standard_error", "dissimilarity_index", "quality_flag")
    kinds = dict.fromkeys(data, "modelResult") | dict.fromkeys(quality, "qualityInformation")
    statics = _statics(shape)
    kinds |= dict.fromkeys(statics, "referenceInformation")
    told = {
        n: replace(v, attrs=v.attrs | {"coverage_content_type": kinds[n]})
        for n, v in (statics | data).items()
    }
    return _coordinates(gas, shape) | told


def _float(
    dims: tuple[str, ...], shape: Shape, attrs: dict[str, Any], dtype: str = "float32"
) -> Layout:
    chunks = tuple(shape.chunk(d) for d in dims)
    mapped = (
        {"grid_mapping": "crs", "cell_measures": "area: cell_area"} if "latitude" in dims else {}
    )
    return Layout(dims, dtype, chunks, float("nan"), attrs | mapped)


def _coordinates(gas: Gas, shape: Shape) -> dict[str, Layout]:
    lost = int(np.iinfo(np.int64).min)  # a lost chunk must not read as a valid date
    bounds = {k: TIME[k] for k in ("units", "calendar", "long_name")}
    result = {
        "time": Layout(("time",), "int64", (MONTHS,), lost, TIME),
        "time_bnds": Layout(("time", "bnds"), "int64", (MONTHS, 2), lost, bounds),
    }
    for name, coordinate in shape.grid.coords.items():
        n = coordinate.size
        edge = {k: coordinate.attrs[k] for k in ("units", "long_name")}
        result[name] = Layout((name,), "float64", (n,), float("nan"), dict(coordinate.attrs))
        result[f"{name}_bnds"] = Layout((name, "bnds"), "float64", (n, 2), float("nan"), edge)
    words = {
        "ecosystem": "ecosystem class",
        "region": "region of the budget",
    }
    for name, long_name in words.items():
        result[name] = Layout((name,), "string", (shape.size(name),), "", {"long_name": long_name})
    member = {
        "standard_name": "realization",
        "long_name": "ensemble member",
        "units": "1",
    }
    level = {"long_name": f"probability of the {gas.long_name} flux quantile", "units": "1"}
    member_fill = int(np.iinfo(np.int32).min)
    result["member"] = Layout(("member",), "int32", (shape.members,), member_fill, member)
    n = len(QUANTILES)
    result["quantile"] = Layout(("quantile",), "float64", (n,), float("nan"), level)
    return result


def _statics(shape: Shape) -> dict[str, Layout]:
    area = {
        "standard_name": "cell_area",
        "long_name": "exact area of the cell on WGS84",
        "units": "m2",
        "cell_methods": "area: sum",
    }
    land = {
        "standard_name": "land_area_fraction",
        "long_name": "land area fraction",
        "units": "1",
        "cell_methods": "area: mean",
    }
    region = {
        "long_name": "share of the cell area that lies in the region",
        "units": "1",
        "cell_methods": "area: mean",
    }
    plane = CELL[1:]
    weights = _float(("region", *plane), shape, region, "float64")
    return {
        "cell_area": _float(plane, shape, area, "float64"),
        "land_fraction": _float(plane, shape, land),
        "region_fraction": Layout(
            weights.dims, weights.dtype, (1, *weights.chunks[1:]), weights.fill, weights.attrs
        ),
        "crs": Layout((), "int32", (), int(np.iinfo(np.int32).min), _crs(shape.grid)),
    }


def _crs(grid: Grid) -> dict[str, Any]:
    """CF grid mapping of EPSG:4326 with what GDAL and rioxarray look for."""
    from pyproj import CRS

    crs = CRS.from_epsg(4326)
    wkt = crs.to_wkt()
    return crs.to_cf() | {
        "long_name": "coordinate reference system",
        "crs_wkt": wkt,
        "spatial_ref": wkt,
        "GeoTransform": f"-180 {grid.resolution!r} 0 -90 0 {grid.resolution!r}",
    }


def _fluxes(gas: Gas, shape: Shape) -> dict[str, Layout]:
    name, of = gas.flux, f"mass is that of {gas.formula}, not of its atoms; positive upward"
    base = {"units": FLUX_UNITS, "cell_methods": MEAN}
    mean = base | {
        "long_name": f"upward flux of {gas.long_name} from all ecosystem classes, per area of the grid cell",
        "comment": f"{of}; mean of the ensemble; equals the sum over ecosystem of {name}_density x ecosystem_fraction",
        "ancillary_variables": f"{name}_standard_error {name}_quantile dissimilarity_index quality_flag",
    }
    error = base | {
        "long_name": f"standard error of the flux of {gas.long_name} per area of the grid cell",
        "comment": "variance between members of the cell flux plus, for every class, fraction squared x the calibrated "
        f"variance in excess of that between members, classes independent; {_ROUNDED}",
    }
    quantile = base | {
        "long_name": f"quantiles of the flux of {gas.long_name} per area of the grid cell",
        "comment": "quantiles of the classes weighted by fraction and added as if the classes moved together, which "
        f"makes the range conservatively wide; {_ROUNDED}",
    }
    density = base | {
        "long_name": f"upward flux of {gas.long_name} per area of the ecosystem class",
        "comment": f"{of}; mean of the ensemble; missing where the class is absent",
        "ancillary_variables": "ecosystem_fraction",
    }
    return {
        name: _float(CELL, shape, mean),
        f"{name}_standard_error": _float(CELL, shape, error),
        f"{name}_quantile": _float(("quantile", *CELL), shape, quantile),
        f"{name}_density": _float(("ecosystem", *CELL), shape, density),
    }


def _ensemble(gas: Gas, shape: Shape) -> dict[str, Layout]:
    dims = ("member", *CELL)
    member = {
        "units": FLUX_UNITS,
        "cell_methods": MEAN,
        "long_name": f"upward flux of {gas.long_name} per area of the grid cell, by ensemble member",
        "comment": "sum over a region before taking the spread: the errors of cells are correlated within a member",
        "grid_mapping": "crs",
        "cell_measures": "area: cell_area",
    }
    budget = {
        "units": BUDGET_UNITS,
        "cell_methods": "time: sum area: sum",
        "long_name": f"mass of {gas.long_name} emitted in the month by ecosystem class and region",
        "comment": f"sum over ecosystem equals the sum of {gas.flux}_member x cell_area x region_fraction x seconds of "
        "the month",
    }
    chunks = tuple(shape.chunk(d, tile=MEMBER_TILE) for d in dims)
    table = (shape.members, MONTHS, shape.ecosystems, shape.regions)
    lost = float("nan")
    return {
        f"{gas.flux}_member": Layout(dims, "float32", chunks, lost, member),
        f"{gas.name}_budget": Layout(
            ("member", "time", "ecosystem", "region"), "float64", table, lost, budget
        ),
    }


def _diagnostics(shape: Shape, static_fraction: bool, intervened: bool) -> dict[str, Layout]:
    flags = {n: v for n, v in QUALITY_FLAGS.items() if intervened or n not in SCENARIO_FLAGS}
    index = {
        "units": "1",
        "cell_methods": MEAN,
        "long_name": "dissimilarity of the predictors from those of the towers",
        "comment": f"Meyer and Pebesma (2021), doi:10.1111/2041-210X.13650; {_ROUNDED}",
    }
    fraction = {
        "units": "1",
        "cell_methods": "area: mean" if static_fraction else MEAN,
        "long_name": "share of the cell area that belongs to the ecosystem class",
    }
    flag = {
        "units": "1",
        "cell_methods": "time: point area: point",
        "long_name": "quality of the cell and month",
        "standard_name": "quality_flag",
        "flag_values": list(flags.values()),
        "flag_meanings": " ".join(flags),
        "comment": f"{NEVER_WRITTEN} where nothing was written yet",
    }
    dims = CELL[1:] if static_fraction else CELL
    mapped = _float(CELL, shape, flag)
    return {
        "dissimilarity_index": _float(CELL, shape, index),
        "ecosystem_fraction": _float(("ecosystem", *dims), shape, fraction),
        "quality_flag": Layout(CELL, "uint8", mapped.chunks, NEVER_WRITTEN, mapped.attrs),
    }
