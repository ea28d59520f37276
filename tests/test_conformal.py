"""Intervals at new clusters, held to planted hierarchies of classes, clusters, sites and months."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.conformal import LEVELS, Conformal, HeldOut, crossed
from ch4grid.errors import InputError

SPREADS = np.array([0.3, 0.5, 0.8, 0.4, 0.9, 0.6, 0.2])
CLUSTERS = (6, 9, 8, 6, 1, 2, 9)


def planet(seed, clusters=CLUSTERS, *, between=0.6, months=(12, 80), growth=0.0) -> HeldOut:
    """Predictions that miss by an offset of the cluster and noise of the month, differently in each class.

    `growth` is the change of the log error with the location; it is also told by the scale.
    """
    random = np.random.default_rng(seed)
    code = np.repeat(np.arange(7), clusters)
    cluster = np.repeat(np.arange(len(code)), random.integers(*months, len(code)))
    ecosystem = code[cluster]
    location = random.normal(1, 1, len(code))[cluster] + random.normal(0, 0.5, len(cluster))
    noise = random.laplace(0, np.sqrt((1 - between) / 2), len(cluster))
    error = random.normal(0, np.sqrt(between), len(code))[cluster] + noise
    size = np.exp(growth * (location - 1))
    observed = location + SPREADS[ecosystem] * size * error
    return HeldOut(location, observed, cluster, ecosystem, scale=0.5 * size)


def inside(rows: HeldOut, **settings) -> np.ndarray:
    """Whether each month lies in the 90 % interval of the calibration of the other clusters."""
    quantile = crossed(rows, asinh_scale=10.0, **settings).quantile
    return (rows.observed >= quantile[0]) & (rows.observed <= quantile[-1])


def test_ninety_percent_intervals_hold_at_new_clusters_overall_and_in_every_class_of_four_clusters():
    planets = [planet(seed) for seed in range(10)]
    found = [inside(rows) for rows in planets]
    assert 0.88 <= np.mean([f.mean() for f in found]) <= 0.95
    assert all(0.85 <= f.mean() <= 0.96 for f in found)
    for code in (c for c, n in enumerate(CLUSTERS) if n >= 4):
        shares = [f[r.ecosystem == code].mean() for f, r in zip(found, planets, strict=True)]
        assert 0.85 <= np.mean(shares) <= 0.95


@pytest.mark.parametrize("level", [0.5, 0.8])
def test_inner_intervals_hold_too(level):
    found = []
    for seed in range(6):
        rows = planet(seed)
        quantile = crossed(rows, asinh_scale=10.0).quantile
        tail = round(20 * (0.5 - level / 2)) - 1
        low, high = quantile[tail], quantile[-1 - tail]
        found.append(((rows.observed >= low) & (rows.observed <= high)).mean())
    assert np.mean(found) == pytest.approx(level, abs=0.06)


def test_counting_months_promises_too_much_where_clusters_are_few():
    planets = [planet(seed, (4, 0, 4, 0, 0, 0, 4), between=0.8) for seed in range(20)]
    split = np.mean([inside(rows, method="split").mean() for rows in planets])
    grouped = np.mean([inside(rows).mean() for rows in planets])
    assert split < 0.85
    assert grouped >= 0.9


def test_a_class_is_told_by_its_own_clusters_and_one_of_a_single_cluster_borrows():
    found = Conformal.fit(planet(0, (15, 1, 15, 0, 0, 0, 0)))
    width = np.array(found.departures)[:, -1] - np.array(found.departures)[:, 0]
    assert width[2] > 1.8 * width[0]
    assert width[0] < width[1] < width[2]
    assert found.clusters == (15, 1, 15, 0, 0, 0, 0)


@pytest.mark.parametrize("scale", ["own", "learnt"])
def test_a_scale_that_grows_with_the_level_makes_intervals_hold_at_low_and_high_levels(scale):
    planets = [planet(seed, growth=0.5) for seed in range(4)]
    shares = {}
    for kind in ("none", scale):
        found = [inside(rows, scale=kind) for rows in planets]
        high = [f[r.location > 2].mean() for f, r in zip(found, planets, strict=True)]
        low = [f[r.location < 0].mean() for f, r in zip(found, planets, strict=True)]
        shares[kind] = np.mean(low) - np.mean(high)
    assert shares["none"] > 0.08
    assert abs(shares[scale]) < 0.5 * shares["none"]


def test_a_learnt_scale_finds_the_planted_growth_and_none_where_there_is_none():
    for growth in (0.0, 0.5):
        slopes = [
            Conformal.fit(planet(seed, growth=growth), scale="learnt").scale.slope
            for seed in range(8)
        ]
        assert np.mean(slopes) == pytest.approx(growth, abs=0.1)


def test_the_mean_flux_is_that_of_the_planted_months():
    seen, told, median = [], [], []
    for seed in range(8):
        rows = planet(seed)
        seen.append(np.sinh(rows.observed).mean())
        told.append(crossed(rows, asinh_scale=1.0).mean.mean())
        median.append(np.sinh(rows.location).mean())
    assert np.mean(told) == pytest.approx(np.mean(seen), rel=0.1)
    assert np.mean(median) < 0.9 * np.mean(seen)


def test_one_tower_cannot_blow_up_the_mean_of_its_class():
    rows = planet(0)
    wild = rows.observed.copy()
    at = np.flatnonzero(rows.ecosystem == 1)[:3]
    wild[at] = 12.0
    place, code = np.array([1.0]), np.array([1])
    one = Conformal.fit(rows).mean(place, None, code, 10.0)
    two = Conformal.fit(HeldOut(rows.location, wild, rows.cluster, rows.ecosystem)).mean(
        place, None, code, 10.0
    )
    assert two < 1.25 * one


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.sampled_from(["none", "own", "learnt"]))
def test_quantiles_ascend_and_follow_the_shape_of_the_location(seed, scale):
    rows = planet(seed, (2, 1, 2, 0, 0, 0, 3), months=(3, 9))
    found = Conformal.fit(rows, scale=scale)
    location = np.random.default_rng(seed).normal(0, 4, (5, 6))
    code = np.arange(5)[:, None]
    quantile = found.quantiles(location, np.full((5, 6), 0.2), code)
    assert quantile.shape == (len(LEVELS), 5, 6)
    assert (np.diff(quantile, axis=0) >= 0).all()
    assert found.mean(location, np.full((5, 6), 0.2), code, 10.0).shape == (5, 6)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_order_of_months_and_the_names_of_clusters_mean_nothing(seed):
    rows = planet(seed, (2, 2, 2, 0, 0, 0, 2), months=(3, 9))
    order = np.random.default_rng(seed).permutation(len(rows.observed))
    other = HeldOut(
        rows.location[order], rows.observed[order], 99 - rows.cluster[order], rows.ecosystem[order]
    )
    one, two = Conformal.fit(rows), Conformal.fit(other)
    np.testing.assert_allclose(one.departures, two.departures, atol=1e-9)
    np.testing.assert_allclose(one.points, two.points, atol=1e-9)


def test_a_cluster_counts_once_however_long_its_record_and_so_does_a_site_in_it():
    rows = planet(1, (3, 3, 3, 0, 0, 0, 3), months=(6, 7))
    site = rows.cluster * 2 + np.arange(len(rows.cluster)) % 2
    often = np.where(site % 4 == 1, 5, 1)
    again = [np.repeat(v, often) for v in (rows.location, rows.observed, rows.cluster)]
    short = Conformal.fit(HeldOut(rows.location, rows.observed, rows.cluster, rows.ecosystem, site))
    long = Conformal.fit(HeldOut(*again, np.repeat(rows.ecosystem, often), np.repeat(site, often)))
    # not equal: a weight that is five months long is read at its middle
    np.testing.assert_allclose(short.departures, long.departures, atol=0.15)


def test_months_of_a_cluster_do_not_touch_what_it_is_told():
    rows = planet(2)
    moved = rows.observed + np.where(rows.cluster == 3, 5.0, 0.0)
    one = crossed(rows, asinh_scale=10.0)
    two = crossed(HeldOut(rows.location, moved, rows.cluster, rows.ecosystem), asinh_scale=10.0)
    own = rows.cluster == 3
    np.testing.assert_array_equal(one.quantile[:, own], two.quantile[:, own])
    np.testing.assert_array_equal(one.mean[own], two.mean[own])


def test_a_single_cluster_is_told_nothing_by_others():
    found = crossed(planet(0, (1, 0, 0, 0, 0, 0, 0)), asinh_scale=10.0)
    assert np.isnan(found.quantile).all()
    assert np.isnan(found.mean).all()


@pytest.mark.parametrize("scale", ["none", "own", "learnt"])
@pytest.mark.parametrize("method", ["grouped", "split"])
def test_a_calibration_survives_json(scale, method):
    found = Conformal.fit(planet(0), scale=scale, method=method)
    assert Conformal.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_missing_prediction_stays_missing():
    found = Conformal.fit(planet(0), scale="learnt")
    assert np.isnan(found.quantiles(np.array([np.nan]), None, np.array([0]))).all()
    assert np.isnan(found.mean(np.array([np.nan]), None, np.array([0]), 10.0)).all()


def test_a_model_without_a_scale_cannot_be_calibrated_in_units_of_it():
    rows = planet(0)
    bare = HeldOut(rows.location, rows.observed, rows.cluster, rows.ecosystem)
    with pytest.raises(InputError, match="says nothing about its own error"):
        Conformal.fit(bare, scale="own")
    with pytest.raises(InputError, match="no month"):
        Conformal.fit(bare.at(np.zeros(len(bare.observed), bool)))
