"""Class areas under a scenario: freshwater wetland grows or shrinks, upland of the same cell gives or takes."""

import numpy as np
import xarray as xr

from ch4grid.scenarios.scenario import Scenario
from ch4grid.vocabulary import ECOSYSTEMS

FRESHWATER = ("tropical-floodplain", "boreal-peatland", "temperate-wetland")
UPLAND = "upland"


def apply_areas(fraction: xr.DataArray, scenario: Scenario) -> xr.DataArray:
    """Class fractions under a scenario.

    The sum of freshwater wetland and upland stays in every cell, so wetland never grows beyond the upland there is, and
    other classes stay. New wetland takes on the classes that the cell has in their proportions.

    Args:
        fraction: ([extent,] ecosystem, [time,] latitude, longitude) [1].
        scenario: What is changed.
    """
    if scenario.wetland == 1.0:
        return fraction
    wet = [ECOSYSTEMS.index(name) for name in FRESHWATER]
    dry = ECOSYSTEMS.index(UPLAND)
    values = np.moveaxis(fraction.values.astype(np.float64), fraction.get_axis_num("ecosystem"), 0)
    before = values[wet].sum(axis=0)
    after = np.minimum(before * scenario.wetland, before + values[dry])
    grown = np.divide(after, before, out=np.ones_like(before), where=before > 0)
    out = values.copy()
    out[wet] = values[wet] * grown
    out[dry] = np.maximum(values[dry] + before - out[wet].sum(axis=0), 0.0)
    # rounding must not leave a trace of upland where all of it was taken
    out[dry] = np.where((grown > 1.0) & (out[dry] < 1e-12), 0.0, out[dry])
    moved = np.moveaxis(out, 0, fraction.get_axis_num("ecosystem"))
    return fraction.copy(data=moved.astype(fraction.dtype))
