"""The compiled loops of regridding: separable means, sparse weights and class histograms.

Every loop handles one range of steps and rows without the interpreter lock, so that threads share the work. No
operation is reordered or fused: the result is the same to the last bit for any number of threads and any machine.
Source: the design measured for this package; one row buffer that stays in the first-level cache, no temporaries.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Values = NDArray[Any]
Index = NDArray[np.int64]

# Room for rounding when a fraction is compared with a threshold [1]; float32 sums carry a few 1e-7.
SLACK = 1e-6


def compiled(function: Function) -> Function:
    """The function compiled; kept on disk for the next process where a folder for it can be written."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return cast(Function, numba.njit(cache=True, **options)(function))
    except RuntimeError:
        return cast(Function, numba.njit(**options)(function))


@compiled
def means(
    x: Values,
    out: Values,
    fraction: Values,
    part: tuple[int, int, int, int],
    rows: tuple[Index, Index, Values, Index, Values, Values],
    columns: tuple[int, int, Index, Values, Values],
    rule: tuple[Any, Any, bool],
) -> None:
    """Weighted means and valid fractions of fields, one target row at a time.

    Args:
        x: Source (step, row, column).
        out: Means (step, target row, target column), written.
        fraction: Valid fractions (step, target row, target column) float32 [1], written.
        part: First and last step and first and last target row to do.
        rows: First source row, number of source rows, weights (target row, tap), source row that stands for a pole
            or -1, its weight, sum of weights.
        columns: Source column at which the row buffer begins, its step per target column or 0, first buffer index,
            weights (tap, target column), sum of weights.
        rule: Smallest valid fraction, smallest share of the covered fraction, whether every target is covered whole.
    """
    first_step, last_step, first_row, last_row = part
    first, count, weight, pole, pole_weight, row_cover = rows
    shift, stride, start, tap, cover = columns
    floor, share, whole = rule
    width, taps, size = x.shape[2], tap.shape[0], cover.size
    # room for the last target's taps, and for its whole stride
    total = np.zeros(width + taps + stride, x.dtype)
    valid = np.zeros(width + taps + stride, x.dtype)
    row = np.empty(size, x.dtype)
    phases = np.zeros((max(stride, 1), total.size // max(stride, 1)), x.dtype)
    for step in range(first_step, last_step):
        gaps = False
        for i in range(first_row, last_row):
            field = x[step, first[i] : first[i] + count[i]]
            # gaps come in runs of rows: only a row after a complete one is tried without a mask first
            if not gaps:
                _sum(total, field, weight[i], shift)
                gaps = _has_gap(total[:width])
            if gaps:
                gaps = _sum_valid(total, valid, field, weight[i], shift)
            if pole[i] >= 0:
                gaps = _add_pole(total, valid, x[step, pole[i]], pole_weight[i], gaps, row_cover[i])
            _wrap(total, width, taps)
            target = out[step, i]
            _contract(target, total, phases, tap, start, stride)
            if gaps:
                _wrap(valid, width, taps)
                _contract(row, valid, phases, tap, start, stride)
            elif whole:
                fraction[step, i, :] = 1
                continue
            else:
                for j in range(size):
                    row[j] = row_cover[i] * cover[j]
            _divide(target, fraction[step, i], row, cover, (row_cover[i], floor, share))


@compiled
def _sum(total: Values, field: Values, weight: Values, shift: int) -> None:
    """Weighted sum over the rows of `field`, columns rotated so that `shift` comes first."""
    width = field.shape[1]
    for low, high, at in ((shift, width, 0), (0, shift, width - shift)):
        line = total[at : at + high - low]
        n = line.size
        if field.shape[0] == 3:
            a, b, c = field[0, low:high], field[1, low:high], field[2, low:high]
            u, v, w = weight[0], weight[1], weight[2]
            for j in range(n):
                line[j] = u * a[j] + v * b[j] + w * c[j]
            continue
        a, u = field[0, low:high], weight[0]
        for j in range(n):
            line[j] = u * a[j]
        for k in range(1, field.shape[0]):
            b, v = field[k, low:high], weight[k]
            for j in range(n):
                line[j] += v * b[j]


@compiled
def _sum_valid(total: Values, valid: Values, field: Values, weight: Values, shift: int) -> bool:
    """As `_sum` over valid values, with the sum of their weights; whether a value is missing."""
    width = field.shape[1]
    zero, limit = field.dtype.type(0), field.dtype.type(np.inf)
    for low, high, at in ((shift, width, 0), (0, shift, width - shift)):
        line, share = total[at : at + high - low], valid[at : at + high - low]
        n = line.size
        if field.shape[0] == 3:
            a, b, c = field[0, low:high], field[1, low:high], field[2, low:high]
            u, v, w = weight[0], weight[1], weight[2]
            for j in range(n):
                p, q, r = abs(a[j]) < limit, abs(b[j]) < limit, abs(c[j]) < limit
                line[j] = (
                    u * (a[j] if p else zero)
                    + v * (b[j] if q else zero)
                    + w * (c[j] if r else zero)
                )
                share[j] = (u if p else zero) + (v if q else zero) + (w if r else zero)
            continue
        a, u = field[0, low:high], weight[0]
        for j in range(n):
            p = abs(a[j]) < limit
            line[j] = u * (a[j] if p else zero)
            share[j] = u if p else zero
        for k in range(1, field.shape[0]):
            b, v = field[k, low:high], weight[k]
            for j in range(n):
                q = abs(b[j]) < limit
                line[j] += v * (b[j] if q else zero)
                share[j] += v if q else zero
    whole = zero
    for k in range(field.shape[0]):
        whole += weight[k]
    return _differs(valid[:width], whole)


@compiled
def _has_gap(line: Values) -> bool:
    limit = line.dtype.type(np.inf)
    gaps = np.int32(0)
    for j in range(line.size):
        gaps |= np.int32(0) if abs(line[j]) < limit else np.int32(1)
    return bool(gaps > 0)


@compiled
def _differs(line: Values, value: Any) -> bool:
    gaps = np.int32(0)
    for j in range(line.size):
        gaps |= np.int32(1) if line[j] != value else np.int32(0)
    return bool(gaps > 0)


@compiled
def _add_pole(
    total: Values, valid: Values, line: Values, weight: Any, gaps: bool, cover: Any
) -> bool:
    """Add the mean of the row nearest to a pole, which stands for the pole itself; whether a value is missing."""
    width = line.size
    amount, known = 0.0, 0
    for j in range(width):
        if np.isfinite(line[j]):
            amount += line[j]
            known += 1
    if known < width and not gaps:
        valid[:width] = cover - weight
    mean = line.dtype.type(weight * amount / width)
    share = line.dtype.type(weight * known / width)
    for j in range(width):
        total[j] += mean
    if gaps or known < width:
        for j in range(width):
            valid[j] += share
    return gaps or known < width


@compiled
def _wrap(line: Values, width: int, taps: int) -> None:
    """Repeat the first columns behind the last, so that no tap leaves the buffer."""
    for j in range(taps):
        line[width + j] = line[j]


@compiled
def _contract(
    out: Values, line: Values, phases: Values, tap: Values, start: Index, stride: int
) -> None:
    """Weighted sums along a row; a constant stride is undone first, so that all sums are vector code."""
    if stride == 0:
        out[:] = 0
        for k in range(tap.shape[0]):
            u, a = tap[k], line[k:]
            for j in range(out.size):
                out[j] += u[j] * a[start[j]]
    elif stride == 1:
        _sum_taps(out, line.reshape((1, line.size)), tap)
    else:
        _split(line, phases, stride)
        _sum_taps(out, phases, tap)


@compiled
def _split(line: Values, phases: Values, stride: int) -> None:
    """Every `stride`-th value of a row side by side; all phases in one loop become vector code for common strides."""
    n = line.size // stride
    if stride == 2:
        a, b = phases[0], phases[1]
        for j in range(n):
            a[j], b[j] = line[2 * j], line[2 * j + 1]
    elif stride == 4:
        a, b, c, d = phases[0], phases[1], phases[2], phases[3]
        for j in range(n):
            a[j], b[j] = line[4 * j], line[4 * j + 1]
            c[j], d[j] = line[4 * j + 2], line[4 * j + 3]
    else:
        for p in range(stride):
            for j in range(n):
                phases[p, j] = line[stride * j + p]


@compiled
def _sum_taps(out: Values, phases: Values, tap: Values) -> None:
    """Weighted sums of a row from its phases, three taps in one pass."""
    stride, taps, n = phases.shape[0], tap.shape[0], out.size
    if taps < 3:
        u, a = tap[0], phases[0]
        for j in range(n):
            out[j] = u[j] * a[j]
    else:
        u, v, w = tap[0], tap[1], tap[2]
        a, b, c = phases[0], phases[1 % stride, 1 // stride :], phases[2 % stride, 2 // stride :]
        for j in range(n):
            out[j] = u[j] * a[j] + v[j] * b[j] + w[j] * c[j]
    for k in range(1 if taps < 3 else 3, taps):
        u, a = tap[k], phases[k % stride, k // stride :]
        for j in range(n):
            out[j] += u[j] * a[j]


@compiled
def _divide(
    out: Values, fraction: Values, valid: Values, cover: Values, rule: tuple[Any, Any, Any]
) -> None:
    """Sums to means where enough of the target is valid, missing elsewhere."""
    row_cover, floor, share = rule
    missing = out.dtype.type(np.nan)
    for j in range(out.size):
        least = max(floor, share * row_cover * cover[j])
        out[j] = out[j] / valid[j] if valid[j] >= least else missing
        fraction[j] = valid[j]


@compiled
def sparse_means(
    x: Values,
    out: Values,
    fraction: Values,
    part: tuple[int, int, int, int],
    matrix: tuple[Index, Index, Values],
    floor: float,
) -> None:
    """Weighted sums with sparse weights, four steps in one pass over the weights.

    Args:
        x: Source (step, source cell).
        out: Sums, or means of the valid part (step, target cell), written.
        fraction: Sum of weights of valid sources (step, target cell) [1], written.
        part: First and last step and first and last target to do.
        matrix: Pointers (target + 1), source indices and weights of a compressed sparse row matrix.
        floor: Smallest sum of valid weights that gives a value; negative where a missing source makes the target so.
    """
    pointer, index, weight = matrix
    first_step, last_step, first, last = part
    for step in range(first_step, last_step, 4):
        steps = min(4, last_step - step)
        # steps beyond the last repeat it, so that one loop serves every length
        a, b = x[step], x[step + min(1, steps - 1)]
        c, d = x[step + min(2, steps - 1)], x[step + min(3, steps - 1)]
        for i in range(first, last):
            span = range(pointer[i], pointer[i + 1])
            amounts, shares = (0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)
            if floor < 0:
                p = q = r = s = 0.0
                for k in span:
                    w, j = weight[k], index[k]
                    p, q, r, s = p + w * a[j], q + w * b[j], r + w * c[j], s + w * d[j]
                amounts = (p, q, r, s)
            else:
                amounts, shares = _valid_sums(
                    a,
                    b,
                    c,
                    d,
                    index[pointer[i] : pointer[i + 1]],
                    weight[pointer[i] : pointer[i + 1]],
                )
            for k in range(steps):
                if floor < 0:
                    out[step + k, i] = amounts[k]
                elif shares[k] < floor:
                    out[step + k, i], fraction[step + k, i] = np.nan, shares[k]
                else:
                    out[step + k, i] = amounts[k] / shares[k]
                    fraction[step + k, i] = shares[k]


@compiled
def _valid_sums(
    a: Values, b: Values, c: Values, d: Values, index: Index, weight: Values
) -> tuple[tuple[float, float, float, float], tuple[float, float, float, float]]:
    """Weighted sums of the valid values of four steps, and the sums of their weights."""
    p = q = r = s = 0.0
    t = u = v = z = 0.0
    for k in range(index.size):
        j, w = index[k], weight[k]
        if np.isfinite(a[j]):
            p, t = p + w * a[j], t + w
        if np.isfinite(b[j]):
            q, u = q + w * b[j], u + w
        if np.isfinite(c[j]):
            r, v = r + w * c[j], v + w
        if np.isfinite(d[j]):
            s, z = s + w * d[j], z + w
    return (p, q, r, s), (t, u, v, z)


@compiled
def class_areas(
    codes: NDArray[np.int64],
    out: Values,
    part: tuple[int, int],
    rows: tuple[Index, Index, Values],
    columns: tuple[Index, Values],
) -> None:
    """Area shares of classes, counted source cell by source cell.

    Args:
        codes: Class index (row, column); negative where there is none.
        out: Shares of the target cell (class, target row, target column) float64 [1], added to.
        part: First and last target row to do.
        rows: First source row, number of source rows, weights (target row, tap).
        columns: First source column and weights (tap, target column).
    """
    first, count, weight = rows
    start, tap = columns
    width = codes.shape[1]
    for i in range(part[0], part[1]):
        for k in range(count[i]):
            line = codes[first[i] + k]
            for j in range(start.size):
                for m in range(tap.shape[0]):
                    code = line[(start[j] + m) % width]
                    if code >= 0:
                        out[code, i, j] += weight[i, k] * tap[m, j]
