from typing import Literal

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import wasserstein_distance

from ch4grid import testing
from ch4grid.models.ced_fuzzy import CedFuzzy, shares, site_groups
from ch4grid.models.euclidean_distance import (
    Space,
    ced,
    ced_against_skill,
    comprehensive_distance,
    group_of,
    group_weights,
)
from ch4grid.models.learner import Law, Learner, TrainingSet
from ch4grid.models.samples import Targets
from ch4grid.vocabulary import GASES, VARIABLES

CH4 = GASES["ch4"]
WEIGHTS = {"climate": 0.5, "terrain": 0.2, "soil": 0.3}


class MeanOfTas(Learner):
    """A stub base: a line of the flux on air temperature, weighted."""

    architecture: Literal["mean-of-tas"] = "mean-of-tas"

    def fit(self, training):
        targets = training.targets
        good = targets.weight > 0
        x, y = training.samples["tas"].values[good], targets.transformed[good]
        return Line(np.polyfit(x, y, 1, w=np.sqrt(targets.weight[good])))


class Line:
    parameters = 2

    def __init__(self, line):
        self.line = line

    def predict(self, points):
        said = np.polyval(self.line, points["tas"].transpose("site", "time").values)
        return Law(said, np.full(said.shape, 0.3))


@pytest.fixture(autouse=True)
def stub(monkeypatch):
    monkeypatch.setattr(
        CedFuzzy, "learner", lambda self: MeanOfTas() if self.base == "lstm" else original(self)
    )


original = CedFuzzy.learner


def without_flux(samples):
    return samples.drop_vars([n for n in samples.data_vars if "flux" in str(n)])


def split(samples, held=4):
    n = samples.sizes["site"]
    return samples.isel(site=slice(0, n - held)), samples.isel(site=slice(n - held, n))


@pytest.fixture(scope="module")
def fitted():
    samples = testing.samples(40, 48)
    held = np.isin(samples["cluster"].values, (3, 8, 13, 18))
    train, test = samples.isel(site=~held), samples.isel(site=held)
    return CedFuzzy(base="extra-trees").fit(TrainingSet(train)), train, test


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("tas", "climate"),
        ("tas_mean", "climate"),
        ("lai", "vegetation"),
        ("rsds", "radiation"),
        ("elevation", "terrain"),
        ("soil_ph", "soil"),
        ("wetland_fraction", "other"),
        ("anything", "other"),
    ],
)
def test_a_predictor_belongs_to_one_group(name, group):
    assert group_of(name) == group


def test_the_table_of_groups_speaks_the_vocabulary():
    from ch4grid.models.euclidean_distance import GROUPS

    names = [n for group in GROUPS.values() for n in group]
    assert len(names) == len(set(names))
    assert not set(names) - set(VARIABLES)


def test_the_distance_is_the_formula_term_by_term():
    samples = testing.samples(6, 24)[["tas", "elevation"]]
    samples = samples.assign_coords(testing.samples(6, 24).coords)
    weights = {"climate": 0.75, "terrain": 0.25}
    found = comprehensive_distance(samples, samples, weights, gas=CH4)
    tas, height = samples["tas"].values.astype(float), samples["elevation"].values.astype(float)
    unit = tas.std()
    for i in range(6):
        for v in range(6):
            climate = ((tas[i].mean() - tas[v].mean()) / unit) ** 2
            climate += ((tas[i].std() - tas[v].std()) / unit) ** 2
            climate += (wasserstein_distance(tas[i], tas[v]) / unit) ** 2
            terrain = ((height[i] - height[v]) / height.std()) ** 2
            expected = np.sqrt(0.75 * climate + 0.25 * terrain)
            np.testing.assert_allclose(found[v, i], expected, rtol=1e-4, atol=1e-5)


def test_distances_are_symmetric_zero_to_itself_and_survive_missing_drivers():
    samples = testing.samples(8, 36)
    samples["tas"][2] = np.nan
    samples["pr"][:, 5:9] = np.nan
    between = Space.of(samples, CH4, WEIGHTS).between()
    np.testing.assert_allclose(between, between.T)
    np.testing.assert_allclose(np.diag(between), 0, atol=1e-9)
    assert np.isfinite(between).all()


