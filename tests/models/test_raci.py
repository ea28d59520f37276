import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch

from ch4grid.models import raci_network
from ch4grid.models.cham_net import YearScaler
from ch4grid.models.learner import TrainingSet
from ch4grid.models.raci import RACI
from ch4grid.models.raci_network import Bank, Sight, barred_draws, retrieve
from ch4grid.models.samples import Points, Targets, predictor_names
from ch4grid.testing import samples
from ch4grid.vocabulary import GASES

GAS = GASES["ch4"]
QUICK = RACI(members=1, width=6, neighbours=2, steps=6, batch=8)
KINDS = ("both", "geographic", "functional", "random")


@cache
def towers():
    return samples(sites=20, months=72, seed=2)


@cache
def quick(retrieval="both"):
    return QUICK.varied(retrieval=retrieval).fit(TrainingSet(towers(), seed=1))


def points():
    return Points.of(towers(), *predictor_names(towers(), GAS))


def bare(data):
    return data.drop_vars([GAS.flux, f"{GAS.flux}_coverage"])


def moved(data, name, site, month):
    """The data with one variable of a site changed from a month on."""
    values = data[name].values.copy()
    values[site, month:] = 1.1 * values[site, month:] + 1
    return data.assign({name: (data[name].dims, values)})


def test_it_learns_a_planted_flux_at_towers_it_has_not_seen():
    data = samples(sites=44, months=84, seed=4)
    training = TrainingSet(data.isel(site=slice(0, 34)))
    held = data.isel(site=slice(34, 44))
    law = RACI(members=1, steps=100).fit(training).predict(bare(held))
    truth, known = Targets.of(held, GAS), training.targets
    mean = np.average(known.transformed, weights=known.weight)
    error = (truth.weight * (law.location - truth.transformed) ** 2).sum()
    assert error < 0.2 * (truth.weight * (truth.transformed - mean) ** 2).sum()
    missed = np.abs(law.location - truth.transformed)[truth.weight > 0].mean()
    assert 0.4 < law.scale[truth.weight > 0].mean() / missed < 2.5


@pytest.mark.parametrize("month", [1, 13, 40, 71])
@pytest.mark.parametrize("retrieval", KINDS)
def test_a_month_depends_on_no_later_month_and_on_no_other_site(retrieval, month):
    model = quick(retrieval)
    base = model.predict(bare(towers()))
    changed = model.predict(bare(moved(towers(), "tas", 3, month)))
    np.testing.assert_array_equal(changed.location[:, :month], base.location[:, :month])
    np.testing.assert_array_equal(changed.scale[:, :month], base.scale[:, :month])
    others = np.arange(20) != 3
    np.testing.assert_array_equal(changed.location[others], base.location[others])
    assert (changed.location[3, month:] != base.location[3, month:]).any()


@pytest.mark.parametrize("retrieval", KINDS)
def test_a_site_is_told_the_same_in_any_order_and_alone(retrieval):
    model, drivers = quick(retrieval), bare(towers())
    law = model.predict(drivers)
    order = np.random.default_rng(0).permutation(20)
    turned = model.predict(drivers.isel(site=order))
    np.testing.assert_allclose(turned.location, law.location[order], atol=1e-5)
    alone = model.predict(drivers.isel(site=[7]))
    np.testing.assert_allclose(alone.location, law.location[[7]], atol=1e-5)


def test_it_remembers_three_years_and_no_more():
    drivers = bare(towers())
    long = quick().predict(drivers).location
    short = quick().predict(drivers.isel(time=slice(12, None))).location
    np.testing.assert_allclose(long[:, 48:], short[:, 36:], atol=1e-6)
    assert not np.allclose(long[:, 12:24], short[:, :12], atol=1e-6)


@pytest.mark.parametrize("first", [0, 5])
def test_a_law_has_a_finite_number_for_every_month_whatever_is_missing(first):
    drivers = bare(towers()).isel(time=slice(first, first + 31)).copy(deep=True)
    drivers["tas"][2] = np.nan
    drivers["elevation"][4] = np.nan
    law = quick().predict(drivers)
    assert law.location.shape == law.scale.shape == (20, 31)
    assert np.isfinite(law.location).all()
    assert (law.scale > 0).all()


