"""Laws of all sequence networks: they learn, know no future and no neighbour, and are the same every time."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import xarray as xr
from pydantic import ValidationError

from ch4grid.errors import InputError
from ch4grid.models import sequence
from ch4grid.models.learner import Law, Regressor, TrainingSet, without_flux
from ch4grid.models.sequence.config import Architecture, SequenceConfig
from ch4grid.models.sequence.frame import LARGEST_SCALE, SMALLEST_SCALE, Frame
from ch4grid.models.sequence.informer import distil
from ch4grid.models.sequence.pyraformer import NODES, pyramid
from ch4grid.models.sequence.tcn import MEMORY as TCN_MEMORY
from ch4grid.models.sequence.training import fit_network, hide_drivers
from ch4grid.models.sequence.windowed import MEMORY, Windowed
from ch4grid.testing import samples

NAMES = get_args(Architecture)
MONTHS, SITES = 40, 12
NOW = 25


def _training(sites: int = SITES, months: int = MONTHS) -> TrainingSet:
    return TrainingSet(samples(sites, months))


def _points(seed: int = 7, months: int = MONTHS) -> xr.Dataset:
    training = TrainingSet(samples(6, months, seed))
    return without_flux(training.samples, training.gas)


def _equal(one: Law, other: Law) -> bool:
    assert one.scale is not None
    assert other.scale is not None
    return bool((one.location == other.location).all() and (one.scale == other.scale).all())


@pytest.fixture(scope="module", params=NAMES)
def fitted(request: pytest.FixtureRequest) -> Regressor:
    """A regressor after a few steps on sites of which some drivers are missing; two layers, so that depth is tested."""
    training = _training()
    training.samples["pr"][::2, 5:9] = np.nan
    config = SequenceConfig(architecture=request.param, width=8, layers=2, steps=3)
    return config.fit(training)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_learns_a_planted_flux_at_sites_it_has_not_seen(name: str) -> None:
    every = TrainingSet(samples(32, 36))
    held = TrainingSet(every.samples.isel(site=slice(24, 32)))
    training = TrainingSet(every.samples.isel(site=slice(0, 24)))
    config = SequenceConfig(
        architecture=name, width=8, steps=50, learning_rate=0.03, dropout=0.0, members=1
    )
    law = config.fit(training).predict(without_flux(held.samples, held.gas))
    truth = held.targets
    mean = np.average(training.targets.transformed, weights=training.targets.weight)
    error = np.average(np.abs(truth.transformed - law.location), weights=truth.weight)
    naive = np.average(np.abs(truth.transformed - mean), weights=truth.weight)
    assert error < 0.65 * naive


def test_the_future_of_a_driver_changes_nothing_before(fitted: Regressor) -> None:
    points = _points()
    before = fitted.predict(points)
    for name in ("tas", "mrsos", "pr", "ps"):
        points[name][:, NOW + 1 :] *= 1.7
    points["pr"][:, NOW + 3 :] = np.nan
    after = fitted.predict(points)
    assert torch.equal(
        torch.from_numpy(before.location[:, : NOW + 1]),
        torch.from_numpy(after.location[:, : NOW + 1]),
    )
    assert before.scale is not None
    assert after.scale is not None
    np.testing.assert_array_equal(before.scale[:, : NOW + 1], after.scale[:, : NOW + 1])
    assert (before.location[:, NOW + 1 :] != after.location[:, NOW + 1 :]).any()


def test_a_record_that_ends_earlier_gives_the_same_months(fitted: Regressor) -> None:
    points = _points()
    whole, short = fitted.predict(points), fitted.predict(points.isel(time=slice(0, NOW)))
    np.testing.assert_allclose(whole.location[:, :NOW], short.location, atol=1e-5)


def test_another_site_changes_nothing(fitted: Regressor) -> None:
    points = _points()
    before = fitted.predict(points)
    for name in ("tas", "mrsos", "pr", "elevation"):
        points[name][3] = points[name][3] * 1.5
    after = fitted.predict(points)
    others = [0, 1, 2, 4, 5]
    np.testing.assert_array_equal(before.location[others], after.location[others])
    assert (before.location[3] != after.location[3]).any()
    alone = fitted.predict(points.isel(site=[3]))
    np.testing.assert_allclose(after.location[[3]], alone.location, atol=1e-5)


def test_the_order_of_sites_is_the_order_of_the_answer(fitted: Regressor) -> None:
    points, order = _points(), [4, 0, 5, 2, 1, 3]
    law, turned = fitted.predict(points), fitted.predict(points.isel(site=order))
    np.testing.assert_allclose(law.location[order], turned.location, atol=1e-5)


@pytest.mark.parametrize("months", [1, 5, 100])
def test_a_record_of_any_length_has_a_law(fitted: Regressor, months: int) -> None:
    law = fitted.predict(_points(months=100).isel(time=slice(0, months)))
    assert law.scale is not None
    assert law.location.shape == law.scale.shape == (6, months)
    assert law.location.dtype == np.float64
    assert np.isfinite(law.location).all()
    assert (law.scale >= SMALLEST_SCALE).all()
    assert fitted.parameters > 0


def test_the_random_numbers_of_others_are_left_alone(fitted: Regressor) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    SequenceConfig(architecture="gru", width=4, heads=1, steps=1).fit(_training())
    fitted.predict(_points())
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_towers_and_seed_give_the_same_law(name: str) -> None:
    config = SequenceConfig(architecture=name, width=4, steps=2, members=1)
    training, points = _training(), _points()
    torch.manual_seed(5)
    law = config.fit(training).predict(points)
    torch.manual_seed(6)
    assert _equal(law, config.fit(training).predict(points))
    assert not _equal(law, config.fit(training.reseeded(1)).predict(points))


@pytest.mark.parametrize("name", ["tcn", *NAMES[4:]])
def test_memory_is_bounded(name: str) -> None:
    """Months before the window say nothing of a month, and all within reach of it do."""
    network = _network(name)
    memory = TCN_MEMORY + 1 if name == "tcn" else MEMORY
    inputs = torch.randn(1, MEMORY + 20, 14, requires_grad=True)
    network(inputs, torch.randn(1, 9))[0, -1].sum().backward()
    assert inputs.grad is not None
    reached = inputs.grad.abs().sum(dim=(0, 2)) > 0
    assert not reached[:-memory].any()
    assert reached[-2:].all()


@pytest.mark.parametrize("name", NAMES)
def test_statics_matter(name: str) -> None:
    network, inputs = _network(name), torch.randn(1, 30, 14)
    here, there = network(inputs, torch.randn(1, 9)), network(inputs, torch.randn(1, 9))
    assert (here != there).any()


def _network(name: str) -> torch.nn.Module:
    """A network of four drivers and nine statics, whose readout says something."""
    module = __import__(f"ch4grid.models.sequence.{name.replace('-', '_')}", fromlist=["Network"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: torch.nn.Module = module.Network(14, 9, SequenceConfig(architecture=name))
        torch.nn.init.normal_(network.get_submodule("readout.linear").weight)
    return network.eval()


def test_the_input_gate_of_the_ea_lstm_sees_statics_alone() -> None:
    network = _network("ea-lstm")
    layer = network.get_submodule("layers.0")
    with torch.no_grad():
        for gate in (-1e9, 0.0):
            layer.gate.bias.fill_(gate)
            layer.gate.weight.zero_()
            states = layer(torch.randn(2, 5, 14), torch.randn(2, 9))
            # a gate that is shut writes nothing
            assert bool((states == 0).all()) is (gate < 0)


def test_the_pyramid_joins_scales_and_neighbours() -> None:
    reads = pyramid()
    assert reads.shape == (NODES, NODES)
    assert torch.equal(reads, reads.t())
    # the last month reads itself, the month before and the last season
    assert reads[23].nonzero().flatten().tolist() == [22, 23, 31]
    # the last season: its months, its neighbour, itself, its year
    assert reads[31].nonzero().flatten().tolist() == [21, 22, 23, 30, 31, 33]
    assert reads[33].nonzero().flatten().tolist() == [28, 29, 30, 31, 32, 33]


def test_distilling_halves_and_keeps_the_last_month() -> None:
    tokens = torch.arange(7.0)[None, :, None]
    known = torch.tensor([[False, False, False, True, True, True, True]])
    pooled, kept = distil(tokens, known)
    assert pooled.flatten().tolist() == [0.0, 0.0, 4.0, 6.0]
    assert kept.flatten().tolist() == [False, False, True, True]


def test_names_and_files_agree() -> None:
    folder = Path(sequence.__path__[0])
    files = {
        path.stem
        for path in folder.glob("*.py")
        if re.search(r"^class Network\(", path.read_text(), re.M)
    }
    assert files == {name.replace("-", "_") for name in NAMES}


def test_settings_are_decoded_without_torch() -> None:
    code = "import sys; import ch4grid.models.sequence.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_candidates_differ_in_regularisation_only(name: str) -> None:
    config = SequenceConfig(architecture=name, steps=7)
    first, strict, narrow = config.candidates()
    assert first == config
    assert strict == config.varied(weight_decay=0.1, dropout=0.4)
    assert narrow == config.varied(width=8)
    assert config.trial() == config.varied(members=1)


@pytest.mark.parametrize("settings", [{"architecture": "rnn"}, {}, {"architecture": "gru", "x": 1}])
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SequenceConfig(**settings)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(InputError, match="multiple of 3"):
        SequenceConfig(architecture="transformer", heads=3, steps=1).fit(_training())


def test_the_frame_is_of_the_training_towers_alone() -> None:
    training = _training()
    frame = Frame.of(training.subset(np.arange(8)))
    for name in ("tas", "ch4_flux"):
        training.samples[name][8:] = training.samples[name][8:] * 3
    changed = Frame.of(training.subset(np.arange(8)))
    assert frame == changed or (frame.scaler, frame.centre) == (changed.scaler, changed.centre)


def test_every_target_has_a_row_and_the_weights_sum_to_one() -> None:
    training = _training(months=120)
    rows = Frame.of(training).rows(training)
    assert int((rows.weight > 0).sum()) == int((training.targets.weight > 0).sum())
    assert float(rows.weight.sum()) == pytest.approx(1.0, abs=1e-5)
    assert rows.inputs.shape[2] == 3 * 4 + 2


def test_a_network_without_training_says_the_mean_target() -> None:
    training = _training()
    frame = Frame.of(training)
    said = frame.said(torch.zeros(3, 2))
    assert said.location.numpy() == pytest.approx(frame.centre)
    assert said.scale.numpy() == pytest.approx(frame.scale)
    wild = frame.said(torch.tensor([[0.0, -1e9], [0.0, 1e9]])).scale
    assert wild.tolist() == pytest.approx([SMALLEST_SCALE, LARGEST_SCALE])


def test_a_hidden_driver_loses_scores_and_mask_over_the_whole_row() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        seen = hide_drivers(torch.ones(400, 3, 14))
    drivers = seen[..., :12].reshape(400, 3, 4, 3)
    kept = drivers[:, :1, :, :1]
    assert torch.equal(drivers, kept.expand_as(drivers))
    assert (seen[..., 12:] == 1).all()
    assert 0.02 < float((kept == 0).float().mean()) < 0.15


def test_a_network_may_go_on_in_the_frame_it_was_trained_in() -> None:
    first, second = _training(), TrainingSet(samples(SITES, MONTHS, seed=3))
    config = SequenceConfig(architecture="lstm", width=4)
    settings = {"steps": 2, "learning_rate": 0.01, "weight_decay": 0.0}
    from ch4grid.models.sequence.lstm import Network

    base = fit_network(lambda i, s: Network(i, s, config), first, **settings)  # type: ignore[arg-type]
    network = base.networks[0]
    for weight in network.get_submodule("recurrent").parameters():
        weight.requires_grad_(False)
    kept = [w.clone() for w in network.get_submodule("recurrent").parameters()]
    more = fit_network(lambda *_: network, second, frame=base.frame, **settings)  # type: ignore[arg-type]
    assert more.frame is base.frame
    for old, new in zip(kept, network.get_submodule("recurrent").parameters(), strict=True):
        assert torch.equal(old, new)
    assert more.parameters == sum(w.numel() for w in network.parameters() if w.requires_grad)


def test_a_windowed_network_must_say_how_it_judges() -> None:
    with pytest.raises(TypeError, match="judge"):
        Windowed()  # type: ignore[abstract]
