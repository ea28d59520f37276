import numpy as np
import pytest
import torch

from ch4grid import testing
from ch4grid.errors import InputError
from ch4grid.grid import great_circle_km
from ch4grid.models.learner import TrainingSet
from ch4grid.models.samples import Targets
from ch4grid.models.transfer.config import Transfer
from ch4grid.models.transfer.domains import (
    Domain,
    away_from,
    cell_index,
    check_orientation,
    moments,
    reweighted,
    shared_names,
    source_weights,
)
from ch4grid.models.transfer.network import Discriminator, Network, reversal_strength, reverse
from ch4grid.models.transfer.skill import skill
from ch4grid.models.transfer.training import Rows, confusion, pretrain, together
from ch4grid.vocabulary import GASES

CH4 = GASES["ch4"]
TECHNIQUES = ("scratch", "fine-tune", "residual", "adversarial", "reweight")
NAMES = (("mrsos", "pr", "tas"), ("elevation",))
SMALL = {"width": 8, "source_steps": 60, "steps": 40, "learning_rate": 0.02}


def world(sites, seed, bias=0.0):
    """Sites whose flux follows height, temperature, and the water of a month ago."""
    samples = testing.samples(sites, 30, seed)
    tas = (samples["tas"] - samples["tas_mean"]) / 9
    wet = ((samples["mrsos"] - samples["mrsos_mean"]) / 4).shift(time=1, fill_value=0)
    y = 0.5 + bias + (samples["elevation"] - 500) / 800 + 0.6 * tas + 0.4 * wet + 0.3 * tas * wet
    y = y + np.random.default_rng(seed).laplace(scale=0.1, size=tas.shape)
    flux = CH4.asinh_scale * CH4.kg_per_nmol * np.sinh(y)
    samples[CH4.flux] = (samples[CH4.flux] * 0 + flux).transpose("site", "time")
    return samples


def without_flux(samples):
    return samples.drop_vars([n for n in samples.data_vars if "flux" in str(n)])


TOWERS, HELD, SIMULATION = world(6, 1), world(16, 2), world(50, 3, bias=0.5)


@pytest.fixture(scope="module")
def models():
    training = TrainingSet(TOWERS, simulation=SIMULATION)
    return {t: Transfer(technique=t, **SMALL).fit(training) for t in TECHNIQUES}


def error(model):
    truth, law = Targets.of(HELD, CH4), model.predict(without_flux(HELD))
    return float((truth.weight * (truth.transformed - law.location) ** 2).sum())


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_it_learns_what_holds_at_other_sites(models, technique):
    truth = Targets.of(HELD, CH4)
    mean = np.average(truth.transformed, weights=truth.weight)
    reference = (truth.weight * (truth.transformed - mean) ** 2).sum()
    assert error(models[technique]) < 0.6 * reference


@pytest.mark.parametrize("technique", ["fine-tune", "residual"])
def test_simulated_sites_help_few_towers(models, technique):
    assert error(models[technique]) < 0.9 * error(models["scratch"])


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_predictions_have_the_shape_of_the_points_and_parameters_count(models, technique):
    law = models[technique].predict(without_flux(HELD))
    assert law.location.shape == (16, 30)
    assert law.scale is None
    assert np.isfinite(law.location).all()
    ratio = models[technique].parameters / models["scratch"].parameters
    assert ratio == (2 if technique == "residual" else 1)


@pytest.mark.parametrize("technique", ["fine-tune", "residual"])
def test_later_months_change_no_earlier_prediction(models, technique):
    points = without_flux(HELD)
    changed = points.copy(deep=True)
    for name in ("tas", "pr", "ps", "mrsos"):
        changed[name][:, 20:] = changed[name][:, 20:] * 1.2
    a, b = (models[technique].predict(p).location for p in (points, changed))
    np.testing.assert_allclose(a[:, :20], b[:, :20], atol=1e-6)
    assert not np.allclose(a[:, 20:], b[:, 20:])