def test_the_same_training_set_gives_the_same_model_and_leaves_random_numbers_alone():
    before = torch.random.get_rng_state()
    again = QUICK.fit(TrainingSet(towers(), seed=1)).predict(bare(towers()))
    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_array_equal(again.location, quick().predict(bare(towers())).location)
    other = QUICK.fit(TrainingSet(towers(), seed=2)).predict(bare(towers()))
    assert not np.array_equal(again.location, other.location)


def test_towers_outside_the_training_set_change_neither_scales_nor_bank():
    kept = np.arange(12)
    changed = moved(moved(towers(), "tas", 15, 0), GAS.flux, 15, 0)
    models = [QUICK.fit(TrainingSet(data).subset(kept)) for data in (towers(), changed)]
    assert models[0].scaler.scaler == models[1].scaler.scaler
    names = towers()["site"].values[kept].tolist()
    assert models[0].members[0].bank.points.site.tolist() == names
    laws = [model.predict(bare(towers())).location for model in models]
    np.testing.assert_array_equal(*laws)


@pytest.mark.parametrize("retrieval", KINDS)
@pytest.mark.parametrize("distances", [[], [0.0, 500.0, 4000.0]])
def test_no_tower_of_the_own_cluster_is_ever_retrieved_in_training(
    retrieval, distances, monkeypatch
):
    asked = []

    def spy(code, keys, sight, config):
        tower, present = retrieve(code, keys, sight, config)
        asked.append((sight, tower, present))
        return tower, present

    monkeypatch.setattr(raci_network, "retrieve", spy)
    training = TrainingSet(towers(), distances=np.array(distances))
    QUICK.varied(retrieval=retrieval).fit(training)
    cluster = towers()["cluster"].values
    own = distance_to_own_place()
    assert len(asked) > 2 * QUICK.steps
    for sight, tower, present in asked:
        # A row is known by its distances to the bank, in which it stands itself.
        row = np.abs(sight.distance.numpy()[:, None] - own[None]).sum(-1).argmin(1)
        same = cluster[tower.numpy()] == cluster[row][:, None, None]
        assert not (same & present.numpy()).any()


def distance_to_own_place():
    return Sight.of(points(), points()).distance.numpy()


def test_codes_of_the_own_cluster_in_the_bank_change_nothing_for_a_training_tower():
    network, bank = quick().members[0].network, quick().members[0].bank
    table = YearScaler.fit(TrainingSet(towers())).table(towers(), None)
    site = np.array([0, 1])
    rows = raci_network.Rows.of(table, site, np.array([4, 4]), history=3)
    barred = barred_draws(table.points, towers()["cluster"].values, np.zeros(0), None)[0]
    sight = Sight.of(table.points, bank.points, barred).at(site)
    slow, fast = bank.slow.clone(), bank.fast.clone()
    slow[:2], fast[:2] = 9.0, -9.0
    with torch.no_grad():
        codes = network.codes(rows)
        base, changed = (
            network.conclude(codes, b, sight)[0] for b in (bank, Bank(bank.points, slow, fast))
        )
    torch.testing.assert_close(base, changed, rtol=0, atol=0)


def test_neighbour_dropout_bars_towers_nearer_than_a_drawn_distance():
    cluster = towers()["cluster"].values
    random = np.random.default_rng(0)
    first, *rest = barred_draws(points(), cluster, np.array([3000.0]), random)
    np.testing.assert_array_equal(first, cluster[:, None] == cluster[None])
    assert len(rest) == raci_network.DRAWS
    apart = distance_to_own_place()
    np.testing.assert_array_equal(rest[0], first | (apart < 3000.0))


def sight_of(distance, barred):
    distance = torch.tensor(distance)
    lot = torch.linspace(0, 1, distance.shape[1]).expand_as(distance)
    return Sight(distance, torch.tensor(barred), lot, torch.arange(12)[None])


