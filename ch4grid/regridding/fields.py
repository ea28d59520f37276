"""Weights applied to arrays: from (step, row, column) to means and valid fractions, by threads over steps.

The compiled loops are loaded at the first use; importing the package stays light.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ch4grid.regridding.weights import Axis, Separable

Values = NDArray[Any]

# At 0 round-off slivers would count as data and at 1 they would cost data (ESMF's own masks flip there).
MIN_VALID_RANGE = (0.01, 0.99)

# Source values below which starting threads costs more than they save.
SMALL = 200_000

# Parts of the work per thread, so that one slow part does not keep the others waiting.
PARTS = 4


def available_threads() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def separable_means(
    values: Values,
    weights: Separable,
    min_valid: float = 0.5,
    *,
    skip_missing: bool = True,
    threads: int | None = None,
    into: tuple[Values, NDArray[np.float32]] | None = None,
) -> tuple[Values, NDArray[np.float32]]:
    """Means (step, target row, target column) and the valid fraction of the target they rest on.

    Args:
        values: Source (step, row, column); float32 is kept, everything else is done in float64.
        weights: Weights of the two axes.
        min_valid: Smallest valid fraction that gives a value, within 0.01 to 0.99.
        skip_missing: Leave missing values out of the means; otherwise one makes its targets missing.
        threads: Threads, all available ones if None; the result does not depend on it.
        into: Arrays of an earlier call with as many steps, to be overwritten; new memory costs a third of the time.
    """
    dtype = working_type(values)
    shape = (values.shape[0], *weights.shape)
    out, fraction = into or (np.empty(shape, dtype), np.empty(shape, np.float32))
    rows, columns = _row_tables(weights.rows, dtype), _column_tables(weights.columns, dtype)
    from ch4grid.regridding import kernels

    floor = float(np.clip(min_valid, *MIN_VALID_RANGE)) - kernels.SLACK
    share = 0.0 if skip_missing else 1.0 - kernels.SLACK
    whole = min(weights.rows.cover.min(), weights.columns.cover.min()) > 1.0 - 1e-9
    rule = (dtype.type(floor), dtype.type(share), bool(whole))

    def work(part: tuple[int, int, int, int]) -> None:
        first, last, low, high = part
        block = constant(values[first:last], dtype)
        done = (0, last - first, low, high)
        kernels.means(block, out[first:last], fraction[first:last], done, rows, columns, rule)

    workers = thread_number(values, threads)
    run(work, parts(shape[0], shape[1], workers), workers)
    return out, fraction


def working_type(values: Any) -> np.dtype[Any]:
    """The type in which values are regridded: float32 stays, everything else becomes float64."""
    small = values.dtype.kind == "f" and values.dtype.itemsize <= 4
    return np.dtype(np.float32 if small else np.float64)


def constant(values: Values, dtype: np.dtype[Any]) -> Values:
    """Values in C order as a read-only view, so that one compiled form of a loop serves arrays of every origin."""
    view = np.ascontiguousarray(values, dtype).view()
    view.flags.writeable = False
    return view


def thread_number(values: Values, threads: int | None) -> int:
    """Threads worth starting for an array of this size."""
    return 1 if values.size < SMALL else threads or available_threads()


def parts(steps: int, rows: int, threads: int) -> list[tuple[int, int, int, int]]:
    """Ranges of steps and rows that share the work: first and last step, first and last row."""
    if threads == 1:
        return [(0, steps, 0, rows)]
    wanted = threads * PARTS
    step = max(1, -(-steps // wanted))
    bands = 1 if steps >= threads else min(rows, wanted)
    edges = np.linspace(0, rows, bands + 1).astype(int).tolist()
    return [
        (first, min(first + step, steps), low, high)
        for first in range(0, steps, step)
        for low, high in pairwise(edges)
    ]


def run(work: Callable[[Any], None], tasks: Iterable[Any], threads: int) -> None:
    """Do all tasks, by threads where there is more than one; the first error is raised."""
    if threads == 1:
        for task in tasks:
            work(task)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, tasks))


def _row_tables(axis: Axis, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    return (
        np.ascontiguousarray(axis.start, np.int64),
        np.ascontiguousarray(axis.count, np.int64),
        np.ascontiguousarray(axis.weights, dtype),
        np.ascontiguousarray(axis.pole, np.int64),
        np.ascontiguousarray(axis.pole_weight, dtype),
        axis.cover.astype(dtype),
    )


def _column_tables(axis: Axis, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """The columns for a row buffer that begins with the first column of the first target."""
    shift = int(axis.start[0])
    start = np.ascontiguousarray((axis.start - shift) % axis.size, np.int64)
    stride = axis.stride if np.array_equal(start, np.arange(start.size) * axis.stride) else 0
    tap = np.ascontiguousarray(axis.weights.T, dtype)
    return shift, stride, start, tap, axis.cover.astype(dtype)
