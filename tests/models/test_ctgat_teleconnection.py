import numpy as np
import pandas as pd
import pytest
from planted_ctgat import asked, fitted

from ch4grid.models.config import CTGATConfig
from ch4grid.models.samples import Points
from ch4grid.models.spatial import EDGE_FEATURES, NeighbourSearch, Places
from ch4grid.models.teleconnection import (
    FEWEST,
    LEAST,
    WINDOW,
    YEAR,
    absolute_months,
    correlations,
    placed,
    seasonal_differences,
)
from ch4grid.models.windows import Windows

MONTHS = 120


def differences(sites, seed, drivers=3):
    random = np.random.default_rng(seed)
    dynamic = random.normal(size=(sites, MONTHS, drivers)).astype(np.float32)
    return seasonal_differences(dynamic, np.ones(drivers))


def test_a_season_that_repeats_has_no_differences():
    cycle = np.tile(np.sin(np.arange(YEAR)), 4)[None, :, None].astype(np.float32)
    found = seasonal_differences(cycle, np.ones(1))
    assert np.isnan(found[:, :YEAR]).all()
    assert (found[:, YEAR:] == 0).all()


def test_correlations_equal_the_formula_on_months_that_both_have():
    own, bank = differences(2, 0), differences(3, 1)
    own[0, 50] = np.nan
    bank[2, 60:70, 1] = np.nan
    found = correlations(own, bank)
    for s, u, t in ((0, 2, 75), (1, 1, 119), (0, 0, 40)):
        months = slice(max(t - WINDOW + 1, 0), t + 1)
        a, b = own[s, months].ravel(), bank[u, months].ravel()
        both = np.isfinite(a) & np.isfinite(b)
        expected = (a[both] * b[both]).sum() / np.sqrt((a[both] ** 2).sum() * (b[both] ** 2).sum())
        assert abs(found[s, u, t] - expected) < 2e-6


def test_correlations_need_months_in_common():
    own = differences(1, 0)
    found = correlations(own, own)[0, 0]
    first = YEAR + FEWEST - 1
    assert (found[:first] == 0).all()
    np.testing.assert_allclose(found[first:], 1.0)


def test_correlations_see_no_later_month():
    own, bank = differences(2, 0), differences(3, 1)
    changed = own.copy()
    changed[:, 80:] *= -3
    before, after = correlations(own, bank), correlations(changed, bank)
    np.testing.assert_array_equal(before[..., :80], after[..., :80])
    assert not np.array_equal(before, after)


def test_another_calendar_has_no_months_and_a_shifted_one_finds_its_own():
    bank = differences(3, 1)
    calendar = np.arange(24000, 24000 + MONTHS)
    assert np.isnan(placed(bank, calendar, calendar + MONTHS)).all()
    assert np.isnan(placed(bank, calendar, calendar - MONTHS)).all()
    shifted = placed(bank, calendar, calendar + 10)
    np.testing.assert_array_equal(shifted[:, 20:-10], bank[:, 30:])
    assert np.isnan(shifted[:, -10:]).all()


def search(count):
    """Ten towers, pairs of which share their weather though they stand anywhere."""
    random = np.random.default_rng(2)
    half = differences(5, 3)
    own = np.concatenate([half, half + 0.3 * differences(5, 4)])
    places = Places(
        random.uniform(-70, 70, 10),
        random.uniform(-180, 180, 10),
        np.arange(10),
        random.normal(size=(10, 4)),
    )
    config = CTGATConfig(near=1, alike=0, same_class=0, teleconnections=count)
    return NeighbourSearch(places, places, config, correlations(own, own))


def test_the_tower_of_the_same_weather_is_found_and_no_static_neighbour_twice():
    found = search(2).find(np.eye(10, dtype=bool))
    far = found.distant
    late = far.tower[:, -1]
    twin = (np.arange(10) + 5) % 10
    for s in range(10):
        near = set(found.tower[s][found.present[s]].tolist())
        chosen = set(late[s][far.present[s, -1]].tolist())
        assert twin[s] in near | chosen
        assert not near & chosen
    assert (far.edge[far.present][:, -1] > LEAST).all()
    assert far.edge.shape[-1] == EDGE_FEATURES + 1
    assert not far.present[:, : YEAR + FEWEST - 1].any()


def test_excluded_towers_are_no_teleconnections():
    gone = np.eye(10, dtype=bool) | np.eye(10, k=5, dtype=bool) | np.eye(10, k=-5, dtype=bool)
    far = search(3).find(gone).distant
    rows, _, _ = np.nonzero(far.present)
    assert not gone[rows, far.tower[far.present]].any()


def test_rows_of_windows_have_the_edges_of_their_months():
    weight = np.zeros((10, MONTHS))
    weight[:, 30], weight[:, 100] = 1.0, 1.0
    windows = Windows.of(weight)
    found = search(2).find(np.eye(10, dtype=bool))
    cut = found.cut(windows)
    assert cut.distant.tower.shape[:2] == (len(windows.owner), windows.months)
    for row in (0, len(windows.owner) - 1):
        owner, start = windows.owner[row], windows.start[row]
        end = min(start + windows.months, MONTHS)
        np.testing.assert_array_equal(cut.tower[row], found.tower[owner])
        np.testing.assert_array_equal(
            cut.distant.tower[row, : end - start], found.distant.tower[owner, start:end]
        )


def test_a_calendar_without_overlap_has_no_such_edges():
    checkpoint = fitted("teleconnections").checkpoint
    ds = asked()
    later = ds.assign_coords(time=pd.DatetimeIndex(ds["time"].values) + pd.DateOffset(years=30))
    shown, hidden = (_distant(checkpoint, points) for points in (ds, later))
    assert shown.present.any()
    assert not hidden.present.any()
    assert (hidden.along == 0).all()


@pytest.mark.parametrize("name", [None, "teleconnections"])
def test_only_teleconnections_know_the_year(name):
    ds = asked()
    later = ds.assign_coords(time=pd.DatetimeIndex(ds["time"].values) + pd.DateOffset(years=30))
    same = np.array_equal(fitted(name).predict(ds).location, fitted(name).predict(later).location)
    assert same == (name is None)


def test_every_driver_can_move_a_flux_under_teleconnections():
    checkpoint = fitted("teleconnections").checkpoint
    assert checkpoint.causes(0) == frozenset(checkpoint.drivers)
    assert fitted().checkpoint.causes(0) != frozenset(checkpoint.drivers)


def _distant(checkpoint, points):
    table = Points.of(points, checkpoint.drivers, checkpoint.statics)
    return checkpoint._neighbours(table, absolute_months(points)).distant
