"""Inflation outside the area of applicability, held to planted errors that grow with the index and that do not."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.applicability import Inflation, apart, leave_group_out
from ch4grid.uncertainty import dissimilarity, mean_distance_of, threshold


def months(seed, *, growth, clusters=40):
    """Index, score and cluster of months; the typical error is 0.4 inside an index of 0.5 and grows outside."""
    random = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), random.integers(12, 60, clusters))
    index = random.gamma(2.0, 0.25, clusters)[cluster] * random.uniform(0.8, 1.25, len(cluster))
    peculiar = random.lognormal(-0.045, 0.3, clusters)[cluster]
    size = 0.4 * peculiar * (1 + growth * np.maximum(index - 0.5, 0.0))
    return index, np.abs(random.laplace(0, size)), cluster


def test_a_planted_growth_of_the_error_is_found():
    found = [Inflation.fit(*months(seed, growth=2.0), threshold=0.5) for seed in range(20)]
    factor = np.mean([f.factor(np.array([0.2, 0.5, 1.0, 1.5])) for f in found], axis=0)
    assert factor[0] == pytest.approx(1.0, abs=0.05)
    assert factor[1] < 1.3
    assert factor[2] == pytest.approx(2.0, abs=0.4)
    assert factor[3] > 2.0


def test_errors_that_do_not_grow_inflate_nothing():
    found = [Inflation.fit(*months(seed, growth=0.0), threshold=0.5) for seed in range(30)]
    factor = np.array([f.factor(np.linspace(0, 3, 31)) for f in found])
    assert factor.mean() < 1.05
    assert (factor.max(axis=1) == 1).mean() >= 0.85


def test_errors_that_shrink_with_the_index_inflate_nothing():
    random = np.random.default_rng(0)
    index, _, cluster = months(0, growth=0.0)
    falling = np.abs(random.laplace(0, 0.5 * np.exp(-index)))
    np.testing.assert_array_equal(Inflation.fit(index, falling, cluster).factor(index), 1.0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), growth=st.floats(0, 4))
def test_the_factor_never_falls_and_is_at_least_one(seed, growth):
    found = Inflation.fit(*months(seed, growth=growth, clusters=10))
    factor = found.factor(np.linspace(-1, 10, 50))
    assert (factor >= 1).all()
    assert (np.diff(factor) >= 0).all()


def test_a_cluster_counts_once_however_long_its_record():
    index, score, cluster = months(0, growth=2.0)
    often = np.where(cluster == 7, 9, 1)
    one = Inflation.fit(index, score, cluster, threshold=0.5)
    two = Inflation.fit(*(np.repeat(v, often) for v in (index, score, cluster)), threshold=0.5)
    places = np.linspace(0, 2, 9)
    np.testing.assert_allclose(one.factor(places), two.factor(places), rtol=0.02)


def test_one_wild_month_makes_no_step_of_its_own():
    index, score, cluster = months(0, growth=0.0)
    wild = score.copy()
    wild[np.argmax(index)] = 1000.0
    assert Inflation.fit(index, wild, cluster, threshold=0.5).factor(np.array([9.0]))[0] < 1.5


def test_months_without_an_index_and_few_clusters_say_nothing():
    index, score, cluster = months(0, growth=2.0)
    holes = np.append(index, np.nan), np.append(score, 50.0), np.append(cluster, 0)
    assert Inflation.fit(*holes) == Inflation.fit(index, score, cluster)
    only = cluster == 0
    assert Inflation.fit(index[only], score[only], cluster[only]) == Inflation()
    assert np.isnan(Inflation().factor(np.array([np.nan]))).all()


@pytest.mark.parametrize("growth", [0.0, 2.0])
def test_an_inflation_survives_json(growth):
    for found in (Inflation(), Inflation.fit(*months(0, growth=growth))):
        assert Inflation.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_the_index_apart_is_that_against_the_other_groups_and_its_kept_maximum_is_the_threshold():
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(5), 12)
    train = random.normal(0, 1, (5, 3))[group] + random.normal(0, 0.2, (60, 3))
    weights, mean = np.ones(3), mean_distance_of(train, np.ones(3))
    found = apart(train, weights, group, mean_distance=mean)
    own = group == 2
    np.testing.assert_array_equal(
        found[own], dissimilarity(train[~own], weights, train[own], mean_distance=mean)
    )
    limit = threshold(train, weights, group, mean_distance=mean)
    assert limit in found.astype(np.float32)
    assert np.isnan(apart(train, weights, group * 0, mean_distance=mean)).all()


def test_a_class_left_out_is_mended_by_what_the_others_show():
    before, after, flat = [], [], []
    for seed in range(8):
        index, score, cluster = months(seed, growth=2.0)
        # classes differ in how far they lie from all others
        found = leave_group_out(index, score / 1.2, cluster, np.digitize(index, [0.3, 0.6, 1.0]))
        before.append(found["before"].to_numpy())
        after.append(found["after"].to_numpy())
        still = months(seed, growth=0.0)
        flat.append(leave_group_out(*still, still[2] % 4)["factor"].to_numpy())
    assert np.mean(after, axis=0)[-1] > np.mean(before, axis=0)[-1] + 0.08
    assert np.mean(after, axis=0)[0] - np.mean(before, axis=0)[0] < 0.03
    assert np.mean(flat) < 1.08
