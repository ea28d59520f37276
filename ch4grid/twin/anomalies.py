"""Random numbers of the twin: departures from the mean climate, as coefficients of smooth fields.

All coefficients follow the same linear causal model, and a field at a place is a fixed weighted sum of them, so the
causal model holds exactly at every place. Every year has its own stream: a longer planet begins like a shorter one.
"""

import numpy as np
from numpy.typing import NDArray

from ch4grid.twin.causes import DRIVERS, reduced_form
from ch4grid.twin.lattice import SPACING
from ch4grid.vocabulary import ECOSYSTEMS

Float32 = NDArray[np.float32]

# Years simulated before the first one: the longest memory, 0.45 per month, has decayed to 1e-12 by then.
SPIN_UP = 3
STATIC_FIELDS = 7
# Persistence of what moves the flux beside its known causes [per month].
FLUX_PERSISTENCE = 0.3

ROWS = round(180 / SPACING)
COLUMNS = 2 * ROWS


def static_fields(seed: int) -> Float32:
    """Coefficients (field, i, j) of the smooth fields that never change, standard normal."""
    rng = np.random.default_rng([seed, 1])
    return rng.standard_normal((STATIC_FIELDS, ROWS, COLUMNS), dtype=np.float32)


def simulate(seed: int, first_year: int, last_year: int) -> Float32:
    """Coefficients (month, series, i, j) from January before `first_year` to December of `last_year`, unit variance.

    The series are the drivers in the order of `DRIVERS`, then what moves the flux of each ecosystem class beside them.
    The year before the first is there for lagged effects.
    """
    step = np.concatenate(_system(), axis=1)
    years = range(first_year - 1 - SPIN_UP, last_year + 1)
    state = np.zeros((len(step), ROWS * COLUMNS), dtype=np.float32)
    months = []
    for year in years:
        rng = np.random.default_rng([seed, 2, year])
        for _ in range(12):
            noise = rng.standard_normal(state.shape, dtype=np.float32)
            # not a matrix product: its last bits depend on the number of threads
            state = np.einsum("ij,jk->ik", step, np.concatenate([state, noise]))
            months.append(state)
    kept = np.stack(months[12 * SPIN_UP :])
    return kept.reshape(len(kept), len(step), ROWS, COLUMNS)


def simulate_unexplained(
    seed: int, stream: int, series: int, first_year: int, last_year: int
) -> Float32:
    """Coefficients (month, series, i, j) of what moves another gas beside its known causes, unit variance.

    Args:
        seed: Seed of the planet.
        stream: Number of the gas: every gas has random numbers of its own.
        series: How many series it needs.
        first_year: First simulated year; the year before it comes first.
        last_year: Last simulated year.
    """
    state = np.zeros((series, ROWS * COLUMNS), dtype=np.float32)
    share = np.float32(np.sqrt(1 - FLUX_PERSISTENCE**2))
    months = []
    for year in range(first_year - 1 - SPIN_UP, last_year + 1):
        rng = np.random.default_rng([seed, 8, stream, year])
        for _ in range(12):
            noise = rng.standard_normal(state.shape, dtype=np.float32)
            state = np.float32(FLUX_PERSISTENCE) * state + share * noise
            months.append(state)
    kept = np.stack(months[12 * SPIN_UP :])
    return kept.reshape(len(kept), series, ROWS, COLUMNS)


def _system() -> tuple[Float32, Float32]:
    drivers, classes = len(DRIVERS), len(ECOSYSTEMS)
    transition = np.eye(drivers + classes) * FLUX_PERSISTENCE
    loading = np.eye(drivers + classes) * np.sqrt(1 - FLUX_PERSISTENCE**2)
    transition[:drivers, :drivers], loading[:drivers, :drivers] = reduced_form()
    return transition.astype(np.float32), loading.astype(np.float32)
