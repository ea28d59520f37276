"""CT-GAT under the contract of every model."""

from functools import cache, partial

import numpy as np
import pytest
from planted_ctgat import QUICK, discoverer, training_set
from planted_model import GAS, settings, towers

from ch4grid import training
from ch4grid.models.config import CTGATConfig
from ch4grid.models.ctgat_learner import measured_by_class
from ch4grid.models.learner import TrainingSet, without_flux
from ch4grid.models.samples import Targets
from ch4grid.testing import samples
from ch4grid.uncertainty import total_spread


@cache
def regressor():
    return QUICK.fit(training_set(towers()))


def points():
    return without_flux(towers(), GAS)


def test_the_law_has_a_place_and_a_scale_for_every_month_without_a_flux():
    law = regressor().predict(points())
    assert law.location.shape == law.scale.shape == (14, 48)
    assert np.isfinite(law.location).all()
    assert (law.scale > 0).all()
    assert regressor().parameters > 1000


def test_the_scale_is_the_total_spread_of_the_members():
    members = regressor().checkpoint.predict(points())
    expected = total_spread(members["location"].values, members["scale"].values) / np.sqrt(2)
    np.testing.assert_allclose(regressor().predict(points()).scale, expected, rtol=1e-6)


def test_a_learner_fits_what_the_chain_of_training_fits():
    distances = np.array([3000.0, 50.0, 800.0])
    chain = training.fit(
        towers(), towers(), **settings(folds=0, model=QUICK, neighbour_distances=distances)
    )
    own = QUICK.fit(training_set(towers(), distances=distances)).checkpoint
    for one, two in zip(chain.members, own.members, strict=True):
        for name, values in one.weights.items():
            np.testing.assert_array_equal(values, two.weights[name])


def test_the_same_training_set_gives_the_same_model_and_another_seed_another():
    law = regressor().predict(points())
    again = QUICK.fit(training_set(towers())).predict(points())
    other = QUICK.fit(training_set(towers()).reseeded(3)).predict(points())
    np.testing.assert_array_equal(law.location, again.location)
    assert not np.array_equal(law.location, other.location)


def test_towers_without_targets_teach_nothing():
    ds = towers()
    silent = ds["ch4_flux_coverage"].values.copy()
    silent[3] = 0.0
    blind = training_set(ds.assign(ch4_flux_coverage=(("site", "time"), silent)))
    kept = measured_by_class(blind)
    assert "S03" not in kept["site"].values
    assert (np.diff(kept["ecosystem"].values) >= 0).all()


def test_the_graph_is_discovered_once_and_in_the_series():
    seen = []

    def watch(series):
        seen.append(series.sizes["site"])
        return discoverer(series)

    ds = towers()
    CTGATConfig(members=3, width=4, steps=3).fit(
        TrainingSet(ds, series=ds.isel(site=slice(5)), gas=GAS, discoverer=watch)
    )
    assert seen == [5]


def test_candidates_differ_in_regularisation_only():
    first, *others = CTGATConfig().candidates()
    assert first == CTGATConfig()
    allowed = {"dropout", "weight_decay", "steps"}
    for other in others:
        changed = {n for n in CTGATConfig.model_fields if getattr(other, n) != getattr(first, n)}
        assert changed
        assert changed <= allowed
    assert CTGATConfig(members=10).trial().members == 1


@pytest.mark.parametrize("turn", [partial(np.roll, shift=5), np.flip])
def test_order_of_sites_does_not_matter(turn):
    order = turn(np.arange(14))
    law = regressor().predict(points())
    turned = regressor().predict(points().isel(site=order))
    np.testing.assert_allclose(turned.location, law.location[order], atol=1e-5)


def test_unseen_towers_are_predicted_better_than_by_the_mean():
    ds = samples(sites=24, months=42, seed=4)
    held = np.arange(24) % 8 < 2
    fitted = CTGATConfig(members=2, width=4, steps=50).fit(training_set(ds.isel(site=~held)))
    law = fitted.predict(without_flux(ds.isel(site=held), GAS))
    targets = Targets.of(ds.isel(site=held), GAS)
    there = targets.weight > 0
    observed = targets.transformed[there]
    left = ((observed - law.location[there]) ** 2).sum()
    assert left < 0.5 * ((observed - observed.mean()) ** 2).sum()
