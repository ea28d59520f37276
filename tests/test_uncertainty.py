import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ch4grid.uncertainty import (
    QUANTILES,
    Calibration,
    budget_inflation,
    dissimilarity,
    mean_distance_of,
    mean_flux,
    threshold,
    total_spread,
)


def held_out(clusters=40, months=24, offset=0.3, seed=0, members=4):
    """Months whose truth differs from the ensemble by an offset of the cluster and Laplace noise."""
    random = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), months)
    centre = random.normal(1.0, 1.0, clusters * months)
    location = centre + random.normal(0, 0.15, (members, clusters * months))
    scale = np.full_like(location, 0.2)
    error = random.normal(0, offset, clusters)[cluster] + random.laplace(0, 0.2, len(cluster))
    return location, scale, centre + error, cluster


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_intervals_cover_as_often_as_they_say_at_clusters_not_calibrated_on(level):
    inside = []
    for seed in range(30):
        location, scale, observed, cluster = held_out(seed=seed)
        first = cluster < 30
        calibration = Calibration.fit(
            location[:, first],
            scale[:, first],
            observed[first],
            cluster[first],
            cluster[first] % 7,
        )
        low, high = calibration.interval(location[:, ~first], scale[:, ~first], level)
        inside.append(((observed[~first] >= low) & (observed[~first] <= high)).mean())
    assert np.mean(inside) == pytest.approx(level, abs=0.06)


@given(seed=st.integers(0, 1000), stretch=st.floats(0.2, 5.0))
def test_stretching_every_scale_changes_factors_and_not_intervals(seed, stretch):
    location, scale, observed, cluster = held_out(clusters=8, months=6, seed=seed)
    location = np.repeat(location.mean(axis=0)[None], 4, axis=0)
    one = Calibration.fit(location, scale, observed, cluster, cluster % 7)
    two = Calibration.fit(location, stretch * scale, observed, cluster, cluster % 7)
    np.testing.assert_allclose(
        one.interval(location, scale, 0.9), two.interval(location, stretch * scale, 0.9), rtol=1e-9
    )


@given(seed=st.integers(0, 1000))
def test_quantiles_ascend_and_the_mean_lies_beyond_the_median(seed):
    location, scale, observed, cluster = held_out(clusters=8, months=6, seed=seed)
    found = Calibration.fit(location, scale, observed, cluster, cluster % 7).apply(location, scale)
    assert found.quantile.shape == (len(QUANTILES), location.shape[1])
    assert (np.diff(found.quantile, axis=0) >= 0).all()
    assert (np.abs(found.mean) >= np.abs(10 * np.sinh(location))).all()
    assert (found.variance >= 0).all()


def test_the_mean_of_a_laplace_law_in_asinh_space_is_that_of_draws():
    draws = np.random.default_rng(0).laplace(1.2, 0.3, 2_000_000)
    assert mean_flux(np.array([1.2]), np.array([0.3]), 10.0)[0] == pytest.approx(
        10 * np.sinh(draws).mean(), rel=0.01
    )


def test_the_spread_of_members_and_laws_adds_up():
    location = np.array([[0.0], [2.0]])
    assert total_spread(location, np.full((2, 1), 0.5))[0] == pytest.approx(np.sqrt(0.5 + 2.0))


def test_a_missing_prediction_stays_missing():
    calibration = Calibration((0.7, 1.5, 2.0), 1.5, 20)
    found = calibration.apply(np.full((3, 2), np.nan), np.full((3, 2), 0.2))
    assert np.isnan(found.mean).all()
    assert np.isnan(found.quantile).all()
    assert np.isnan(found.variance).all()


def test_a_calibration_survives_json():
    calibration = Calibration((0.7, 1.5, 2.0), 1.5, 20)
    assert Calibration.from_json(calibration.to_json()) == calibration


def class_errors(seed, size):
    """Members that share an offset of standard deviation 5 over a class, and a truth off by `size` over a class."""
    random = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(60), 12)
    ecosystem = cluster % 7
    centre = random.uniform(20, 40, 60)[cluster]
    members = centre + random.normal(0, 5, (20, 7))[:, ecosystem]
    peculiar = random.normal(0, 5, 60)[cluster]
    truth = centre + random.normal(0, size, 7)[ecosystem] + peculiar
    return members, truth, cluster, ecosystem


def test_members_as_wrong_as_they_are_spread_need_no_inflation_of_budgets():
    honest = [budget_inflation(*class_errors(seed, 5)) for seed in range(30)]
    wrong = [budget_inflation(*class_errors(seed, 20)) for seed in range(30)]
    assert np.mean(honest) == pytest.approx(1.15, abs=0.15)
    assert np.mean(wrong) == pytest.approx(4.0, rel=0.15)


def test_dissimilarity_is_zero_at_training_rows_and_one_at_a_mean_distance():
    random = np.random.default_rng(0)
    train, weights = random.normal(size=(200, 3)), np.array([1.0, 0.5, 0.1])
    mean = mean_distance_of(train, weights)
    np.testing.assert_allclose(
        dissimilarity(train, weights, train, mean_distance=mean), 0, atol=2e-3
    )
    far = train[:1] + np.array([[1000.0, 0.0, 0.0]])
    found = dissimilarity(train, weights, far, mean_distance=mean)
    brute = np.sqrt((((train - far) ** 2) * weights).sum(axis=1)).min() / mean
    assert found[0] == pytest.approx(brute, rel=1e-4)


def test_an_unimportant_feature_cannot_make_a_point_dissimilar():
    random = np.random.default_rng(0)
    train, weights = random.normal(size=(50, 2)), np.array([1.0, 0.0])
    mean = mean_distance_of(train, weights)
    moved = train + np.array([0.0, 500.0])
    np.testing.assert_allclose(
        dissimilarity(train, weights, moved, mean_distance=mean), 0, atol=2e-3
    )


def test_the_threshold_leaves_most_training_rows_inside_and_far_points_outside():
    random = np.random.default_rng(0)
    train, weights = random.normal(size=(300, 3)), np.ones(3)
    group, mean = np.arange(300) % 10, mean_distance_of(train, weights)
    limit = threshold(train, weights, group, mean_distance=mean)
    new = random.normal(size=(300, 3))
    inside = dissimilarity(train, weights, new, mean_distance=mean) <= limit
    assert inside.mean() > 0.9
    assert dissimilarity(train, weights, np.full((1, 3), 9.0), mean_distance=mean)[0] > limit
