"""What a scenario cube leaves out because its drivers leave the training: cell-months, their area and past emission."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ch4grid import ledger
from ch4grid.cube.objects import open_planned
from ch4grid.cube.template import year_slice
from ch4grid.vocabulary import QUALITY_FLAGS, Gas, months, seconds_in_month

# Attribute of a scenario product: what was left out by year, as JSON.
ATTRIBUTE = "intervention_outside_training"
HISTORY = "historical"


def blanked(store: Path, year: int, first_year: int, gas: Gas) -> dict[str, float | None]:
    """Shares of what a year of a scenario leaves out, written but perhaps not yet published.

    Args:
        store: The scenario's store.
        year: The year.
        first_year: Year at which the time axis starts.
        gas: The gas.

    Returns:
        `cell_months` and `area` (times months) as shares of those that hold a class, and `historical_emission` as a
        share of the absolute mass that the historical product beside it moves; None where that lacks the year.
    """
    where = year_slice(year, first_year)
    flag = np.asarray(open_planned(store, "quality_flag", where.stop)[where])
    area = np.asarray(open_planned(store, "cell_area")[:], dtype=np.float64)
    empty = (QUALITY_FLAGS["ocean"], QUALITY_FLAGS["no_ecosystem"])
    out, held = flag == QUALITY_FLAGS["intervention_outside_training"], ~np.isin(flag, empty)
    mass = _history(store, year, gas)
    emitted = None if mass is None else np.abs(mass) * area
    return {
        "cell_months": _share(out.sum(), held.sum()),
        "area": _share((out * area).sum(), (held * area).sum()),
        "historical_emission": None
        if emitted is None
        else _share(emitted[out].sum(), emitted.sum()),
    }


def _share(part: Any, whole: Any) -> float:
    return round(float(part) / float(whole), 6) if whole else 0.0


def _history(store: Path, year: int, gas: Gas) -> "np.ndarray[Any, np.dtype[np.float64]] | None":
    """Mass per area (time, latitude, longitude) [kg m-2] of the historical product of the same version."""
    past = store.with_name(f"{HISTORY}.zarr")
    if past == store or year not in ledger.published_years(past):
        return None
    time = pd.DatetimeIndex(np.asarray(open_planned(past, "time")[:], dtype="datetime64[D]"))
    at = np.flatnonzero(time.year == year)
    flux = np.asarray(open_planned(past, gas.flux)[at[0] : at[-1] + 1], dtype=np.float64)
    mass = np.nan_to_num(flux) * seconds_in_month(months(year, year))[:, None, None]
    return np.asarray(mass)
