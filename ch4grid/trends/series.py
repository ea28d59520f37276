"""The trend of a series: Theil-Sen slopes, a Mann-Kendall test that allows for memory, and intervals.

All functions take many series at once (series, time) with NaN where a value is missing. Persistence makes chance look
like a trend: with an autocorrelation of 0.5 the plain Mann-Kendall test finds a trend in one in four stationary series.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Series that are worked on at once, so that their pairs fit in memory.
BATCH = 2048
# Autocorrelation of a series beyond which its test is not corrected further.
MAX_PERSISTENCE = 0.95
# Mean of the estimated autocorrelation of n values about a fitted line: rho - (2 + 4 rho) / n.
BIAS = (2.0, 4.0)


class Tested(NamedTuple):
    """Slopes per unit of time, p-values, standard deviations of Kendall's S and autocorrelations, all (series)."""

    slope: Floats
    p: Floats
    spread: Floats
    persistence: Floats


def theil_sen(values: Floats, time: Floats) -> Floats:
    """Median of the slopes of all pairs (series), NaN with fewer than two values (Theil 1950, Sen 1968).

    Args:
        values: Series (series, time), NaN where missing.
        time: Times (time).
    """
    return np.concatenate([_median(_pair_slopes(v, time)) for v in _batches(values)])


def mann_kendall(values: Floats, time: Floats, *, corrected: bool = True) -> Tested:
    """Theil-Sen slopes with the Mann-Kendall test, its variance corrected for autocorrelation.

    The variance of S is multiplied by n / n*, n* the effective number of independent values of an autoregressive
    process of order one (Yue and Wang 2004, after Hamed and Rao 1998):
    n / n* = 1 + 2 sum_(k=1)^(n-1) (1 - k / n) rho^k, rho from the series without its Theil-Sen line and corrected for
    its bias -(2 + 4 rho) / n in short series (Marriott and Pope 1954, with a fitted line). Negative memory is not
    credited.

    Args:
        values: Series (series, time), NaN where missing.
        time: Evenly spaced times (time).
        corrected: Whether to allow for memory; False is the plain test.
    """
    parts = [_tested(v, time, corrected) for v in _batches(values)]
    return Tested(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def rank_interval(values: Floats, time: Floats, spread: Floats, level: float) -> Floats:
    """Bounds (series, 2) of the Theil-Sen slope from the ranks of the pair slopes (Gilbert 1987).

    Args:
        values: Series (series, time).
        time: Times (time).
        spread: Standard deviation of S (series), corrected for memory.
        level: Coverage wanted.
    """
    from scipy.stats import norm

    out, start = [], 0
    for part in _batches(values):
        slopes = np.sort(_pair_slopes(part, time), axis=1)
        count = np.isfinite(slopes).sum(axis=1)
        reach = norm.ppf((1 + level) / 2) * spread[start : start + len(part)]
        start += len(part)
        last = np.maximum(count - 1, 0)
        low = np.clip(np.floor((count - reach) / 2), 0, last).astype(np.intp)
        high = np.clip(np.ceil((count + reach) / 2), 0, last).astype(np.intp)
        out.append(np.take_along_axis(slopes, np.stack([low, high], axis=1), axis=1))
    return np.concatenate(out)


def block_slopes(
    values: Floats, time: Floats, *, block: int, draws: int, rng: np.random.Generator
) -> Floats:
    """Theil-Sen slopes (draw, series) of series put together anew from blocks of their residuals.

    The residuals about the line are drawn in moving blocks (Künsch 1989), the same for all series, and the line is put
    back. What is missing in a block stays missing.

    Args:
        values: Series (series, time).
        time: Times (time).
        block: Length of a block in steps.
        draws: Number of draws.
        rng: Source of chance.
    """
    slope = theil_sen(values, time)
    line = slope[:, None] * (time - time.mean())
    left = values - line
    steps = len(time)
    blocks = -(-steps // block)
    starts = rng.integers(0, steps - block + 1, size=(draws, blocks))
    picks = (starts[:, :, None] + np.arange(block)).reshape(draws, -1)[:, :steps]
    return np.stack([theil_sen(left[:, pick] + line, time) for pick in picks])


def false_discovery_rates(p: Floats) -> Floats:
    """Benjamini-Hochberg rates of p-values of any shape; NaN stays NaN and counts for nothing."""
    from scipy.stats import false_discovery_control

    out = np.full(p.shape, np.nan)
    known = np.isfinite(p)
    if known.any():
        out[known] = false_discovery_control(p[known])
    return out


def _batches(values: Floats) -> list[Floats]:
    return [values[i : i + BATCH] for i in range(0, max(len(values), 1), BATCH)]


def _pair_slopes(values: Floats, time: Floats) -> Floats:
    """Slopes of all pairs (series, pair)."""
    early, late = np.triu_indices(len(time), 1)
    return (values[:, late] - values[:, early]) / (time[late] - time[early])


def _median(slopes: Floats) -> Floats:
    """Median over pairs, NaN where there is none."""
    out = np.full(len(slopes), np.nan)
    some = np.isfinite(slopes).any(axis=1)
    out[some] = np.nanmedian(slopes[some], axis=1)
    return out


def _tested(values: Floats, time: Floats, corrected: bool) -> tuple[Floats, Floats, Floats, Floats]:
    from scipy.stats import norm

    slopes = _pair_slopes(values, time)
    slope = _median(slopes)
    statistic = np.nansum(np.sign(slopes), axis=1)
    count = np.isfinite(values).sum(axis=1).astype(np.float64)
    variance = count * (count - 1) * (2 * count + 5) / 18 - _ties(values)
    memory = _memory(values - slope[:, None] * time)
    factor = _inflation(memory, count) if corrected else np.ones_like(count)
    spread = np.sqrt(np.maximum(variance * factor, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(spread > 0, (np.abs(statistic) - 1).clip(min=0) / spread, 0.0)
    p = np.where(np.isfinite(slope), 2 * norm.sf(z), np.nan)
    return slope, np.minimum(p, 1.0), spread, memory


def _ties(values: Floats) -> Floats:
    """What equal values take from the variance of S (series)."""
    out = np.zeros(len(values))
    for i, row in enumerate(np.sort(values, axis=1)):
        if (np.diff(row) == 0).any():
            size = np.unique(row[np.isfinite(row)], return_counts=True)[1]
            out[i] = float((size * (size - 1) * (2 * size + 5)).sum()) / 18
    return out


def _memory(left: Floats) -> Floats:
    """Autocorrelation at one step (series) of residuals, corrected for the bias of short series, never negative."""
    count = np.isfinite(left).sum(axis=1)
    safe = np.maximum(count, 1)
    centred = left - (np.nansum(left, axis=1) / safe)[:, None]
    product = centred[:, 1:] * centred[:, :-1]
    pairs = np.maximum(np.isfinite(product).sum(axis=1), 1)
    variance = np.nansum(centred**2, axis=1) / safe
    with np.errstate(divide="ignore", invalid="ignore"):
        raw = np.where(variance > 0, np.nansum(product, axis=1) / pairs / variance, 0.0)
    unbiased = (raw * safe + BIAS[0]) / np.maximum(safe - BIAS[1], 1)
    return np.asarray(np.clip(unbiased, 0.0, MAX_PERSISTENCE), dtype=np.float64)


def _inflation(memory: Floats, count: Floats) -> Floats:
    """The factor n / n* of an autoregressive process of order one (series)."""
    n = np.maximum(count, 2.0)
    total = memory * ((n - 1) - n * memory + memory**n) / (n * (1 - memory) ** 2)
    return np.asarray(1 + 2 * total, dtype=np.float64)
