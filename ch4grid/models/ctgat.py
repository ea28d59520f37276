"""CT-GAT, the causal temporal graph attention network: encoders, attention over causal parents, towers, head.

    drivers -> DriverEncoder -> DagAttention -> FluxReadout -> FiLM by statics -> TowerAttention -> Head

After the framework of a causality-guided CT-GAT (seminar, 2026), whose details are unpublished; this is our own
specification (methods 3.5). A month sees its own past of 20 months and nothing after it; a driver outside every parent
list changes nothing.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ch4grid.graph import CausalGraph
from ch4grid.models.attention import DagAttention, FluxReadout, ParentLists
from ch4grid.models.config import CTGATConfig
from ch4grid.models.encoder import MEMORY, DriverEncoder
from ch4grid.models.head import Head, Prediction
from ch4grid.models.samples import Points
from ch4grid.models.spatial import EDGE_FEATURES, MONTHS, Neighbours, TowerAttention
from ch4grid.vocabulary import ECOSYSTEMS

# Points of one class side by side, with the lists of that class.
Group = tuple[ParentLists, slice]

STATIC_WIDTH = 8
# Sine and cosine.
SEASON = 2


def memory(max_lag: int) -> int:
    """Months before a month that can change its prediction: the encoder's, and two layers of lags."""
    return MEMORY + 2 * max_lag


def parent_lists(graph: CausalGraph, config: CTGATConfig) -> tuple[ParentLists, ...]:
    """The lists of every class of a graph, in its order."""
    return tuple(
        ParentLists.of(
            graph, name, top=config.parents, flux_top=config.flux_parents, floor=config.floor
        )
        for name in graph.ecosystems
    )


def groups_of(ecosystem: NDArray[np.int64], lists: Sequence[ParentLists]) -> list[Group]:
    """The classes of points that are sorted by class, each with its lists."""
    present, starts = np.unique(ecosystem, return_index=True)
    ends = [*starts[1:].tolist(), len(ecosystem)]
    return [
        (lists[int(e)], slice(int(start), int(end)))
        for e, start, end in zip(present, starts, ends, strict=True)
    ]


class CTGAT(nn.Module):
    """The network of one ensemble member.

    Args:
        drivers: Number of drivers P.
        features: Number of static features F.
        max_lag: Longest lag of the graph L [months].
        config: Settings.
    """

    def __init__(self, drivers: int, features: int, max_lag: int, config: CTGATConfig) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.max_lag = max_lag
        self.encoder = DriverEncoder(drivers, width)
        self.dag = DagAttention(width, heads, max_lag, use_prior=config.use_prior)
        self.readout = FluxReadout(width, heads, max_lag, use_prior=config.use_prior)
        self.statics = nn.Sequential(
            nn.Linear(features, STATIC_WIDTH), nn.Tanh(), nn.Dropout(config.dropout)
        )
        # The class also acts directly: its responses may differ in sign, which eight shared features learn too slowly.
        self.film = nn.Linear(STATIC_WIDTH + len(ECOSYSTEMS), 2 * width)
        edges = EDGE_FEATURES + (config.teleconnections > 0)
        self.towers = TowerAttention(width, STATIC_WIDTH, edges) if config.towers else None
        self.head = Head(
            width, STATIC_WIDTH, features, dropout=config.dropout, magnitude=config.magnitude
        )
        self.season = nn.Linear(SEASON, 2 * width, bias=False) if config.season else None

    def embed(
        self,
        inputs: Tensor,
        features: Tensor,
        groups: Sequence[Group],
        season: Tensor,
        last: int | None = None,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """State (S, T, D) and static embedding (S, G) of points, and the mean attention of each group.

        Args:
            inputs: Input channels (P, C, S, T), points sorted by class.
            features: Static features (S, F).
            groups: The classes present.
            season: Season (S, wanted T, 2) of `season_of`.
            last: Months at the end that are wanted; each layer then sees no more months than these depend on.
        """
        months = inputs.shape[-1]
        wanted = months if last is None else min(last, months)
        inputs = inputs[..., -(wanted + memory(self.max_lag)) :]
        h = self.encoder(inputs, wanted + 2 * self.max_lag)
        states, attention = [], []
        for lists, rows in groups:
            parents = self.dag(h[..., rows], lists, wanted + self.max_lag)
            state, weights = self.readout(parents, lists, wanted)
            states.append(state)
            attention.append(weights)
        embedding = self.statics(features)
        place = torch.cat([embedding, features[:, -len(ECOSYSTEMS) :]], dim=-1)
        condition = self.film(place)[:, None]
        if self.season is not None:
            condition = condition + self.season(season)
        factor, offset = condition.chunk(2, dim=-1)
        state = torch.cat(states, dim=-1).permute(2, 1, 0).contiguous()
        return state * (1 + factor) + offset, embedding, tuple(attention)

    def forward(
        self,
        inputs: Tensor,
        features: Tensor,
        groups: Sequence[Group],
        season: Tensor,
        bank: Tensor,
        neighbours: Neighbours,
        month: NDArray[np.int64],
    ) -> Prediction:
        """The law of the flux at points.

        Args:
            inputs: Input channels (P, C, S, T), points sorted by class.
            features: Static features (S, F).
            groups: The classes present.
            season: Season (S, T, 2) of the months that are wanted.
            bank: State and embedding of the bank by calendar month (U, 12, D + G).
            neighbours: Edges from the bank.
            month: Calendar months that are wanted, the last ones of the inputs.
        """
        state, embedding, attention = self.embed(inputs, features, groups, season, len(month))
        return self.conclude(state, embedding, features, attention, bank, neighbours, month)

    def conclude(
        self,
        state: Tensor,
        embedding: Tensor,
        features: Tensor,
        attention: tuple[Tensor, ...],
        bank: Tensor,
        neighbours: Neighbours | None,
        month: NDArray[np.int64],
    ) -> Prediction:
        """The law of the flux from what `embed` gives; without neighbours it rests on the point alone."""
        if self.towers is not None and neighbours is not None:
            state = self.towers(state, embedding, bank, neighbours, month)
        return self.head(state, embedding, features, attention)  # type: ignore[no-any-return]


def season_of(points: Points, last: int | None = None) -> Tensor:
    """Season (S, T, 2) of the last months of points, as `models.season`: July in the south as January in the north."""
    month = points.month if last is None else points.month[-last:]
    turned = np.where(points.latitude < 0, MONTHS / 2, 0.0)
    angle = 2 * np.pi * (month[None] + 0.5 + turned[:, None]) / MONTHS
    return torch.from_numpy(np.stack([np.sin(angle), np.cos(angle)], axis=-1).astype(np.float32))


def bank_table(calendar: Tensor, embedding: Tensor) -> Tensor:
    """State by calendar month (U, 12, D) beside the static embedding (U, G)."""
    return torch.cat([calendar, embedding[:, None].expand(-1, calendar.shape[1], -1)], dim=-1)
