"""Every tabular model learns, looks neither ahead nor sideways, and says the same twice; then each model's own laws."""

import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from planted_model import known_graph
from pydantic import ValidationError

from ch4grid.errors import InputError
from ch4grid.graph import CausalGraph
from ch4grid.models import tabular
from ch4grid.models.learner import TrainingSet, without_flux
from ch4grid.models.samples import Targets, flux_scale
from ch4grid.models.tabular.causal_parents import flux_causes
from ch4grid.models.tabular.magnitude_pattern import departures
from ch4grid.models.tabular.regressor import Rows
from ch4grid.models.tabular.table import PredictorTable
from ch4grid.testing import samples
from ch4grid.vocabulary import ECOSYSTEMS, GASES

GAS = GASES["ch4"]
DRIVERS = ("mrsos", "pr", "ps", "tas")
TRAINED = 28
# Quick settings of every model, by architecture.
LEARNERS = {
    learner.architecture: learner
    for learner in (
        tabular.CausalParents(trees=15),
        tabular.Climatology(),
        tabular.ElasticNet(),
        tabular.ExtraTrees(trees=15, min_leaf=5),
        tabular.GaussianProcess(),
        tabular.KNN(),
        tabular.LightGBM(rounds=60, learning_rate=0.1),
        tabular.MLP(members=2, passes=20),
        tabular.MagnitudePattern(trees=15, min_leaf=5),
        tabular.QuantileForest(trees=15, min_leaf=5),
        tabular.RandomForest(trees=15),
        tabular.Ridge(alpha=10.0),
        tabular.SVR(),
        tabular.XGBoost(rounds=60, learning_rate=0.1),
    )
}
every = pytest.mark.parametrize("name", sorted(LEARNERS))
with_predictors = pytest.mark.parametrize("name", sorted(set(LEARNERS) - {"climatology"}))


def discoverer(series):
    return known_graph(
        series, flux=GAS.flux, drivers=DRIVERS, ecosystems=ECOSYSTEMS, config=None, seed=0
    )


@cache
def towers():
    return samples(sites=36, months=48, seed=3)


@cache
def training():
    return TrainingSet(towers().isel(site=slice(0, TRAINED)), seed=5, discoverer=discoverer)


@cache
def points():
    return without_flux(towers().isel(site=slice(TRAINED, None)), GAS)


@cache
def fitted(name):
    return LEARNERS[name].fit(training())


def said(name, asked):
    return fitted(name).predict(asked).location


def error(name, held):
    targets = Targets.of(held, GAS)
    measured = targets.weight > 0
    away = said(name, without_flux(held, GAS)) - targets.transformed
    return (away[measured] ** 2).mean(), targets.transformed[measured].var()


@with_predictors
def test_unseen_clusters_are_told_better_than_by_their_mean_and_by_the_climatology(name):
    held = towers().isel(site=slice(TRAINED, None))
    found, variance = error(name, held)
    assert found < 0.5 * variance
    assert found < 0.7 * error("climatology", held)[0]


@every
def test_the_future_changes_no_earlier_month(name):
    later = points().copy(deep=True)
    for driver in DRIVERS:
        later[driver][:, 30:] *= 1.1
    before, after = said(name, points()), said(name, later)
    np.testing.assert_allclose(before[:, :30], after[:, :30], rtol=1e-9)
    if name != "climatology":
        assert not np.allclose(before[:, 30:], after[:, 30:])


@every
def test_a_month_is_forgotten_after_three_months(name):
    other = points().copy(deep=True)
    for driver in DRIVERS:
        other[driver][:, 20] *= 1.1
    np.testing.assert_allclose(said(name, points())[:, 24:], said(name, other)[:, 24:], rtol=1e-9)


@every
def test_a_site_depends_on_no_other_and_on_no_order(name):
    order = np.array([5, 2, 7, 0, 3])
    expected = said(name, points())
    np.testing.assert_allclose(said(name, points().isel(site=order)), expected[order], rtol=1e-9)
    other = points().copy(deep=True)
    for driver in DRIVERS:
        other[driver][1:] *= 1.2
    np.testing.assert_allclose(said(name, other)[0], expected[0], rtol=1e-9)


@every
def test_a_law_is_finite_and_of_the_shape_of_the_points(name):
    law = fitted(name).predict(points().isel(time=slice(6, 16)))
    assert law.location.shape == (8, 10)
    assert law.location.dtype == np.float64
    assert np.isfinite(law.location).all()
    assert (law.scale is not None) == (name in ("gaussian-process", "quantile-forest"))
    if law.scale is not None:
        assert law.scale.shape == (8, 10)
        assert (law.scale > 0).all()
    assert fitted(name).parameters > 0


@every
def test_the_same_training_set_gives_the_same_model_under_the_largest_seed(name):
    again = replace(training(), seed=2**32 - 1)
    first, second = (LEARNERS[name].fit(again).predict(points()).location for _ in range(2))
    np.testing.assert_array_equal(first, second)


