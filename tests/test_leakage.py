"""Nothing may reach a prediction from the future, along an absent link, or from a held-out tower."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_model import GAS, fitted, known_graph, towers
from planted_model import settings as arguments

from ch4grid import training
from ch4grid.models.ctgat import memory
from ch4grid.models.fitting import Member
from ch4grid.testing import samples
from ch4grid.training import chain
from ch4grid.training import parts as parts_module

LAWS = ("location", "scale")


@given(month=st.integers(20, 47), driver=st.sampled_from(["tas", "mrsos", "pr", "ps"]))
@settings(max_examples=8)
def test_a_changed_month_changes_no_month_before_it_and_none_beyond_the_memory(month, driver):
    points = towers()
    values = points[driver].values.copy()
    values[:, month] *= 1.02
    changed = points.assign({driver: (("site", "time"), values)})
    first, second = fitted().predict(points), fitted().predict(changed)
    for name in LAWS:
        before, after = first[name].values, second[name].values
        np.testing.assert_array_equal(before[..., :month], after[..., :month])
        beyond = month + memory(3) + 1
        np.testing.assert_array_equal(before[..., beyond:], after[..., beyond:])


def test_a_driver_in_no_parent_list_changes_nothing():
    points = towers()
    changed = points.assign(ps=points["ps"] * 1.1)
    for name in LAWS:
        np.testing.assert_array_equal(
            fitted().predict(points)[name], fitted().predict(changed)[name]
        )


def test_a_driver_in_a_parent_list_changes_something():
    points = towers()
    changed = points.assign(tas=points["tas"] + 3)
    assert not np.array_equal(
        fitted().predict(points)["location"], fitted().predict(changed)["location"]
    )


def test_a_point_does_not_depend_on_the_points_beside_it():
    points = towers()
    shuffled = points.assign(tas=(("site", "time"), points["tas"].values.copy()))
    shuffled["tas"][1:] += 20
    for name in LAWS:
        np.testing.assert_array_equal(
            fitted().predict(points)[name][:, 0], fitted().predict(shuffled)[name][:, 0]
        )


@pytest.fixture(scope="module")
def drafts():
    """What each fold is given to fit, without fitting it."""
    seen = []

    def mapper(function, items):
        items = list(items)
        if function is training.run_discovery:
            return [function(item) for item in items]
        seen.extend(items)
        empty = Member({}, np.zeros((1,)), 0)
        return [empty] * len(items)

    options = arguments()
    ensemble = chain._ensemble(
        towers(), towers(), GAS, options["model"], options["discovery"], 1, None, known_graph
    )
    fold = training.grouped_folds(ensemble.clusters, 3, 1)
    parts = [np.flatnonzero(fold != k) for k in range(3)]
    checkpoints = parts_module.fit_parts(ensemble, parts, [1, 1, 1], mapper)
    return ensemble, fold, seen, checkpoints


def test_no_held_out_cluster_is_in_bank_scaler_or_prior(drafts):
    ensemble, fold, tasks, checkpoints = drafts
    names = ensemble.samples["site"].values
    for k, (task, checkpoint) in enumerate(zip(tasks, checkpoints, strict=True)):
        held = set(names[fold == k].tolist())
        clusters = set(ensemble.clusters[fold == k].tolist())
        assert not held & set(checkpoint.bank.site.tolist())
        assert not held & set(task.points.site.tolist())
        assert not held & set(checkpoint.graph.provenance["sites"])
        assert not clusters & set(checkpoint.graph.provenance["clusters"])
        assert not clusters & set(checkpoint.meta["clusters"])


def test_folds_hold_out_whole_clusters_and_every_tower_once(drafts):
    ensemble, fold, _, _ = drafts
    for cluster in np.unique(ensemble.clusters):
        assert len(set(fold[ensemble.clusters == cluster].tolist())) == 1


def test_every_fold_has_a_scaler_of_its_own(drafts):
    _, _, tasks, _ = drafts
    scalers = {json.dumps(task.scaler.to_json()) for task in tasks}
    assert len(scalers) == len(tasks)


def test_shuffled_fluxes_of_held_out_towers_change_no_prediction_of_theirs():
    first = samples(sites=10, months=36, seed=5)
    options = arguments(folds=2, fold_members=1)
    fold = training.held_out(first, first, **options)
    held = fold["fold"].values == 0
    values = first["ch4_flux"].values.copy()
    values[held] = np.random.default_rng(0).permuted(values[held], axis=1) * 3
    there = np.isfinite(first["ch4_flux"].values)
    values = np.where(there, np.where(np.isfinite(values), values, 1e-9), np.nan)
    second = first.assign(ch4_flux=(("site", "time"), values, first["ch4_flux"].attrs))
    again = training.held_out(second, second, **options)
    np.testing.assert_array_equal(
        fold["location"].isel(site=held), again["location"].isel(site=held)
    )
    assert not np.array_equal(fold["location"].isel(site=~held), again["location"].isel(site=~held))