@pytest.mark.parametrize(
    ("retrieval", "expected"),
    [("both", {0, 3}), ("geographic", {0, 1}), ("functional", {3, 1}), ("random", {3, 1})],
)
def test_each_kind_of_retrieval_finds_its_towers(retrieval, expected):
    keys = torch.tensor([[[-1.0, 0.1], [1.0, 1.0], [1.0, 0.1], [1.0, 0.2]]])
    sight = sight_of([[1.0, 2.0, 3.0, 4.0]], [[False, False, True, False]])
    config = RACI(neighbours=1, retrieval=retrieval)
    tower, present = retrieve(torch.tensor([[[1.0, 0.0]]]), keys, sight, config)
    assert set(tower.flatten().tolist()) == expected
    assert present.all()


@pytest.mark.parametrize("retrieval", KINDS)
def test_where_every_tower_is_barred_none_is_there(retrieval):
    sight = sight_of([[1.0, 2.0]], [[True, True]])
    keys, config = torch.ones(1, 2, 3), RACI(neighbours=5, retrieval=retrieval)
    _, present = retrieve(torch.ones(1, 1, 3), keys, sight, config)
    assert not present.any()


def test_a_context_without_towers_is_zero_and_fades_with_distance():
    torch.manual_seed(0)
    attention = raci_network.CrossAttention(3)
    code, found = torch.randn(1, 1, 3), torch.randn(1, 1, 2, 3)
    with torch.no_grad():
        none = attention(code, found, torch.zeros(1, 1, 2), torch.zeros(1, 1, 2, dtype=torch.bool))
        both = torch.ones(1, 1, 2, dtype=torch.bool)
        far = attention(code, found, torch.tensor([[[0.0, 1e6]]]), both)
        torch.testing.assert_close(far, attention.value(found)[:, :, 0])
    assert not none.any()


def test_the_bank_keeps_a_fast_code_by_phase_of_the_season():
    data = towers()
    model = quick()
    network, bank = model.members[0].network, model.members[0].bank
    table = model.scaler.table(data, None)
    south = int(np.flatnonzero(bank.points.latitude < 0)[0])
    rows = raci_network.Rows.of(table, np.full(2, south), np.array([4, 5]), history=3)
    with torch.no_grad():
        by_month = network.codes(rows).fast.mean(0)
    torch.testing.assert_close(bank.fast[south], by_month.roll(6, 0), rtol=1e-4, atol=1e-5)


def test_candidates_start_with_the_settings_and_differ_in_regularisation():
    first, strong, narrow = RACI(dropout=0.1).candidates()
    assert first == RACI(dropout=0.1)
    assert (strong.dropout, strong.weight_decay) == (0.4, 0.1)
    assert narrow == RACI(dropout=0.1, width=8)


@pytest.mark.parametrize(
    "change",
    [
        {"members": 2}, {"width": 4}, {"neighbours": 4}, {"roles": False}, {"steps": 3},
        {"batch": 4}, {"learning_rate": 0.1}, {"weight_decay": 5.0}, {"dropout": 0.5},
        {"orthogonality": 9.0}, {"slowness": 9.0}, *({"retrieval": kind} for kind in KINDS[1:]),
    ],
)  # fmt: skip
def test_every_setting_is_heard(change):
    other = QUICK.varied(**change).fit(TrainingSet(towers(), seed=1))
    law = other.predict(bare(towers()))
    assert not np.allclose(law.location, quick().predict(bare(towers())).location, atol=1e-7)
    assert other.parameters > 0


def test_one_cluster_of_towers_is_enough_to_fit():
    law = QUICK.fit(TrainingSet(towers().isel(site=[0, 1]))).predict(bare(towers()))
    assert np.isfinite(law.location).all()


def test_towers_without_a_measured_month_are_in_no_bank():
    data = towers().copy(deep=True)
    data[GAS.flux][5] = np.nan
    model = QUICK.fit(TrainingSet(data))
    assert "S05" not in model.members[0].bank.points.site
    assert len(model.members[0].bank.slow) == 19


def test_settings_load_without_torch():
    code = "import sys, ch4grid.models.raci; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
