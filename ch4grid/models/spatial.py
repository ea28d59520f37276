"""Towers as neighbours: graph attention (GATv2, Brody et al. 2022) from a bank of training towers to every point.

The bank holds what drivers say about the training towers, averaged by calendar month, so that a year without towers is
predicted like any other; fluxes of neighbours are never inputs. Edges run from bank to point only, hence every cell is
independent of every other (methods 3.5). Neighbours are the nearest on the sphere, the most alike in statics and the
most alike of the same class; teleconnections, if wanted, add towers that change from month to month.
"""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ch4grid.models.config import CTGATConfig
from ch4grid.models.samples import Points
from ch4grid.models.teleconnection import Distant, distant
from ch4grid.models.windows import Windows

with warnings.catch_warnings():
    # torch-geometric compiles a container with torch.jit.script, which torch deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn import GATv2Conv

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

EARTH_RADIUS_KM = 6371.0088
DISTANCE_UNIT_KM = 100.0
LATITUDE_UNIT = 30.0
# log distance, distance between statics, same class, difference of absolute latitude.
EDGE_FEATURES = 4
MONTHS = 12


@dataclass(frozen=True, eq=False)
class Places:
    """What neighbours are chosen by.

    Args:
        latitude: Latitudes (S) [degrees_north].
        longitude: Longitudes (S) [degrees_east].
        ecosystem: Index of the class (S).
        scores: Weighted scores of the static predictors (S, N).
    """

    latitude: Floats
    longitude: Floats
    ecosystem: Integers
    scores: Floats

    @classmethod
    def of(cls, points: Points, static_scores: NDArray[np.float32], weights: Floats) -> "Places":
        """The places of points, statics weighted by their importance."""
        scores = static_scores.astype(np.float64) * np.sqrt(weights / max(weights.sum(), 1e-12))
        return cls(points.latitude, points.longitude, points.ecosystem, scores)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Edges from bank towers to points.

    Args:
        tower: Index in the bank (S, K), 0 where there is no neighbour.
        present: Whether there is one (S, K).
        edge: Edge features (S, K, 4).
        distant: Teleconnections; None where they are not wanted.
    """

    tower: Integers
    present: Mask
    edge: NDArray[np.float32]
    distant: Distant | None = None

    def at(self, index: NDArray[np.intp]) -> "Neighbours":
        """The neighbours of the points of an index."""
        far = None if self.distant is None else self.distant.at(index)
        return Neighbours(self.tower[index], self.present[index], self.edge[index], far)

    def cut(self, windows: Windows) -> "Neighbours":
        """The neighbours of the rows of windows."""
        far = None if self.distant is None else self.distant.cut(windows)
        return replace(replace(self, distant=None).at(windows.owner), distant=far)


def distance_km(places: Places, bank: Places) -> Floats:
    """Great-circle distances (S, U) [km] by the haversine formula."""
    north, east = np.deg2rad(places.latitude)[:, None], np.deg2rad(places.longitude)[:, None]
    bank_north, bank_east = np.deg2rad(bank.latitude)[None], np.deg2rad(bank.longitude)[None]
    half = np.sin((north - bank_north) / 2) ** 2
    half = half + np.cos(north) * np.cos(bank_north) * np.sin((east - bank_east) / 2) ** 2
    return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1))))


class NeighbourSearch:
    """Neighbours of points among the towers of a bank; distances are computed once, exclusions may change.

    Args:
        places: The points.
        bank: The towers.
        config: Numbers of neighbours of each kind.
        correlation: Correlations of drivers (S, U, T), for teleconnections.
    """

    def __init__(
        self, places: Places, bank: Places, config: CTGATConfig, correlation: Floats | None = None
    ) -> None:
        self.correlation, self.far = correlation, config.teleconnections
        self.distance = distance_km(places, bank)
        self.alike = np.sqrt(
            np.maximum(((places.scores[:, None] - bank.scores[None]) ** 2).sum(axis=-1), 0.0)
        )
        self.same = places.ecosystem[:, None] == bank.ecosystem[None]
        self.counts = (config.near, config.alike, config.same_class)
        north = (np.abs(places.latitude)[:, None] - np.abs(bank.latitude)[None]) / LATITUDE_UNIT
        self.edge = np.stack(
            [np.log1p(self.distance / DISTANCE_UNIT_KM), self.alike, self.same, north], axis=-1
        ).astype(np.float32)

    def find(self, excluded: Mask | None = None) -> Neighbours:
        """The neighbours, leaving out bank towers where `excluded` (S, U) is true."""
        gone = np.zeros(self.distance.shape, dtype=bool) if excluded is None else excluded
        keys = (self.distance, self.alike, np.where(self.same, self.alike, np.inf))
        parts = [
            _first(np.where(gone, np.inf, key), n) for key, n in zip(keys, self.counts, strict=True)
        ]
        tower = np.concatenate([p[0] for p in parts], axis=1)
        present = np.concatenate([p[1] for p in parts], axis=1)
        for k in range(1, tower.shape[1]):
            present[:, k] &= ~((tower[:, :k] == tower[:, k : k + 1]) & present[:, :k]).any(axis=1)
        edge = np.take_along_axis(self.edge, tower[..., None], axis=1)
        if self.correlation is None:
            return Neighbours(tower, present, edge)
        far = distant(self.correlation, self.edge, (tower, present), gone=gone, count=self.far)
        return Neighbours(tower, present, edge, far)


def _first(key: Floats, count: int) -> tuple[Integers, Mask]:
    """Indices (S, count) of the smallest finite keys and whether each exists; ties by index."""
    order = np.argsort(key, axis=1, kind="stable")[:, :count]
    return order, np.isfinite(np.take_along_axis(key, order, axis=1))


class TowerAttention(nn.Module):
    """GATv2 from bank towers to points, then a gate that says how much of it to believe.

    Args:
        width: Features of the state D.
        static: Features of the static embedding.
        edges: Features of an edge, one more than usual under teleconnections.
    """

    def __init__(self, width: int, static: int, edges: int = EDGE_FEATURES) -> None:
        super().__init__()
        self.conv = GATv2Conv(
            (width + static, width + static), width, edge_dim=edges, add_self_loops=False
        )
        self.gate = nn.Linear(2 * width + static, width)

    def forward(
        self,
        state: Tensor,
        embedding: Tensor,
        bank: Tensor,
        neighbours: Neighbours,
        month: Integers,
    ) -> Tensor:
        """State (S, T, D) with what the neighbours add.

        Args:
            state: State of the flux (S, T, D).
            embedding: Static embedding (S, G).
            bank: State and embedding of the bank towers by calendar month (U, 12, D + G).
            neighbours: Edges.
            month: Calendar month (T).
        """
        own = torch.cat([state, embedding[:, None].expand(-1, len(month), -1)], dim=-1)
        index, edge = _edges(neighbours, month, device=state.device)
        found: Tensor = self.conv((bank.flatten(0, 1), own.flatten(0, 1)), index, edge)
        found = found.view(state.shape)
        return state + torch.sigmoid(self.gate(torch.cat([own, found], dim=-1))) * found


def calendar_mean(state: Tensor, month: Integers, owner: Integers, valid: Mask) -> Tensor:
    """Mean state (U, 12, D) of each tower in each calendar month over valid months of its rows (S, T, D)."""
    towers = int(owner.max()) + 1
    slot = torch.from_numpy((owner[:, None] * MONTHS + month[None])[valid]).to(state.device)
    counts = torch.zeros(towers * MONTHS, device=state.device).index_add(
        0, slot, torch.ones(len(slot), device=state.device)
    )
    chosen = state[torch.from_numpy(valid).to(state.device)]
    sums = state.new_zeros(towers * MONTHS, state.shape[-1]).index_add(0, slot, chosen)
    return (sums / counts.clamp(min=1)[:, None]).view(towers, MONTHS, -1)


def _edges(
    neighbours: Neighbours, month: Integers, *, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Edge index (2, edges) from (tower, calendar month) to (point, month), and edge features (edges, 4 or 5)."""
    point, slot = np.nonzero(neighbours.present)
    months = len(month)
    source = (neighbours.tower[point, slot][:, None] * MONTHS + month[None]).ravel()
    target = (point[:, None] * months + np.arange(months)[None]).ravel()
    edge = np.repeat(neighbours.edge[point, slot], months, axis=0)
    if neighbours.distant is not None:
        far = neighbours.distant.last(months)
        s, t, k = np.nonzero(far.present)
        source = np.concatenate([source, far.tower[s, t, k] * MONTHS + month[t]])
        target = np.concatenate([target, s * months + t])
        along = far.along.transpose(0, 2, 1)[point, slot].reshape(-1, 1)
        edge = np.concatenate([np.concatenate([edge, along], axis=1), far.edge[s, t, k]])
    index = torch.from_numpy(np.stack([source, target]))
    return index.to(device), torch.from_numpy(edge).to(device)
