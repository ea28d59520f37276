"""A stack weighs its models by what they say of towers they have not seen, and by nothing else."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ch4grid.models.folds import grouped_folds
from ch4grid.models.learner import Law, Learner, TrainingSet, learnt, without_flux
from ch4grid.models.samples import Targets, class_codes
from ch4grid.models.stacking import Stack, StackedRegressor
from ch4grid.models.tabular import KNN, Climatology, Ridge
from ch4grid.testing import samples
from ch4grid.vocabulary import GASES

GAS = GASES["ch4"]
TRAINED = 24
BASES = (Climatology(), KNN(), Ridge(alpha=10.0))
STACK = Stack(of=BASES)


@cache
def towers() -> xr.Dataset:
    return samples(sites=32, months=40, seed=3)


@cache
def training() -> TrainingSet:
    return TrainingSet(towers().isel(site=slice(0, TRAINED)), seed=5)


@cache
def fold() -> np.ndarray:
    clusters = training().samples["cluster"].values.astype(np.int64)
    return grouped_folds(clusters, 3, 5, ecosystem=class_codes(training().samples))


@cache
def points() -> xr.Dataset:
    return without_flux(towers().isel(site=slice(TRAINED, None)), GAS)


@cache
def learned() -> tuple[Law, StackedRegressor]:
    return STACK.learn(training(), fold())


def error(law: Law, data: xr.Dataset) -> float:
    targets = Targets.of(data, GAS)
    at = targets.weight > 0
    return float(((law.location - targets.transformed)[at] ** 2).mean())


def test_it_tells_unseen_clusters_nearly_as_well_as_its_best_model() -> None:
    held = towers().isel(site=slice(TRAINED, None))
    alone = [error(base.fit(training()).predict(points()), held) for base in BASES]
    found = error(learned()[1].predict(points()), held)
    targets = Targets.of(held, GAS)
    assert found < 0.5 * targets.transformed[targets.weight > 0].var()
    assert found < 1.3 * min(alone)
    assert found < 0.5 * np.mean(alone)


class Parrot(Learner):
    """Says what its towers measured, and nonsense elsewhere."""

    architecture: Literal["parrot"] = "parrot"

    def fit(self, training: TrainingSet) -> "Heard":
        """All towers by heart."""
        names = training.samples["site"].values.tolist()
        return Heard(dict(zip(names, training.targets.transformed, strict=True)))


@dataclass(frozen=True)
class Heard:
    """Series by tower."""

    heard: dict[str, np.ndarray]
    parameters: int = 0

    def predict(self, points: xr.Dataset) -> Law:
        """By heart where heard."""
        unknown = np.full(points.sizes["time"], 5.0)
        return Law(np.stack([self.heard.get(s, unknown) for s in points["site"].values.tolist()]))


def test_a_model_that_knows_its_towers_by_heart_gets_no_credit_for_it() -> None:
    own = training().samples
    assert error(Parrot().fit(training()).predict(own), own) == 0.0
    stack = STACK.model_copy(update={"of": (Parrot(), Ridge(alpha=10.0)), "shrinkage": 0.0})
    assert stack.fit(training()).weights[0] < 0.05


def test_prediction_is_the_weighted_mean_of_the_models() -> None:
    _, fitted = learned()
    laws = [base.fit(training()).predict(points()).location for base in BASES]
    expected = sum(w * law for w, law in zip(fitted.weights, laws, strict=True))
    np.testing.assert_allclose(fitted.predict(points()).location, expected)
    assert fitted.parameters == sum(m.parameters for m in fitted.models) + len(BASES)


def test_out_of_fold_laws_are_weighted_without_the_fold() -> None:
    law, _ = learned()
    parts = np.stack([base.learn(training(), fold())[0].location for base in BASES])
    shares, _ = STACK.shares(parts, training().targets, training().samples, fold())
    np.testing.assert_allclose(law.location, (shares[:, :, None] * parts).sum(axis=0))
    for k in range(3):
        assert (shares[:, fold() == k] == shares[:, fold() == k][:, :1]).all()


@pytest.mark.parametrize("k", range(3))
def test_what_towers_of_a_fold_measured_changes_no_weight_of_theirs(k: int) -> None:
    out = fold() == k
    locations, targets = noisy(0.5, 1.0, 1.5), training().targets
    measured = targets.transformed.copy()
    measured[out] = (
        np.random.default_rng(0).permutation(measured[out].ravel()).reshape(measured[out].shape)
    )
    moved = replace(targets, transformed=measured)
    data = training().samples
    (before, final), (after, other) = (
        STACK.shares(locations, told, data, fold()) for told in (targets, moved)
    )
    np.testing.assert_array_equal(after[:, out], before[:, out])
    assert not np.allclose(after[:, ~out], before[:, ~out])
    assert not np.allclose(final, other)


def test_what_a_tower_of_no_fold_measured_changes_nothing() -> None:
    held = towers().isel(site=slice(TRAINED, None))
    fitted = STACK.fit(training())
    np.testing.assert_array_equal(
        fitted.predict(held.assign({GAS.flux: held[GAS.flux] * -3.0})).location,
        learned()[1].predict(points()).location,
    )


@settings(max_examples=15)
@given(
    seed=st.integers(0, 999),
    models=st.integers(2, 5),
    shrinkage=st.sampled_from([0.0, 1e-3, 0.3, 10.0, 1e9]),
)
def test_weights_are_shares(seed: int, models: int, shrinkage: float) -> None:
    random = np.random.default_rng(seed)
    targets = training().targets
    noise = random.normal(scale=random.uniform(0.1, 3, (models, 1, 1)), size=(models, TRAINED, 40))
    stack = Stack(of=(Ridge(),) * models, shrinkage=shrinkage)
    shares, final = stack.shares(targets.transformed + noise, targets, training().samples, fold())
    for weights in (*shares.T, final):
        assert (weights >= 0).all()
        assert weights.sum() == pytest.approx(1.0)


def weights(locations: np.ndarray, shrinkage: float = 0.0) -> np.ndarray:
    stack = Stack(of=(Ridge(),) * len(locations), shrinkage=shrinkage)
    return stack.shares(locations, training().targets, training().samples, fold())[1]


def noisy(*scales: float) -> np.ndarray:
    random, truth = np.random.default_rng(1), training().targets.transformed
    return np.stack([truth + random.normal(scale=s, size=truth.shape) for s in scales])


def test_a_model_that_is_right_takes_all_and_without_shrinkage_errors_decide() -> None:
    np.testing.assert_allclose(weights(noisy(0.0, 1.0, 1.0)), [1, 0, 0], atol=1e-6)
    # Independent errors of variance 1 and 4 are best weighed four to one.
    np.testing.assert_allclose(weights(noisy(1.0, 2.0)), [0.8, 0.2], atol=0.06)


def test_a_model_that_would_help_only_with_a_negative_weight_gets_none() -> None:
    truth = training().targets.transformed
    away = np.random.default_rng(2).normal(size=truth.shape)
    found = weights(np.stack([truth + 0.1 * away, truth + away]))
    np.testing.assert_allclose(found, [1, 0], atol=1e-6)


@pytest.mark.parametrize(("shrinkage", "nearness"), [(0.0, 1.0), (0.3, 0.7), (1e12, 1e-6)])
def test_shrinkage_draws_weights_to_equal_ones(shrinkage: float, nearness: float) -> None:
    found = weights(noisy(0.0, 1.0, 1.0), shrinkage)
    away = np.abs(found - 1 / 3).max() / (2 / 3)
    assert away <= nearness + 1e-9
    if shrinkage == 0.0:
        assert away == pytest.approx(1.0)


def test_an_infinite_or_negative_shrinkage_is_refused() -> None:
    for wrong in (float("inf"), float("nan"), -0.1):
        with pytest.raises(ValidationError):
            Stack(of=BASES, shrinkage=wrong)


def test_the_future_and_other_sites_change_nothing() -> None:
    _, fitted = learned()
    before = fitted.predict(points()).location
    later = points().copy(deep=True)
    for name in ("tas", "mrsos"):
        later[name].values[:, 30:] *= 1.1
    after = fitted.predict(later).location
    np.testing.assert_allclose(after[:, :30], before[:, :30], rtol=1e-9)
    assert not np.allclose(after[:, 30:], before[:, 30:])
    order = np.array([3, 0, 5])
    np.testing.assert_allclose(
        fitted.predict(points().isel(site=order)).location, before[order], rtol=1e-9
    )


def test_a_law_has_the_shape_of_the_points() -> None:
    law = learned()[1].predict(points().isel(time=slice(4, 20)))
    assert law.location.shape == (8, 16)
    assert np.isfinite(law.location).all()
    assert law.scale is None


def test_the_same_training_set_gives_the_same_stack() -> None:
    first, second = (STACK.fit(training()) for _ in range(2))
    assert first.weights == second.weights
    np.testing.assert_array_equal(
        first.predict(points()).location, second.predict(points()).location
    )


def test_what_has_been_learnt_from_a_set_is_not_learnt_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fits: list[str] = []
    real = Learner.learn

    def watched(self: Learner, *how: object) -> object:
        fits.append(type(self).__name__)
        return real(self, *how)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "learn", watched)
    shared = replace(training(), learnt={})
    learnt(BASES[2], shared, fold())
    law, _ = learnt(STACK, shared, fold())
    assert sorted(fits) == ["Climatology", "KNN", "Ridge"]
    np.testing.assert_array_equal(law.location, learned()[0].location)
    assert shared.subset(np.arange(8)).learnt is None
    assert shared.reseeded(1).learnt is None


def test_cheap_trials_are_those_of_the_models() -> None:
    class Costly(Ridge):
        def trial(self) -> "Costly":
            return self.varied(alpha=1.0)

    stack = STACK.model_copy(update={"of": (Costly(alpha=9.0), Climatology())})
    assert [getattr(base, "alpha", None) for base in stack.trial().of] == [1.0, None]
