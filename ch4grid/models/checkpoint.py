"""The checkpoint: all that turns drivers at points into fluxes, in two files without code.

`model.safetensors` holds arrays (members, bank towers, applicability), `checkpoint.json` the rest (settings, scaler,
graph, calibration, skill, provenance) and the hash of the first. The JSON is written last: where it is, all is.
"""

import json
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import Tensor

from ch4grid.graph import CausalGraph
from ch4grid.models import checkpoint_encoding as encoding
from ch4grid.models.attention import ParentLists
from ch4grid.models.batching import batches
from ch4grid.models.checkpoint_files import (
    ARRAYS,
    DOCUMENT,
    FORMAT,
    below,
    damaged,
    document_of,
    read,
    sha256,
)
from ch4grid.models.config import CTGATConfig
from ch4grid.models.ctgat import CTGAT, bank_table, groups_of, parent_lists, season_of
from ch4grid.models.fitting import Member, settled
from ch4grid.models.head import QUANTILES
from ch4grid.models.learner import Learner
from ch4grid.models.mixture import ClassMixture, own_shares
from ch4grid.models.reference import Applicability as Applicability
from ch4grid.models.reference import applicability_rows
from ch4grid.models.refit import Refit
from ch4grid.models.samples import Points, Scaler
from ch4grid.models.spatial import Neighbours, NeighbourSearch, Places, calendar_mean
from ch4grid.models.teleconnection import (
    absolute_months,
    correlations,
    placed,
    seasonal_differences,
)
from ch4grid.stores import sweep_partial, write_atomic
from ch4grid.structure import StructuralModel
from ch4grid.vocabulary import ECOSYSTEMS, GASES

# Location, scale and quantiles.
LAW = 2 + len(QUANTILES)

Integers = NDArray[np.int64]
Singles = NDArray[np.float32]


