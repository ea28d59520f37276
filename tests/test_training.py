import numpy as np
import pytest
from planted_model import GAS, SMALL, fitted, known_graph, settings, towers

from ch4grid import training
from ch4grid.errors import InputError
from ch4grid.models.config import CTGATConfig
from ch4grid.models.fitting import draw_clusters, draw_graph
from ch4grid.models.samples import Targets
from ch4grid.testing import samples
from ch4grid.uncertainty import Calibration


def test_fitting_twice_gives_the_same_bytes():
    first = samples(sites=8, months=36, seed=2)
    options = settings(folds=2, fold_members=1, model=CTGATConfig(members=2, width=4, steps=6))
    one, two = (training.fit(first, first, **options) for _ in range(2))
    assert one.digest == two.digest


def test_the_order_of_towers_does_not_change_the_fit_of_a_class():
    first = samples(sites=8, months=36, seed=2)
    options = settings(folds=2, fold_members=1, model=CTGATConfig(members=2, width=4, steps=6))
    by_class = first.isel(site=np.argsort(first["ecosystem"].values, kind="stable"))
    assert (
        training.fit(first, first, **options).digest
        == training.fit(by_class, first, **options).digest
    )


def test_another_seed_gives_another_checkpoint():
    first = samples(sites=8, months=36, seed=2)
    options = settings(folds=2, fold_members=1, model=CTGATConfig(members=2, width=4, steps=6))
    other = options | {"seed": 7}
    assert (
        training.fit(first, first, **options).digest != training.fit(first, first, **other).digest
    )


def test_a_fit_explains_a_planted_flux_better_than_the_mean_at_unseen_towers():
    planted = samples(sites=24, months=48, seed=4)
    options = settings(model=CTGATConfig(members=2, steps=80), folds=3, fold_members=2)
    predicted = training.held_out(planted, planted, **options)
    targets = Targets.of(planted, GAS)
    there = targets.weight > 0
    observed = targets.transformed[there]
    located = predicted["location"].mean("member").values[there]
    assert 1 - ((observed - located) ** 2).sum() / ((observed - observed.mean()) ** 2).sum() > 0.5


def test_the_checkpoint_carries_calibration_skill_and_applicability():
    checkpoint = fitted()
    calibration = Calibration.from_json(checkpoint.calibration)
    assert calibration.clusters == 7
    assert list(calibration.factors) == sorted(calibration.factors)
    (row,) = checkpoint.skill
    assert row["split"] == "3-fold leave-clusters-out"
    assert {"n", "asinh_nse", "nse", "coverage90"} <= set(row)
    assert checkpoint.applicability.threshold > 0
    assert checkpoint.meta["structure"] == "fitted"
    assert checkpoint.structure is not None
    assert len(checkpoint.structure.draws) == len(checkpoint.members)
    rows = checkpoint.applicability_features(towers())
    assert rows.shape[:2] == (14, 48)
    assert rows.shape[2] == checkpoint.applicability.features.shape[1]


def test_a_record_of_ten_years_is_fitted_and_predicted():
    long = samples(sites=8, months=120, seed=2)
    options = settings(folds=2, fold_members=1, model=CTGATConfig(members=2, width=4, steps=3))
    checkpoint = training.fit(long, long, **options)
    assert np.isfinite(checkpoint.predict(long)["location"].values).all()


def test_members_differ_in_weights_and_in_graph():
    one, two = fitted().members
    assert not np.array_equal(one.probability, two.probability)
    assert not np.array_equal(one.weights["encoder.lift"], two.weights["encoder.lift"])


def test_too_few_clusters_for_the_folds_are_an_error_with_both_numbers():
    with pytest.raises(InputError, match=r"at least 9 clusters.*7 clusters"):
        training.fit(towers(), towers(), **settings(folds=9))


def test_folds_are_of_about_equal_size():
    cluster = np.repeat(np.arange(12), [5, 1, 1, 2, 3, 1, 1, 2, 4, 1, 1, 2])
    sizes = np.bincount(training.grouped_folds(cluster, 4, seed=0))
    assert sizes.max() - sizes.min() <= 1


def test_folds_share_out_the_clusters_of_every_class():
    ecosystem = np.repeat(np.arange(4), 6)
    fold = training.grouped_folds(np.arange(24), 3, seed=0, ecosystem=ecosystem)
    for code in range(4):
        assert np.bincount(fold[ecosystem == code]).tolist() == [2, 2, 2]


def test_strangers_in_the_series_near_a_held_out_tower_are_left_out():
    own = towers()
    stranger = own.isel(site=[0, 5]).assign_coords(site=["near-0", "near-5"])
    kept = training.series_without(stranger, own, np.array([0]))
    assert kept["site"].values.tolist() == ["near-5"]


def test_bootstraps_draw_whole_clusters_and_miss_no_class():
    cluster, ecosystem = np.array([3, 3, 1, 7, 7, 7]), np.array([0, 0, 1, 1, 1, 1])
    for seed in range(20):
        drawn = draw_clusters(cluster, ecosystem, np.random.default_rng(seed))
        assert drawn[0] == drawn[1] > 0
        assert len(set(drawn[3:].tolist())) == 1
        assert drawn[2:].any()
        assert drawn[[0, 2, 3]].sum() in (3, 4)


def test_drawn_graphs_scatter_around_the_graph_and_open_no_link_below_the_floor():
    graph = known_graph(
        towers(),
        flux="ch4_flux",
        drivers=("pr", "mrsos", "tas"),
        ecosystems=("a",),
        config=None,
        seed=0,
    )
    impossible = graph.probability.copy()
    impossible[0, 0, 1] = 0.0
    graph = type(graph)(graph.drivers, graph.target, graph.ecosystems, impossible, graph.provenance)
    draws = [draw_graph(graph, SMALL, np.random.default_rng(i)).probability for i in range(300)]
    certain = np.where(graph.probability >= SMALL.floor, graph.probability, 0.0)
    assert np.abs(np.mean(draws, axis=0) - certain).max() < 0.05
    assert (np.array(draws)[:, graph.probability < SMALL.floor] == 0).all()
