"""How much each measured month counts in a fit.

w_st = c_st n_s^-0.5 f_k(s), c the weight by coverage, n the number of measured months of the tower and f the balance of
its class: mean weight of the classes over the weight of its own, clipped to [0.5, 3]. Long records and common classes
would drown the rest otherwise. Every model uses these weights, so this module needs no heavy library.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SMALLEST_BALANCE, LARGEST_BALANCE = 0.5, 3.0


def month_weights(weight: Floats, ecosystem: NDArray[np.int64], drawn: Floats) -> Floats:
    """Weights (S, T) of months that balance towers and classes, summing to one.

    Args:
        weight: Weight of each month by its coverage (S, T).
        ecosystem: Class of each tower (S).
        drawn: How often the bootstrap drew each tower (S); ones without a bootstrap.
    """
    months = np.maximum((weight > 0).sum(axis=1), 1)
    tower = drawn * months**-0.5
    total = np.bincount(ecosystem, weights=(weight * tower[:, None]).sum(axis=1), minlength=1)
    present = total > 0
    mean = total[present].mean() if present.any() else 1.0
    balance = mean / np.where(present, total, 1.0)
    factor = np.where(present, np.clip(balance, SMALLEST_BALANCE, LARGEST_BALANCE), 1.0)
    out = weight * tower[:, None] * factor[ecosystem][:, None]
    return np.asarray(out / max(out.sum(), 1e-12))