def test_sites_without_a_known_variable_have_no_distance():
    samples = testing.samples(4, 24)
    target = samples.isel(site=[0]) * np.nan
    assert np.isnan(comprehensive_distance(samples, target, WEIGHTS, gas=CH4)).all()


def test_after_whole_years_the_distance_so_far_is_that_of_the_whole_record():
    samples = testing.samples(6, 36)
    space = Space.of(samples, CH4, WEIGHTS)
    distance, stage = space.so_far(without_flux(samples))
    np.testing.assert_allclose(distance[stage[-1]], space.to(samples), rtol=1e-6)
    assert stage[:14].tolist() == [*range(12), 11, 11]


def test_ced_is_the_mean_of_the_smallest():
    assert ced(np.array([[5.0, 1.0, 3.0]]), k=2).tolist() == [2.0]
    assert ced(np.array([[4.0, 2.0]]), k=5).tolist() == [3.0]


def test_the_group_that_drives_the_flux_weighs_most_and_weights_sum_to_one():
    samples = testing.samples(20, 60)
    scale = CH4.asinh_scale * CH4.kg_per_nmol
    score = (samples["mrsos"] - samples["mrsos"].mean()) / samples["mrsos"].std()
    flux = samples[CH4.flux] * 0 + scale * np.sinh(score)
    weights = group_weights(TrainingSet(samples.assign({CH4.flux: flux})))
    assert sum(weights.values()) == pytest.approx(1)
    assert min(weights.values()) >= 0
    assert max(weights, key=weights.get) == "soil"


def test_weights_do_not_see_held_out_sites():
    samples = testing.samples(20, 36)
    changed = samples.copy(deep=True)
    for name in samples.data_vars:
        changed[name][-4:] = changed[name][-4:] * 3
    kept = np.arange(16)
    a, b = (group_weights(TrainingSet(s).subset(kept)) for s in (samples, changed))
    assert a == b


@pytest.mark.parametrize("kind", ["gaussian", "trapezoidal"])
def test_shares_sum_to_one_fall_with_distance_and_end_at_the_nearest(kind):
    distance = np.array([[0.2, 0.8, 9.0], [50.0, 40.0, 60.0], [np.nan, np.nan, np.nan]])
    share = shares(distance, 0.7, kind)
    np.testing.assert_allclose(share.sum(axis=-1), 1)
    assert share[0, 0] > share[0, 1] > share[0, 2] == 0
    assert share[1].tolist() == [0, 1, 0]
    np.testing.assert_allclose(share[2], 1 / 3)


def test_groups_are_of_whole_clusters_and_find_planted_ones():
    at = np.array([0.0, 0.1, 5.0, 5.2, 0.3, 0.2, 5.1, 5.3])
    cluster = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    group = site_groups(np.abs(at[:, None] - at), cluster, 2)
    assert len(set(group[at < 1])) == len(set(group[at > 1])) == 1
    assert group[0] != group[2]
    assert len(set(site_groups(np.abs(at[:, None] - at), cluster, 9))) == 4


def test_it_learns_what_holds_at_other_sites(fitted):
    model, train, test = fitted
    law = model.predict(without_flux(test))
    truth = Targets.of(test, CH4)
    mean = np.average(Targets.of(train, CH4).transformed, weights=Targets.of(train, CH4).weight)
    error, reference = (
        (truth.weight * (truth.transformed - said) ** 2).sum() for said in (law.location, mean)
    )
    assert error < 0.5 * reference
    assert law.location.shape == (8, 48)
    assert model.parameters > 100


def test_groups_that_answer_differently_are_told_apart_by_distance():
    # the sign of the answer to temperature turns with height, which only the distance can know
    samples = testing.samples(24, 60)
    high = samples["elevation"] > float(samples["elevation"].median())
    samples["elevation"] = samples["elevation"] + 3000 * high
    score = (samples["tas"] - samples["tas"].mean()) / samples["tas"].std()
    flux = CH4.asinh_scale * CH4.kg_per_nmol * np.sinh(xr.where(high, score, -score))
    samples[CH4.flux] = (samples[CH4.flux] * 0 + flux).transpose("site", "time")
    train, test = split(samples)
    weights = {"terrain": 1.0}

    def error(groups):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("ch4grid.models.ced_fuzzy.group_weights", lambda training: weights)
            law = CedFuzzy(groups=groups).fit(TrainingSet(train)).predict(without_flux(test))
        truth = Targets.of(test, CH4)
        return float((truth.weight * (truth.transformed - law.location) ** 2).sum())

    assert error(2) < 0.3 * error(1)


