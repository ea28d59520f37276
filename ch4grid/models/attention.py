"""Attention over the parents of a causal graph: of each driver, then of the flux.

    logit(p, tau) = (Wq h_q[t]) . (Wk h_p[t - tau] + r_tau) / sqrt(D / H) + softplus(gamma_h) log pi(p -> q, tau)

Only parents above the floor are gathered, so an absent link can contribute nothing, and no training can open one. A
node without parents falls back to itself. Attention weights are attributions, not effects (methods 3.5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ch4grid.graph import CausalGraph, Parent

Integers = NDArray[np.int64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ParentLists:
    """Parents in one ecosystem class, as indices.

    Args:
        nodes: Drivers (N) that are a parent of the flux; only these need parents of their own.
        driver: Parent of each node (N, M), 0 where padded.
        lag: Its lag (N, M) [months].
        log_prior: log pi (N, M), -inf where padded.
        flux_node: Parent of the flux (M') as index into `nodes`.
        flux_lag: Its lag (M') [months].
        flux_log_prior: log pi (M').
    """

    nodes: Integers
    driver: Integers
    lag: Integers
    log_prior: Singles
    flux_node: Integers
    flux_lag: Integers
    flux_log_prior: Singles

    @classmethod
    def of(
        cls, graph: CausalGraph, ecosystem: str, *, top: int, flux_top: int, floor: float
    ) -> "ParentLists":
        """The lists of a class: up to `top` parents of a driver and `flux_top` of the flux, above `floor`."""
        index = {name: i for i, name in enumerate(graph.drivers)}
        flux = graph.parents(ecosystem, graph.target, top=flux_top, floor=floor)
        nodes = sorted({index[link.driver] for link in flux})
        lists = [graph.parents(ecosystem, graph.drivers[n], top=top, floor=floor) for n in nodes]
        driver, lag, log_prior = _padded(lists, index)
        return cls(
            nodes=np.array(nodes, dtype=np.int64),
            driver=driver,
            lag=lag,
            log_prior=log_prior,
            flux_node=np.array([nodes.index(index[link.driver]) for link in flux], dtype=np.int64),
            flux_lag=np.array([link.lag for link in flux], dtype=np.int64),
            flux_log_prior=np.log([link.probability for link in flux]).astype(np.float32),
        )


def _padded(
    lists: Sequence[tuple[Parent, ...]], index: dict[str, int]
) -> tuple[Integers, Integers, Singles]:
    """Driver, lag and log pi (N, M) of lists of different length."""
    longest = max((len(links) for links in lists), default=0)
    driver, lag = np.zeros((2, len(lists), longest), dtype=np.int64)
    log_prior = np.full((len(lists), longest), -np.inf, dtype=np.float32)
    for n, links in enumerate(lists):
        for m, link in enumerate(links):
            driver[n, m], lag[n, m] = index[link.driver], link.lag
            log_prior[n, m] = np.log(link.probability)
    return driver, lag, log_prior


class ParentAttention(nn.Module):
    """Multi-head attention of queries over gathered parents and themselves.

    Args:
        width: Features D.
        heads: Heads H.
        max_lag: Longest lag L [months].
        use_prior: Add softplus(gamma) log pi to the logits.
    """

    def __init__(self, width: int, heads: int, max_lag: int, *, use_prior: bool) -> None:
        super().__init__()
        self.heads, self.use_prior = heads, use_prior
        self.key = nn.Parameter(torch.randn(width, width) / width**0.5)
        self.value = nn.Parameter(torch.randn(width, width) / width**0.5)
        self.out = nn.Parameter(torch.randn(width, width) / width**0.5)
        self.lag_key = nn.Parameter(torch.randn(max_lag + 1, width) * 0.1)
        self.gamma = nn.Parameter(torch.zeros(heads))
        self.self_logit = nn.Parameter(torch.full((heads,), -1.0))

    def lagged(
        self, h: Tensor, driver: Integers, lag: Integers, kept: int
    ) -> tuple[Tensor, Tensor]:
        """Keys and values (I, D, T, S) of nodes h (P, D, months, S) at the given drivers and lags (I).

        T is the number of months that are kept, the last ones; before the first month stand zeros.
        """
        if not len(driver):
            empty = h.new_zeros((0, h.shape[1], kept, h.shape[3]))
            return empty, empty
        both = _project(torch.cat([self.key, self.value]), h)
        lacking = max(0, kept + int(lag.max()) - h.shape[2])
        both = functional.pad(both, (0, 0, lacking, 0)) if lacking else both
        end, nodes = both.shape[2], both.unbind(0)
        pairs = list(zip(driver.tolist(), lag.tolist(), strict=True))
        # A gradient of a cut is as large as what it was cut from, so in training each pair is cut only once.
        cut = list(dict.fromkeys(pairs)) if both.requires_grad else pairs
        picked = torch.stack([nodes[p][:, end - tau - kept : end - tau] for p, tau in cut])
        key, value = picked.chunk(2, dim=1)
        key = key + self.lag_key[[tau for _, tau in cut]][:, :, None, None]
        if cut is pairs:
            return key, value
        at = torch.tensor([cut.index(pair) for pair in pairs], device=h.device)
        return key.index_select(0, at), value.index_select(0, at)

    def weigh(self, query: Tensor, key: Tensor, log_prior: Tensor) -> tuple[Tensor, Tensor]:
        """Attention (N, M, H, T, S) over parents and (N, H, T, S) over the node itself.

        Args:
            query: Queries (N, D, T or 1, S or 1).
            key: Keys (N, M, D, T, S).
            log_prior: log pi (N, M).
        """
        nodes, parents, width, months, points = key.shape
        product = (query[:, None] * key).view(
            nodes, parents, self.heads, width // self.heads, months, points
        )
        logits = product.sum(3) / (width / self.heads) ** 0.5
        scale = functional.softplus(self.gamma) if self.use_prior else torch.zeros_like(self.gamma)
        bias = torch.where(
            torch.isinf(log_prior)[..., None],
            log_prior[..., None],
            _finite(log_prior)[..., None] * scale,
        )
        own = self.self_logit[None, None, :, None, None].expand(nodes, 1, -1, months, points)
        weights = torch.cat([logits + bias[..., None, None], own], dim=1).softmax(1)
        return weights[:, :-1], weights[:, -1]

    def gather(self, weights: Tensor, value: Tensor, own: Tensor) -> Tensor:
        """Weighted sums (N, D, T, S) of values (N, M, D, T, S), plus the node's own part, projected."""
        nodes, parents, width, months, points = value.shape
        by_head = value.view(nodes, parents, self.heads, width // self.heads, months, points)
        summed = (weights[:, :, :, None] * by_head).sum(1).view(nodes, width, months, points)
        return _project(self.out, summed + own)


class DagAttention(nn.Module):
    """One layer of attention of every needed driver over its parents, then a feed-forward, both residual.

    Args:
        width: Features D.
        heads: Heads H.
        max_lag: Longest lag L [months].
        use_prior: Add softplus(gamma) log pi to the logits.
    """

    def __init__(self, width: int, heads: int, max_lag: int, *, use_prior: bool) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(width, width) / width**0.5)
        self.attention = ParentAttention(width, heads, max_lag, use_prior=use_prior)
        self.rise = nn.Parameter(torch.randn(2 * width, width) / width**0.5)
        self.bias = nn.Parameter(torch.zeros(2 * width))
        self.fall = nn.Parameter(torch.randn(width, 2 * width) * 0.1 / width**0.5)

    def forward(self, h: Tensor, lists: ParentLists, last: int | None = None) -> Tensor:
        """Features (N, D, T, S) of the needed nodes from all drivers h (P, D, T, S); with `last` of so many months."""
        kept = _kept(h, last)
        nodes = h[torch.from_numpy(lists.nodes).to(h.device), :, -kept:]
        shape = (*lists.driver.shape, *nodes.shape[1:])
        key, value = self.attention.lagged(h, lists.driver.ravel(), lists.lag.ravel(), kept)
        prior = torch.from_numpy(lists.log_prior).to(h.device)
        weights, own = self.attention.weigh(_project(self.query, nodes), key.view(shape), prior)
        own_value = _by_head(own, _project(self.attention.value, nodes))
        h = nodes + self.attention.gather(weights, value.reshape(shape), own_value)
        raised = functional.gelu(_project(self.rise, h) + self.bias[:, None, None])
        return h + _project(self.fall, raised)


class FluxReadout(nn.Module):
    """A learned query that attends to the parents of the flux.

    Args:
        width: Features D.
        heads: Heads H.
        max_lag: Longest lag L [months].
        use_prior: Add softplus(gamma) log pi to the logits.
    """

    def __init__(self, width: int, heads: int, max_lag: int, *, use_prior: bool) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(width) / width**0.5)
        self.alone = nn.Parameter(torch.zeros(width))
        self.attention = ParentAttention(width, heads, max_lag, use_prior=use_prior)

    def forward(
        self, nodes: Tensor, lists: ParentLists, last: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """State of the flux (D, T, S) and attention (M') on its parents, mean over heads, months and points.

        Args:
            nodes: Features (N, D, T, S) of the drivers in `lists.nodes`.
            lists: Parents of the class.
            last: Months at the end that are wanted, all by default.
        """
        kept = _kept(nodes, last)
        key, value = self.attention.lagged(nodes, lists.flux_node, lists.flux_lag, kept)
        prior = torch.from_numpy(lists.flux_log_prior).to(nodes.device)[None]
        query = self.query[None, :, None, None]
        weights, own = self.attention.weigh(query, key[None], prior)
        alone = self.alone[None, :, None, None].expand(1, -1, *own.shape[2:])
        state = self.attention.gather(weights, value[None], _by_head(own, alone))[0]
        return state, weights[0].mean(dim=(1, 2, 3))


def _by_head(weights: Tensor, values: Tensor) -> Tensor:
    """Values (N, D, T, S) times weights (N, H, T, S) of the head that each feature belongs to."""
    heads = weights.shape[1]
    width = values.shape[1] // heads
    split = values.reshape(len(values), heads, width, *values.shape[2:])
    return (weights[:, :, None] * split).reshape(values.shape)


def _kept(h: Tensor, last: int | None) -> int:
    """Months at the end of h (P, D, T, S) that are wanted, no more than there are."""
    return h.shape[2] if last is None else min(h.shape[2], last)


def _project(weight: Tensor, h: Tensor) -> Tensor:
    """Linear map (O, D) of the features of h (N, D, T, S)."""
    flat = torch.bmm(weight.expand(len(h), -1, -1), h.flatten(2))
    return flat.view(len(h), len(weight), *h.shape[2:])


def _finite(values: Tensor) -> Tensor:
    """Zero in place of -inf, which times a gradient would be NaN."""
    return torch.where(torch.isinf(values), torch.zeros_like(values), values)