# Network, parent lists and bank of a member, on the device where it predicts.
Placed = tuple[CTGAT, tuple[ParentLists, ...], Tensor]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A fitted ensemble.

    Args:
        config: Settings of the model.
        gas: Name of the gas.
        scaler: Scaler of the training towers; names the drivers and the statics.
        graph: Causal graph, with its provenance.
        members: Fitted members.
        bank: Training towers, sorted by class.
        static_weights: Importance of the static predictors (N).
        applicability: What the area of applicability is measured against.
        calibration: JSON of an `uncertainty.Calibration`, empty before calibration.
        skill: Rows of split, n and scores, as JSON values.
        meta: Provenance as JSON values: towers, seed, software.
        structure: Structural model of the drivers, None in checkpoints that were trained before there was one.
        mixture: Classes of a place by its statics, for settings with soft classes.
        calendar: Months of the bank (T) since the year zero, for settings with teleconnections.
        refit: The ensemble of a model that is not CT-GAT; members then hold nothing but the graph.
        parts: Checkpoints of the models of a stack; members then hold nothing but the graph.
        weights: Weights of the parts, which sum to one.
    """

    config: Learner
    gas: str
    scaler: Scaler
    graph: CausalGraph
    members: tuple[Member, ...]
    bank: Points
    static_weights: NDArray[np.float64]
    applicability: Applicability
    calibration: dict[str, Any] = field(default_factory=dict)
    skill: tuple[dict[str, Any], ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)
    structure: StructuralModel | None = None
    mixture: ClassMixture | None = None
    calendar: Integers | None = None
    refit: Refit | None = None
    parts: tuple["Checkpoint", ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def architecture(self) -> str:
        """Name of the architecture."""
        return str(getattr(self.config, "architecture", type(self.config).__name__))

    @property
    def drivers(self) -> tuple[str, ...]:
        """Names of the drivers."""
        return self.scaler.drivers

    @property
    def statics(self) -> tuple[str, ...]:
        """Names of the static predictors."""
        return self.scaler.statics

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the document, which holds that of the arrays."""
        return sha256(self._files[DOCUMENT])

    def save(self, folder: Path) -> None:
        """Write both files, the document last; what a killed writer left there goes first.

        Raises:
            RunError: The folder cannot be written.
        """
        sweep_partial(folder)
        for name in (ARRAYS, DOCUMENT):
            write_atomic(folder / name, self._files[name])

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint":
        """The checkpoint of a folder.

        Raises:
            InputError: A file is missing, damaged or of another format.
        """
        content = read(folder)
        document = document_of(content[DOCUMENT], folder)
        if sha256(content[ARRAYS]) != document["arrays_sha256"]:
            raise damaged(
                folder / ARRAYS, f"sha256 {document['arrays_sha256'][:16]}", "other bytes"
            )
        try:
            return cls._of(document, load_arrays(content[ARRAYS]))
        except (KeyError, TypeError, ValueError, SafetensorError) as error:
            raise damaged(folder, "a checkpoint of this version", str(error)) from error

    @classmethod
    def _of(cls, document: dict[str, Any], arrays: encoding.Arrays) -> "Checkpoint":
        """The checkpoint of both files' content."""
        parts = tuple(
            cls._of(part, below(arrays, f"part.{i}."))
            for i, part in enumerate(document.get("parts", ()))
        )
        return cls(**encoding.fields(document, arrays), parts=parts)

    def predict(
        self,
        points: xr.Dataset,
        *,
        device: str = "cpu",
        batch: int | None = None,
        last: int | None = None,
    ) -> xr.Dataset:
        """The law of the flux at points, all members in one pass, in asinh space.

        A month depends on the twenty months before it: the caller gives these as well and drops them afterwards. Points
        are independent of each other, of their order and of the batch.

        Args:
            points: Drivers (site, time), statics (site), coordinates latitude, longitude and ecosystem (site).
            device: Torch device.
            batch: Points of one class side by side, by device when None; the last ones are padded to the same shape,
                and where memory runs out it is halved (`models.batching`).
            last: Months at the end that are wanted, all by default; the earlier ones are memory and cost less.

        Returns:
            `location`, `scale` (member, site, time) and `quantile_location` (quantile, member, site, time).

        Raises:
            InputError: A predictor is missing.
        """
        torch.set_num_threads(1)
        wanted = points.sizes["time"] if last is None else last
        laws = self._all_laws(points, wanted, device, batch)
        dims = ("member", "site", "time")
        return xr.Dataset(
            {"location": (dims, laws[0]), "scale": (dims, laws[1])}
            | {"quantile_location": (("quantile", *dims), laws[2:])},
            coords={
                "quantile": list(QUANTILES),
                "site": points["site"],
                "time": points["time"][-wanted:],
            },
            attrs={"transform": f"asinh(flux / {GASES[self.gas].asinh_scale:g} nmol m-2 s-1)"},
        )

    def _all_laws(self, points: xr.Dataset, wanted: int, device: str, batch: int | None) -> Singles:
        """Location, scale and quantiles (2 + Q, M, S, T) of the last months at points."""
        if self.parts:
            told = [part._all_laws(points, wanted, device, batch) for part in self.parts]
            weights = np.asarray(self.weights, dtype=np.float32)
            stacked: Singles = np.tensordot(weights, np.stack(told), axes=1)
            return stacked
        if self.refit is not None:
            return laplace_laws(*self.refit.laws(points, wanted))
        table, calendar = Points.of(points, self.drivers, self.statics), absolute_months(points)
        shares, networks = self._shares(table), self._placed(device)
        laws = np.zeros((LAW, len(self.members), len(table.site), wanted), np.float32)
        for code in np.flatnonzero(shares.any(axis=0)):
            rows = np.flatnonzero(shares[:, code])
            predict = partial(self._class_laws, table, int(code), calendar, wanted, networks)
            for part, found in batches(rows, predict, device=device, size=batch):
                laws[:, :, part] += shares[part, code, None] * found
        return laws

    def _class_laws(
        self,
        table: Points,
        code: int,
        calendar: Integers,
        wanted: int,
        networks: tuple[Placed, ...],
        rows: NDArray[np.intp],
    ) -> Singles:
        """Laws (2 + Q, M, rows, T) of some of the points, all taken for one class."""
        asked = replace(table.at(rows), ecosystem=np.full(len(rows), code))
        return self._laws(asked, calendar, wanted, networks)

    def applicability_features(self, points: xr.Dataset) -> Singles:
        """Scaled predictors (site, time, feature) that the area of applicability is measured with."""
        return applicability_rows(Points.of(points, self.drivers, self.statics), self.scaler)

    def causes(self, ecosystem: int) -> frozenset[str]:
        """Drivers that can move the flux of a class in some member: its parents and theirs; no other one can."""
        if not isinstance(self.config, CTGATConfig) or self.config.teleconnections:
            return frozenset(self.drivers)
        codes = range(len(ECOSYSTEMS)) if self.config.soft_classes else (ecosystem,)
        lists = [lists[code] for _, lists in self.networks for code in codes]
        found = {
            int(i) for one in lists for i in (*one.nodes, *one.driver[np.isfinite(one.log_prior)])
        }
        return frozenset(self.drivers[i] for i in found)

    @cached_property
    def networks(self) -> tuple[tuple[CTGAT, tuple[ParentLists, ...]], ...]:
        """Network and parent lists of every member."""
        return tuple(self._network(member) for member in self.members)

    @cached_property
    def bank_tables(self) -> tuple[Tensor, ...]:
        """State and static embedding of the bank by calendar month (U, 12, D + G), of every member."""
        inputs = torch.from_numpy(self.scaler.inputs(self.bank))
        features = torch.from_numpy(self.scaler.static_features(self.bank))
        months = len(self.bank.month)
        valid = np.tile(settled(months, self.graph.max_lag), (len(features), 1))
        tables = []
        with torch.inference_mode():
            for network, lists in self.networks:
                groups = groups_of(self.bank.ecosystem, lists)
                state, embedding, _ = network.embed(inputs, features, groups, season_of(self.bank))
                owner = np.arange(len(features))
                mean = calendar_mean(state, self.bank.month, owner, valid)
                tables.append(bank_table(mean, embedding))
        return tuple(tables)

    def _placed(self, device: str) -> tuple[Placed, ...]:
        """Network, parent lists and bank of every member on a device."""
        tables = (bank.to(device) for bank in self.bank_tables)
        return tuple(
            (network.to(device), lists, bank)
            for (network, lists), bank in zip(self.networks, tables, strict=True)
        )

    @property
    def _settings(self) -> CTGATConfig:
        """The settings of CT-GAT; no other model has networks."""
        if not isinstance(self.config, CTGATConfig):
            raise TypeError(f"a checkpoint of {self.architecture} holds no CT-GAT")
        return self.config

    def _network(self, member: Member) -> tuple[CTGAT, tuple[ParentLists, ...]]:
        config = self._settings
        network = CTGAT(len(self.drivers), self.scaler.features, self.graph.max_lag, config)
        network.load_state_dict({k: torch.from_numpy(v) for k, v in member.weights.items()})
        graph = CausalGraph(
            self.graph.drivers, self.graph.target, self.graph.ecosystems, member.probability
        )
        return network.eval(), parent_lists(graph, config)

    def _shares(self, table: Points) -> Singles:
        """Share of each class in the law of each point (S, E)."""
        if self.mixture is None:
            return own_shares(table.ecosystem)
        return self.mixture.shares(self.scaler.static_scores(table), table.ecosystem)

    def _neighbours(self, table: Points, calendar: Integers) -> Neighbours:
        places, bank = (
            Places.of(p, self.scaler.static_scores(p), self.static_weights)
            for p in (table, self.bank)
        )
        linked = self._correlation(table, calendar)
        return NeighbourSearch(places, bank, self._settings, linked).find()

    def _correlation(self, table: Points, calendar: Integers) -> NDArray[np.float64] | None:
        """Correlations of drivers of points and bank (S, U, T) over the months that both have."""
        if self.calendar is None:
            return None
        spread = np.asarray(self.scaler.spread)
        own, bank = (seasonal_differences(p.dynamic, spread) for p in (table, self.bank))
        return correlations(own, placed(bank, self.calendar, calendar))

    def _laws(
        self, table: Points, calendar: Integers, wanted: int, networks: tuple[Placed, ...]
    ) -> Singles:
        """Location, scale and quantiles (2 + Q, M, S, T) of the last months, for points of one class."""
        device = networks[0][2].device
        inputs = torch.from_numpy(self.scaler.inputs(table)).to(device)
        features = torch.from_numpy(self.scaler.static_features(table)).to(device)
        season = season_of(table, wanted).to(device)
        neighbours, month = self._neighbours(table, calendar), table.month[-wanted:]
        code, laws = int(table.ecosystem[0]), []
        with torch.inference_mode():
            for network, lists, bank in networks:
                groups = [(lists[code], slice(0, len(features)))]
                law = network(inputs, features, groups, season, bank, neighbours, month)
                laws.append(torch.stack([law.location, law.scale, *law.quantiles]).cpu().numpy())
        return np.stack(laws, axis=1)

    @cached_property
    def _files(self) -> dict[str, bytes]:
        arrays = save_arrays(encoding.arrays(self))
        document = {"format": FORMAT, "arrays_sha256": sha256(arrays)} | encoding.document(self)
        text = json.dumps(document, sort_keys=True, indent=1, allow_nan=False)
        return {ARRAYS: arrays, DOCUMENT: (text + "\n").encode()}


def laplace_laws(location: NDArray[np.float64], scale: NDArray[np.float64]) -> Singles:
    """Location, scale and quantiles (2 + Q, M, S, T) of Laplace laws."""
    level = np.asarray(QUANTILES)[:, None, None, None]
    away = np.sign(level - 0.5) * -np.log(1 - 2 * np.abs(level - 0.5))
    quantiles = location + scale * away
    return np.concatenate([location[None], scale[None], quantiles]).astype(np.float32)
