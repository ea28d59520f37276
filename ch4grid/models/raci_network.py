"""The network of RACI, its bank of towers, the retrieval from it and the training.

`RaciNetwork.codes` turns rows (a year at a site with three years before it) into slow and fast codes, `retrieve` picks
towers of a `Bank` for them, and `RaciNetwork.conclude` says a location and a scale per month.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ch4grid.models.cham_net import (
    MONTHS,
    Answers,
    YearScaler,
    YearTable,
    every_year,
    split_answers,
    years_law,
)
from ch4grid.models.learner import Floats, Indices, Law, TrainingSet
from ch4grid.models.raci import RACI
from ch4grid.models.samples import Points
from ch4grid.models.spatial import Places, calendar_mean, distance_km
from ch4grid.models.year_rows import LOG_SCALE, Rows, Watched, answers_at, optimise

# Years before the target year in a row: 24 months of means, each over twelve months.
HISTORY = 3
SLOW_MONTHS = 24
QUARTER = 3
TAPS = 3
DILATIONS = (1, 2)
# Months of the past that the fast code sees beyond the present one.
FAST_MEMORY = sum((TAPS - 1) * q for q in DILATIONS)
# Most measured years of a tower that make its codes in the bank, and steps between two renewals.
BANK_YEARS = 2
RENEW = 15
# Different sets of excluded towers in neighbour dropout, as in CT-GAT.
DRAWS = 16
# Length over which the attention to a tower fades before it is learnt [km].
FADING_KM = 3000.0
# Power of the scale that damps the likelihood, as in CT-GAT.
DAMPING = 0.5

Mask = NDArray[np.bool_]


class Codes(NamedTuple):
    """Codes of rows.

    Args:
        slow: Slow code of every quarter (B, 4, D).
        fast: Fast code of every month (B, 12, D).
    """

    slow: Tensor
    fast: Tensor

    @property
    def monthly(self) -> Tensor:
        """The slow code of every month (B, 12, D)."""
        return self.slow.repeat_interleave(QUARTER, dim=1)


@dataclass(frozen=True, eq=False)
class Bank:
    """Codes of training towers.

    Args:
        points: The towers (U).
        slow: Mean slow code (U, D).
        fast: Mean fast code by phase of the season (U, 12, D).
    """

    points: Points
    slow: Tensor
    fast: Tensor


@dataclass(frozen=True, eq=False)
class Sight:
    """What rows may see of a bank.

    Args:
        distance: Distances to its towers (B, U) [km].
        barred: Towers that may not be retrieved (B, U).
        lot: Numbers by which towers are drawn at random (B, U).
        phase: Phase of the season of each month (B, 12).
    """

    distance: Tensor
    barred: Tensor
    lot: Tensor
    phase: Tensor

    @classmethod
    def of(cls, points: Points, bank: Points, barred: Mask | None = None) -> "Sight":
        """The sight of points on a bank."""
        distance = distance_km(_places(points), _places(bank))
        return cls(
            distance=torch.from_numpy(distance.astype(np.float32)),
            barred=torch.from_numpy(np.zeros(distance.shape, bool) if barred is None else barred),
            lot=torch.from_numpy(_lots(points, len(bank.site))),
            phase=torch.from_numpy(_phase(points)),
        )

    def at(self, index: Indices) -> "Sight":
        """The sight of some of the points."""
        chosen = torch.from_numpy(index)
        return Sight(*(v[chosen] for v in (self.distance, self.barred, self.lot, self.phase)))


def retrieve(code: Tensor, keys: Tensor, sight: Sight, config: RACI) -> tuple[Tensor, Tensor]:
    """Towers (B, T, K) retrieved for codes (B, T, D), and whether each is there.

    Args:
        code: The codes that ask.
        keys: Codes of the bank at each of the times (T, U, D).
        sight: What the rows may see.
        config: Number of neighbours and kind of retrieval.
    """
    allowed = ~sight.barred[:, None].expand(-1, code.shape[1], -1)
    count = min(config.neighbours, allowed.shape[2])
    everyone = min(2 * config.neighbours, allowed.shape[2])
    near = -sight.distance[:, None].expand_as(allowed)
    if config.retrieval == "geographic":
        return _highest(near, allowed, everyone)
    if config.retrieval == "random":
        return _highest(sight.lot[:, None].expand_as(allowed), allowed, everyone)
    asked, answers = (functional.normalize(v, dim=-1) for v in (code, keys))
    alike = torch.einsum("btd,tud->btu", asked, answers)
    if config.retrieval == "functional":
        return _highest(alike, allowed, everyone)
    geographic, present = _highest(near, allowed, count)
    # A tower that is near and alike is asked once.
    rest = allowed.scatter(2, geographic, False)
    functional_, there = _highest(alike, rest, count)
    return torch.cat([geographic, functional_], 2), torch.cat([present, there], 2)


class CrossAttention(nn.Module):
    """Attention of a code to codes of the bank that fades with distance.

    Args:
        width: Features of the codes D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.log_length = nn.Parameter(torch.tensor(float(np.log(FADING_KM))))

    def forward(self, code: Tensor, found: Tensor, distance: Tensor, present: Tensor) -> Tensor:
        """Context (B, T, D) of codes from towers found (B, T, K, D) at distances (B, T, K); zero if none is there."""
        match = (self.query(code)[..., None, :] * self.key(found)).sum(-1) / code.shape[-1] ** 0.5
        score = (match - distance / self.log_length.exp()).masked_fill(~present, -torch.inf)
        score = torch.where(present.any(-1, keepdim=True), score, 0.0)
        weight = score.softmax(-1) * present
        context: Tensor = (weight[..., None] * self.value(found)).sum(-2)
        return context


