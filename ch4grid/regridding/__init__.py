"""Regridding from any latitude-longitude grid to the grid of a product, exact at the poles and aware of gaps.

Weights of two rectilinear grids are outer products of one-dimensional tables (`weights`), applied by compiled loops at
the speed of memory (`kernels`, `fields`). Curvilinear grids go through ESMF's weights, made by the engine xesmf or read
from a file (`engine`, `esmf`); whole stores are streamed by `streaming.zarr_to_zarr`.
"""

import xarray as xr

from ch4grid.grid import Grid
from ch4grid.regridding.cells import Cells, latitude_edges, longitude_edges
from ch4grid.regridding.esmf import SparseWeights, read_weights, write_weights
from ch4grid.regridding.methods import (
    Rule,
    bilinear,
    class_fractions,
    conservative,
    nearest,
    regrid,
    regrid_with_weights,
)
from ch4grid.regridding.weights import Figure, Separable, conservative_weights

__all__ = [
    "Cells",
    "Rule",
    "SparseWeights",
    "bilinear",
    "class_fractions",
    "conservative",
    "exact_weights",
    "latitude_edges",
    "longitude_edges",
    "nearest",
    "read_weights",
    "regrid",
    "regrid_with_weights",
    "write_weights",
]


def exact_weights(data: xr.DataArray, grid: Grid, figure: Figure = "sphere") -> Separable:
    """Exact overlaps of the cells of `data` with those of `grid`.

    Raises:
        InputError: A coordinate is not monotonic or out of range.
    """
    return conservative_weights(Cells.of(data), Cells.of_grid(grid), figure)
