"""The engine `xesmf`: ESMF makes the weights, once per pair of grids, and the loops of this package apply them.

It serves curvilinear grids and comparisons. esmpy exists in conda only, so the engine is found at run time; a weight
file made elsewhere does the same work without it (`regrid_with_weights`).
"""

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import InputError, RunError
from ch4grid.grid import Grid
from ch4grid.regridding.cells import Cells, latitude_edges, longitude_edges
from ch4grid.regridding.esmf import SparseWeights, read_weights, write_weights

Float = NDArray[np.float64]
Values = NDArray[Any]

# Memory ESMF needs to make weights [byte per source or target cell]: 2352 MB for 1.3 million cells, conservative.
BYTES_PER_CELL = 1800

# Most memory that may be spent on weights [byte].
MEMORY_LIMIT = 8_000_000_000

# ESMF's names of the methods.
ESMF_NAME = {"conservative": "conservative", "bilinear": "bilinear", "nearest": "nearest_s2d"}

BOTH_WAYS = (
    "Install them with conda (deploy/environment.yml), or bring a weight file made elsewhere "
    "(ESMF_RegridWeightGen, CDO) and apply it with regrid_with_weights; grids in latitude and "
    "longitude need neither with the engine separable"
)


def weights_for(
    data: xr.DataArray | xr.Dataset, grid: Grid, method: str, folder: Path | None = None
) -> SparseWeights:
    """ESMF's weights from the cells of data, rectilinear or curvilinear, to those of a product grid.

    Raises:
        InputError: The source lacks the bounds that conservative weights need, or the grids are too large for ESMF.
        RunError: xesmf or esmpy is not installed.
    """
    if data["latitude"].ndim == 2:
        source = curvilinear(data)
        if method == "conservative" and not {"lat_b", "lon_b"} <= set(source):
            raise InputError(
                "a curvilinear source has no cell bounds",
                where="latitude_bnds, longitude_bnds",
                expected="bounds (row, column, 4) for conservative regridding",
                found=sorted(str(name) for name in data.coords),
                fix="Add the bounds as coordinates, or use the method bilinear",
            )
    else:
        source = rectilinear(data["latitude"].values, data["longitude"].values)
    return esmf_weights(
        source, rectilinear(grid.latitude, grid.longitude), ESMF_NAME[method], folder
    )


def esmf_weights(
    source: dict[str, Values],
    target: dict[str, Values],
    method: str,
    folder: Path | None = None,
) -> SparseWeights:
    """Weights by ESMF, read from `folder` where they were made before.

    Args:
        source: `lat`, `lon` and for conservative weights the corners `lat_b`, `lon_b`, one- or two-dimensional.
        target: The same of the target.
        method: ESMF's name: `bilinear`, `conservative`, `conservative_normed`, `nearest_s2d`, `patch`.
        folder: Where weights are kept, named by grids and method.

    Raises:
        InputError: The grids are too large for ESMF.
        RunError: xesmf or esmpy is not installed.
    """
    digest = grid_hash(source, target, method)
    path = folder / f"weights-{method}-{digest[:16]}.nc" if folder else None
    if path is not None and path.exists():
        return read_weights(path, source_shape=_shape(source), shape=_shape(target))
    _refuse_too_large(source, target)
    weights = _made(source, target, method, digest)
    if path is not None:
        write_weights(path, weights)
    return weights


def grid_hash(source: dict[str, Values], target: dict[str, Values], method: str) -> str:
    """SHA-256 of both grids and the method, hexadecimal."""
    digest = hashlib.sha256(method.encode())
    for grid in (source, target):
        for name in sorted(grid):
            values = np.ascontiguousarray(grid[name], "<f8")
            digest.update(f"{name}{values.shape}".encode() + values.tobytes())
    return digest.hexdigest()


def rectilinear(latitude: Values, longitude: Values) -> dict[str, Values]:
    """A grid for ESMF from centres (row), (column); corners beyond the poles would make weights beyond 1."""
    south, west = np.asarray(latitude, np.float64), np.asarray(longitude, np.float64)
    edges = {"lat_b": latitude_edges(south), "lon_b": longitude_edges(west)}
    return {"lat": south, "lon": west, **edges}


def curvilinear(data: xr.DataArray | xr.Dataset) -> dict[str, Values]:
    """A grid for ESMF from `latitude` and `longitude` (row, column) and, where present, bounds (row, column, 4)."""
    grid: dict[str, Values] = {}
    for short, name in (("lat", "latitude"), ("lon", "longitude")):
        grid[short] = np.asarray(data[name].values, np.float64)
        bounds = data[name].attrs.get("bounds", f"{name}_bnds")
        if bounds in data.coords:
            grid[f"{short}_b"] = _corners(np.asarray(data[bounds].values, np.float64))
    if "lat_b" in grid:
        grid["lat_b"] = np.clip(grid["lat_b"], -90.0, 90.0)
    return grid


def _corners(vertices: Float) -> Float:
    """Corners (row + 1, column + 1) from the vertices of cells (row, column, 4), counted round each cell."""
    rows, columns, _ = vertices.shape
    corners = np.empty((rows + 1, columns + 1))
    corners[:-1, :-1] = vertices[..., 0]
    corners[:-1, -1] = vertices[:, -1, 1]
    corners[-1, -1] = vertices[-1, -1, 2]
    corners[-1, :-1] = vertices[-1, :, 3]
    return corners


def _shape(grid: dict[str, Values]) -> tuple[int, int]:
    latitude, longitude = grid["lat"], grid["lon"]
    rows, columns = latitude.shape if latitude.ndim == 2 else (latitude.size, longitude.size)
    return int(rows), int(columns)


def _refuse_too_large(source: dict[str, Values], target: dict[str, Values]) -> None:
    cells = int(np.prod(_shape(source)) + np.prod(_shape(target)))
    if cells * BYTES_PER_CELL > MEMORY_LIMIT:
        raise InputError(
            "the grids are too large for ESMF to make weights here",
            where="regrid",
            expected=f"at most {MEMORY_LIMIT / 1e9:.3g} GB",
            found=f"about {cells * BYTES_PER_CELL / 1e9:.3g} GB for {cells} cells",
            fix="Use the engine separable, or bring a weight file made on a larger machine",
        )


def _made(
    source: dict[str, Values], target: dict[str, Values], method: str, digest: str
) -> SparseWeights:
    try:
        import netCDF4  # noqa: F401  (esmpy before netCDF4 ends in a segmentation fault)
        import xesmf

        versions = f"ESMF {version('esmpy')}, xESMF {version('xesmf')}"
    except ImportError as error:
        raise RunError(
            "the regridding engine xesmf is not installed",
            where="regrid",
            expected="xesmf and esmpy (conda-forge)",
            found=str(error),
            fix=BOTH_WAYS,
        ) from error
    periodic = source["lon"].ndim == 1 and Cells.from_centres(source["lat"], source["lon"]).periodic
    made = xesmf.Regridder(source, target, method, periodic=periodic, unmapped_to_nan=True)
    return SparseWeights(
        made.weights.data.to_scipy_sparse().tocsr(),
        _shape(source),
        _shape(target),
        {
            "method": method,
            "grid_hash": digest,
            "engine_version": versions,
        },
    )
