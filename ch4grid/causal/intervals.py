"""Intervals from bootstrap samples of few clusters.

The spread of a bootstrap of G clusters is too small by sqrt((G - 1) / G), and its quantiles are those of a normal
distribution where G - 1 degrees of freedom ask for Student's. The expanded percentile interval makes up for both.
"""

from functools import lru_cache
from math import erfc, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Share left out on either side of a 90 % interval.
TAIL = 0.05


@lru_cache(maxsize=256)
def reach(clusters: float) -> float:
    """Half the width of a 90 % interval in standard deviations of the bootstrap samples.

    Args:
        clusters: Clusters behind the samples; a fraction for clusters of unequal size, taken for two if fewer.

    Source:
        Hesterberg (2015), Am. Stat. 69, 371, section 5.3: sqrt(G / (G - 1)) t_{G-1}(alpha).
    """
    from scipy.stats import t  # slow to import

    known = max(2.0, clusters)
    return float(sqrt(known / (known - 1)) * t.ppf(1 - TAIL, known - 1))


def tail(clusters: float) -> float:
    """Quantile of the bootstrap samples at which the lower end of a 90 % interval lies: Phi of minus its `reach`."""
    return erfc(reach(clusters) / sqrt(2)) / 2


def interval(samples: Floats, clusters: float) -> tuple[Floats, Floats]:
    """Lower and upper end of the 90 % interval over the first axis.

    Args:
        samples: Bootstrap samples (draw, ...).
        clusters: Clusters behind them; of two, the interval is all that the samples span.
    """
    share = tail(clusters)
    low, high = np.quantile(samples, (share, 1 - share), axis=0)
    return low, high


def effective_clusters(cluster: NDArray[np.int64]) -> float:
    """Clusters of equal size that would weigh as much as those of the rows (n): G where all have as many rows.

    Source:
        Kish (1965), Survey Sampling, section 11.7; Carter, Schnepel and Steigerwald (2017), Rev. Econ. Stat. 99, 698.
    """
    sizes = np.unique(cluster, return_counts=True)[1].astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0