@pytest.mark.parametrize("technique", ["fine-tune", "residual"])
def test_sites_are_told_one_by_one_and_in_any_order(models, technique):
    points = without_flux(HELD)
    whole = models[technique].predict(points).location
    order = np.random.default_rng(0).permutation(16)
    mixed = models[technique].predict(points.isel(site=order)).location
    np.testing.assert_allclose(mixed, whole[order], atol=1e-5)
    alone = models[technique].predict(points.isel(site=[3])).location
    np.testing.assert_allclose(alone, whole[[3]], atol=1e-5)


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_same_set_and_seed_give_the_same_model_whatever_torch_drew_before(technique, cell):
    settings = Transfer(technique=technique, cell=cell, width=4, source_steps=3, steps=3)

    def said(seed, drawn):
        torch.rand(drawn)
        training = TrainingSet(TOWERS, simulation=SIMULATION, seed=seed)
        return settings.fit(training).predict(without_flux(HELD)).location

    np.testing.assert_array_equal(said(1, 1), said(1, 7))
    assert not np.array_equal(said(1, 1), said(2, 1))


def test_each_domain_is_standardised_by_itself_and_by_training_sites_only():
    kept = np.arange(4)
    changed = TOWERS.copy(deep=True)
    for name in ("tas", "mrsos", CH4.flux):
        changed[name][4:] = changed[name][4:] * 2
    a, b = (Domain.of(t.isel(site=kept), CH4, NAMES) for t in (TOWERS, changed))
    assert (a.scaler, a.mean, a.spread) == (b.scaler, b.mean, b.spread)
    source = Domain.of(SIMULATION, CH4, NAMES)
    assert source.mean != a.mean
    for domain in (a, source):
        np.testing.assert_allclose(
            [
                np.average(domain.target, weights=domain.weight),
                np.average(domain.target**2, weights=domain.weight),
            ],
            [0, 1],
            atol=1e-4,
        )
    assert Domain.of(TOWERS, CH4, NAMES, source).mean == source.mean


def test_the_published_standardisation_is_that_of_the_simulation():
    training = TrainingSet(TOWERS, simulation=SIMULATION)
    settings = Transfer(standardise="source", width=4, source_steps=2, steps=2)
    assert settings.fit(training).mean == Domain.of(SIMULATION, CH4, NAMES).mean


def test_predictors_are_those_of_both_domains():
    simulation = SIMULATION.drop_vars(["pr", "ps", "ps_mean", "elevation"])
    assert shared_names(TOWERS, simulation, CH4) == (
        ("mrsos", "tas"),
        ("mrsos_mean", "pr_mean", "tas_mean"),
    )
    with pytest.raises(InputError, match="share no driver"):
        shared_names(TOWERS, SIMULATION[["pr", CH4.flux]].rename(pr="lai"), CH4)


def test_without_a_simulation_only_scratch_is_possible():
    with pytest.raises(InputError, match="simulated sites"):
        Transfer().fit(TrainingSet(TOWERS))
    Transfer(technique="scratch", width=2, steps=1).fit(TrainingSet(TOWERS))


def test_the_reversal_keeps_values_and_turns_gradients():
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reverse(x, 0.3)
    assert torch.equal(y, x)
    (y * torch.tensor([2.0, 5.0])).sum().backward()
    torch.testing.assert_close(x.grad, -0.3 * torch.tensor([2.0, 5.0]))


def test_the_strength_of_the_reversal_grows_from_nothing_to_one():
    assert reversal_strength(0.0) == 0
    assert reversal_strength(0.5) == pytest.approx(2 / (1 + np.exp(-5)) - 1)
    assert reversal_strength(1.0) == pytest.approx(1, abs=1e-4)


def test_the_encoder_is_pushed_against_the_discriminator(monkeypatch):
    torch.manual_seed(0)
    network, discriminator = Network(5, 4, "gru", 0.0), Discriminator(4)
    source, target = torch.randn(6, 9, 5), torch.randn(7, 9, 5) + 1

    def gradients(progress):
        for module in (network, discriminator):
            module.zero_grad()
        states = [network.encode(x) for x in (source, target)]
        confusion(discriminator, *states, progress).backward()
        return network.inner.weight.grad.clone(), discriminator.layers[0].weight.grad.clone()

    reversed_encoder, own = gradients(0.3)
    monkeypatch.setattr("ch4grid.models.transfer.network.reverse", lambda values, strength: values)
    plain_encoder, same = gradients(0.3)
    assert plain_encoder.abs().sum() > 0
    torch.testing.assert_close(reversed_encoder, -reversal_strength(0.3) * plain_encoder)
    torch.testing.assert_close(own, same)


