"""First-order conservative regridding from any rectilinear latitude-longitude grid to the grid of a product.

A cell of a latitude-longitude grid is a box in (sin latitude, longitude), so the overlap of two grids is the outer
product of two one-dimensional overlaps, each exact and made in milliseconds. Missing values take no part: the mean is
that of the valid part of a target cell, and the valid part is handed on as a fraction of the cell.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
import scipy.sparse as sparse
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import InputError, RunError
from ch4grid.grid import Grid

Float = NDArray[np.float64]
Engine = Literal["exact", "xesmf"]

# At 0 round-off slivers would count as data and at 1 they would cost data (ESMF's own masks flip there).
MIN_VALID_RANGE = (0.01, 0.99)

# Values held in float64 at a time [number], so that memory does not grow with the length of the series.
BLOCK_VALUES = 16_000_000


@overload
def conservative(
    data: xr.DataArray, grid: Grid, min_valid: float = ..., engine: Engine = ...
) -> tuple[xr.DataArray, xr.DataArray]: ...
@overload
def conservative(
    data: xr.Dataset, grid: Grid, min_valid: float = ..., engine: Engine = ...
) -> tuple[xr.Dataset, xr.Dataset]: ...
def conservative(
    data: xr.DataArray | xr.Dataset, grid: Grid, min_valid: float = 0.5, engine: Engine = "exact"
) -> tuple[xr.DataArray, xr.DataArray] | tuple[xr.Dataset, xr.Dataset]:
    """Area means over the cells of `grid`, and the fraction of each cell's area they rest on.

    Args:
        data: (..., latitude, longitude) in any order; latitude in either direction, longitude of any convention.
            Cell edges are half way between the centres, so pole points own half cells. Lazy input is read by blocks.
        grid: Target grid.
        min_valid: Smallest valid fraction that gives a value, within 0.01 to 0.99; xESMF's `na_thres` is 1 minus it.
        engine: `exact` for boxes in latitude and longitude, `xesmf` for ESMF's cells with great-circle edges.

    Returns:
        Means in the dtype of the input, and valid fractions float32 [1]; a Dataset gives two Datasets.

    Raises:
        InputError: A coordinate is not monotonic or out of range.
        RunError: The engine xesmf is asked for and not installed.
    """
    if isinstance(data, xr.Dataset):
        pairs = {n: conservative(v, grid, min_valid, engine) for n, v in data.data_vars.items()}
        return (
            xr.Dataset({n: mean for n, (mean, _) in pairs.items()}, attrs=data.attrs),
            xr.Dataset({n: fraction for n, (_, fraction) in pairs.items()}),
        )
    data = data.transpose(..., "latitude", "longitude")
    data = _without_cyclic_column(data)
    floor = float(np.clip(min_valid, *MIN_VALID_RANGE))
    weights = (_esmf_weights if engine == "xesmf" else exact_weights)(data, grid)
    lead = data.shape[:-2]
    dtype = data.dtype if data.dtype.kind == "f" else np.dtype(np.float64)
    values = np.empty((int(np.prod(lead)), *grid.shape), dtype)
    fractions = np.empty(values.shape, np.float32)
    for step, field in enumerate(_fields(data)):
        values[step], fractions[step] = weights.mean(field, floor)
    attrs = {"units": "1", "long_name": "area fraction with valid input"}
    return _labelled(values, data, grid, data.attrs), _labelled(fractions, data, grid, attrs)


@dataclass
class Separable:
    """Overlaps of source cells with target cells along both axes, as fractions of the target cell.

    Args:
        rows: (target latitude, source latitude) overlap in sin latitude over the target's extent [1].
        columns: (target longitude, source longitude) overlap in longitude over the target's extent [1].
    """

    rows: sparse.csr_array
    columns: sparse.csr_array
    _mask: NDArray[np.bool_] | None = None
    _fraction: Float | None = None

    def mean(self, field: NDArray[Any], floor: float) -> tuple[Float, Float]:
        """Mean and valid fraction (target latitude, target longitude) of one field (latitude, longitude)."""
        valid = np.isfinite(field)
        total = self._apply(np.where(valid, field, 0.0).astype(np.float64))
        fraction = self._valid_fraction(valid)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(fraction >= floor - 1e-9, total / fraction, np.nan), fraction

    def _apply(self, field: Float) -> Float:
        # rows first: they shrink the field before the costlier transposed product
        return np.asarray((self.columns @ (self.rows @ field).T).T)

    def _valid_fraction(self, valid: NDArray[np.bool_]) -> Float:
        """Valid fraction; the one of the previous field when the mask has not changed, as over land."""
        if self._fraction is None or self._mask is None or not np.array_equal(valid, self._mask):
            self._mask, self._fraction = valid, self._apply(valid.astype(np.float64))
        return self._fraction


@dataclass
class General:
    """Weights of any pair of grids: (target cell, source cell), as fractions of the target cell."""

    weights: sparse.csr_array
    shape: tuple[int, int]

    def mean(self, field: NDArray[Any], floor: float) -> tuple[Float, Float]:
        """Mean and valid fraction (target latitude, target longitude) of one field (latitude, longitude)."""
        valid = np.isfinite(field)
        total = self.weights @ np.where(valid, field, 0.0).astype(np.float64).ravel()
        fraction = (self.weights @ valid.astype(np.float64).ravel()).reshape(self.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(fraction >= floor, total.reshape(self.shape) / fraction, np.nan)
        return mean, fraction


def exact_weights(data: xr.DataArray, grid: Grid) -> Separable:
    """Exact overlaps of the cells of `data` with those of `grid`.

    Raises:
        InputError: A coordinate is not monotonic or out of range.
    """
    south_north = latitude_edges(np.asarray(data["latitude"].values, np.float64))
    west_east = longitude_edges(np.asarray(data["longitude"].values, np.float64))
    target_rows = np.append(grid.latitude_bounds[:, 0], 90.0)
    target_columns = np.append(grid.longitude_bounds[:, 0], 180.0)
    rows = _overlap(np.sin(np.deg2rad(south_north)), np.sin(np.deg2rad(target_rows)))
    # whole turns bring every longitude convention onto the target's circle
    turns = [_overlap(west_east + turn, target_columns) for turn in np.arange(-3, 4) * 360.0]
    return Separable(rows, sparse.csr_array(sum(turns[1:], turns[0])))


def latitude_edges(centres: Float) -> Float:
    """Edges (n + 1) half way between cell centres (n) [degrees_north], clipped to the poles.

    Raises:
        InputError: The centres are not monotonic or lie beyond a pole.
    """
    if centres.size == 0 or np.abs(centres).max() > 90.0 + 1e-6:
        raise InputError(
            "latitude lies beyond a pole",
            where="latitude",
            expected="-90 to 90 degrees_north",
            found=f"{centres.min():g} to {centres.max():g}" if centres.size else "no values",
            fix="Check that latitude and longitude are not exchanged",
        )
    edges: Float = np.clip(_midpoints(centres, "latitude"), -90.0, 90.0)
    return edges


def longitude_edges(centres: Float) -> Float:
    """Edges (n + 1) half way between cell centres (n) [degrees_east], unwrapped over the seam.

    Raises:
        InputError: The centres are not monotonic along the circle.
    """
    return _midpoints(np.unwrap(centres, period=360.0), "longitude")


def _midpoints(centres: Float, axis: str) -> Float:
    steps = np.diff(centres)
    if centres.size < 2 or not ((steps > 0).all() or (steps < 0).all()):
        raise InputError(
            f"{axis} is not strictly monotonic",
            where=axis,
            expected="at least two centres in one direction",
            found=centres[:4].tolist(),
        )
    inner = centres[:-1] + steps / 2
    outer = (centres[0] - steps[0] / 2, centres[-1] + steps[-1] / 2)
    return np.concatenate([outer[:1], inner, outer[1:]])


def _overlap(source: Float, target: Float) -> sparse.csr_array:
    """Overlap (target, source) of two chains of cells given by their edges, over the target's extent [1].

    The edges of both cut the line into pieces that lie in one source and one target cell each.
    """
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
    if descending:
        column = shape[1] - 1 - column
    share = np.diff(cuts) / np.diff(target)[row]
    return sparse.csr_array(sparse.coo_array((share, (row, column)), shape=shape))


def _without_cyclic_column(data: xr.DataArray) -> xr.DataArray:
    """The data without a last column that repeats the first, as plotting programs like to add."""
    longitude = np.unwrap(np.asarray(data["longitude"].values, np.float64), period=360.0)
    repeats = longitude.size > 2 and abs(abs(longitude[-1] - longitude[0]) - 360.0) < 1e-6
    return data.isel(longitude=slice(None, -1)) if repeats else data


def _fields(data: xr.DataArray) -> Iterator[NDArray[Any]]:
    """All fields (latitude, longitude) of the data in C order, read in blocks along the first dimension."""
    if data.ndim == 2:
        yield _read(data)
        return
    first = str(data.dims[0])
    block = max(1, BLOCK_VALUES // max(1, int(np.prod(data.shape[1:]))))
    for start in range(0, data.sizes[first], block):
        values = _read(data.isel({first: slice(start, start + block)}))
        yield from values.reshape(-1, *values.shape[-2:])


def _read(data: xr.DataArray) -> NDArray[Any]:
    # one thread: HDF4 is not thread-safe, and a worker must not wait for its own scheduler
    return np.asarray(data.compute(scheduler="synchronous").values)


def _labelled(
    values: NDArray[Any], like: xr.DataArray, grid: Grid, attrs: dict[Any, Any]
) -> xr.DataArray:
    lead = like.dims[:-2]
    coords = {n: c for n, c in like.coords.items() if set(c.dims) <= set(lead)} | grid.coords
    shape = (*like.shape[:-2], *grid.shape)
    return xr.DataArray(
        values.reshape(shape),
        coords=coords,
        dims=(*lead, "latitude", "longitude"),
        name=like.name,
        attrs=attrs,
    )


def _esmf_weights(data: xr.DataArray, grid: Grid) -> General:
    """ESMF's conservative weights, whose cells have great-circle edges; for comparison and curvilinear work.

    Raises:
        RunError: xesmf or esmpy is not installed.
    """
    try:
        import netCDF4  # noqa: F401  (esmpy before netCDF4 ends in a segmentation fault)
        import xesmf
    except ImportError as error:
        raise RunError(
            "the regridding engine xesmf is not installed",
            where="regrid",
            expected="xesmf and esmpy (conda-forge)",
            found=str(error),
            fix="Install them with conda, or use the default engine, which needs neither",
        ) from error
    rows, columns = grid.shape
    source = {
        "lat": data["latitude"].values,
        "lon": data["longitude"].values,
        "lat_b": latitude_edges(np.asarray(data["latitude"].values, np.float64)),
        "lon_b": longitude_edges(np.asarray(data["longitude"].values, np.float64)),
    }
    target = {
        "lat": grid.latitude,
        "lon": grid.longitude,
        "lat_b": np.append(grid.latitude_bounds[:, 0], 90.0),
        "lon_b": np.append(grid.longitude_bounds[:, 0], 180.0),
    }
    matrix = xesmf.Regridder(source, target, "conservative").weights.data.to_scipy_sparse()
    return General(sparse.csr_array(matrix), (rows, columns))
