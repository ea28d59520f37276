"""The causal forest as a predictor: effects times anomalies on a level, from training towers and a given graph."""

from functools import cache

import numpy as np
import planted_fits as planted
import pytest
import xarray as xr

from ch4grid.errors import InputError
from ch4grid.evaluation import cross_fit
from ch4grid.evaluation.causal_forest import CausalForest, CausalForestLevels
from ch4grid.graph import CausalGraph
from ch4grid.models.learner import TrainingSet, without_flux
from ch4grid.models.samples import Targets
from ch4grid.models.tabular import Climatology
from ch4grid.vocabulary import ECOSYSTEMS

GAS = planted.GAS


def graph(series: xr.Dataset) -> CausalGraph:
    """Temperature now is the one cause of the flux."""
    probability = np.zeros((len(ECOSYSTEMS), 2, 1, 4))
    probability[:, 1, 0, 0] = 1.0
    return CausalGraph(("tas",), "ch4_flux", ECOSYSTEMS, probability)


@cache
def towers() -> xr.Dataset:
    return planted.towers(28, steps=48)


@cache
def training() -> TrainingSet:
    found, _ = planted.apart(towers(), 20)
    return TrainingSet(found.samples, discoverer=graph)


@cache
def points() -> xr.Dataset:
    return without_flux(towers().isel(site=slice(20, None)), GAS)


@cache
def fitted() -> CausalForestLevels:
    return CausalForest(trees=40).fit(training())


def test_it_learns_the_planted_function_at_unseen_clusters() -> None:
    held = towers().isel(site=slice(20, None))
    targets = Targets.of(held, GAS)
    at = targets.weight > 0
    errors = [
        ((regressor.predict(points()).location - targets.transformed)[at] ** 2).mean()
        for regressor in (fitted(), Climatology().fit(training()))
    ]
    assert errors[0] < 0.15 * targets.transformed[at].var()
    assert errors[0] < errors[1]


def test_it_adds_effect_times_anomaly_and_nothing_else() -> None:
    shift = np.random.default_rng(3).normal(size=(8, 48))
    moved = points().assign(tas=points()["tas"] + shift)
    change = fitted().predict(moved).location - fitted().predict(points()).location
    assert np.polyfit(shift.ravel(), change.ravel(), 1)[0] == pytest.approx(0.1, rel=0.2)
    assert fitted().causes == (("tas", 0),)


def test_a_site_depends_on_no_other_and_on_no_order() -> None:
    expected = fitted().predict(points()).location
    order = np.array([5, 2, 7])
    np.testing.assert_allclose(
        fitted().predict(points().isel(site=order)).location, expected[order], rtol=1e-9
    )


def test_a_law_has_the_shape_of_the_points_and_no_scale() -> None:
    law = fitted().predict(points().isel(time=slice(0, 24)))
    assert law.location.shape == (8, 24)
    assert np.isfinite(law.location).all()
    assert law.scale is None
    assert fitted().parameters > 40


def test_the_same_training_set_gives_the_same_model() -> None:
    again = CausalForest(trees=40).fit(training())
    np.testing.assert_array_equal(
        again.predict(points()).location, fitted().predict(points()).location
    )


def test_flux_of_unseen_towers_is_not_looked_at() -> None:
    held = towers().isel(site=slice(20, None))
    np.testing.assert_array_equal(
        fitted().predict(held).location, fitted().predict(points()).location
    )


def test_a_law_of_errors_is_learnt_around_it() -> None:
    found = cross_fit(CausalForest(trees=10), training(), candidates=1, groups=2)
    predicted = found.predict(points())
    flux = towers()["ch4_flux"].isel(site=slice(20, None)).values / GAS.kg_per_nmol
    low, high = (predicted["quantile_flux"].isel(quantile=i).values for i in (0, -1))
    good = np.isfinite(flux)
    assert 0.8 < ((flux >= low) & (flux <= high))[good].mean() <= 1.0


def test_candidates_differ_in_the_size_of_leaves_only() -> None:
    settings = CausalForest(trees=7)
    first, *others = settings.candidates()
    assert first == settings
    assert [other.min_leaf for other in others] == [20, 40]
    assert {other.trees for other in others} == {7}


def test_without_a_discoverer_it_says_what_it_needs() -> None:
    with pytest.raises(InputError, match="needs a causal graph"):
        CausalForest().fit(TrainingSet(training().samples))
