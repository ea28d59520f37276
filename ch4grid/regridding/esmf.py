"""`SparseWeights`: regridding weights of any pair of grids, read from and written to the files of ESMF, xESMF and CDO.

Such a file lists entries (n_s): target cell `row`, source cell `col`, both from 1 with the row of the grid varying
slowest, and weight `S`. With one, data is regridded without ESMF being installed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ch4grid.errors import InputError
from ch4grid.regridding.fields import constant, parts, run, thread_number, working_type

if TYPE_CHECKING:
    import netCDF4

Values = NDArray[Any]
Float = NDArray[np.float64]

# ESMF's clip of the smallest sum of valid weights (xESMF 0.9.2).
ESMF_SLACK = 1e-6

# Names of the entries: ESMF and xESMF, then SCRIP and CDO.
DIALECTS = (("row", "col", "S"), ("dst_address", "src_address", "remap_matrix"))

# Version of the files written here.
FORMAT = "ch4grid weights 1"


@dataclass(frozen=True)
class SparseWeights:
    """Weights (target cell, source cell) of two grids.

    Args:
        matrix: Compressed sparse rows (target cell, source cell) [1]; a target with a weight that is not a number is
            not mapped.
        source_shape: Rows and columns of the source.
        shape: Rows and columns of the target.
        attrs: What is known of their making: `method`, `grid_hash`, `engine_version`.
        target_area: Area of the targets (target cell), where known.
        target_fraction: Covered fraction of the targets (target cell) [1], where known.
    """

    matrix: sparse.csr_array
    source_shape: tuple[int, int]
    shape: tuple[int, int]
    attrs: Mapping[str, str] = field(default_factory=dict)
    target_area: Float | None = None
    target_fraction: Float | None = None

    def means(
        self,
        values: Values,
        min_valid: float = 0.5,
        *,
        skip_missing: bool = True,
        threads: int | None = None,
    ) -> tuple[Values, NDArray[np.float32]]:
        """Weighted means (step, target row, target column) and the sum of weights of valid sources.

        Args:
            values: Source (step, row, column); float32 is kept, everything else is done in float64.
            min_valid: Smallest sum of valid weights that gives a value; xESMF's `na_thres` is 1 minus it.
            skip_missing: Leave missing values out and divide by the valid weights; otherwise the plain product.
            threads: Threads, all available ones if None; the result does not depend on it.
        """
        from ch4grid.regridding import kernels

        dtype, steps, size = working_type(values), values.shape[0], self.shape[0] * self.shape[1]
        flat = values.reshape(steps, -1)
        out = np.empty((steps, size), dtype)
        fraction = np.ones((steps, size), np.float32)
        floor = float(np.clip(min_valid, ESMF_SLACK, 1 - ESMF_SLACK)) if skip_missing else -1.0

        def work(part: tuple[int, int, int, int]) -> None:
            first, last, low, high = part
            block = constant(flat[first:last], dtype)
            done = (0, last - first, low, high)
            kernels.sparse_means(
                block, out[first:last], fraction[first:last], done, self._tables, floor
            )

        workers = thread_number(values, threads)
        run(work, parts(steps, size, workers), workers)
        # a target that is not mapped holds nothing
        np.nan_to_num(fraction, copy=False, nan=0.0)
        return out.reshape(steps, *self.shape), fraction.reshape(steps, *self.shape)

    @cached_property
    def _tables(self) -> tuple[Values, Values, Values]:
        matrix = self.matrix
        return (
            constant(matrix.indptr, np.dtype(np.int64)),
            constant(matrix.indices, np.dtype(np.int64)),
            constant(matrix.data, np.dtype(np.float64)),
        )


def read_weights(
    path: Path,
    *,
    source_shape: tuple[int, int] | None = None,
    shape: tuple[int, int] | None = None,
) -> SparseWeights:
    """Weights of a file made by ESMF_RegridWeightGen, xESMF, CDO or this package, checked.

    Args:
        path: NetCDF file.
        source_shape: Rows and columns of the source, where the file does not say; a wrong one is refused.
        shape: The same of the target.

    Raises:
        InputError: The file is no weight file, or its entries are impossible.
    """
    import netCDF4

    try:
        with netCDF4.Dataset(path) as file:
            file.set_auto_mask(False)
            return _decoded(file, path, source_shape, shape)
    except OSError as error:
        raise InputError(
            "cannot be read as NetCDF", where=path, expected="a weight file", found=error
        ) from error


def write_weights(path: Path, weights: SparseWeights) -> None:
    """Write weights in the format of ESMF, with the shapes of both grids and what is known of their making."""
    import netCDF4

    matrix = sparse.coo_array(weights.matrix)
    sizes = {"n_a": matrix.shape[1], "n_b": matrix.shape[0], "n_s": matrix.nnz}
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(partial, "w") as file:
        for name, size in {**sizes, "src_grid_rank": 2, "dst_grid_rank": 2}.items():
            file.createDimension(name, size)
        row, column = matrix.coords
        _put(file, "row", ("n_s",), row + 1, "i4")
        _put(file, "col", ("n_s",), column + 1, "i4")
        _put(file, "S", ("n_s",), matrix.data, "f8")
        # fastest dimension first, as in Fortran
        _put(file, "src_grid_dims", ("src_grid_rank",), weights.source_shape[::-1], "i4")
        _put(file, "dst_grid_dims", ("dst_grid_rank",), weights.shape[::-1], "i4")
        for name, values in (
            ("area_b", weights.target_area),
            ("frac_b", weights.target_fraction),
        ):
            if values is not None:
                _put(file, name, ("n_b",), values, "f8")
        file.setncatts({**weights.attrs, "title": FORMAT})
    partial.replace(path)


def _put(
    file: "netCDF4.Dataset", name: str, dims: tuple[str, ...], values: Any, dtype: str
) -> None:
    file.createVariable(name, dtype, dims)[:] = np.asarray(values)


def _decoded(
    file: "netCDF4.Dataset",
    path: Path,
    source_shape: tuple[int, int] | None,
    shape: tuple[int, int] | None,
) -> SparseWeights:
    names = next((d for d in DIALECTS if set(d) <= set(file.variables)), None)
    if names is None:
        raise InputError(
            "is no weight file",
            where=path,
            expected=" or ".join(", ".join(d) for d in DIALECTS),
            found=sorted(file.variables),
        )
    row, column, weight = (np.asarray(file[name][:]) for name in names)
    # SCRIP keeps gradient terms of second-order methods in further columns
    weight = weight[:, 0] if weight.ndim == 2 else weight
    shapes = (
        _shape(file, path, ("n_a", "src"), source_shape),
        _shape(file, path, ("n_b", "dst"), shape),
    )
    sizes = [rows * columns for rows, columns in shapes]
    _check(path, (row, column, weight), (sizes[1], sizes[0]))
    entries = (weight.astype(np.float64), (row.astype(np.int64) - 1, column.astype(np.int64) - 1))
    attrs = {n: str(file.getncattr(n)) for n in file.ncattrs() if n not in ("n_a", "n_b", "title")}
    return SparseWeights(
        sparse.csr_array(sparse.coo_array(entries, shape=(sizes[1], sizes[0]))),
        *shapes,
        attrs,
        *(_optional(file, name) for name in ("area_b", "frac_b")),
    )


def _optional(file: "netCDF4.Dataset", name: str) -> Float | None:
    return np.asarray(file[name][:], np.float64) if name in file.variables else None


def _shape(
    file: "netCDF4.Dataset", path: Path, names: tuple[str, str], given: tuple[int, int] | None
) -> tuple[int, int]:
    """Rows and columns of a grid: as given, or as the file says, and never at odds with its number of cells."""
    size, prefix = names
    dims = f"{prefix}_grid_dims"
    stated = [int(n) for n in file[dims][::-1]] if dims in file.variables else None
    if size in file.dimensions:
        cells = len(file.dimensions[size])
    else:
        cells = int(getattr(file, size, np.prod(stated) if stated else 0))
    shape = given or (tuple(stated) if stated and len(stated) == 2 else (1, cells))
    if np.prod(shape) != cells or cells == 0:
        raise InputError(
            "the weights belong to another grid",
            where=path,
            expected=f"{shape[0]} x {shape[1]} cells",
            found=f"{size} = {cells}",
            fix="Make the weights for this pair of grids",
        )
    return int(shape[0]), int(shape[1])


def _check(path: Path, entries: tuple[Values, Values, Values], sizes: tuple[int, int]) -> None:
    """Refuse entries of unequal number, outside the grids, or not a number beside others of the same target."""
    row, column, weight = entries
    if not row.size == column.size == weight.size:
        found = f"{row.size}, {column.size} and {weight.size} entries"
        raise InputError("row, col and S differ in length", where=path, found=found)
    for name, index, size in (("row", row, sizes[0]), ("col", column, sizes[1])):
        if index.size and not (index.min() >= 1 and index.max() <= size):
            raise InputError(
                f"{name} points outside its grid",
                where=path,
                expected=f"1 to {size}",
                found=f"{index.min()} to {index.max()}",
            )
    if np.isinf(weight).any():
        raise InputError("a weight is infinite", where=path, expected="finite weights")
    unmapped = row[np.isnan(weight)]
    if np.isin(row[~np.isnan(weight)], unmapped).any():
        raise InputError("a target has weights beside one that is not a number", where=path)
