"""Sources of a spread, held to planted problems whose variances are known in closed form."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid import testing
from ch4grid.decomposition import (
    FACTORS,
    Sources,
    components,
    decompose,
    drawn_clusters,
    noisy,
    perturbed,
    under_graph,
)
from ch4grid.errors import InputError
from ch4grid.models.learner import Law, TrainingSet
from ch4grid.models.samples import Targets

QUIET = Sources(relative=0.0, absolute=0.0, spreads={})
SITES, MONTHS = 30, 24


@dataclass(frozen=True)
class Line:
    """A line in one driver."""

    level: float
    slope: float
    parameters: int = 2

    def predict(self, points: xr.Dataset) -> Law:
        return Law(self.level + self.slope * _score(points))


@dataclass(frozen=True)
class Ridge:
    """A line in air temperature fitted to all measured months alike, and luck that depends on the seed."""

    luck: float = 0.0
    offset: float = 0.0
    flat: bool = False

    def fit(self, training: TrainingSet) -> Line:
        ok = training.targets.weight > 0
        score = np.where(self.flat, 0.0, _score(training.samples))[ok]
        design = np.column_stack([np.ones_like(score), score])
        gram = design.T @ design + 1e-9 * np.eye(2)
        level, slope = np.linalg.solve(gram, design.T @ training.targets.transformed[ok])
        chance = np.random.default_rng(training.seed).standard_normal()
        return Line(level + self.offset + self.luck * chance, slope)


def _score(points: xr.Dataset) -> np.ndarray:
    return (points["tas"].values.astype(np.float64) - 285.0) / 9.0


def towers(seed=0, **changes) -> TrainingSet:
    """Towers whose flux is a line in air temperature, fully measured."""
    samples = testing.samples(SITES, MONTHS, seed=seed)
    gas = TrainingSet(samples).gas
    truth = 0.02 + 0.05 * _score(samples)
    flux = gas.asinh_scale * gas.kg_per_nmol * np.sinh(truth)
    return TrainingSet(
        samples.assign(
            {
                gas.flux: (("site", "time"), flux),
                f"{gas.flux}_coverage": (("site", "time"), np.ones_like(flux)),
            }
            | changes
        )
    )


def variances(fit, training, points, draws=40, **settings):
    return components(fit, training, points, draws=draws, seed=1, **settings)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), factors=st.sets(st.sampled_from(FACTORS), min_size=1))
def test_components_sum_to_the_variance_over_all_combinations(seed, factors):
    dims = (*sorted(factors), "site")
    values = xr.DataArray(
        np.random.default_rng(seed).normal(5, 1, [2] * len(factors) + [3]), dims=dims
    )
    found = decompose(values)
    assert found.sizes == {"component": 2 ** len(factors) - 1, "site": 3}
    total = values.var(sorted(factors))
    np.testing.assert_allclose(found["variance"].sum("component"), total, rtol=1e-12)
    np.testing.assert_allclose(found["share"].sum("component"), 1.0, rtol=1e-12)
    assert (found["variance"] >= 0).all()


def test_planted_effects_and_their_product_are_told_apart():
    noise = xr.DataArray([-1.0, 1.0], dims="noise")
    towers = xr.DataArray([-2.0, 0.0, 2.0], dims="towers")
    found = decompose(7 + 3 * noise + towers + 0.5 * noise * towers)["variance"]
    assert found.sel(component="noise") == pytest.approx(9.0)
    assert found.sel(component="towers") == pytest.approx(8 / 3)
    assert found.sel(component="noise:towers") == pytest.approx(0.25 * 8 / 3)


def test_a_quantity_that_does_not_vary_has_no_shares():
    found = decompose(xr.DataArray(np.ones((2, 3)), dims=("noise", "model")))
    assert (found["share"] == 0).all()


def test_values_without_a_source_are_refused():
    with pytest.raises(InputError, match="nothing to decompose"):
        decompose(xr.DataArray(np.ones(3), dims="site"))


def test_noise_of_the_flux_gives_the_variance_of_a_line():
    training = towers()
    points = training.samples.isel(site=slice(0, 3), time=slice(0, 6))
    # the flux is small against c, so that asinh is nearly straight: the noise of the target is `absolute`
    found = variances(Ridge().fit, training, points, sources=replace(QUIET, absolute=0.05))
    design = np.column_stack([np.ones(SITES * MONTHS), _score(training.samples).ravel()])
    row = np.column_stack([np.ones(18), _score(points).ravel()])
    truth = 0.05**2 * np.einsum("ij,jk,ik->i", row, np.linalg.inv(design.T @ design), row)
    assert found["noise"].mean() == pytest.approx(truth.mean(), rel=0.3)
    assert found["model"].max() < 1e-20
    assert found["drivers"].max() < 1e-20


@pytest.mark.parametrize(("persistence", "share"), [(0.0, 1 / MONTHS), (1.0, 1.0)])
def test_errors_of_drivers_give_the_square_of_the_slope_and_average_out_unless_they_last(
    persistence, share
):
    training = towers()
    sources = replace(QUIET, spreads={"tas": 0.5}, persistence=persistence)
    truth = (0.05 / 9 * 0.5) ** 2
    months = variances(Ridge().fit, training, training.samples, draws=15, sources=sources)
    assert months["drivers"].mean() == pytest.approx(truth, rel=0.1)
    means = variances(
        Ridge().fit,
        training,
        training.samples,
        draws=30,
        sources=sources,
        measure=lambda law: law.location.mean(axis=1),
    )
    assert len(means) == SITES
    assert means["drivers"].mean() == pytest.approx(truth * share, rel=0.2)


def test_drawing_clusters_gives_the_variance_of_a_mean_of_clusters():
    offset = np.random.default_rng(3).normal(0, 0.1, SITES // 2).repeat(2)
    gas = towers().gas
    flux = gas.asinh_scale * gas.kg_per_nmol * np.sinh(offset)[:, None] * np.ones(MONTHS)
    training = towers(**{gas.flux: (("site", "time"), flux)})
    found = components(Ridge(flat=True).fit, training, training.samples, draws=80, sources=QUIET)
    truth = offset[::2].var() / (SITES // 2)
    assert found["towers"].iloc[0] == pytest.approx(truth, rel=0.4)


def test_seeds_structures_and_areas_give_their_own_variance_and_the_total_is_the_sum():
    training = towers()
    points = training.samples.isel(site=slice(0, 2))
    found = variances(
        Ridge(luck=0.1).fit,
        training,
        points,
        sources=QUIET,
        structures=[Ridge(luck=0.1, offset=0.2).fit, Ridge(luck=0.1, offset=0.4).fit],
        areas=np.array([0.8, 1.0, 1.2])[:, None, None],
    )
    location = Ridge(luck=0.1).fit(training).predict(points).location.ravel()
    np.testing.assert_allclose(found["structure"], 0.04, rtol=1e-9)
    np.testing.assert_allclose(found["area"], 0.04 * location**2, rtol=1e-9)
    assert found["model"].iloc[0] == pytest.approx(0.01, rel=0.4)
    np.testing.assert_allclose(found["total"], found.drop(columns="total").sum(axis=1))
    assert list(found.index.names) == ["site", "time"]


def test_the_same_seed_gives_the_same_components_and_a_single_draw_is_refused():
    training = towers()
    one, two = (
        components(Ridge(luck=0.1).fit, training, training.samples, draws=2) for _ in range(2)
    )
    assert one.equals(two)
    assert {"noise", "drivers", "towers", "model", "total"} == set(one.columns)
    with pytest.raises(InputError, match="a spread needs draws"):
        components(Ridge().fit, training, training.samples, draws=1)


def test_perturbing_leaves_gaps_types_and_other_predictors_alone_and_moves_the_mean_along():
    points = testing.samples(8, 24)
    points["tas"][2, 3] = np.nan
    found = perturbed(points, {"tas": 0.5, "elevation": 10.0, "evi": 0.015}, seed=3)
    assert np.isnan(found["tas"][2, 3])
    assert found["tas"].dtype == points["tas"].dtype
    assert found["tas"].attrs == points["tas"].attrs
    assert set(found.data_vars) == set(points.data_vars)
    xr.testing.assert_identical(found["pr"], points["pr"])
    moved = (found["tas"] - points["tas"]).drop_isel(site=2)
    assert float(moved.std()) == pytest.approx(0.5, rel=0.15)
    shift = (found["tas_mean"] - points["tas_mean"]).drop_isel(site=2)
    np.testing.assert_allclose(moved.mean("time"), shift, atol=1e-3)
    assert float(np.abs(found["elevation"] - points["elevation"]).max()) > 1
    # the errors of one predictor do not depend on which others have errors
    xr.testing.assert_identical(perturbed(points, {"tas": 0.5}, seed=3)["tas"], found["tas"])


def test_noise_has_the_planted_spread_and_leaves_gaps():
    training = TrainingSet(testing.samples(40, 60))
    gas = training.gas
    found = noisy(training, Sources(relative=0.2, absolute=0.1), seed=0).samples[gas.flux]
    flux = training.samples[gas.flux]
    unit = np.sqrt((0.1 * gas.asinh_scale * gas.kg_per_nmol) ** 2 + (0.2 * flux) ** 2)
    assert float(((found - flux) / unit).std()) == pytest.approx(1.0, rel=0.1)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(flux))


def test_drawn_clusters_stay_whole_keep_every_class_and_have_sites_of_their_own():
    training = TrainingSet(testing.samples(28, 24))
    before = training.samples
    for seed in range(10):
        found = drawn_clusters(training, seed=seed).samples
        assert set(found["ecosystem"].values) == set(before["ecosystem"].values)
        assert len(set(found["site"].values)) == found.sizes["site"]
        assert (np.unique(found["cluster"], return_counts=True)[1] % 2 == 0).all()
        assert Targets.of(found, training.gas).weight.any()


def test_a_structure_is_fitted_under_its_own_discoverer():
    seen = []

    def fit(training):
        seen.append(training.discoverer)
        return Ridge().fit(training)

    def discoverer(series):
        raise AssertionError

    under_graph(fit, discoverer)(towers())
    assert seen == [discoverer]
