"""Folds are as far apart as a map is from the towers, never cut a cluster and are the same every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from ch4grid.errors import InputError
from ch4grid.evaluation.knndm import fold_distances, matched, wasserstein
from ch4grid.grid import great_circle_km
from ch4grid.sites.clusters import clusters


def _towers(count: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Towers in eight regions, as towers are."""
    rng = np.random.default_rng(seed)
    centre = np.stack([rng.uniform(-40, 65, 8), rng.uniform(-170, 170, 8)])
    home = rng.integers(0, 8, count)
    lat, lon = centre[:, home] + rng.normal(0, 4, (2, count))
    return lat, lon, clusters(lat, lon)


def _between(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    return great_circle_km(lat[:, None], lon[:, None], lat, lon)


def _cells(lat: np.ndarray, lon: np.ndarray, spread: float | None, seed: int = 1) -> np.ndarray:
    """Distances from cells around towers, or from cells anywhere, to the nearest tower."""
    rng = np.random.default_rng(seed)
    if spread is None:
        there = np.rad2deg(np.arcsin(rng.uniform(-0.7, 0.95, 3000))), rng.uniform(-180, 180, 3000)
    else:
        near = rng.integers(0, len(lat), 3000)
        there = tuple(v[near] + rng.normal(0, spread, 3000) for v in (lat, lon))
    return great_circle_km(there[0][:, None], there[1][:, None], lat, lon).min(axis=1)


@settings(max_examples=10)
@given(seed=st.integers(0, 99), folds=st.integers(2, 10))
def test_folds_never_cut_a_cluster_and_each_holds_a_tower(seed: int, folds: int) -> None:
    lat, lon, cluster = _towers(40, seed)
    found = matched(lat, lon, cluster, _cells(lat, lon, None), folds=folds)
    assert all(len(set(found.fold[cluster == c].tolist())) == 1 for c in set(cluster.tolist()))
    assert set(found.fold.tolist()) == set(range(min(folds, len(set(cluster.tolist())))))


@pytest.mark.parametrize("spread", [None, 8.0])
def test_matched_folds_are_nearer_to_the_map_than_leaving_one_cluster_out_or_regions(
    spread,
) -> None:
    lat, lon, cluster = _towers()
    cells, towers = _cells(lat, lon, spread), _between(lat, lon)
    found = matched(lat, lon, cluster, cells)
    single = wasserstein(fold_distances(towers, cluster), cells)
    bands = wasserstein(fold_distances(towers, np.digitize(lon, [-90, 0, 90])), cells)
    assert found.wasserstein < bands
    assert found.wasserstein <= single + 30
    if spread is None:
        assert found.wasserstein < 0.5 * single


def test_a_farther_map_makes_farther_folds() -> None:
    lat, lon, cluster = _towers()
    towers = _between(lat, lon)
    near, far = (
        np.median(fold_distances(towers, matched(lat, lon, cluster, _cells(lat, lon, s)).fold))
        for s in (2.0, None)
    )
    assert far > 2 * near


def test_w_is_that_of_the_folds_and_of_scipy() -> None:
    lat, lon, cluster = _towers()
    cells = _cells(lat, lon, None)
    found = matched(lat, lon, cluster, cells)
    held = np.array(
        [_between(lat, lon)[i, found.fold != found.fold[i]].min() for i in range(len(lat))]
    )
    assert found.wasserstein == pytest.approx(wasserstein_distance(held, cells))


def test_w_is_the_area_between_distribution_functions() -> None:
    a, b = np.random.default_rng(0).uniform(0, 10, 50), np.random.default_rng(1).uniform(3, 9, 70)
    r = np.linspace(0, 10, 200001)
    one, two = (np.searchsorted(np.sort(v), r, side="right") / len(v) for v in (a, b))
    assert wasserstein(a, b) == pytest.approx(np.abs(one - two).sum() * (r[1] - r[0]), rel=1e-3)
    assert wasserstein(np.append(a, np.nan), b) == wasserstein(a, b)
    assert wasserstein(a, a) == 0.0


def test_the_match_is_the_same_every_time_and_follows_the_order_of_towers() -> None:
    lat, lon, cluster = _towers()
    cells = _cells(lat, lon, None)
    one, two = (matched(lat, lon, cluster, cells) for _ in range(2))
    np.testing.assert_array_equal(one.fold, two.fold)
    turned = matched(lat[::-1], lon[::-1], cluster[::-1], cells)
    assert turned.wasserstein == pytest.approx(one.wasserstein)
    np.testing.assert_array_equal(turned.fold[::-1], one.fold)


def test_no_fold_holds_most_of_the_towers() -> None:
    lat, lon, cluster = _towers()
    fold = matched(lat, lon, cluster, np.full(100, 9000.0), folds=5).fold
    assert np.bincount(fold).max() <= 30


def test_clusters_at_one_place_are_still_dealt_out() -> None:
    same = np.zeros(4)
    found = matched(same, same, np.arange(4), np.array([100.0]), folds=3)
    assert set(found.fold.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("distances", [np.zeros(0), np.array([1.0, np.nan]), np.array([-1.0])])
def test_distances_that_say_nothing_are_an_input_error(distances: np.ndarray) -> None:
    with pytest.raises(InputError, match="every cell"):
        matched(*_towers(), distances)


def test_one_cluster_is_an_input_error() -> None:
    lat, lon, cluster = _towers()
    with pytest.raises(InputError, match="too few clusters"):
        matched(lat, lon, np.zeros_like(cluster), np.array([1.0]))
