"""The few numbers that figures of a benchmark need beyond its tables, from predictions of single months."""

import numpy as np
import pandas as pd

from ch4grid.pages.benchmark_plots import Values
from ch4grid.pages.colour import Scale

# A score of fewer months says nothing.
MIN_MONTHS = 3
# Nominal levels of central intervals [%]: level 90 lies between the quantiles 5 and 95.
LEVELS = tuple(range(10, 100, 10))
TRANSFORMED = ("measured_asinh", "predicted_asinh")


def coverage(months: pd.DataFrame) -> Values:
    """Share of months inside the central interval of each of `LEVELS`."""
    measured = months["measured"].to_numpy()
    shares = [
        np.mean(
            (measured >= months[f"q{50 - level // 2:02d}"].to_numpy())
            & (measured <= months[f"q{50 + level // 2:02d}"].to_numpy())
        )
        for level in LEVELS
    ]
    return np.array(shares, dtype=np.float64)


def nse(months: pd.DataFrame) -> float:
    """Efficiency in asinh space."""
    y = months["measured_asinh"].to_numpy()
    if len(y) < MIN_MONTHS or np.ptp(y) < 1e-6:
        return np.nan
    error = months["predicted_asinh"].to_numpy() - y
    return float(1 - (error**2).sum() / ((y - y.mean()) ** 2).sum())


def rmse(months: pd.DataFrame) -> float:
    """Root mean square error in asinh space."""
    error = months["predicted_asinh"].to_numpy() - months["measured_asinh"].to_numpy()
    return float(np.sqrt((error**2).mean()))


def site_slope(sites: pd.DataFrame) -> float:
    """Slope of the predicted on the measured means of towers."""
    x, y = sites["measured_asinh"].to_numpy(), sites["predicted_asinh"].to_numpy()
    return float(np.polyfit(x, y, 1)[0]) if len(x) >= MIN_MONTHS and np.ptp(x) > 1e-6 else np.nan


def axis_scale(months: pd.DataFrame) -> Scale | None:
    """The asinh axis that the months were transformed with, from and to a round number; None without months."""
    transformed = months["measured_asinh"].to_numpy()
    clear = np.abs(transformed) > 0.1
    unit = months["measured"].to_numpy()[clear] / np.sinh(transformed[clear])
    unit = unit[np.isfinite(unit) & (unit > 0)]
    if not len(unit):
        return None
    linear = float(f"{np.median(unit):.3g}")
    values = linear * np.sinh(months[list(TRANSFORMED)].to_numpy())
    low, high = float(values.min()), float(values.max())
    return Scale(
        -_round_up(-low, linear) if low < 0 else 0.0,
        _round_up(high, linear),
        linear,
        "nmol m⁻² s⁻¹",
    )


def fluxes(frame: pd.DataFrame, scale: Scale) -> Values:
    """Measured and predicted values, transformed back (row, 2)."""
    return np.asarray(scale.linear * np.sinh(frame[list(TRANSFORMED)].to_numpy(np.float64)))


def _round_up(value: float, least: float) -> float:
    """The next of 1, 2, 5 times a power of ten at or above a value, or a tenth of `least`."""
    value = max(value, least / 10)
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= value * (1 - 1e-9)))
