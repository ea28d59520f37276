"""Every option of CT-GAT does what it says, and breaks no law of a model."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from planted_ctgat import (
    CHANGES,
    MONTHS,
    QUICK,
    asked,
    discoverer,
    fitted,
    record,
    table,
    training_set,
)
from planted_model import GAS, known_graph, towers

from ch4grid.graph import CausalGraph
from ch4grid.models import Checkpoint, fitting
from ch4grid.models.attention import ParentLists
from ch4grid.models.config import OPTIONS, CTGATConfig
from ch4grid.models.ctgat import parent_lists, season_of
from ch4grid.models.ctgat_learner import fit_task
from ch4grid.models.fitting import _neighbour_draws, draw_graph, stages
from ch4grid.models.head import Prediction
from ch4grid.models.losses import Measured, loss
from ch4grid.models.magnitude import Moments
from ch4grid.models.samples import predictor_names
from ch4grid.models.season import season

NAMES = sorted(CHANGES)


@cache
def law(name=None):
    return fitted(name).predict(asked())


def changed_after(month):
    """The points with every driver changed from a month on."""
    ds = asked()
    names = predictor_names(ds, GAS)[0]
    moved = {n: ds[n].where(np.arange(MONTHS) < month, ds[n] * 1.03 + 1e-6) for n in names}
    return ds.assign({n: v.transpose("site", "time") for n, v in moved.items()})


def test_every_option_is_changed_here():
    assert set(OPTIONS) <= set(CHANGES)


@pytest.mark.parametrize("name", NAMES)
def test_an_option_changes_what_is_said(name):
    assert not np.array_equal(law(name).location, law().location)


@pytest.mark.parametrize("name", NAMES)
def test_no_month_sees_a_later_one(name):
    again = fitted(name).predict(changed_after(45))
    np.testing.assert_array_equal(again.location[:, :45], law(name).location[:, :45])
    assert not np.array_equal(again.location[:, 45:], law(name).location[:, 45:])


@pytest.mark.parametrize("name", NAMES)
def test_points_do_not_depend_on_each_other_or_their_order(name):
    order = np.random.default_rng(0).permutation(10)[:6]
    some = fitted(name).predict(asked().isel(site=order))
    np.testing.assert_allclose(some.location, law(name).location[order], atol=1e-5)
    np.testing.assert_allclose(some.scale, law(name).scale[order], atol=1e-5)


@pytest.mark.parametrize("name", ["season", "soft_classes", "teleconnections", "staged"])
def test_a_saved_option_predicts_the_same_bits(name, tmp_path):
    checkpoint = fitted(name).checkpoint
    checkpoint.save(tmp_path / "model")
    loaded = Checkpoint.load(tmp_path / "model")
    assert loaded.config == checkpoint.config
    np.testing.assert_array_equal(
        loaded.predict(asked())["location"], checkpoint.predict(asked())["location"]
    )


def test_options_at_their_defaults_leave_no_trace_in_a_checkpoint():
    assert not set(OPTIONS) & set(CTGATConfig().stored())
    assert CTGATConfig(season=True).stored()["season"] is True
    assert CTGATConfig.model_validate(CTGATConfig(staged=True).stored()) == CTGATConfig(staged=True)


def test_a_graph_cannot_be_dealt_anew_and_uniform_at_once():
    with pytest.raises(ValueError, match="one of the two"):
        CTGATConfig(randomise_graph=True, uniform_graph=True)


# Graphs and priors.


def known():
    names = predictor_names(record(), GAS)[0]
    return known_graph(
        record(), flux="ch4_flux", drivers=names, ecosystems=("a",), config=None, seed=0
    )


@pytest.mark.parametrize("sparse", [False, True])
def test_a_uniform_graph_has_equal_links_that_are_all_admissible(sparse):
    graph = known()
    probability = graph.probability.copy()
    probability[:, :, 0] = 0.0
    if sparse:
        probability[probability > 0] = 0.01
    graph = replace(graph, probability=probability)
    config = CTGATConfig(uniform_graph=True)
    drawn = draw_graph(graph, config, np.random.default_rng(0)).probability
    assert (drawn[probability == 0] == 0).all()
    for node in range(drawn.shape[1]):
        links = drawn[0, node][probability[0, node] > 0]
        assert links.min() >= config.floor
        assert links.max() / links.min() < 1.002


def test_luck_settles_which_equal_links_fill_a_short_list():
    config = CTGATConfig(uniform_graph=True, flux_parents=3)
    lists = [
        parent_lists(draw_graph(known(), config, np.random.default_rng(i)), config)[0]
        for i in range(20)
    ]
    chosen = {tuple(zip(one.nodes[one.flux_node], one.flux_lag, strict=True)) for one in lists}
    assert len(chosen) > 10


def test_without_a_prior_no_loss_holds_attention_to_one():
    graph = CausalGraph(("a",), "flux", ("only",), np.array([[[[0.0, 0.0]], [[0.9, 0.1]]]]))
    lists = ParentLists.of(graph, "only", top=1, flux_top=2, floor=0.05)
    attention = torch.tensor([0.1, 0.9])
    with_prior, without = (
        _loss(attention, lists, CTGATConfig(use_prior=prior)) for prior in (True, False)
    )
    even = _loss(torch.tensor([0.5, 0.5]), lists, CTGATConfig(use_prior=False))
    assert with_prior > without
    assert without == even


def test_invariance_weighs_the_variance_of_the_loss_over_towers():
    none, one, two = (
        _loss(torch.zeros(0), None, CTGATConfig(invariance=weight)) for weight in (0.0, 1.0, 2.0)
    )
    assert one > none
    assert two - one == pytest.approx(one - none, rel=1e-4)


def _loss(attention, lists, config):
    """The loss of two rows, of which the second is far off."""
    location = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    prediction = Prediction(
        location,
        torch.full((2, 2), 0.3),
        torch.zeros(5, 2, 2),
        torch.zeros(2),
        torch.zeros(2),
        (attention,) if lists else (),
    )
    half = torch.full((2,), 0.5)
    measured = Measured(
        torch.tensor([[0.1, 0.0], [2.0, 2.0]]),
        torch.full((2, 2), 0.25),
        torch.zeros(2),
        torch.zeros(2),
        half,
    )
    return float(loss(prediction, measured, [lists] if lists else [], config=config, progress=0.0))


# Towers, magnitude and neighbours.


def test_without_towers_the_network_has_no_attention_to_them():
    (network, _), *_ = fitted("towers").checkpoint.networks
    assert network.towers is None
    assert fitted("towers").parameters < fitted().parameters


def test_without_magnitude_level_and_amplitude_know_no_place():
    (network, _), *_ = fitted("magnitude").checkpoint.networks
    assert network.head.nudge is None
    assert (network.head.ridge[:, :-1] == 0).all()
    assert network.head.ridge[1, -1] == 0
    levels = Moments.of(training_set(record()).targets).level
    assert levels.min() < network.head.ridge[0, -1] < levels.max()


def test_neighbour_dropout_hides_near_towers_and_may_be_turned_off():
    training = training_set(towers(), distances=np.array([20000.0]))
    graph = discoverer(towers())
    with_it, without = (
        _neighbour_draws(
            fit_task(CTGATConfig(neighbour_dropout=on), training, graph), np.random.default_rng(0)
        )
        for on in (True, False)
    )
    assert len(without) == 1
    assert without[0].present.any()
    assert len(with_it) > 1
    assert not any(draw.present.sum() >= without[0].present.sum() for draw in with_it[1:])


# Season.


def test_the_season_of_points_is_that_of_their_dataset():
    np.testing.assert_allclose(season_of(table()).numpy(), season(asked()), atol=1e-6)
    np.testing.assert_array_equal(season_of(table(), 5), season_of(table())[:, -5:])


def test_a_season_moves_a_state_whose_drivers_stand_still():
    (network, lists), *_ = fitted("season").checkpoint.networks
    inputs = torch.ones(4, 3, 1, 40)
    features = torch.zeros(1, fitted().checkpoint.scaler.features)
    turning = season_of(table().at(np.array([0])))[:, :40]
    with torch.no_grad():
        state, _, _ = network.embed(inputs, features, [(lists[0], slice(0, 1))], turning)
    assert not torch.allclose(state[:, 33], state[:, 39])
    torch.testing.assert_close(state[:, 27], state[:, 39])


# Stages.


def test_stages_fill_the_steps_and_free_what_they_should():
    dynamics, frozen, released = stages(CTGATConfig(staged=True))
    assert (dynamics.first, frozen.first, released.first) == (0, 72, 96)
    assert released.first + released.steps == 120
    assert not dynamics.towers
    assert frozen.rate == released.rate == pytest.approx(0.004)
    assert "head.nudge." in frozen.frozen
    assert released.frozen == ()
    (whole,) = stages(CTGATConfig())
    assert (whole.steps, whole.rate, whole.towers) == (120, 0.02, True)


def test_the_last_stages_leave_the_dynamics_as_they_were(monkeypatch):
    seen = []

    def watched(network, *rest):
        seen.append({k: v.clone() for k, v in network.state_dict().items()})
        yield from original(network, *rest)

    original = fitting._steps
    monkeypatch.setattr(fitting, "_steps", watched)
    task = fit_task(
        QUICK.varied(staged=True, steps=12), training_set(towers()), discoverer(towers())
    )
    member = fitting.fit_member(task)
    start, after, later = seen
    moved = {
        name: not np.array_equal(after[name].numpy(), value)
        for name, value in member.weights.items()
    }
    assert not any(v for name, v in moved.items() if not name.startswith(("towers.", "head.")))
    assert any(v for name, v in moved.items() if name.startswith("towers."))
    assert torch.equal(start["towers.conv.lin_l.weight"], after["towers.conv.lin_l.weight"])
    assert not torch.equal(start["encoder.lift"], after["encoder.lift"])
    for one in (after, later):
        assert torch.equal(start["head.nudge.weight"], one["head.nudge.weight"])