@pytest.mark.parametrize("month", [5, 30, 47])
def test_later_months_change_no_earlier_prediction(fitted, month):
    model, _, test = fitted
    points = without_flux(test)
    changed = points.copy(deep=True)
    for name in ("tas", "pr", "ps", "mrsos"):
        changed[name][:, month:] = changed[name][:, month:] * 1.2
    a, b = (model.predict(p).location for p in (points, changed))
    np.testing.assert_array_equal(a[:, :month], b[:, :month])
    assert not np.allclose(a[:, month:], b[:, month:])


def test_sites_are_told_one_by_one_and_in_any_order(fitted):
    model, _, test = fitted
    points = without_flux(test)
    whole = model.predict(points).location
    order = [2, 7, 0, 6, 3, 1, 5, 4]
    np.testing.assert_allclose(model.predict(points.isel(site=order)).location, whole[order])
    np.testing.assert_allclose(model.predict(points.isel(site=[1])).location, whole[[1]])


def test_the_same_set_and_seed_give_the_same_model():
    samples = testing.samples(12, 30)
    a, b = (CedFuzzy(base="extra-trees", groups=2).fit(TrainingSet(samples)) for _ in range(2))
    points = without_flux(samples)
    np.testing.assert_array_equal(a.predict(points).location, b.predict(points).location)
    assert a.width == b.width


def test_it_serves_another_gas():
    co2 = GASES["co2"]
    samples = testing.samples(20, 36).rename(
        {CH4.flux: co2.flux, f"{CH4.flux}_coverage": f"{co2.flux}_coverage"}
    )
    scale = co2.asinh_scale * co2.kg_per_nmol
    samples[co2.flux] = scale * np.sinh(np.arcsinh(samples[co2.flux] / (10 * CH4.kg_per_nmol)))
    train, test = split(samples)
    model = CedFuzzy(groups=3).fit(TrainingSet(train, gas=co2))
    law = model.predict(without_flux(test))
    truth = Targets.of(test, co2)
    good = truth.weight > 0
    assert np.corrcoef(law.location[good], truth.transformed[good])[0, 1] > 0.6
    assert law.scale is not None
    np.testing.assert_allclose(law.scale, 0.3)


def test_towers_that_measured_nothing_are_no_reference():
    samples = testing.samples(12, 36)
    samples[f"{CH4.flux}_coverage"][3] = 0.0
    model = CedFuzzy(groups=2).fit(TrainingSet(samples))
    assert "S03" not in model.space.train.site
    assert len(model.group) == 11


def test_the_base_is_an_lstm_unless_trees_are_asked_for():
    from ch4grid.models.sequence.config import SequenceConfig

    base = original(CedFuzzy())
    assert isinstance(base, SequenceConfig)
    assert base.architecture == "lstm"


def test_candidates_differ_in_groups_and_the_default_comes_first():
    first, *others = CedFuzzy().candidates()
    assert first == CedFuzzy()
    assert [c.groups for c in others] == [2, 1]
    assert len(CedFuzzy(groups=1).candidates()) == 1


@pytest.mark.parametrize("metric", ["r2", "nse"])
def test_a_skill_that_falls_with_distance_is_found(metric):
    random = np.random.default_rng(0)
    rows = []
    for i in range(10):
        y = random.normal(size=40)
        said = y + (0.1 + 0.3 * i) * random.normal(size=40)
        said[0] = np.nan
        rows.append(pd.DataFrame({"site": f"S{i}", "measured_asinh": y, "predicted_asinh": said}))
    frame = pd.concat([*rows, rows[0].head(3).assign(site="short")])
    rho, p, n = ced_against_skill(
        frame, {f"S{i}": 1.0 + i for i in range(10)} | {"short": 0.0}, metric
    )
    assert rho < -0.8
    assert p < 0.01
    assert n == 10


def test_a_relation_of_two_sites_is_none():
    frame = pd.DataFrame(
        {"site": ["a"] * 8, "measured_asinh": range(8), "predicted_asinh": range(8)}
    )
    rho, p, n = ced_against_skill(frame, {"a": 1.0})
    assert np.isnan([rho, p]).all()
    assert n == 1