def test_the_discriminator_learns_with_the_network():
    torch.manual_seed(0)
    source, target = (Rows.of(Domain.of(s, CH4, NAMES)) for s in (SIMULATION, TOWERS))
    settings = Transfer(technique="adversarial", width=4, source_steps=5)
    network, discriminator = Network(source.inputs.shape[-1], 4, "gru", 0.0), Discriminator(4)
    before = [p.clone() for p in discriminator.parameters()]
    together(settings, network, discriminator, source, target)
    after = list(discriminator.parameters())
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_weight_of_a_simulated_site_is_its_own_in_the_error():
    domain = Domain.of(SIMULATION, CH4, NAMES)
    only = np.zeros(50)
    only[7] = 1.0
    rows = Rows.of(domain, only)
    said = torch.zeros_like(rows.target, requires_grad=True)
    rows.error(said).backward()
    touched = said.grad.abs().sum(dim=1) > 0
    assert touched.tolist() == (domain.owner == 7).tolist()
    whole, part = Rows.of(domain), Rows.of(domain, np.linspace(0.1, 1, 50))
    torch.testing.assert_close(part.weight.sum(), whole.weight.sum())
    ratio = (part.weight.sum(1) / whole.weight.sum(1)).numpy()
    expected = np.linspace(0.1, 1, 50)[domain.owner]
    np.testing.assert_allclose(ratio / ratio[0], expected / expected[0], rtol=1e-4)


def test_source_weights_are_the_formula_and_fall_away_from_towers():
    towers = np.array([[0.0, 1.0], [2.0, 3.0], [np.nan, np.nan]])
    source = np.array([[0.0, 1.0], [5.0, 7.0], [3.0, 3.0], [np.nan, np.nan]])
    # a = b = 1, and the nearer tower of the second site is the second: 3 x 4
    np.testing.assert_allclose(source_weights(source, towers), [1, 13.0**-5, 1, 0])


def test_moments_are_of_measured_months():
    samples = TOWERS.copy(deep=True)
    samples[f"{CH4.flux}_coverage"][0] = 0.0
    found = moments(samples, CH4)
    assert np.isnan(found[0]).all()
    truth = Targets.of(samples, CH4)
    expected = np.average(truth.transformed[1], weights=truth.weight[1])
    assert found[1, 0] == pytest.approx(expected)


def test_weights_of_no_simulated_site_are_refused():
    with pytest.raises(InputError, match="resembles"):
        reweighted(np.ones((2, 3)), np.array([0, 1]), np.zeros(2))


def test_a_frozen_base_stays_as_pretrained_and_what_it_leaves_is_learnt():
    training = TrainingSet(TOWERS, simulation=SIMULATION)
    settings = Transfer(technique="residual", width=4, source_steps=8, steps=8)
    model = settings.fit(training)
    base = model.networks[0]
    assert not any(p.requires_grad for p in base.parameters())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        again = Network(base.inner.in_features, 4, "gru", settings.dropout)
        names = shared_names(TOWERS, SIMULATION, CH4)
        pretrain(settings, again, Rows.of(Domain.of(SIMULATION, CH4, names)))
    torch.testing.assert_close(again.state_dict(), base.state_dict())


def test_missing_targets_touch_no_gradient():
    samples = TOWERS.copy(deep=True)
    samples[CH4.flux][:, 15:20] = np.nan
    domain = Domain.of(samples, CH4, NAMES)
    rows = Rows.of(domain)
    assert torch.isfinite(rows.target).all()
    said = torch.ones_like(rows.target, requires_grad=True)
    rows.error(said).backward()
    assert (said.grad[:, 15:20] == 0).all()


