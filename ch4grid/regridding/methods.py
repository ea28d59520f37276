"""The methods of regridding for DataArrays and Datasets: conservative, bilinear, nearest and class fractions.

What comes in lies on any rectilinear grid (curvilinear ones through ESMF's weights); what comes out lies on the grid of
a product, with the valid fraction of every cell beside it. Dask-backed data stays lazy: one task reads and regrids one
chunk, so that memory does not grow with the length of a series.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.regridding.cells import Cells, without_cyclic_column
from ch4grid.regridding.esmf import SparseWeights
from ch4grid.regridding.fields import (
    MIN_VALID_RANGE,
    available_threads,
    constant,
    parts,
    run,
    separable_means,
    working_type,
)
from ch4grid.regridding.weights import (
    Figure,
    Separable,
    bilinear_weights,
    conservative_weights,
    nearest_weights,
)

Values = NDArray[Any]
Engine = Literal["separable", "xesmf", "file"]
Method = Literal["conservative", "bilinear", "nearest"]
Data = TypeVar("Data", xr.DataArray, xr.Dataset)

# From (step, row, column) to means and valid fractions (step, target row, target column), by so many threads.
Apply = Callable[[Values, int | None], tuple[Values, Values]]

# Values read at a time from a source that is lazy without dask [number].
BLOCK_VALUES = 16_000_000

FRACTION_ATTRS = {"units": "1", "long_name": "area fraction with valid input"}


@dataclass(frozen=True)
class Rule:
    """How to regrid: the method and its choices, which are recorded with the result.

    Args:
        method: `conservative`, `bilinear` or `nearest`.
        min_valid: Smallest valid fraction that gives a value [1].
        engine: `separable`, `xesmf`, or `file` for weights made elsewhere.
        figure: Figure of the Earth that areas refer to.
        folder: Where the engine xesmf keeps its weights.
    """

    method: Method = "conservative"
    min_valid: float = 0.5
    engine: Engine = "separable"
    figure: Figure = "sphere"
    folder: Path | None = None

    @property
    def attrs(self) -> dict[str, str | float]:
        """Attributes of a regridded variable."""
        return {
            "regrid_method": self.method,
            "regrid_engine": self.engine,
            "regrid_figure": self.figure,
            "regrid_min_valid": float(np.clip(self.min_valid, *MIN_VALID_RANGE)),
        }


CONSERVATIVE = Rule()

# What is recorded with weights of a file unless the caller knows more.
FROM_FILE = Rule(engine="file")


def conservative(
    data: Data,
    grid: Grid,
    min_valid: float = 0.5,
    engine: Engine = "separable",
    *,
    figure: Figure = "sphere",
    folder: Path | None = None,
) -> tuple[Data, Data]:
    """Area means over the cells of `grid`, and the fraction of each cell's area they rest on.

    Args:
        data: (..., latitude, longitude) in any order; latitude in either direction, longitude of any convention.
            Cell edges are half way between the centres, so pole points own half cells.
        grid: Target grid.
        min_valid: Smallest valid fraction that gives a value, within 0.01 to 0.99; xESMF's `na_thres` is 1 minus it.
        engine: `separable` for boxes in latitude and longitude, `xesmf` for ESMF's cells with great-circle edges and
            for curvilinear grids.
        figure: Figure of the Earth that areas refer to, `sphere` or `wgs84`; ESMF knows the sphere only.
        folder: Where the engine xesmf keeps its weights; they are made anew each time without it.

    Returns:
        Means in the dtype of the input, and valid fractions float32 [1]; a Dataset gives two Datasets. Dask-backed
        input gives dask-backed output, everything else is in memory.

    Raises:
        InputError: A coordinate is not monotonic or out of range, or the engine cannot do what is asked.
        RunError: The engine xesmf is needed and not installed.
    """
    return regrid(data, grid, Rule("conservative", min_valid, engine, figure, folder))


def bilinear(
    data: Data,
    grid: Grid,
    min_valid: float = 0.5,
    engine: Engine = "separable",
    *,
    folder: Path | None = None,
) -> tuple[Data, Data]:
    """Linear interpolation to the centres of `grid`, and the weight of the valid values it rests on.

    Beyond the last row of a global source the mean of that row stands for the pole. Arguments as `conservative`.
    """
    return regrid(data, grid, Rule("bilinear", min_valid, engine, folder=folder))


def nearest(data: Data, grid: Grid) -> tuple[Data, Data]:
    """Values of the source cells that hold the centres of `grid`, and 1 where such a value is valid, else 0."""
    return regrid(data, grid, Rule("nearest"))


def class_fractions(
    codes: xr.DataArray,
    grid: Grid,
    classes: Sequence[int],
    min_valid: float = 0.5,
    *,
    figure: Figure = "sphere",
) -> xr.DataArray:
    """Area fractions of classes (class, latitude, longitude) [1]; they sum to 1 wherever enough is classified.

    The coordinate `valid_fraction` (latitude, longitude) is the part of each cell that holds one of the classes.

    Args:
        codes: Class codes (latitude, longitude), in any order and convention; a code not in `classes` is missing.
        grid: Target grid.
        classes: Codes that count, in the order of the result.
        min_valid: Smallest valid fraction that gives a value, within 0.01 to 0.99.
        figure: Figure of the Earth that areas refer to.

    Raises:
        InputError: A coordinate is not monotonic or out of range, or a class is named twice.
    """
    if len(set(classes)) != len(classes) or not len(classes):
        raise InputError("classes must be named once", where="classes", found=list(classes))
    codes = without_cyclic_column(codes.transpose("latitude", "longitude"))
    weights = conservative_weights(Cells.of(codes), Cells.of_grid(grid), figure)
    areas = _class_areas(_class_index(codes.values, classes), weights, len(classes))
    valid = areas.sum(axis=0)
    floor = float(np.clip(min_valid, *MIN_VALID_RANGE)) - 1e-6
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.where(valid >= floor, areas / valid, np.nan).astype(np.float32)
    fraction = xr.DataArray(
        valid.astype(np.float32), dims=("latitude", "longitude"), attrs=FRACTION_ATTRS
    )
    attrs = {"units": "1", "long_name": "area fraction of a class"}
    return xr.DataArray(
        shares,
        coords={"class": list(classes), **grid.coords, "valid_fraction": fraction},
        dims=("class", "latitude", "longitude"),
        name=codes.name,
        attrs=attrs | Rule("conservative", min_valid, figure=figure).attrs,
    )


def regrid(data: Data, grid: Grid, rule: Rule) -> tuple[Data, Data]:
    """Data on the cells of `grid` and the valid fractions, by a rule.

    Raises:
        InputError: A coordinate is not monotonic or out of range, or the engine cannot do what is asked.
        RunError: The engine xesmf is needed and not installed.
    """
    if rule.engine == "xesmf":
        from ch4grid.regridding.engine import weights_for

        return regrid_with_weights(
            data, grid, weights_for(data, grid, rule.method, rule.folder), rule
        )
    if data["latitude"].ndim == 2:
        raise InputError(
            "a curvilinear source needs the weights of ESMF",
            where="latitude",
            expected="latitude and longitude of one dimension",
            found=f"dimensions {data['latitude'].dims}",
            fix="Use engine xesmf (conda, deploy/environment.yml) or a weight file and regrid_with_weights",
        )
    data = without_cyclic_column(data)
    return _regrid_all(data, grid, rule, regridder(data, grid, rule))


def regrid_with_weights(
    data: Data, grid: Grid, weights: SparseWeights, rule: Rule = FROM_FILE
) -> tuple[Data, Data]:
    """Data on the cells of `grid` and the sums of valid weights, by weights that were made elsewhere.

    Args:
        data: (..., latitude, longitude) or a curvilinear grid, in the order for which the weights were made.
        grid: Target grid, for which the weights were made: south to north, from -180 eastward.
        weights: Weights, `esmf.read_weights` of a file.
        rule: The rule to record, and the smallest sum of valid weights that gives a value.

    Raises:
        InputError: The weights belong to grids of another size.
    """
    rows, columns = (data.sizes[dim] for dim in _plane(data))
    cells = np.prod(weights.source_shape), np.prod(weights.shape)
    if cells != (rows * columns, np.prod(grid.shape)):
        raise InputError(
            "the weights belong to other grids",
            where="weights",
            expected=f"{rows} x {columns} cells to {grid.shape[0]} x {grid.shape[1]}",
            found=f"{cells[0]} cells to {cells[1]}",
            fix="Make the weights for this pair of grids",
        )
    floor = float(np.clip(rule.min_valid, *MIN_VALID_RANGE))

    def apply(values: Values, threads: int | None = None) -> tuple[Values, Values]:
        means, fractions = weights.means(values, floor, threads=threads)
        return means.reshape(-1, *grid.shape), fractions.reshape(-1, *grid.shape)

    return _regrid_all(data, grid, rule, apply)


def _plane(data: xr.DataArray | xr.Dataset) -> tuple[str, str]:
    """Dimensions of rows and columns."""
    dims = data["latitude"].dims if data["latitude"].ndim == 2 else ("latitude", "longitude")
    return str(dims[0]), str(dims[1])


def _regrid_all(data: Data, grid: Grid, rule: Rule, apply: Apply) -> tuple[Data, Data]:
    if isinstance(data, xr.DataArray):
        return _regrid_field(data, grid, rule, apply)
    pairs = {n: _regrid_field(v, grid, rule, apply) for n, v in data.data_vars.items()}
    means = xr.Dataset({n: mean for n, (mean, _) in pairs.items()}, attrs=data.attrs)
    return means, xr.Dataset({n: fraction for n, (_, fraction) in pairs.items()})


def regridder(data: xr.DataArray | xr.Dataset, grid: Grid, rule: Rule = CONSERVATIVE) -> Apply:
    """The function that regrids arrays (step, row, column) on the cells of `data`; weights are made once, here.

    Raises:
        InputError: A coordinate is not monotonic or out of range.
    """
    weights = separable_weights(Cells.of(data), Cells.of_grid(grid), rule)

    def apply(values: Values, threads: int | None = None) -> tuple[Values, Values]:
        return separable_means(values, weights, rule.min_valid, threads=threads)

    return apply


def separable_weights(source: Cells, target: Cells, rule: Rule = CONSERVATIVE) -> Separable:
    """Weights of a rule's method from cells to cells.

    Raises:
        InputError: Source cells overlap each other.
    """
    if rule.method == "conservative":
        return conservative_weights(source, target, rule.figure)
    return (bilinear_weights if rule.method == "bilinear" else nearest_weights)(source, target)


def _regrid_field(
    data: xr.DataArray, grid: Grid, rule: Rule, apply: Apply
) -> tuple[xr.DataArray, xr.DataArray]:
    data = data.transpose(..., *_plane(data))
    if data.chunks is not None:
        means, fractions = _lazily(data, grid, apply)
    else:
        means, fractions = _by_blocks(data, grid, apply)
    return (
        _labelled(means, data, grid, data.attrs | rule.attrs),
        _labelled(fractions, data, grid, FRACTION_ATTRS | rule.attrs),
    )


def _lazily(data: xr.DataArray, grid: Grid, apply: Apply) -> tuple[Any, Any]:
    """Dask arrays of means and fractions; one task regrids one chunk of whole fields."""
    import dask.array as da

    def block(values: Values) -> tuple[Values, Values]:
        fields = values.reshape(-1, *values.shape[-2:])
        # one thread: the tasks share the processors already
        pair = apply(fields, 1)
        mean, fraction = (part.reshape(*values.shape[:-2], *grid.shape) for part in pair)
        return mean, fraction

    plane = {data.ndim - 2: -1, data.ndim - 1: -1}
    means, fractions = da.apply_gufunc(
        block,
        "(y,x)->(r,c),(r,c)",
        data.data.rechunk(plane),
        output_sizes={"r": grid.shape[0], "c": grid.shape[1]},
        output_dtypes=(working_type(data), np.dtype(np.float32)),
    )
    return means, fractions


def _by_blocks(data: xr.DataArray, grid: Grid, apply: Apply) -> tuple[Values, Values]:
    """Means and fractions in memory; a source that is lazy without dask is read by blocks."""
    lead = data.shape[:-2]
    steps = int(np.prod(lead))
    if data.ndim == 2 or isinstance(data.variable._data, np.ndarray):
        fields = data.values.reshape(-1, *data.shape[-2:])
        means, fractions = apply(fields, None)
        return means.reshape(*lead, *grid.shape), fractions.reshape(*lead, *grid.shape)
    first, inner = str(data.dims[0]), steps // data.shape[0]
    block = max(1, BLOCK_VALUES // max(1, int(np.prod(data.shape[1:]))))
    means = np.empty((steps, *grid.shape), working_type(data))
    fractions = np.empty(means.shape, np.float32)
    for start in range(0, data.shape[0], block):
        values = data.isel({first: slice(start, start + block)}).values
        done = slice(start * inner, start * inner + values.shape[0] * inner)
        means[done], fractions[done] = apply(values.reshape(-1, *values.shape[-2:]), None)
    return means.reshape(*lead, *grid.shape), fractions.reshape(*lead, *grid.shape)


def _class_index(codes: NDArray[Any], classes: Sequence[int]) -> NDArray[np.int16]:
    """Position of every code in `classes`, -1 where it is none of them."""
    order = np.argsort(np.asarray(classes))
    known = np.asarray(classes)[order]
    place = np.clip(np.searchsorted(known, codes), 0, known.size - 1)
    return np.where(known[place] == codes, order[place], -1).astype(np.int16)


def _class_areas(index: NDArray[np.int16], weights: Separable, classes: int) -> NDArray[np.float64]:
    """Area share of every class in every target (class, target row, target column) [1]."""
    from ch4grid.regridding import kernels

    areas = np.zeros((classes, *weights.shape))
    codes = constant(index, index.dtype)
    rows, columns = weights.rows, weights.columns
    row_table = (rows.start, rows.count, np.ascontiguousarray(rows.weights))
    column_table = (columns.start, np.ascontiguousarray(columns.weights.T))

    def work(part: tuple[int, int, int, int]) -> None:
        kernels.class_areas(codes, areas, part[2:], row_table, column_table)

    threads = available_threads()
    run(work, parts(1, weights.shape[0], threads), threads)
    return areas


def _labelled(values: Any, like: xr.DataArray, grid: Grid, attrs: dict[Any, Any]) -> xr.DataArray:
    lead = like.dims[:-2]
    coords = {n: c for n, c in like.coords.items() if set(c.dims) <= set(lead)} | grid.coords
    dims = (*lead, "latitude", "longitude")
    # a dask array would lend its own name to an unnamed result
    return xr.DataArray(values, coords=coords, dims=dims, attrs=attrs).rename(like.name)
