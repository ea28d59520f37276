"""The network of CHAM-net and its training.

`ChamNetwork` turns `Rows`, each a year at a site with the years before it, into a location and a scale per month.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ch4grid.models.cham_net import (
    MONTHS,
    Answers,
    ChamNet,
    YearScaler,
    YearTable,
    alike,
    every_year,
    split_answers,
    years_law,
)
from ch4grid.models.learner import Indices, Law, TrainingSet
from ch4grid.models.year_rows import LOG_SCALE, Rows, Watched, answers_at, laplace, optimise

TEMPERATURE = 0.1
# Weight inside the exponent of a negative of the same class or neighbourhood.
ALIKE = 0.5
EXPERT_PENALTY = 1e-4
EXPERT_SPREAD = 0.3
# Gradient steps on earlier years and on the target year, their size, and the share of the way that W_0 follows.
INNER_STEPS = 3
INNER_RATE = 0.5
OUTER_RATE = 0.3


class Pool(nn.Module):
    """Attention pooling (B, N, D) -> (B, D) over present entries; zero where none is.

    Args:
        width: Features D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, values: Tensor, present: Tensor) -> Tensor:
        """The pooled values."""
        score = self.score(values)[..., 0].masked_fill(~present, -torch.inf)
        # A row without entries would be the softmax of nothing.
        score = torch.where(present.any(1, keepdim=True), score, 0.0)
        weight = score.softmax(1) * present
        return (weight[..., None] * values).sum(1)


class ExpertGRU(nn.Module):
    """A GRU whose weights differ by row: W_0 plus a mixture of experts.

    Args:
        inputs: Inputs per month F.
        width: Features of the state D.
        experts: Sets of weights J.
    """

    def __init__(self, inputs: int, width: int, experts: int) -> None:
        super().__init__()
        self.shape = (inputs + width + 1, 3 * width)
        self.width = width
        size = self.shape[0] * self.shape[1]
        self.base = nn.Parameter((2 * torch.rand(size) - 1) / (inputs + width) ** 0.5)
        self.experts = nn.Parameter(
            EXPERT_SPREAD * (2 * torch.rand(experts, size) - 1) / (inputs + width) ** 0.5
        )

    def weights(self, gates: Tensor) -> Tensor:
        """Weights (B, size) of rows with these shares of the experts (B, J)."""
        return self.base + gates @ self.experts

    def forward(self, inputs: Tensor, state: Tensor, weights: Tensor) -> Tensor:
        """States (B, T, D) of inputs (B, T, F) from a first state (B, D); a month sees no later one."""
        matrix = weights.view(-1, *self.shape)
        features = inputs.shape[-1]
        driven = torch.baddbmm(matrix[:, -1:], inputs, matrix[:, :features])
        recurrent = matrix[:, features:-1]
        states = []
        for month in driven.unbind(1):
            echo = torch.bmm(state[:, None], recurrent)[:, 0]
            reset, update = torch.sigmoid(
                month[:, : 2 * self.width] + echo[:, : 2 * self.width]
            ).chunk(2, dim=1)
            fresh = torch.tanh(month[:, 2 * self.width :] + reset * echo[:, 2 * self.width :])
            state = fresh + update * (state - fresh)
            states.append(state)
        return torch.stack(states, dim=1)