def test_drawn_rows_keep_the_sum_of_weights_on_average():
    rows = Rows.of(Domain.of(SIMULATION, CH4, NAMES))
    generator = torch.Generator().manual_seed(0)
    sums = [float(rows.draw(10, generator).weight.sum()) for _ in range(300)]
    assert np.mean(sums) == pytest.approx(1, abs=0.03)
    assert rows.draw(99, generator) is rows


@pytest.mark.parametrize("where", ["measured", "predicted"])
def test_every_metric_masks_missing_values(where):
    random = np.random.default_rng(0)
    y = random.normal(3, 1, 50)
    pair = {"measured": y, "predicted": y + random.normal(size=50)}
    whole = skill(**{n: v[5:] for n, v in pair.items()})
    holed = {n: v.copy() for n, v in pair.items()}
    holed[where][:5] = np.nan
    np.testing.assert_allclose(skill(**holed), whole)
    assert whole.n == 45
    assert np.isfinite(whole).all()


def test_skill_of_a_perfect_a_mean_and_no_prediction():
    y = np.array([1.0, 2.0, 3.0, 6.0])
    assert skill(y, y) == (4, 0, 0, pytest.approx(1), 1)
    flat = skill(y, np.full(4, 3.0))
    assert flat.nse == 0
    assert np.isnan(flat.r2)
    assert skill(y * np.nan, y).n == 0


@pytest.mark.parametrize(
    ("place", "cell"),
    [
        ((-90.0, -180.0), (0, 0)),
        ((-89.75, -179.75), (0, 0)),
        ((-89.5, -179.5), (1, 1)),
        ((-89.51, -179.51), (0, 0)),
        ((0.0, 0.0), (180, 360)),
        ((0.49, 0.49), (180, 360)),
        ((-0.01, -0.01), (179, 359)),
        ((89.99, 179.99), (359, 719)),
        ((90.0, 180.0), (359, 0)),
        ((10.2, 359.9), (200, 359)),
    ],
)
def test_the_cell_of_a_place_is_the_floor(place, cell):
    assert tuple(int(i) for i in cell_index(*place, 0.5)) == cell


def test_every_centre_lies_in_its_own_cell_and_a_latitude_beyond_the_pole_in_none():
    centres = -90 + 0.5 * (np.arange(360) + 0.5)
    rows, columns = cell_index(centres, 2 * centres, 0.5)
    assert rows.tolist() == list(range(360))
    assert (np.diff(columns) == 2).all()
    with pytest.raises(InputError, match="beyond a pole"):
        cell_index(90.1, 0.0, 0.5)


@pytest.mark.parametrize("wrong", ["descending", "edges", "greenwich", "short"])
def test_axes_that_are_not_centres_from_the_south_west_are_refused(wrong):
    north, east = np.arange(-89.5, 90), np.arange(-179.5, 180)
    check_orientation(north, east, 1.0)
    axes = {
        "descending": (north[::-1], east),
        "edges": (north - 0.5, east),
        "greenwich": (north, east + 180),
        "short": (north[:-1], east),
    }
    with pytest.raises(InputError, match="centres"):
        check_orientation(*axes[wrong], 1.0)


def test_simulated_sites_near_any_tower_are_removed():
    towers = TOWERS.isel(site=[0, 1])
    near = SIMULATION.assign_coords(
        latitude=("site", np.linspace(-80, 80, 50)),
        longitude=("site", np.full(50, float(towers["longitude"][0]))),
    )
    kept = away_from(near, towers)
    assert 0 < kept.sizes["site"] < 50
    far = great_circle_km(
        kept["latitude"].values[:, None],
        kept["longitude"].values[:, None],
        towers["latitude"].values,
        towers["longitude"].values,
    )
    assert far.min() >= 300
    with pytest.raises(InputError, match="away from all towers"):
        away_from(near, towers, km=30000)


def test_candidates_differ_in_regularisation_and_the_default_comes_first():
    first, decayed, narrow = Transfer().candidates()
    assert first == Transfer()
    assert decayed == Transfer(weight_decay=0.1)
    assert narrow == Transfer(width=8)
