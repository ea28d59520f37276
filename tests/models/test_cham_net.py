import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch

from ch4grid.models import cham_network
from ch4grid.models.cham_net import ChamNet, YearScaler, fold, left_out
from ch4grid.models.learner import TrainingSet
from ch4grid.models.samples import Targets
from ch4grid.testing import samples
from ch4grid.vocabulary import GASES

GAS = GASES["ch4"]
QUICK = ChamNet(members=1, width=6, steps=6, batch=8)


@cache
def towers():
    return samples(sites=20, months=72, seed=2)


@cache
def quick():
    return QUICK.fit(TrainingSet(towers(), seed=1))


def bare(points):
    return points.drop_vars([GAS.flux, f"{GAS.flux}_coverage"])


def moved(points, name, site, month):
    """The points with one variable of a site changed from a month on."""
    values = points[name].values.copy()
    values[site, month:] = 1.1 * values[site, month:] + 1
    return points.assign({name: (points[name].dims, values)})


def skill(law, points, training):
    truth, known = Targets.of(points, GAS), training.targets
    mean = np.average(known.transformed, weights=known.weight)
    error = (truth.weight * (law.location - truth.transformed) ** 2).sum()
    return 1 - error / (truth.weight * (truth.transformed - mean) ** 2).sum()


def test_it_learns_a_planted_flux_at_towers_it_has_not_seen():
    data = samples(sites=44, months=84, seed=4)
    training = TrainingSet(data.isel(site=slice(0, 34)))
    held = data.isel(site=slice(34, 44))
    model = ChamNet(members=1, steps=100).fit(training)
    law = model.predict(bare(held))
    assert skill(law, held, training) > 0.8
    truth = Targets.of(held, GAS)
    error = np.abs(law.location - truth.transformed)[truth.weight > 0].mean()
    assert 0.4 < law.scale[truth.weight > 0].mean() / error < 2.5


@pytest.mark.parametrize("month", [1, 12, 37, 71])
@pytest.mark.parametrize("method", ["predict", "forecast"])
def test_a_month_depends_on_no_later_month_and_on_no_other_site(method, month):
    ask = getattr(quick(), method)
    base, changed = ask(towers()), ask(moved(towers(), "tas", 3, month))
    np.testing.assert_array_equal(changed.location[:, :month], base.location[:, :month])
    np.testing.assert_array_equal(changed.scale[:, :month], base.scale[:, :month])
    others = np.arange(20) != 3
    np.testing.assert_array_equal(changed.location[others], base.location[others])
    assert (changed.location[3, month:] != base.location[3, month:]).any()


def test_it_remembers_three_years_and_the_year_so_far_and_no_more():
    drivers = bare(towers())
    long = quick().predict(drivers).location
    short = quick().predict(drivers.isel(time=slice(12, None))).location
    np.testing.assert_allclose(long[:, 48:], short[:, 36:], atol=1e-6)
    assert not np.allclose(long[:, 36:48], short[:, 24:36], atol=1e-6)


def test_sites_may_come_in_any_order_and_alone():
    drivers = bare(towers())
    law = quick().predict(drivers)
    order = np.random.default_rng(0).permutation(20)
    np.testing.assert_allclose(
        quick().predict(drivers.isel(site=order)).location, law.location[order], atol=1e-5
    )
    alone = quick().predict(drivers.isel(site=[7]))
    np.testing.assert_allclose(alone.location, law.location[[7]], atol=1e-5)


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


def test_towers_outside_the_training_set_change_neither_scales_nor_weights():
    kept = np.arange(12)
    changed = moved(moved(towers(), "tas", 15, 0), GAS.flux, 15, 0)
    models = [QUICK.fit(TrainingSet(data).subset(kept)) for data in (towers(), changed)]
    assert models[0].scaler.scaler == models[1].scaler.scaler
    laws = [model.predict(bare(towers())).location for model in models]
    np.testing.assert_array_equal(*laws)


@pytest.mark.parametrize("episodes", [0, 2])
def test_a_forecast_reads_the_flux_of_earlier_years_and_never_that_of_the_year_itself(episodes):
    model = QUICK.varied(episodes=episodes).fit(TrainingSet(towers(), seed=1))
    base = model.forecast(towers()).location
    now = towers().copy(deep=True)
    now[GAS.flux][3, 48:] *= 5.0
    changed = model.forecast(now).location
    np.testing.assert_array_equal(changed[:, :60], base[:, :60])
    assert (changed[3, 60:] != base[3, 60:]).all()


def test_a_prediction_reads_no_flux_and_a_forecast_without_measured_years_is_a_prediction():
    base = quick().predict(bare(towers())).location
    np.testing.assert_array_equal(quick().predict(towers()).location, base)
    never = towers().copy(deep=True)
    never[GAS.flux][5] = np.nan
    forecast = quick().forecast(never).location
    np.testing.assert_array_equal(forecast[5], base[5])
    assert not np.array_equal(forecast[6], base[6])


