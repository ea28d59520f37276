"""The memory of a driver in short records: what removing a site's mean, trend and cycle takes from it, given back.

The cycle fitted to a record holds some of every shock in it, also of those that later months still remember. A memory
is so estimated too small: by (1 + memory) / T where a mean is removed from T months, and more with trend and cycle.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ch4grid.causal.equations import Equation, Rows, solve

Floats = NDArray[np.float64]

# The correction feeds on the memory that it corrects: memories are taken as no longer than this in it.
LONGEST_MEMORY = 0.95
STEPS = 50
CLOSE = 1e-8


def remembered(
    equation: Equation,
    rows: Rows,
    blocks: NDArray[np.int64],
    design: Floats,
    own: Mapping[int, int],
) -> Equation:
    """An equation whose response is among its own causes, with what the removal took from their moments.

    With H the projection on a site's mean, trend and cycle and psi the response to a shock of unit size, the moment of
    the response's value `lag` months before with the shocks is not zero but
    -s2 sum over months s, t of H[s, t] psi(s - lag - t).

    Args:
        equation: The sums of the rows.
        rows: The rows.
        blocks: Block of every row (site, time), as numbered in the equation.
        design: Cycle and trend (time, q) that were removed.
        own: Lag [months] of the regressors that are the response itself, by position.

    Source:
        Nickell (1981), Econometrica 49, 1417, with a mean removed; Bun and Carree (2005), J. Bus. Econ. Stat. 23, 200,
        solved for the memory with other regressors beside; here for any design and with gaps.
    """
    if not own:
        return equation
    taken = _taken(rows, blocks, design, len(equation.count))
    found = solve(equation).coefficient
    for _ in range(STEPS):
        memory = _shock(equation, found) * _moments(taken, found, own)
        equation = replace(equation, memory=memory)
        before, found = found, solve(equation).coefficient
        if np.abs(found - before).max() < CLOSE:
            break
    return equation


def _taken(rows: Rows, blocks: NDArray[np.int64], design: Floats, number: int) -> Floats:
    """Entries of the projections of all sites, summed by block and months from shock to row (block, months)."""
    months = len(design)
    total = np.zeros(number * months)
    for site in np.unique(rows.site):
        time = rows.time[rows.site == site]
        basis = np.linalg.qr(design[time])[0]
        later, earlier = np.tril_indices(len(time), k=-1)
        entry = (basis[later] * basis[earlier]).sum(axis=1)
        at = blocks[site, time[later]] * months + time[later] - time[earlier]
        total += np.bincount(at, entry, minlength=len(total))
    return total.reshape(number, months)


def _moments(taken: Floats, coefficient: Floats, own: Mapping[int, int]) -> Floats:
    """What was taken per unit of the shocks' variance (block, k)."""
    response = _response(coefficient, own, taken.shape[1])
    out = np.zeros((len(taken), len(coefficient)))
    for k, lag in own.items():
        out[:, k] = taken[:, lag:] @ response[: taken.shape[1] - lag]
    return out


def _response(coefficient: Floats, own: Mapping[int, int], months: int) -> Floats:
    """Response (months) of a series to a shock of unit size, by its memory alone."""
    size = sum(abs(coefficient[k]) for k in own)
    share = min(1.0, LONGEST_MEMORY / size) if size else 1.0
    response = np.zeros(months)
    response[0] = 1.0
    for t in range(1, months):
        response[t] = share * sum(
            coefficient[k] * response[t - lag] for k, lag in own.items() if lag <= t
        )
    return response


def _shock(equation: Equation, coefficient: Floats) -> float:
    """Variance of the shocks."""
    moment, gram = equation.moment.sum(axis=0), equation.gram.sum(axis=0)
    left = equation.square.sum() - 2 * coefficient @ moment + coefficient @ gram @ coefficient
    return float(left / (equation.rows * equation.freedom))
