"""The season at a place: sine and cosine of the month, half a year shifted south of the equator."""

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

MONTHS = 12


def season(points: xr.Dataset) -> NDArray[np.float32]:
    """Sine and cosine of the middle of each month (site, time, 2), July in the south as January in the north."""
    month = np.asarray(pd.DatetimeIndex(points["time"].values).month, dtype=np.float64) - 0.5
    south = points["latitude"].values < 0
    angle = 2 * np.pi * (month[None] + np.where(south, MONTHS / 2, 0.0)[:, None]) / MONTHS
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).astype(np.float32)
