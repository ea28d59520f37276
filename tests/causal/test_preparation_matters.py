"""Why preparation exists: with places or seasons left in, discovery finds fewer true causes and more false ones."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import planted_system as planted
import pytest
import xarray as xr

from ch4grid.causal import discover, preparation
from ch4grid.causal.anomalies import design_matrix
from ch4grid.twin import Twin, laboratory, true_links
from ch4grid.twin.causes import DRIVERS
from ch4grid.vocabulary import ECOSYSTEMS

RUNS = 12
WEEKS, DAYS = 365.25 / 7, 365.25
Anomalies = Callable[[np.ndarray, np.ndarray], np.ndarray]


@cache
def _shares(sites: int, steps: int, per_year: float, **how: bool) -> tuple[float, float]:
    """Share of parents found and of other drivers linked, over many runs of the planted system."""
    panels = [
        planted.prepared(planted.simulate(sites, steps, per_year, seed), per_year, **how)
        for seed in range(RUNS)
    ]
    return planted.shares([planted.linked(panel) for panel in panels])


def test_sites_that_keep_their_means_hide_parents_and_link_others() -> None:
    found, false = _shares(10, 48, 12)
    found_raw, false_raw = _shares(10, 48, 12, centred=False)
    assert found >= 0.8
    assert found_raw <= found - 0.4
    assert false_raw >= false + 0.03


def test_a_season_left_in_hides_parents_and_links_others() -> None:
    found, false = _shares(1, 730, DAYS)
    found_raw, false_raw = _shares(1, 730, DAYS, season=False)
    assert found >= 0.95
    assert false <= 0.06
    assert found_raw <= found - 0.1
    assert false_raw >= false + 0.05


def test_pooled_sites_find_what_one_site_cannot() -> None:
    alone, _ = _shares(1, 48, 12)
    few, _ = _shares(5, 48, 12)
    many, _ = _shares(10, 48, 12)
    assert alone <= 0.35
    assert alone + 0.25 <= few
    assert few + 0.1 <= many


def test_longer_series_find_more() -> None:
    found = [_shares(1, steps, WEEKS)[0] for steps in (156, 312)]
    assert found[0] + 0.15 <= found[1]
    assert found[1] >= 0.7


@pytest.fixture(scope="module")
def towers() -> xr.Dataset:
    return laboratory(Twin(seed=11, first_year=2001, last_year=2004), towers=6)


def _counts(series: xr.Dataset) -> tuple[int, int]:
    """True links and other links into the flux found over all classes of the twin, driver and lag."""
    asked: dict[str, Any] = {"flux": "ch4_flux", "drivers": DRIVERS, "ecosystems": ECOSYSTEMS}
    graph = discover(series, config=planted.QUICK, seed=0, **asked)
    true = false = 0
    for name in ECOSYSTEMS:
        frequency = np.asarray(graph.provenance["frequency"][name])
        found = {(DRIVERS[i], int(lag)) for i, lag in np.argwhere(frequency > 0.5)}
        true += len(found & true_links(name))
        false += len(found - true_links(name))
    return true, false


def test_the_twin_is_read_worse_with_places_left_in(
    towers: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, false = _counts(towers)
    centred: Anomalies = preparation._anomalies

    def with_places(raw: np.ndarray, design: np.ndarray) -> np.ndarray:
        left = centred(raw, design)
        departures = raw - np.nanmean(raw, axis=1, keepdims=True)
        means = np.nanmean(raw, axis=1, keepdims=True) / np.nanstd(departures, axis=(0, 1))
        both = left + means - means.mean(axis=0)
        return np.asarray(both / np.nanstd(both, axis=(0, 1)))

    monkeypatch.setattr(preparation, "_anomalies", with_places)
    true_raw, false_raw = _counts(towers)
    assert true_raw <= true - 3
    assert false_raw > false


def test_the_twin_is_read_worse_with_the_season_left_in(
    towers: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, false = _counts(towers)

    def trend_alone(calendar: pd.DatetimeIndex, harmonics: int) -> np.ndarray:
        return design_matrix(calendar, harmonics)[:, :2]

    monkeypatch.setattr(preparation, "design_matrix", trend_alone)
    true_raw, false_raw = _counts(towers)
    assert true_raw <= true - 3
    assert false_raw > false
