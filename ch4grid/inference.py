"""A checkpoint over one region of the globe for one year: DRIVERS and class fractions in, FLUX out.

The unit of work is the (cell, class) pair. Pairs are stacked along `site`, so the network sees towers and cells
through the same door; all members are predicted in one pass over the drivers.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.models import Checkpoint
from ch4grid.vocabulary import ECOSYSTEMS, FLUX_UNITS, QUALITY_FLAGS, Gas

BLOCK = ("ecosystem", "time", "latitude", "longitude")