class ChamNetwork(nn.Module):
    """CHAM-net.

    Args:
        inputs: Inputs per month F.
        features: Static features.
        config: Settings.
    """

    def __init__(self, inputs: int, features: int, config: ChamNet) -> None:
        super().__init__()
        width = config.width
        self.within = nn.GRU(inputs + 2, width, batch_first=True)
        self.pool_months = Pool(width)
        self.across = nn.GRUCell(width, width)
        self.pool_years = Pool(width)
        self.statics = nn.Sequential(
            nn.Dropout(config.dropout), nn.Linear(features, width), nn.Tanh()
        )
        self.code = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(3 * width, width))
        self.gate = nn.Linear(width, config.experts)
        self.first = nn.Linear(2 * width, width)
        self.film = nn.Linear(width, 2 * width)
        self.decoder = ExpertGRU(inputs, width, config.experts)
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(width, 2))

    def years(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Summary of each earlier year (B, H, D) and the last state of the latest (B, D), zero if it is not there."""
        rows_count, history = rows.present.shape
        months = torch.cat([rows.inputs[:, :-1], rows.flux], dim=-1).flatten(0, 1)
        states, _ = self.within(months)
        everywhere = torch.ones(states.shape[:2], dtype=torch.bool)
        summary = self.pool_months(states, everywhere).view(rows_count, history, -1)
        last = states[:, -1].view(rows_count, history, -1)[:, -1]
        return summary, last * rows.present[:, -1:]

    def site_code(self, summary: Tensor, present: Tensor, features: Tensor) -> Tensor:
        """Code z (B, D) of the present years (B, H) among summaries (B, H, D) and of static features."""
        state = summary.new_zeros(len(summary), summary.shape[2])
        for year in range(summary.shape[1]):
            moved = self.across(summary[:, year], state)
            state = torch.where(present[:, year, None], moved, state)
        parts = [state, self.pool_years(summary, present), self.statics(features)]
        z: Tensor = self.code(torch.cat(parts, dim=1))
        return z

    def weights(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of the decoder (B, size) of codes, and the size of what the experts add."""
        gates = self.gate(z).softmax(1)
        return self.decoder.weights(gates), ((gates @ self.decoder.experts) ** 2).mean()

    def decode(self, rows: Rows, z: Tensor, last: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Location and log scale (B, 12) of the target years."""
        start = torch.tanh(self.first(torch.cat([z, last], dim=1)))
        states = self.decoder(rows.inputs[:, -1], start, weights)
        stretch, shift = self.film(z)[:, None].chunk(2, dim=2)
        location, log_scale = self.head((1 + stretch) * states + shift).unbind(-1)
        return location, log_scale.clamp(*LOG_SCALE)

    def law(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Location and log scale (B, 12) of rows, in standard deviations of the training."""
        summary, last = self.years(rows)
        z = self.site_code(summary, rows.present, rows.features)
        return self.decode(rows, z, last, self.weights(z)[0])


@dataclass(frozen=True, eq=False)
class ChamMember:
    """A fitted network, and what its scale is multiplied by: mean error over scale at the towers left out."""

    network: ChamNetwork
    stretch: float

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.network.parameters())


def fit_members(
    scaler: YearScaler, training: TrainingSet, config: ChamNet
) -> tuple[ChamMember, ...]:
    """The members of an ensemble; the same training set gives the same members."""
    torch.set_num_threads(1)
    seeds = np.random.SeedSequence(training.seed).spawn(config.members)
    return tuple(_fit(scaler, training, config, seed) for seed in seeds)


def member_law(member: ChamMember, table: YearTable, config: ChamNet) -> Law:
    """The law of every year (S, Y, 12) of a table; with flux in it the decoder is adapted to it, if it learnt to be."""
    torch.set_num_threads(1)
    adapts = config.episodes > 0 and bool(table.flux.any())

    def law(sites: Indices) -> tuple[Tensor, Tensor]:
        rows = Rows.of(table, *every_year(table, sites), history=config.history)
        return _adapted_law(member.network, rows, table) if adapts else member.network.law(rows)

    return years_law(law, table, stretch=member.stretch)


def huber(location: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
    """Mean Huber loss of rows (B, 12) whose weights sum to one."""
    return (weight * functional.huber_loss(location, scores, reduction="none")).sum() / len(weight)


def contrast(first: Tensor, second: Tensor, alike: Tensor, same: Tensor) -> Tensor:
    """InfoNCE of two codes (B, D) of each row.

    Args:
        first: One code of each row.
        second: The other.
        alike: Pairs of rows (B, B) of one class or neighbourhood.
        same: Pairs of rows (B, B) of one site, which are no negatives.
    """
    cosine = functional.normalize(first, dim=1) @ functional.normalize(second, dim=1).T
    own = torch.eye(len(cosine), dtype=torch.bool)
    weighted = cosine / TEMPERATURE * torch.where(alike & ~own, ALIKE, 1.0)
    logits = weighted.masked_fill(same & ~own, -torch.inf)
    return (logits.logsumexp(1) - logits.diagonal()).mean()


@dataclass(frozen=True, eq=False)
class _Task:
    """What the steps of one member draw from."""

    network: ChamNetwork
    table: YearTable
    inside: Answers
    alike: Tensor
    config: ChamNet
    random: np.random.Generator


def _fit(
    scaler: YearScaler, training: TrainingSet, config: ChamNet, seed: np.random.SeedSequence
) -> ChamMember:
    random = np.random.default_rng(seed)
    table = scaler.table(training.samples, training.targets)
    inside, outside = split_answers(scaler, training, table, random)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(random.integers(2**31)))
        network = ChamNetwork(table.inputs.shape[3], table.features.shape[1], config)
        task = _Task(network, table, inside, torch.from_numpy(alike(table.points)), config, random)
        watched = Watched.of(table, outside, config.history, random)
        optimise(
            network,
            config,
            lambda: _step(task),
            lambda: watched.error(network.law(watched.rows)[0]),
        )
        for _ in range(config.episodes):
            _episode(task)
    with torch.no_grad():
        return ChamMember(network, watched.stretch(*network.law(watched.rows)))


def _step(task: _Task) -> Tensor:
    """The loss of drawn site years."""
    network, config = task.network, task.config
    rows = Rows.of(task.table, *task.inside.draw(config.batch, task.random), history=config.history)
    shown = (torch.rand(len(rows.site), 1, 1, 1) < config.flux_history).float()
    rows = replace(rows, flux=rows.flux * shown)
    summary, last = network.years(rows)
    # One call for the code of all years and for those of two disjoint sets of them.
    present = torch.cat([rows.present, *_views(rows.present)])
    z, *views = network.site_code(
        summary.repeat(3, 1, 1), present, rows.features.repeat(3, 1)
    ).chunk(3)
    weights, size = network.weights(z)
    location, log_scale = network.decode(rows, z, last, weights)
    scores, weight = answers_at(task.inside, rows)
    fit = huber(location, scores, weight)
    fit = fit + laplace(location.detach(), log_scale, scores, weight)
    return fit + EXPERT_PENALTY * size + config.contrast * _contrast(task, rows, views)


def _views(present: Tensor) -> tuple[Tensor, Tensor]:
    """The present years (B, H) of each row split into two halves at random."""
    order = torch.rand(present.shape).masked_fill(~present, 2.0).argsort(1).argsort(1)
    first = present & (order < present.sum(1, keepdim=True) // 2)
    return first, present & ~first


def _contrast(task: _Task, rows: Rows, views: Sequence[Tensor]) -> Tensor:
    """Contrastive loss of the rows with two earlier years or more, of which both codes (B, D) know a year."""
    fit = (rows.present.sum(1) >= 2).nonzero()[:, 0]
    if len(fit) < 2:
        return torch.zeros(())
    site = torch.from_numpy(rows.site)[fit]
    same = site[:, None] == site
    return contrast(views[0][fit], views[1][fit], task.alike[site[:, None], site], same)


def _episode(task: _Task) -> None:
    """Move W_0 towards where steps on the earlier years of drawn rows, then on their target year, lead (Reptile)."""
    network, config = task.network, task.config
    rows = Rows.of(task.table, *task.inside.draw(config.batch, task.random), history=config.history)
    shift = _inner_shift(network, rows, task.table)
    start = _start(network, rows)
    shift = shift - INNER_RATE * _gradient(
        network, rows, start, shift, answers_at(task.inside, rows)
    )
    # Rows without an earlier measured year teach no adaptation.
    taught = rows.flux[..., 1].flatten(1).any(1)
    if taught.any():
        with torch.no_grad():
            network.decoder.base.add_(OUTER_RATE * shift[taught].mean(0))


def _adapted_law(network: ChamNetwork, rows: Rows, table: YearTable) -> tuple[Tensor, Tensor]:
    """Location and log scale of rows with decoder weights moved by steps on the earlier years of each."""
    z, last, weights = _start(network, rows)
    return network.decode(rows, z, last, weights + _inner_shift(network, rows, table))


def _inner_shift(network: ChamNetwork, rows: Rows, table: YearTable) -> Tensor:
    """Shift of the decoder's weights (B, size) by gradient steps on the earlier years; zero where none is measured."""
    count, history = rows.present.shape
    years = rows.year[:, None] + np.arange(-history, 0)
    site = np.repeat(rows.site, history)
    support = Rows.of(table, site, years.ravel(), history=history)
    months = rows.flux.flatten(0, 1)
    # All earlier years of a row share its shift, so their months are weighted together.
    seen = months[..., 1].view(count, -1)
    weight = (seen / seen.sum(1, keepdim=True).clamp(min=1)).view(-1, MONTHS)
    start, answers = _start(network, support), (months[..., 0], weight)
    shift = torch.zeros(count, len(network.decoder.base))
    for _ in range(INNER_STEPS):
        step = _gradient(network, support, start, shift.repeat_interleave(history, 0), answers)
        shift = shift - INNER_RATE * step.view(count, history, -1).sum(1)
    return shift


def _start(network: ChamNetwork, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
    """Code, last state and decoder weights of rows, without gradient."""
    with torch.no_grad():
        summary, last = network.years(rows)
        z = network.site_code(summary, rows.present, rows.features)
        return z, last, network.weights(z)[0]


def _gradient(
    network: ChamNetwork,
    rows: Rows,
    start: tuple[Tensor, Tensor, Tensor],
    shift: Tensor,
    answers: tuple[Tensor, Tensor],
) -> Tensor:
    """Gradient (B, size) of each row's Huber loss with respect to its own shift of the decoder's weights."""
    z, last, weights = start
    scores, weight = answers
    with torch.enable_grad():
        moved = shift.detach().requires_grad_()
        location, _ = network.decode(rows, z, last, weights + moved)
        total = huber(location, scores, weight) * len(rows.site)
        return torch.autograd.grad(total, moved)[0]
