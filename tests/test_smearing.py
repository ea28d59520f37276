"""The mean of pulses: held to laws with a known mean, and to simulated pulses that a Laplace law cannot hold."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.smearing import POINTS, Smearing, crossed
from ch4grid.uncertainty import QUANTILES, Calibration, mean_flux

CLASSES = 7


def laplace_law(scale: float) -> Smearing:
    """Departures at the quantiles of a Laplace law in every class."""
    points = -scale * np.sign(POINTS - 0.5) * np.log1p(-2 * np.abs(POINTS - 0.5))
    return Smearing(1.0, (tuple(points.tolist()),) * CLASSES, (-20.0, 20.0))


def pulses(seed: int, clusters: int = 70, months: int = 24):
    """Towers that seep and pulse by a known chance; the ensemble knows the usual month and the level, not the pulse.

    Returns the location (member, n) and scale of an ensemble, the flux in asinh space, cluster and class (n).
    """
    random = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), months)
    ecosystem = cluster % CLASSES
    seep = 0.5 + random.normal(0, 0.3, clusters)[cluster]
    pulse = np.arcsinh(np.exp(random.normal(2.0, 0.4, len(cluster))))
    chance = 0.1 + 0.05 * ecosystem
    observed = np.where(random.random(len(cluster)) < chance, pulse, seep)
    location = seep + random.normal(0, 0.1, (2, len(cluster)))
    return location, np.full_like(location, 0.5), observed, cluster, ecosystem


@given(centre=st.floats(-4, 4), scale=st.floats(0.02, 0.45))
def test_the_quantiles_of_a_laplace_law_give_its_mean(centre: float, scale: float) -> None:
    found = laplace_law(scale).moment(np.array([centre]), np.array([0]))
    truth = mean_flux(np.array([centre]), np.array([scale]), 1.0)
    np.testing.assert_allclose(found, truth, rtol=0.04, atol=1e-9)


@given(centre=st.floats(-3, 3), low=st.floats(-4, 0), high=st.floats(0.1, 4))
def test_the_law_stays_within_what_was_seen(centre: float, low: float, high: float) -> None:
    law = Smearing(1.0, laplace_law(1.0).departures, (low, high))
    location, code = np.array([centre]), np.array([3])
    assert np.sinh(low) - 1e-9 <= law.moment(location, code)[0] <= np.sinh(high) + 1e-9
    ends = law.quantile(location, code, QUANTILES)[:, 0]
    assert (np.diff(ends) >= 0).all()
    assert low <= ends[0]
    assert ends[-1] <= high


def test_the_mean_of_pulses_is_unbiased_at_unseen_towers_where_that_of_a_laplace_law_is_not() -> (
    None
):
    ratios = {"smeared": [], "laplace": []}
    for seed in range(6):
        location, scale, observed, cluster, ecosystem = pulses(seed)
        truth = np.sinh(observed).mean()
        told = crossed(location, observed, cluster, ecosystem).mean
        law = Calibration.fit(location, scale, observed, cluster, ecosystem, asinh_scale=1.0)
        ratios["smeared"].append(told.mean() / truth)
        ratios["laplace"].append(law.apply(location, scale).mean.mean() / truth)
    assert np.mean(ratios["smeared"]) == pytest.approx(1.0, abs=0.03)
    assert np.mean(ratios["laplace"]) < 0.7


def test_a_class_with_likelier_pulses_has_the_larger_mean() -> None:
    location, _, observed, cluster, ecosystem = pulses(0)
    law = Smearing.fit(location, observed, cluster, ecosystem)
    means = law.moment(np.full(CLASSES, 0.5), np.arange(CLASSES))
    truth = [np.sinh(observed[ecosystem == e]).mean() for e in range(CLASSES)]
    assert np.corrcoef(means, truth)[0, 1] > 0.95


@pytest.mark.parametrize(("ends", "level"), [((0.25, 0.75), 0.5), ((0.05, 0.95), 0.9)])
def test_quantiles_of_pulses_hold_as_often_as_they_say_at_unseen_towers(ends, level) -> None:
    inside = []
    for seed in range(6):
        location, _, observed, cluster, ecosystem = pulses(seed)
        low, high = crossed(location, observed, cluster, ecosystem, ends).quantile
        inside.append(((observed >= low) & (observed <= high)).mean())
    assert np.mean(inside) == pytest.approx(level, abs=0.05)


def test_a_month_is_told_nothing_of_its_own_cluster() -> None:
    location, _, observed, cluster, ecosystem = pulses(1, clusters=21)
    before = crossed(location, observed, cluster, ecosystem)
    own = cluster == 4
    # within the limits that other towers have shown, which a changed month would move
    other = np.where(own, np.flip(observed[own]).mean(), observed)
    after = crossed(location, other, cluster, ecosystem)
    np.testing.assert_array_equal(after.mean[:, own], before.mean[:, own])
    np.testing.assert_array_equal(after.quantile[:, own], before.quantile[:, own])
    assert not np.array_equal(after.mean[:, ~own], before.mean[:, ~own])


def test_predictions_that_say_too_much_are_drawn_together() -> None:
    location, _, observed, cluster, ecosystem = pulses(2)
    centre = location.mean()
    wide = centre + 2.0 * (location - centre)
    slope = Smearing.fit(location, observed, cluster, ecosystem).slope
    assert Smearing.fit(wide, observed, cluster, ecosystem).slope == pytest.approx(
        slope / 2, rel=1e-3
    )
    against = Smearing.fit(-location, observed, cluster, ecosystem)
    assert against.slope == 0.0
    mean = against.moment(-location.mean(axis=0), ecosystem).mean()
    assert mean == pytest.approx(np.sinh(observed).mean(), rel=0.05)


def test_draws_of_clusters_spread_the_members_no_narrower_than_towers_leave_the_mean_open() -> None:
    spreads, errors = [], []
    for seed in range(12):
        location, _, observed, cluster, ecosystem = pulses(seed, clusters=28)
        law = Smearing.fit(location, observed, cluster, ecosystem)
        same = np.repeat(location.mean(axis=0)[None], 20, axis=0)
        members = law.mean(same, ecosystem).mean(axis=1)
        np.testing.assert_allclose(members.mean(), law.moment(same[0], ecosystem).mean())
        spreads.append(members.std() / members.mean())
        errors.append(members.mean() / 2.0)
    # wider, for few clusters: a draw may leave a class out, and then the law of all classes stands in for it
    assert 0.8 < np.mean(spreads) / (np.std(errors) / np.mean(errors)) < 2.2


@settings(max_examples=8)
@given(seed=st.integers(0, 1000))
def test_a_law_survives_json_to_the_bit(seed: int) -> None:
    location, scale, observed, cluster, ecosystem = pulses(seed, clusters=8, months=6)
    found = Calibration.fit(
        location, scale, observed, cluster, ecosystem, asinh_scale=0.1, pulses=True
    )
    assert found.smearing is not None
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_calibration_of_pulses_gives_mean_quantiles_and_variance_of_one_law() -> None:
    location, scale, observed, cluster, ecosystem = pulses(3)
    fit = Calibration.fit(
        location, scale, observed, cluster, ecosystem, asinh_scale=0.1, pulses=True
    )
    found = fit.apply(location, scale, ecosystem)
    flux = 0.1 * np.sinh(observed)
    assert found.mean.mean() == pytest.approx(flux.mean(), rel=0.03)
    assert np.sqrt(found.variance.mean()) == pytest.approx(flux.std(), rel=0.1)
    low, high = fit.interval(location, scale, 0.9, ecosystem)
    np.testing.assert_allclose(found.quantile[0], 0.1 * np.sinh(low))
    np.testing.assert_allclose(found.quantile[-1], 0.1 * np.sinh(high))
    # the same pairs as (site, time), as cells come
    folded = fit.apply(
        location.reshape(2, 70, 24), scale.reshape(2, 70, 24), ecosystem[::24][:, None]
    )
    np.testing.assert_array_equal(folded.mean.reshape(2, -1), found.mean)


def test_missing_stays_missing_and_a_class_must_be_given() -> None:
    location, scale, observed, cluster, ecosystem = pulses(4, clusters=14)
    fit = Calibration.fit(location, scale, observed, cluster, ecosystem, pulses=True)
    hole = np.where(np.arange(location.shape[1]) < 3, np.nan, location)
    found = fit.apply(hole, scale, ecosystem)
    for part in (found.mean, found.quantile, found.variance):
        assert np.isnan(part[..., :3]).all()
        assert np.isfinite(part[..., 3:]).all()
    with pytest.raises(ValueError, match="class of every point"):
        fit.apply(location, scale)


def test_a_gas_without_pulses_knows_nothing_of_all_this() -> None:
    location, scale, observed, cluster, ecosystem = pulses(5, clusters=14)
    plain = Calibration.fit(location, scale, observed, cluster, ecosystem)
    assert plain.smearing is None
    assert sorted(plain.to_json()) == ["asinh_scale", "clusters", "factors", "inflation"]
    stretched = mean_flux(location, scale * plain.stretch, plain.asinh_scale)
    np.testing.assert_array_equal(plain.apply(location, scale).mean, stretched)
    with_class, without = (plain.apply(location, scale, e) for e in (ecosystem, None))
    for one, two in zip(with_class, without, strict=True):
        np.testing.assert_array_equal(one, two)
