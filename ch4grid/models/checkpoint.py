"""The checkpoint: all that turns drivers at points into fluxes, in two files without code.

`model.safetensors` holds arrays (members, bank towers, applicability), `checkpoint.json` the rest (settings, scaler,
graph, calibration, skill, provenance) and the hash of the first. The JSON is written last: where it is, all is.
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
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

from ch4grid.errors import InputError
from ch4grid.graph import CausalGraph
from ch4grid.models.attention import ParentLists
from ch4grid.models.config import CTGATConfig
from ch4grid.models.ctgat import CTGAT, bank_table, groups_of, parent_lists
from ch4grid.models.fitting import Member, settled
from ch4grid.models.head import QUANTILES
from ch4grid.models.samples import ANOMALY_ONLY, Points, Scaler
from ch4grid.models.spatial import Neighbours, NeighbourSearch, Places, calendar_mean
from ch4grid.stores import sweep_partial, write_atomic
from ch4grid.structure import StructuralModel
from ch4grid.vocabulary import GASES

FORMAT = "ch4grid-checkpoint-1"
ARRAYS = "model.safetensors"
DOCUMENT = "checkpoint.json"
BANK = ("dynamic", "static", "latitude", "longitude", "ecosystem", "month")

Arrays = dict[str, NDArray[Any]]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Applicability:
    """What the area of applicability is measured against.

    Args:
        features: Scaled predictors of the training months (rows, features).
        weights: Importance of each feature (features).
        mean_distance: Mean weighted distance between training rows.
        threshold: Largest dissimilarity index inside the area of applicability.
    """

    features: Singles
    weights: Singles
    mean_distance: float
    threshold: float


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
    """

    config: CTGATConfig
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

    @property
    def architecture(self) -> str:
        """Name of the architecture."""
        return self.config.architecture

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
        return _sha256(self._files[DOCUMENT])

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
        content = _read(folder)
        document = _document(content[DOCUMENT], folder)
        if _sha256(content[ARRAYS]) != document["arrays_sha256"]:
            raise _damaged(
                folder / ARRAYS, f"sha256 {document['arrays_sha256'][:16]}", "other bytes"
            )
        try:
            return _decode(document, load_arrays(content[ARRAYS]))
        except (KeyError, TypeError, ValueError, SafetensorError) as error:
            raise _damaged(folder, "a checkpoint of this version", str(error)) from error

    def predict(
        self, points: xr.Dataset, *, device: str = "cpu", batch: int = 64, last: int | None = None
    ) -> xr.Dataset:
        """The law of the flux at points, all members in one pass, in asinh space.

        A month depends on the twenty months before it: the caller gives these as well and drops them afterwards. Points
        are independent of each other, of their order and of the batch.

        Args:
            points: Drivers (site, time), statics (site), coordinates latitude, longitude and ecosystem (site).
            device: Torch device.
            batch: Points of one class side by side; the last ones are padded to the same shape.
            last: Months at the end that are wanted, all by default; the earlier ones are memory and cost less.

        Returns:
            `location`, `scale` (member, site, time) and `quantile_location` (quantile, member, site, time).

        Raises:
            InputError: A predictor is missing.
        """
        torch.set_num_threads(1)
        table = Points.of(points, self.drivers, self.statics)
        neighbours = self._neighbours(table)
        wanted = len(table.month) if last is None else last
        shape = (len(self.members), len(table.site), wanted)
        out = {"location": np.empty(shape, np.float32), "scale": np.empty(shape, np.float32)}
        quantiles = np.empty((len(QUANTILES), *shape), np.float32)
        for code in np.unique(table.ecosystem):
            rows = np.flatnonzero(table.ecosystem == code)
            for start in range(0, len(rows), batch):
                part = rows[start : start + batch]
                padded = part[np.minimum(np.arange(batch), len(part) - 1)]
                for m, law in enumerate(
                    self._laws(table.at(padded), neighbours.at(padded), wanted, device)
                ):
                    location, scale, quantile = (v[..., : len(part), :].cpu().numpy() for v in law)
                    out["location"][m, part], out["scale"][m, part] = location, scale
                    quantiles[:, m, part] = quantile
        dims = ("member", "site", "time")
        return xr.Dataset(
            {name: (dims, values) for name, values in out.items()}
            | {"quantile_location": (("quantile", *dims), quantiles)},
            coords={
                "quantile": list(QUANTILES),
                "site": points["site"],
                "time": points["time"][-wanted:],
            },
            attrs={"transform": f"asinh(flux / {GASES[self.gas].asinh_scale:g} nmol m-2 s-1)"},
        )

    def applicability_features(self, points: xr.Dataset) -> Singles:
        """Scaled predictors (site, time, feature) that the area of applicability is measured with."""
        return applicability_rows(Points.of(points, self.drivers, self.statics), self.scaler)

    def causes(self, ecosystem: int) -> frozenset[str]:
        """Drivers that can move the flux of a class in some member: its parents and theirs; no other one can."""
        lists = [lists[ecosystem] for _, lists in self.networks]
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
                state, embedding, _ = network.embed(inputs, features, groups)
                owner = np.arange(len(features))
                mean = calendar_mean(state, self.bank.month, owner, valid)
                tables.append(bank_table(mean, embedding))
        return tuple(tables)

    def _network(self, member: Member) -> tuple[CTGAT, tuple[ParentLists, ...]]:
        network = CTGAT(len(self.drivers), self.scaler.features, self.graph.max_lag, self.config)
        network.load_state_dict({k: torch.from_numpy(v) for k, v in member.weights.items()})
        graph = CausalGraph(
            self.graph.drivers, self.graph.target, self.graph.ecosystems, member.probability
        )
        return network.eval(), parent_lists(graph, self.config)

    def _neighbours(self, table: Points) -> Neighbours:
        places, bank = (
            Places.of(p, self.scaler.static_scores(p), self.static_weights)
            for p in (table, self.bank)
        )
        return NeighbourSearch(places, bank, self.config).find()

    def _laws(
        self, table: Points, neighbours: Neighbours, wanted: int, device: str
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Location, scale (S, T) and quantiles (Q, S, T) of the last months, by member, for points of one class."""
        inputs = torch.from_numpy(self.scaler.inputs(table)).to(device)
        features = torch.from_numpy(self.scaler.static_features(table)).to(device)
        code, laws = int(table.ecosystem[0]), []
        with torch.inference_mode():
            for (network, lists), bank in zip(self.networks, self.bank_tables, strict=True):
                law = network.to(device)(
                    inputs,
                    features,
                    [(lists[code], slice(0, len(features)))],
                    bank.to(device),
                    neighbours,
                    table.month[-wanted:],
                )
                laws.append((law.location, law.scale, law.quantiles))
        return laws

    @cached_property
    def _files(self) -> dict[str, bytes]:
        arrays = save_arrays(_arrays(self))
        document = {
            "format": FORMAT,
            "arrays_sha256": _sha256(arrays),
            "config": self.config.model_dump(mode="json"),
            "gas": self.gas,
            "scaler": self.scaler.to_json(),
            "graph": json.loads(self.graph.to_json()),
            "steps": [member.steps for member in self.members],
            "bank": {"site": self.bank.site.tolist()},
            "applicability": {
                "mean_distance": self.applicability.mean_distance,
                "threshold": self.applicability.threshold
                if np.isfinite(self.applicability.threshold)
                else None,
            },
            "calibration": self.calibration,
            "skill": list(self.skill),
            "meta": self.meta,
        }
        if self.structure is not None:
            document["structure"] = json.loads(self.structure.to_json())
        text = json.dumps(document, sort_keys=True, indent=1, allow_nan=False)
        return {ARRAYS: arrays, DOCUMENT: (text + "\n").encode()}


def applicability_rows(points: Points, scaler: Scaler) -> Singles:
    """Scaled drivers and statics (S, T, P + N), 0 where missing."""
    inputs = scaler.inputs(points)
    anomaly = np.isin(scaler.drivers, ANOMALY_ONLY)[:, None, None]
    level = (inputs[:, 0] + np.where(anomaly, inputs[:, 1], 0.0)).transpose(1, 2, 0)
    static = scaler.static_scores(points)[:, None]
    spread = np.broadcast_to(static, (*level.shape[:2], static.shape[-1]))
    return np.concatenate([level, spread], axis=-1).astype(np.float32)


def _arrays(checkpoint: Checkpoint) -> Arrays:
    """Everything that is numbers, by name, contiguous as safetensors wants it."""
    bank = checkpoint.bank
    arrays: Arrays = {f"bank.{name}": getattr(bank, name) for name in BANK}
    arrays |= {
        "static_weights": checkpoint.static_weights,
        "applicability.features": checkpoint.applicability.features,
        "applicability.weights": checkpoint.applicability.weights,
        "probability": np.stack([member.probability for member in checkpoint.members]),
    }
    for i, member in enumerate(checkpoint.members):
        arrays |= {f"member.{i}.{name}": values for name, values in member.weights.items()}
    return {name: np.ascontiguousarray(values) for name, values in arrays.items()}


def _decode(document: dict[str, Any], arrays: Arrays) -> Checkpoint:
    """The checkpoint of both files' content."""
    members = []
    for i, steps in enumerate(document["steps"]):
        prefix = f"member.{i}."
        weights = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        members.append(Member(weights, arrays["probability"][i], steps))
    limit = document["applicability"]["threshold"]
    return Checkpoint(
        config=CTGATConfig.model_validate(document["config"]),
        gas=document["gas"],
        scaler=Scaler.from_json(document["scaler"]),
        graph=CausalGraph.from_json(json.dumps(document["graph"])),
        members=tuple(members),
        bank=Points(
            **{name: arrays[f"bank.{name}"] for name in BANK},
            site=np.array(document["bank"]["site"], dtype=str),
        ),
        static_weights=arrays["static_weights"],
        applicability=Applicability(
            features=arrays["applicability.features"],
            weights=arrays["applicability.weights"],
            mean_distance=document["applicability"]["mean_distance"],
            threshold=np.inf if limit is None else limit,
        ),
        calibration=document["calibration"],
        skill=tuple(document["skill"]),
        meta=document["meta"],
        structure=_structure(document.get("structure")),
    )


def _structure(document: dict[str, Any] | None) -> StructuralModel | None:
    return None if document is None else StructuralModel.from_json(json.dumps(document))


def _read(folder: Path) -> dict[str, bytes]:
    content = {}
    for name in (ARRAYS, DOCUMENT):
        try:
            content[name] = (folder / name).read_bytes()
        except OSError as error:
            raise InputError(
                "this is no checkpoint",
                where=folder,
                expected=f"the files {ARRAYS} and {DOCUMENT}",
                found=f"no readable {name} ({error.strerror})",
                fix="Name the folder of a checkpoint, or train one with 'ch4grid train'",
            ) from error
    return content


def _document(content: bytes, folder: Path) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError as error:
        raise _damaged(folder / DOCUMENT, "JSON", str(error)) from error
    found = document.get("format") if isinstance(document, dict) else type(document).__name__
    if found != FORMAT:
        raise _damaged(folder / DOCUMENT, f"format {FORMAT}", f"{found!r}")
    return dict(document)


def _damaged(where: Path, expected: str, found: str) -> InputError:
    return InputError(
        "the checkpoint is damaged or of another version",
        where=where,
        expected=expected,
        found=found,
        fix="Copy it again from where it was trained, or train it anew",
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
