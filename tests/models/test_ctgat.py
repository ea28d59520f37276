import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_model import SMALL, fitted, towers

from ch4grid.graph import CausalGraph
from ch4grid.models.attention import DagAttention, FluxReadout, ParentLists
from ch4grid.models.config import CTGATConfig
from ch4grid.models.ctgat import CTGAT, memory
from ch4grid.models.encoder import MEMORY, DriverEncoder
from ch4grid.models.magnitude import Moments, fit_magnitude
from ch4grid.models.samples import Targets
from ch4grid.models.weighting import month_weights
from ch4grid.vocabulary import ECOSYSTEMS

DRIVERS = ("a", "b", "c")


def graph(links, lags=3):
    """One class, links (to, from, lag) -> probability."""
    nodes = (*DRIVERS, "flux")
    probability = np.zeros((1, 4, 3, lags + 1))
    for (to, source, lag), value in links.items():
        probability[0, nodes.index(to), DRIVERS.index(source), lag] = value
    return CausalGraph(DRIVERS, "flux", ("only",), probability)


def lists_of(links):
    return ParentLists.of(graph(links), "only", top=6, flux_top=12, floor=0.05)


@given(month=st.integers(0, 29), driver=st.integers(0, 2))
@settings(max_examples=15, deadline=None)
def test_the_encoder_sees_fifteen_months_of_its_own_driver_and_nothing_else(month, driver):
    torch.manual_seed(0)
    encoder = DriverEncoder(3, 4)
    inputs = torch.randn(3, 3, 1, 30)
    changed = inputs.clone()
    changed[driver, :, :, month] += 1.0
    with torch.no_grad():
        moved = (encoder(inputs) != encoder(changed)).any(dim=1)[..., 0]
    others = [p for p in range(3) if p != driver]
    assert not moved[others].any()
    assert not moved[driver, :month].any()
    assert not moved[driver, month + MEMORY + 1 :].any()
    assert moved[driver, month : month + 1].all()


def test_attention_over_parents_equals_a_dense_reference():
    torch.manual_seed(1)
    layer = DagAttention(4, 2, 3, use_prior=True)
    links = {("flux", "a", 0): 0.9, ("a", "b", 1): 0.5, ("a", "c", 3): 0.2, ("a", "c", 0): 0.01}
    lists = lists_of(links)
    h = torch.randn(3, 4, 2, 6)
    with torch.no_grad():
        found = layer(h, lists)
        expected = _dense(layer, h, {(1, 1): 0.5, (2, 3): 0.2}, node=0)
    torch.testing.assert_close(found[0], expected, rtol=1e-5, atol=1e-6)


def _dense(layer, h, parents, node):
    """The formula of the module, one point, month and head at a time."""
    attention = layer.attention
    width, months, points = h.shape[1:]
    out = torch.zeros(width, months, points)
    gamma = torch.nn.functional.softplus(attention.gamma)
    for s in range(points):
        for t in range(months):
            own = h[node, :, t, s]
            query = layer.query @ own
            mixed = torch.zeros(width)
            for head in range(attention.heads):
                part = slice(head * width // attention.heads, (head + 1) * width // attention.heads)
                logits, values = [], []
                for (p, lag), pi in parents.items():
                    past = h[p, :, t - lag, s] if t >= lag else torch.zeros(width)
                    key = attention.key @ past + attention.lag_key[lag]
                    bias = gamma[head] * np.log(pi)
                    logits.append(query[part] @ key[part] / (width / attention.heads) ** 0.5 + bias)
                    values.append((attention.value @ past)[part])
                logits.append(attention.self_logit[head])
                values.append((attention.value @ own)[part])
                weights = torch.stack(logits).softmax(0)
                mixed[part] = (weights[:, None] * torch.stack(values)).sum(0)
            state = own + attention.out @ mixed
            raised = torch.nn.functional.gelu(layer.rise @ state + layer.bias)
            out[:, t, s] = state + layer.fall @ raised
    return out


def test_a_link_below_the_floor_contributes_nothing_to_the_flux():
    torch.manual_seed(2)
    lists = lists_of({("flux", "a", 0): 0.9, ("flux", "b", 1): 0.049, ("a", "c", 0): 0.049})
    dag, readout = (kind(4, 2, 3, use_prior=True) for kind in (DagAttention, FluxReadout))
    h = torch.randn(3, 4, 2, 6)
    changed = h.clone()
    changed[1:] += 100.0
    with torch.no_grad():
        first, second = (readout(dag(x, lists), lists)[0] for x in (h, changed))
    assert torch.equal(first, second)


def test_a_flux_without_parents_is_still_predicted():
    lists = lists_of({})
    dag, readout = (kind(4, 2, 3, use_prior=True) for kind in (DagAttention, FluxReadout))
    h = torch.randn(3, 4, 2, 6)
    state, attention = readout(dag(h, lists), lists)
    assert state.shape == (4, 2, 6)
    assert attention.shape == (0,)
    assert torch.isfinite(state).all()


def test_a_more_probable_parent_draws_more_attention_before_training():
    torch.manual_seed(3)
    readout = FluxReadout(4, 2, 3, use_prior=True)
    with torch.no_grad():
        readout.query.zero_()
    lists = lists_of({("flux", "a", 0): 0.9, ("flux", "b", 0): 0.1})
    _, attention = readout(torch.randn(2, 4, 3, 5), lists)
    assert attention[0] > attention[1]


def test_a_network_has_fewer_than_thirty_thousand_parameters():
    network = CTGAT(11, 15 + len(ECOSYSTEMS), 3, CTGATConfig())
    assert sum(p.numel() for p in network.parameters()) < 30_000


def test_memory_is_the_encoders_and_two_layers_of_lags():
    assert memory(3) == 20


def test_quantiles_never_cross_and_surround_the_median():
    quantiles = fitted().predict(towers())["quantile_location"].values
    assert (np.diff(quantiles, axis=0) > 0).all()


def test_month_weights_sum_to_one_and_give_nothing_to_towers_not_drawn():
    weight = np.array([[1.0, 0.5, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
    found = month_weights(weight, np.array([0, 0, 1]), np.array([1.0, 0.0, 2.0]))
    assert found.sum() == pytest.approx(1.0)
    assert (found[1] == 0).all()
    assert (found[weight == 0] == 0).all()


def test_the_magnitude_regression_finds_a_planted_slope():
    random = np.random.default_rng(0)
    score = random.normal(size=(60, 1)).astype(np.float32)
    one_hot = np.eye(len(ECOSYSTEMS), dtype=np.float32)[np.arange(60) % 2]
    level = 2.0 + 0.8 * score[:, 0]
    transformed = level[:, None] + random.normal(size=(60, 24)) * 0.3
    moments = Moments.of(Targets(transformed, np.ones_like(transformed)))
    ridge = fit_magnitude(moments, np.hstack([score, one_hot]), np.arange(60) // 2, np.ones(60))
    assert ridge[0, 0] == pytest.approx(0.8, abs=0.1)
    assert np.exp(ridge[1, -1]) == pytest.approx(0.3, rel=0.3)


def test_settings_are_strict():
    with pytest.raises(ValueError, match="layers"):
        CTGATConfig(layers=2)
    assert CTGATConfig.model_validate_json(SMALL.model_dump_json()) == SMALL
