"""Areas of any rectilinear grid to the grid of a product: exact overlaps on the WGS84 ellipsoid, nothing lost.

A layer says which fraction of a cell something covers. What leaves here covers the same square metres in the product's
cells, so the sum of fraction times WGS84 cell area is the same before and after. Missing counts as none.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sparse
import xarray as xr
from numpy.typing import NDArray

from ch4grid.drivers.source import OnGrid
from ch4grid.drivers.units import named
from ch4grid.errors import InputError
from ch4grid.grid import Grid, zone_area
from ch4grid.regridding import latitude_edges, longitude_edges
from ch4grid.vocabulary import VARIABLES

Float = NDArray[np.float64]

# A layer may exceed the whole cell by what rounding of its file leaves [1]: sums of whole percents, float32 noise.
ROUNDING = 0.02


@dataclass(frozen=True)
class Overlap:
    """Overlaps of source cells with target cells as fractions of the target cell.

    Args:
        rows: (target latitude, source latitude), in area on the ellipsoid.
        columns: (target longitude, source longitude).
    """

    rows: sparse.csr_array
    columns: sparse.csr_array

    def fraction(self, field: NDArray[Any]) -> Float:
        """Fraction of every target cell (latitude, longitude) that one field (latitude, longitude) covers [1]."""
        values = np.nan_to_num(np.asarray(field, np.float64), nan=0.0)
        return np.asarray((self.columns @ (self.rows @ values).T).T)


def overlap(south_north: Float, west_east: Float, grid: Grid) -> Overlap:
    """Overlaps of cells given by their edges with those of a grid.

    A source that reaches around the globe more than once, as some rasters do by a pixel, is cut at 180 degrees.

    Args:
        south_north: Edges along latitude [degrees_north], either direction.
        west_east: Edges along longitude [degrees_east], ascending, of any convention.
        grid: Target grid.
    """
    target = np.append(grid.longitude_bounds[:, 0], 180.0)
    turns = (0.0,) if np.ptp(west_east) > 360.0 + 1e-6 else (-360.0, 0.0, 360.0)
    columns = sum(
        (_overlap(west_east + turn, target) for turn in turns[1:]),
        start=_overlap(west_east + turns[0], target),
    )
    return Overlap(row_overlap(south_north, grid), sparse.csr_array(columns))


def row_overlap(south_north: Float, grid: Grid) -> sparse.csr_array:
    """Overlaps (target latitude, source latitude) in area on the ellipsoid as fractions of the target row."""
    target = np.append(grid.latitude_bounds[:, 0], 90.0)
    return _overlap(_south_of(south_north), _south_of(target))


def row_area(south_north: Float) -> Float:
    """Areas of the full zones between consecutive edges [m2]."""
    return zone_area(np.stack([south_north[:-1], south_north[1:]], axis=1))


def global_edges(centres: Float, span: float) -> Float:
    """Edges of a global axis by its number of cells, whichever part of a cell its labels name [degrees].

    Some files label cells by a corner: longitude ends at exactly 180, latitude at exactly -90. An axis whose cells fill
    the span is the whole globe; any other keeps the edges half way between its labels.

    Args:
        centres: Labels [degrees], evenly spaced, either direction.
        span: 180 for latitude, 360 for longitude.
    """
    steps = np.diff(np.unwrap(centres, period=360.0) if span > 180.0 else centres)
    step = float(np.median(steps)) if steps.size else 0.0
    if abs(abs(step) * centres.size - span) > 0.01 * abs(step):
        return latitude_edges(centres) if span == 180.0 else longitude_edges(centres)
    if span == 180.0:
        poles: Float = np.linspace(-90.0, 90.0, centres.size + 1) * np.sign(step)
        return poles
    west = float(round((centres[0] - step / 2) / 180.0)) * 180.0
    return np.linspace(west, west + 360.0, centres.size + 1)


def onto(field: xr.DataArray, grid: Grid, edges: tuple[Float, Float] | None = None) -> xr.DataArray:
    """An area layer ([time,] latitude, longitude) on the product grid, float32 [1].

    Args:
        field: Fractions of its cells [1], missing where there are none.
        grid: Target grid.
        edges: Cell edges along latitude and longitude; half way between the centres if not given.
    """
    field = field.transpose(..., "latitude", "longitude")
    south_north, west_east = edges or (
        latitude_edges(np.asarray(field["latitude"].values, np.float64)),
        longitude_edges(np.asarray(field["longitude"].values, np.float64)),
    )
    weights = overlap(south_north, west_east, grid)
    lead = field.dims[:-2]
    steps = field.values.reshape(-1, *field.shape[-2:])
    values = np.stack([weights.fraction(step) for step in steps]).reshape(
        *field.shape[:-2], *grid.shape
    )
    coords = {d: field[d] for d in lead} | grid.coords
    return xr.DataArray(values, dims=(*lead, "latitude", "longitude"), coords=coords)


def layer(values: xr.DataArray, name: str, where: object, **attrs: str) -> xr.DataArray:
    """Fractions on the product grid as the layer of the vocabulary, float32, rounding above the whole cell cut off.

    Raises:
        InputError: A fraction is negative or well above 1.
    """
    low, high = float(values.min()), float(values.max())
    if low < -1e-6 or high > 1.0 + ROUNDING:
        raise InputError(
            f"area layer {name!r} is not a fraction of the cell",
            where=where,
            expected="0 to 1",
            found=f"{low:g} to {high:g}",
            fix="State the units of the file, percent or hectares, in the recipe",
        )
    return named(values.clip(0.0, 1.0), VARIABLES[name]).assign_attrs(attrs)


def on_grid(values: xr.Dataset) -> OnGrid:
    """Area layers as known everywhere: what no map shows is none."""
    valid = {n: xr.ones_like(v).drop_attrs(deep=False) for n, v in values.data_vars.items()}
    return OnGrid(values, xr.Dataset(valid))


def _south_of(latitude: Float) -> Float:
    """Area between the south pole and parallels [m2]: the coordinate along which cells of a row are intervals."""
    clipped = np.clip(latitude, -90.0, 90.0)
    return zone_area(np.stack([np.full_like(clipped, -90.0), clipped], axis=1))


def _overlap(source: Float, target: Float) -> sparse.csr_array:
    """Overlaps (target, source) of two chains of intervals given by their edges, over the target's length [1]."""
    descending = source[0] > source[-1]
    edges = source[::-1] if descending else source
    cuts = np.unique(np.concatenate([edges, target]))
    cuts = cuts[(cuts >= max(edges[0], target[0])) & (cuts <= min(edges[-1], target[-1]))]
    shape = (target.size - 1, source.size - 1)
    if cuts.size < 2:
        return sparse.csr_array(shape, dtype=np.float64)
    # by the lower cut, not the middle: pieces can be one rounding error long
    row = np.searchsorted(target, cuts[:-1], side="right") - 1
    column = np.searchsorted(edges, cuts[:-1], side="right") - 1
    column = shape[1] - 1 - column if descending else column
    share = np.diff(cuts) / np.diff(target)[row]
    return sparse.csr_array(sparse.coo_array((share, (row, column)), shape=shape))