@every
def test_months_that_no_target_sees_teach_nothing(name):
    strange = training().samples.copy(deep=True)
    for driver in DRIVERS:
        # Flux begins in month 12, so months before 9 are no lag of a target.
        strange[driver][:, :9] *= 3.0
    model = LEARNERS[name].fit(replace(training(), samples=strange))
    np.testing.assert_array_equal(model.predict(points()).location, said(name, points()))


@every
def test_flux_at_the_points_is_not_looked_at(name):
    held = towers().isel(site=slice(TRAINED, None))
    np.testing.assert_array_equal(said(name, held), said(name, points()))


@every
def test_classes_by_name_and_by_index_are_the_same(name):
    named = points().assign_coords(
        ecosystem=("site", [ECOSYSTEMS[i] for i in points()["ecosystem"].values])
    )
    np.testing.assert_array_equal(said(name, named), said(name, points()))


@every
def test_missing_drivers_are_borne_in_training_and_at_points(name):
    holes = training().samples.copy(deep=True)
    holes["tas"][3, 15:20] = np.nan
    holes["pr"][:] = np.nan
    holes["elevation"][4] = np.nan
    model = LEARNERS[name].fit(replace(training(), samples=holes))
    asked = points().copy(deep=True)
    asked["mrsos"][2, 10:] = np.nan
    asked["tas_mean"][1] = np.nan
    assert np.isfinite(model.predict(asked).location).all()


@with_predictors
def test_a_missing_predictor_is_named(name):
    with pytest.raises(InputError, match="tas"):
        fitted(name).predict(points().drop_vars("tas"))


# Quantiles of the library know no weights; they are the one exception, and documented.
@pytest.mark.parametrize("name", sorted(set(LEARNERS) - {"quantile-forest"}))
def test_a_month_measured_better_counts_more(name):
    alike = training().samples.isel(site=np.zeros(20, dtype=int)).copy(deep=True)
    alike["site"] = [f"T{i:02d}" for i in range(20)]
    good = np.arange(20)[:, None] % 2 == 0
    shape = alike[GAS.flux].shape
    alike[GAS.flux][:] = np.broadcast_to(np.where(good, np.sinh(2.0) * flux_scale(GAS), 0), shape)
    alike[f"{GAS.flux}_coverage"][:] = np.broadcast_to(np.where(good, 0.6, 0.2), shape)
    model = LEARNERS[name].fit(replace(training(), samples=alike))
    assert model.predict(without_flux(alike, GAS)).location.mean() > 1.3


@every
def test_candidates_are_three_at_most_and_differ_from_the_settings_in_one_number(name):
    default = type(LEARNERS[name])()
    found = default.candidates()
    assert found[0] == default
    assert len(found) <= 3
    for other in found[1:]:
        changed = {k for k, v in other.model_dump().items() if v != default.model_dump()[k]}
        assert len(changed) == 1
    assert LEARNERS[name].candidates()[0] == LEARNERS[name]
    assert type(default).model_validate({"architecture": name}) == default


@every
def test_settings_that_do_not_exist_are_refused(name):
    with pytest.raises(ValidationError):
        type(LEARNERS[name]).model_validate({"architecture": name, "colour": 3})