def with_offsets(data, seed=0):
    """Towers whose level no predictor knows."""
    c = GAS.asinh_scale * GAS.kg_per_nmol
    offset = np.random.default_rng(seed).normal(0, 1.0, (data.sizes["site"], 1))
    return data.assign(
        {GAS.flux: (("site", "time"), np.sinh(np.arcsinh(data[GAS.flux].values / c) + offset) * c)}
    )


def test_episodes_teach_the_decoder_to_follow_the_level_of_a_tower():
    data = with_offsets(samples(sites=40, months=72, seed=5))
    training, held = TrainingSet(data.isel(site=slice(0, 30))), data.isel(site=slice(30, 40))
    settings = ChamNet(members=1, steps=40, flux_history=0.0)
    plain, taught = settings.fit(training), settings.varied(episodes=25).fit(training)
    before, after = plain.members[0].network.state_dict(), taught.members[0].network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder.base"}
    truth = Targets.of(held, GAS)
    errors = [
        np.abs(law.location - truth.transformed)[:, 36:][truth.weight[:, 36:] > 0].mean()
        for law in (taught.predict(held), taught.forecast(held))
    ]
    assert errors[1] < 0.7 * errors[0]


def test_codes_that_agree_with_their_own_other_years_cost_less():
    codes = torch.eye(4)
    none, own = torch.zeros(4, 4, dtype=torch.bool), torch.eye(4, dtype=torch.bool)
    good = cham_network.contrast(codes, codes, none, own)
    bad = cham_network.contrast(codes, codes.roll(1, 0), none, own)
    assert good < 0.01 < bad
    alike = cham_network.contrast(codes, codes.roll(1, 0), ~none, own)
    assert alike < bad
    same = cham_network.contrast(codes, codes.roll(1, 0), none, ~none)
    assert float(same) == pytest.approx(0.0, abs=1e-6)


def test_the_two_views_of_a_row_share_no_year():
    present = torch.tensor([[True, True, True], [False, True, True], [False, False, True]])
    first, second = cham_network._views(present)
    assert not (first & second).any()
    assert torch.equal(first | second, present)
    assert first[:2].any(1).all()
    assert second.any(1).all()


def test_the_decoder_with_one_set_of_weights_is_a_gru():
    torch.manual_seed(0)
    ours, theirs = cham_network.ExpertGRU(3, 5, 2), torch.nn.GRU(3, 5, batch_first=True)
    matrix = torch.cat(
        [theirs.weight_ih_l0.T, theirs.weight_hh_l0.T, theirs.bias_ih_l0[None]]
    ).detach()
    with torch.no_grad():
        theirs.bias_hh_l0.zero_()
        inputs, state = torch.randn(4, 12, 3), torch.randn(4, 5)
        found = ours(inputs, state, matrix.flatten().expand(4, -1))
        expected, _ = theirs(inputs, state[None])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("first", [0, 4, 11])
def test_a_record_cut_into_years_and_joined_again_is_the_record(first):
    months = [m % 12 for m in range(first, first + 29)]
    data = towers().isel(time=slice(first, first + 29))
    table = YearScaler.fit(TrainingSet(towers())).table(data, None)
    assert table.points.month.tolist() == months
    values = np.arange(20 * 29.0).reshape(20, 29)
    np.testing.assert_array_equal(table.unfolded(table.folded(values)), values)
    assert fold(values, first)[0, 0, first] == 0.0


def test_a_member_leaves_out_whole_clusters_and_no_whole_class():
    cluster, ecosystem = np.repeat(np.arange(10), 2), np.repeat([0, 1], [18, 2])
    for seed in range(10):
        out = left_out(cluster, ecosystem, np.random.default_rng(seed))
        assert out.sum() == 4
        assert (out[::2] == out[1::2]).all()
        assert not out[18:].any()
    assert not left_out(np.zeros(4), np.zeros(4, dtype=int), np.random.default_rng(0)).any()


def test_candidates_start_with_the_settings_and_differ_in_regularisation():
    first, strong, narrow = ChamNet(dropout=0.1).candidates()
    assert first == ChamNet(dropout=0.1)
    assert (strong.dropout, strong.weight_decay) == (0.4, 0.1)
    assert narrow == ChamNet(dropout=0.1, width=12)


@pytest.mark.parametrize(
    "change",
    [
        {"members": 2}, {"width": 4}, {"experts": 2}, {"history": 2}, {"steps": 3}, {"batch": 4},
        {"learning_rate": 0.1}, {"weight_decay": 5.0}, {"dropout": 0.5}, {"contrast": 5.0},
        {"flux_history": 1.0}, {"episodes": 1},
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


def test_settings_load_without_torch():
    code = "import sys, ch4grid.models.cham_net; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
