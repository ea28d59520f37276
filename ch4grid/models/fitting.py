"""One fit: one ensemble member on one set of towers, as a function of a picklable task, for any process to run.

A member differs from another by the clusters it draws (with replacement), the graph it draws (links as uncertain as the
number of clusters behind them) and its initial weights. The clusters it did not draw stop it early. A fit is one stage
in which everything learns, or three (methods 3.7): dynamics without towers; towers and head at a fifth of the step
size; these and the nudge of the magnitude, which the closed form has kept in its place until then.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ch4grid.graph import CausalGraph
from ch4grid.models.attention import ParentLists
from ch4grid.models.config import CTGATConfig
from ch4grid.models.ctgat import (
    CTGAT,
    Group,
    bank_table,
    groups_of,
    memory,
    parent_lists,
    season_of,
)
from ch4grid.models.head import Prediction
from ch4grid.models.losses import Measured, distance, loss
from ch4grid.models.magnitude import Moments, fit_magnitude, flux_limits, plain_magnitude
from ch4grid.models.samples import Points, Scaler, Targets
from ch4grid.models.spatial import Neighbours, NeighbourSearch, Places, calendar_mean
from ch4grid.models.teleconnection import correlations, seasonal_differences
from ch4grid.models.weighting import month_weights
from ch4grid.models.windows import Windows

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

GRADIENT_LIMIT = 1.0
# Steps between two looks at the clusters that were not drawn, and the share of the steps before the first look.
LOOK = 10
FIRST_LOOK = 0.3
# Different sets of neighbours in neighbour dropout; more change nothing and cost time.
NEIGHBOUR_DRAWS = 16
# Trust in a link probability when the graph does not say how many clusters it rests on.
DEFAULT_CLUSTERS = 10
DIGITS = 6
# Largest relative difference between links of a graph without knowledge: it settles which of them fill a short list.
TIE = 1e-3
# Shares of the steps after which the dynamics and the frozen nudge end, when a fit is staged.
DYNAMICS_END, FROZEN_END = 0.6, 0.8
# Fraction of the step size at which towers and head are tuned to finished dynamics.
FINE = 0.2
# Bias of the gate of the towers when they join finished dynamics: almost closed.
CLOSED = -3.0
# Fewest steps of a stage that a cosine schedule can be laid over.
SHORTEST_STAGE = 3


@dataclass(frozen=True, eq=False)
class FitTask:
    """All that a fit needs.

    Args:
        points: Training towers, sorted by class.
        targets: Their measured months.
        cluster: Their clusters (S).
        scaler: Scaler of these towers.
        static_weights: Importance of the static predictors (N).
        graph: Causal graph discovered without any tower outside this set.
        config: Settings.
        distances: Distances [km] from cells of deployment to their nearest tower, for neighbour dropout; may be empty.
        seed: Seed of the member.
    """

    points: Points
    targets: Targets
    cluster: Integers
    scaler: Scaler
    static_weights: Floats
    graph: CausalGraph
    config: CTGATConfig
    distances: Floats
    seed: int


@dataclass(frozen=True, eq=False)
class Member:
    """A fitted member.

    Args:
        weights: Parameters by name.
        probability: Link probabilities of its graph (E, P + 1, P, L + 1).
        steps: Step whose parameters were kept.
    """

    weights: dict[str, NDArray[np.float32]]
    probability: Floats
    steps: int


@dataclass(frozen=True, eq=False)
class _Batch:
    """Tensors of a task; all but the inputs without the months that are nothing but memory."""

    inputs: Tensor
    features: Tensor
    groups: Sequence[Group]
    season: Tensor
    month: Integers
    windows: Windows
    settled: NDArray[np.bool_]

    @property
    def lists(self) -> list[ParentLists]:
        return [lists for lists, _ in self.groups]


@dataclass(frozen=True)
class Stage:
    """A part of a fit.

    Args:
        first: Steps before it.
        steps: Its steps.
        rate: Its largest step size.
        towers: Whether points attend to towers.
        learning: Beginnings of the names of the parameters that learn.
        frozen: Beginnings of names of those among them that do not.
    """

    first: int
    steps: int
    rate: float
    towers: bool = True
    learning: tuple[str, ...] = ("",)
    frozen: tuple[str, ...] = ()


def stages(config: CTGATConfig) -> tuple[Stage, ...]:
    """The stages of a fit in their order."""
    if not config.staged:
        return (Stage(0, config.steps, config.learning_rate),)
    ends = [0]
    for share in (DYNAMICS_END, FROZEN_END, 1.0):
        ends.append(max(round(share * config.steps), ends[-1] + SHORTEST_STAGE))
    (a, b), (_, c), (_, d) = pairwise(ends)
    fine, last = FINE * config.learning_rate, ("towers.", "head.")
    return (
        Stage(a, b - a, config.learning_rate, towers=False, frozen=("towers.", "head.nudge.")),
        Stage(b, c - b, fine, learning=last, frozen=("head.nudge.",)),
        Stage(c, d - c, fine, learning=last),
    )


def fit_member(task: FitTask) -> Member:
    """The member of a task; the same task gives the same bytes."""
    torch.set_num_threads(1)
    random = np.random.default_rng(task.seed)
    drawn = draw_clusters(task.cluster, task.points.ecosystem, random)
    graph = draw_graph(task.graph, task.config, random)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(random.integers(2**31)))
        network = CTGAT(len(graph.drivers), task.scaler.features, graph.max_lag, task.config)
        features = task.scaler.static_features(task.points)
        moments = Moments.of(task.targets)
        ridge = (
            fit_magnitude(moments, features, task.cluster, drawn)
            if task.config.magnitude
            else plain_magnitude(moments, features.shape[1], drawn)
        )
        limits = flux_limits(task.targets, task.points.ecosystem, drawn)
        network.head.ridge.copy_(torch.from_numpy(ridge))
        network.head.limits.copy_(torch.from_numpy(limits))
        windows = Windows.of(task.targets.weight)
        rows, lead = windows.points(task.points), windows.lead(task.targets.weight)
        batch = _Batch(
            inputs=torch.from_numpy(task.scaler.inputs(rows)),
            features=torch.from_numpy(features[windows.owner]),
            groups=groups_of(rows.ecosystem, parent_lists(graph, task.config)),
            season=season_of(rows)[:, lead:],
            month=rows.month[lead:],
            windows=windows,
            settled=settled(windows.months, graph.max_lag)[lead:],
        )
        inside, outside = (
            _measured(task, moments, windows, towers) for towers in (drawn, drawn == 0)
        )
        weights, steps = _optimise(network, task, batch, (inside, outside), random)
    return Member(weights, graph.probability, steps)


def draw_clusters(cluster: Integers, ecosystem: Integers, random: np.random.Generator) -> Floats:
    """How often each tower (S) is drawn when clusters are drawn with replacement.

    A class that the draw missed gets one of its clusters: a member that has seen no upland would say anything there.

    Args:
        cluster: Clusters of the towers (S).
        ecosystem: Their classes (S).
        random: Generator.
    """
    labels, index = np.unique(cluster, return_inverse=True)
    counts = np.bincount(random.integers(0, len(labels), len(labels)), minlength=len(labels))
    for code in np.unique(ecosystem):
        own = np.unique(index[ecosystem == code])
        if not counts[own].any():
            counts[random.choice(own)] += 1
    return counts[index].astype(np.float64)


def draw_graph(graph: CausalGraph, config: CTGATConfig, random: np.random.Generator) -> CausalGraph:
    """A graph with link probabilities drawn from Beta(pi n, (1 - pi) n), n the number of clusters behind the graph.

    A link below the floor is absent from every draw: luck must not open what discovery closed. A uniform graph is not
    scattered, for its links would then be unequal; luck only settles which of them fill a list that is too short.
    """
    seed = int(random.integers(2**31))
    if config.uniform_graph:
        return replace(graph, probability=equal_links(graph, config.floor, random))
    if config.randomise_graph:
        graph = graph.randomised(seed)
    trust = max(len(graph.provenance.get("clusters", ())), DEFAULT_CLUSTERS)
    pi = np.where(graph.probability >= config.floor, graph.probability, 0.0)
    inside = (pi > 0) & (pi < 1)
    safe = np.where(inside, pi, 0.5)
    drawn = np.where(inside, random.beta(safe * trust, (1 - safe) * trust), pi)
    return replace(graph, probability=drawn.round(DIGITS))


def equal_links(graph: CausalGraph, floor: float, random: np.random.Generator) -> Floats:
    """Probabilities (E, P + 1, P, L + 1) without knowledge: every link that may exist as likely as a node's links are.

    That is their mean, or the floor where the mean lies below it and would close them all.
    """
    possible = graph.probability > 0
    total = graph.probability.sum(axis=(2, 3), keepdims=True)
    count = np.maximum(possible.sum(axis=(2, 3), keepdims=True), 1)
    level = np.maximum(total / count, floor) * (1 + TIE * random.random(possible.shape))
    return np.where(possible, np.minimum(level, 1.0), 0.0).round(DIGITS)


def settled(months: int, max_lag: int) -> NDArray[np.bool_]:
    """Months (T) that see their whole memory; at least the last twelve count as such."""
    return np.asarray(np.arange(months) >= min(memory(max_lag), max(months - 12, 0)))


def _optimise(
    network: CTGAT,
    task: FitTask,
    batch: _Batch,
    measured: tuple[Measured, Measured],
    random: np.random.Generator,
) -> tuple[dict[str, NDArray[np.float32]], int]:
    """Parameters at the best look, and its step; looks are at the second of the measured."""
    neighbours = [found.cut(batch.windows) for found in _neighbour_draws(task, random)]
    best, kept, kept_at, towers = np.inf, _state(network), 0, None
    for stage in stages(task.config):
        if stage.towers != towers:
            best, towers = np.inf, stage.towers
        draws: list[Neighbours | None] = [*neighbours] if towers else [None]
        _prepare(network, stage)
        for step in _steps(network, task.config, stage, batch, draws, measured[0]):
            score = _look(network, batch, draws[0], measured[1])
            if score < best:
                best, kept, kept_at = score, _state(network), stage.first + step
        if task.config.staged:
            network.load_state_dict({k: torch.from_numpy(v) for k, v in kept.items()})
    return kept, kept_at


def _steps(
    network: CTGAT,
    config: CTGATConfig,
    stage: Stage,
    batch: _Batch,
    neighbours: Sequence[Neighbours | None],
    inside: Measured,
) -> Iterator[int]:
    """Takes the steps of a stage; yields those after which the network is to be looked at."""
    optimiser = torch.optim.AdamW(
        [p for p in network.parameters() if p.requires_grad],
        lr=stage.rate,
        weight_decay=config.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        max_lr=stage.rate,
        total_steps=stage.steps,
        pct_start=max(0.1, 2 / stage.steps),
    )
    for step in range(1, stage.steps + 1):
        optimiser.zero_grad(set_to_none=True)
        hidden = _hide_drivers(batch, config.driver_dropout)
        prediction = _predict(network, hidden, neighbours[step % len(neighbours)])
        progress = min((stage.first + step) / config.steps, 1.0)
        loss(prediction, inside, batch.lists, config=config, progress=progress).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_LIMIT)
        optimiser.step()
        schedule.step()
        if step >= FIRST_LOOK * stage.steps and (step % LOOK == 0 or step == stage.steps):
            yield step


def _prepare(network: CTGAT, stage: Stage) -> None:
    """Let only the parameters of a stage learn; towers that are new to finished dynamics speak softly at first."""
    for name, parameter in network.named_parameters():
        learns = name.startswith(stage.learning) and not name.startswith(stage.frozen)
        parameter.requires_grad_(learns)
    if network.towers is not None and not stage.towers:
        torch.nn.init.constant_(network.towers.gate.bias, CLOSED)


def _predict(network: CTGAT, batch: _Batch, neighbours: Neighbours | None) -> Prediction:
    """Prediction at the towers with the towers themselves as bank."""
    state, embedding, attention = network.embed(
        batch.inputs, batch.features, batch.groups, batch.season, len(batch.month)
    )
    owner = batch.windows.owner
    valid = np.tile(batch.settled, (len(state), 1))
    first = torch.from_numpy(np.unique(owner, return_index=True)[1])
    bank = bank_table(calendar_mean(state, batch.month, owner, valid), embedding[first])
    return network.conclude(
        state, embedding, batch.features, attention, bank, neighbours, batch.month
    )


def _look(network: CTGAT, batch: _Batch, neighbours: Neighbours | None, outside: Measured) -> float:
    """Absolute error at the clusters that were not drawn; zero when all were, so that the last look wins a tie."""
    network.eval()
    with torch.no_grad():
        score = float(distance(_predict(network, batch, neighbours), outside))
    network.train()
    return score


def _measured(task: FitTask, moments: Moments, windows: Windows, drawn: NDArray[Any]) -> Measured:
    """Rows of what is held against the prediction, towers weighted by how often they were drawn."""
    towers = month_weights(task.targets.weight, task.points.ecosystem, drawn.astype(np.float64))
    lead = windows.lead(task.targets.weight)
    weight = windows.weights(towers)[:, lead:]
    tower = weight.sum(axis=1)
    return Measured(
        transformed=_single(windows.cut(task.targets.transformed, 0.0)[:, lead:]),
        weight=_single(weight),
        level=_single(moments.level[windows.owner]),
        log_amplitude=_single(moments.log_amplitude[windows.owner]),
        tower=_single(tower / max(tower.sum(), 1e-12)),
    )


def _neighbour_draws(task: FitTask, random: np.random.Generator) -> list[Neighbours]:
    """Neighbours without the own cluster and, from the second draw on, without towers nearer than a drawn distance."""
    scores = task.scaler.static_scores(task.points)
    places = Places.of(task.points, scores, task.static_weights)
    search = NeighbourSearch(places, places, task.config, _correlation(task))
    own = task.cluster[:, None] == task.cluster[None]
    draws = [search.find(own)]
    if task.config.neighbour_dropout and len(task.distances):
        for _ in range(NEIGHBOUR_DRAWS):
            radius = random.choice(task.distances, len(own))
            draws.append(search.find(own | (search.distance < radius[:, None])))
    return draws


def _correlation(task: FitTask) -> Floats | None:
    """Correlations of the towers' drivers (S, S, T), where teleconnections are wanted."""
    if not task.config.teleconnections:
        return None
    own = seasonal_differences(task.points.dynamic, np.asarray(task.scaler.spread))
    return correlations(own, own)


def _hide_drivers(batch: _Batch, share: float) -> _Batch:
    """The batch with whole driver series of towers missing, as they will be somewhere on the globe."""
    drivers, _, points, _ = batch.inputs.shape
    keep = (torch.rand(drivers, 1, points, 1) >= share).to(batch.inputs.dtype)
    return replace(batch, inputs=batch.inputs * keep)


def _state(network: CTGAT) -> dict[str, NDArray[np.float32]]:
    return {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}


def _single(values: Floats) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