def test_settings_are_decoded_without_a_heavy_library():
    code = (
        "import sys, ch4grid.models.tabular;"
        "print({'sklearn', 'torch', 'lightgbm', 'xgboost', 'quantile_forest'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_rows_are_the_measured_months_with_the_weights_of_every_model():
    rows = Rows.of(training(), PredictorTable.of(training()))
    weight = training().weights
    assert len(rows.target) == (training().targets.weight > 0).sum()
    np.testing.assert_allclose(rows.weight.mean(), 1.0)
    np.testing.assert_allclose(
        rows.weight / rows.weight.sum(), weight[training().targets.weight > 0]
    )
    assert set(rows.site) <= set(range(TRAINED))


def test_columns_are_lags_statics_classes_and_calendar():
    table = PredictorTable.of(training())
    cube = table.matrix(points()).reshape(8, 48, -1)
    assert len(table.names) == cube.shape[-1]
    tas = points()["tas"].values
    for lag in range(4):
        column = cube[:, :, table.names.index(f"tas_lag{lag}")]
        np.testing.assert_array_equal(column[:, lag:], tas[:, : 48 - lag])
        assert np.isnan(column[:, :lag]).all()
    place = cube[:, 7, table.names.index("absolute_latitude")]
    np.testing.assert_allclose(place, np.abs(points()["latitude"].values), rtol=1e-6)
    classes = cube[:, 0, [table.names.index(name) for name in ECOSYSTEMS]]
    np.testing.assert_array_equal(classes.argmax(axis=1), points()["ecosystem"].values)
    assert GAS.flux not in "".join(table.names)


def test_fills_and_scores_are_those_of_the_training_rows():
    raw = PredictorTable.of(training())
    rows = Rows.of(training(), raw).predictors.copy()
    rows[:5, 0] = np.nan
    rows[:, 1] = np.nan
    rows[:, 2] = 7.0
    filled, scaled = raw.filled(rows), raw.scaled(rows)
    assert filled.treated(rows)[0, 0] == np.median(rows[5:, 0])
    scores = scaled.treated(rows)
    np.testing.assert_array_equal(scores[:, 1:3], 0.0)
    np.testing.assert_allclose(scores[:, 4].mean(), 0.0, atol=1e-3)
    np.testing.assert_allclose(scores[:, 4].std(), 1.0, atol=0.02)
    assert np.abs(scaled.treated(rows + np.float32(1e9))).max() <= 5.0


def test_the_climatology_is_the_mean_of_class_and_month():
    found = said("climatology", training().samples)
    targets, weight = training().targets, training().weights
    march = np.asarray(training().samples["time"].dt.month == 3)
    own = training().samples["ecosystem"].values == 0
    expected = np.average(targets.transformed[own][:, march], weights=weight[own][:, march])
    np.testing.assert_allclose(found[own][:, march], expected)


def test_a_month_or_class_without_measurement_takes_the_mean_of_what_there_is():
    holes = training().samples.isel(site=training().samples["ecosystem"].values < 2)
    holes = holes.copy(deep=True)
    may = np.asarray(holes["time"].dt.month == 5)
    first = holes["ecosystem"].values == 0
    holes[GAS.flux][first, may] = np.nan
    table = tabular.Climatology().fit(replace(training(), samples=holes)).table
    others = np.delete(table[0], 4)
    assert others.min() < table[0, 4] < others.max()
    np.testing.assert_allclose(table[5, 4], table[1, 4])


def test_one_nearest_month_is_the_month_itself():
    model = tabular.KNN(neighbours=1).fit(training())
    found = model.predict(training().samples).location
    measured = training().targets.weight > 0
    np.testing.assert_allclose(found[measured], training().targets.transformed[measured])
    assert model.parameters == measured.sum()


def test_the_process_is_less_sure_far_from_its_towers():
    far = points().copy(deep=True)
    for driver in DRIVERS:
        far[driver][:] *= 3.0
    model = fitted("gaussian-process")
    near, away = model.predict(points()).scale, model.predict(far).scale
    assert near is not None
    assert away is not None
    assert away[:, 4:].min() > np.median(near)


def test_the_width_of_the_quantile_forest_is_that_of_the_noise():
    noisy = training().samples.copy(deep=True)
    noise = np.random.default_rng(0).laplace(scale=0.7, size=noisy[GAS.flux].shape)
    noisy[GAS.flux][:] = np.where(
        np.isfinite(noisy[GAS.flux]), flux_scale(GAS) * np.sinh(1 + noise), np.nan
    )
    model = tabular.QuantileForest(trees=30).fit(replace(training(), samples=noisy))
    scale = model.predict(points()).scale
    assert scale is not None
    assert 0.5 < np.median(scale) < 0.9


def test_level_and_pattern_take_the_static_as_normal_and_else_the_record():
    bare = points().drop_vars("tas_mean")
    expected = (bare["tas"] - bare["tas"].mean("time")).values
    np.testing.assert_allclose(departures(bare, ["tas"])["tas"].values, expected, atol=1e-3)
    shifted = points().assign(tas_mean=points()["tas_mean"] + 2.0)
    apart = departures(shifted, ["tas"])
    np.testing.assert_allclose(apart["tas_normal"].values, shifted["tas_mean"].values)


def test_level_and_pattern_add_up_and_the_level_knows_no_month():
    model = fitted("magnitude-pattern")
    apart = departures(points(), DRIVERS)
    level = model.level.predict(apart)
    assert level.shape == (8,)
    total = level[:, None] + model.pattern.predict(apart).location
    np.testing.assert_allclose(model.predict(points()).location, total)
    np.testing.assert_allclose(model.level.predict(apart.isel(time=slice(5, 9))), level)


def test_a_driver_that_is_no_cause_changes_nothing_under_the_graph():
    other = points().assign(ps=points()["ps"] + 900.0, pr=points()["pr"] * 2)
    np.testing.assert_array_equal(
        said("causal-parents-rf", points()), said("causal-parents-rf", other)
    )
    assert tabular.CausalParents.needs_graph


def test_causes_need_a_discoverer():
    with pytest.raises(InputError, match="discoverer"):
        tabular.CausalParents().fit(replace(training(), discoverer=None))


def graph_of(links):
    """Two classes, links (class, driver, lag) -> probability of a link into the flux."""
    probability = np.zeros((2, 4, 3, 4))
    names = ("evi", "ps", "tas")
    for (code, source, lag), value in links.items():
        probability[code, -1, names.index(source), lag] = value
    return CausalGraph(names, GAS.flux, ECOSYSTEMS[:2], probability)


def test_causes_are_the_union_over_classes_and_the_likeliest_where_none_is_likely():
    graph = graph_of({(0, "tas", 0): 0.9, (0, "evi", 2): 0.1, (1, "ps", 1): 0.3})
    found = flux_causes(graph, ECOSYSTEMS[:2], ("evi", "ps", "tas"))
    assert {("tas", 0), ("ps", 1)} <= set(found)
    assert flux_causes(graph, ECOSYSTEMS[:1], ("evi", "ps", "tas")) == (("tas", 0),)
    with pytest.raises(InputError, match="names no cause"):
        flux_causes(graph, ECOSYSTEMS[:2], ["snw"])