class RaciNetwork(nn.Module):
    """RACI.

    Args:
        inputs: Inputs per month F.
        features: Static features.
        config: Settings.
    """

    def __init__(self, inputs: int, features: int, config: RACI) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.slow = nn.GRU(inputs, width, batch_first=True)
        self.statics = nn.Sequential(
            nn.Dropout(config.dropout), nn.Linear(features, width), nn.Tanh()
        )
        self.regime = nn.Linear(2 * width, width)
        self.lift = nn.Linear(inputs, width)
        self.taps = nn.ModuleList(nn.Conv1d(width, width, TAPS, dilation=q) for q in DILATIONS)
        self.context_slow = CrossAttention(width)
        self.context_fast = CrossAttention(width)
        self.film = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(width, 2 * width))
        self.head = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(width, 2)
        )

    def codes(self, rows: Rows) -> Codes:
        """Slow and fast codes of rows with three earlier years."""
        months = rows.inputs.flatten(1, 2)
        # Means over the twelve months up to each, the first of them twelve months into the row.
        means = functional.avg_pool1d(months.transpose(1, 2), MONTHS, stride=1)
        windows = means.unfold(2, SLOW_MONTHS, 1)[:, :, -MONTHS::QUARTER]
        _, state = self.slow(windows.permute(0, 2, 3, 1).flatten(0, 1))
        state = state[0].view(len(months), MONTHS // QUARTER, -1)
        statics = self.statics(rows.features)[:, None].expand_as(state)
        return Codes(torch.tanh(self.regime(torch.cat([state, statics], -1))), self._fast(months))

    def _fast(self, months: Tensor) -> Tensor:
        """Fast codes of the last twelve of months (B, T, F)."""
        h = self.lift(months[:, -MONTHS - FAST_MEMORY :]).transpose(1, 2)
        for taps in self.taps:
            moved = functional.gelu(taps(h))
            h = h[..., -moved.shape[-1] :] + moved
        fast: Tensor = h.transpose(1, 2)
        return fast

    def conclude(self, codes: Codes, bank: Bank, sight: Sight) -> tuple[Tensor, Tensor]:
        """Location and log scale (B, 12) of codes with what the bank adds."""
        slow, fast = codes.monthly, codes.fast
        keys = bank.fast.transpose(0, 1)
        if self.config.roles:
            # The slow code asks once a quarter, since it does not change within one.
            regimes = bank.slow.expand(slow.shape[1] // QUARTER, -1, -1)
            context = self._context(self.context_slow, codes.slow, regimes, sight)
            slow = slow + context.repeat_interleave(QUARTER, dim=1)
        else:
            fast, keys = slow + fast, keys + bank.slow
        # Months in the order of the phase; half a year to and fro, so that the same order leads back.
        order = sight.phase[..., None].expand_as(fast)
        context = self._context(self.context_fast, fast.gather(1, order), keys, sight)
        fast = fast + context.gather(1, order)
        if self.config.roles:
            stretch, shift = self.film(slow).chunk(2, dim=2)
            fast = (1 + stretch) * fast + shift
        location, log_scale = self.head(fast).unbind(-1)
        return location, log_scale.clamp(*LOG_SCALE)

    def _context(self, attention: nn.Module, code: Tensor, keys: Tensor, sight: Sight) -> Tensor:
        """Context (B, T, D) of codes from bank codes (T, U, D)."""
        tower, present = retrieve(code.detach(), keys, sight, self.config)
        found = keys[torch.arange(len(keys))[:, None], tower]
        distance = sight.distance[:, None].expand(-1, code.shape[1], -1).gather(2, tower)
        context: Tensor = attention(code, found, distance, present)
        return context


@dataclass(frozen=True, eq=False)
class RaciMember:
    """A fitted member.

    Args:
        network: The network.
        bank: Codes of the training towers.
        stretch: What its scale is multiplied by: mean error over scale at the towers left out.
    """

    network: RaciNetwork
    bank: Bank
    stretch: float

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.network.parameters())


def fit_members(scaler: YearScaler, training: TrainingSet, config: RACI) -> tuple[RaciMember, ...]:
    """The members of an ensemble; the same training set gives the same members."""
    torch.set_num_threads(1)
    seeds = np.random.SeedSequence(training.seed).spawn(config.members)
    return tuple(_fit(scaler, training, config, seed) for seed in seeds)


def member_law(member: RaciMember, table: YearTable, config: RACI) -> Law:
    """The law of every year (S, Y, 12) of a table."""
    torch.set_num_threads(1)
    sight = Sight.of(table.points, member.bank.points)

    def law(sites: Indices) -> tuple[Tensor, Tensor]:
        rows = Rows.of(table, *every_year(table, sites), history=HISTORY)
        return member.network.conclude(member.network.codes(rows), member.bank, sight.at(rows.site))

    return years_law(law, table, stretch=member.stretch)


def barred_draws(
    points: Points, cluster: NDArray[np.generic], distances: Floats, random: np.random.Generator
) -> list[Mask]:
    """Towers that a tower may not retrieve (S, S): its cluster and, from the second draw on, those within a distance.

    Args:
        points: The training towers.
        cluster: Their clusters (S).
        distances: Distances [km] from cells to their nearest tower to draw from; may be empty.
        random: Generator.
    """
    own = cluster[:, None] == cluster[None]
    if not len(distances):
        return [own]
    apart = distance_km(_places(points), _places(points))
    radii = [random.choice(distances, len(own)) for _ in range(DRAWS)]
    return [own, *(own | (apart < radius[:, None]) for radius in radii)]


def loss(location: Tensor, log_scale: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
    """Mean damped Laplace likelihood of rows (B, 12) whose weights sum to one."""
    error = (scores - location).abs() * torch.exp(-log_scale)
    damped = log_scale.detach().exp() ** DAMPING * (error + log_scale)
    return (weight * damped).sum() / len(weight)


@dataclass(eq=False)
class _Task:
    """What the steps of one member draw from; its bank is renewed as the network learns."""

    network: RaciNetwork
    table: YearTable
    inside: Answers
    banked: tuple[Indices, Rows]
    sights: list[Sight]
    config: RACI
    random: np.random.Generator
    bank: Bank | None = None
    step: int = 0

    def renew(self) -> Bank:
        """The bank under the weights of now."""
        self.bank = _bank(self.network, self.table.points, *self.banked)
        return self.bank


def _fit(
    scaler: YearScaler, training: TrainingSet, config: RACI, seed: np.random.SeedSequence
) -> RaciMember:
    random = np.random.default_rng(seed)
    table = scaler.table(training.samples, None)
    inside, outside = split_answers(scaler, training, table, random)
    towers, rows = _banked(table, training)
    cluster = training.samples["cluster"].values
    barred = barred_draws(table.points, cluster, training.distances, random)
    bank_points = table.points.at(towers)
    sights = [Sight.of(table.points, bank_points, mask[:, towers]) for mask in barred]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(random.integers(2**31)))
        network = RaciNetwork(table.inputs.shape[3], table.features.shape[1], config)
        task = _Task(network, table, inside, (towers, rows), sights, config, random)
        watched = Watched.of(table, outside, HISTORY, random)
        law = _watching(task, watched)
        optimise(network, config, lambda: _step(task), lambda: watched.error(law()[0]))
    bank = task.renew()
    with torch.no_grad():
        return RaciMember(network, bank, watched.stretch(*law()))


def _watching(task: _Task, watched: Watched) -> Callable[[], tuple[Tensor, Tensor]]:
    """The law of the rows left out, which do not see their own cluster in the bank."""
    sight = task.sights[0].at(watched.rows.site)

    def law() -> tuple[Tensor, Tensor]:
        bank = task.bank or task.renew()
        return task.network.conclude(task.network.codes(watched.rows), bank, sight)

    return law


def _step(task: _Task) -> Tensor:
    """The loss of drawn site years."""
    network, config = task.network, task.config
    bank = task.renew() if task.bank is None or task.step % RENEW == 0 else task.bank
    sight = task.sights[task.step % len(task.sights)]
    task.step += 1
    rows = Rows.of(task.table, *task.inside.draw(config.batch, task.random), history=HISTORY)
    codes = network.codes(rows)
    scores, weight = answers_at(task.inside, rows)
    total = loss(*network.conclude(codes, bank, sight.at(rows.site)), scores, weight)
    if not config.roles:
        return total
    crossed = functional.cosine_similarity(codes.monthly, codes.fast, dim=-1) ** 2
    change = codes.slow.diff(dim=1) ** 2
    return total + config.orthogonality * crossed.mean() + config.slowness * change.sum(-1).mean()


def _banked(table: YearTable, training: TrainingSet) -> tuple[Indices, Rows]:
    """Towers of the bank, and rows of the last measured years of each, tower by tower."""
    measured = table.folded(training.targets.weight).sum(axis=2) > 0
    # How many measured years follow each year, itself included.
    latest = measured[:, ::-1].cumsum(axis=1)[:, ::-1]
    site, year = np.nonzero(measured & (latest <= BANK_YEARS))
    return np.unique(site), Rows.of(table, site, year, history=HISTORY)


def _bank(network: RaciNetwork, points: Points, towers: Indices, rows: Rows) -> Bank:
    """Mean codes of towers over their rows."""
    training = network.training
    network.eval()
    with torch.no_grad():
        codes = network.codes(rows)
    network.train(training)
    owner = np.searchsorted(towers, rows.site)
    everything = np.ones((len(owner), MONTHS), dtype=bool)
    by_month = calendar_mean(codes.fast, np.arange(MONTHS), owner, everything)
    slow = calendar_mean(codes.monthly, np.arange(MONTHS), owner, everything).mean(1)
    bank = points.at(towers)
    # Calendar month and phase are the same north of the equator and half a year apart south of it, either way round.
    at = torch.from_numpy(_phase(bank))[..., None].expand_as(by_month)
    return Bank(bank, slow, by_month.gather(1, at))


def _highest(score: Tensor, allowed: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Indices (B, T, count) of the highest scores (B, T, U) among those allowed, and whether each is one of them."""
    values, index = score.masked_fill(~allowed, -torch.inf).topk(count, dim=2)
    return index, values > -torch.inf


def _phase(points: Points) -> NDArray[np.int64]:
    """Phase of the season (S, 12) of each calendar month: half a year later in the south."""
    south = np.where(points.latitude < 0, MONTHS // 2, 0)
    return np.asarray((np.arange(MONTHS) + south[:, None]) % MONTHS, dtype=np.int64)


def _lots(points: Points, towers: int) -> NDArray[np.float32]:
    """Random numbers (S, U) of each point that depend on its name alone."""
    seeds = [zlib.crc32(name.encode()) for name in points.site.tolist()]
    return np.stack([np.random.default_rng(s).random(towers, np.float32) for s in seeds])


def _places(points: Points) -> Places:
    """Places by position alone."""
    scores = np.zeros((len(points.site), 0))
    return Places(points.latitude, points.longitude, points.ecosystem, scores)
