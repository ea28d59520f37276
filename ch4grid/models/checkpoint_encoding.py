"""A checkpoint as numbers by name and as JSON values, and back: no code is stored, and none is run to read it."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ch4grid.graph import CausalGraph
from ch4grid.models.checkpoint_files import below
from ch4grid.models.config import CTGATConfig
from ch4grid.models.fitting import Member
from ch4grid.models.learner import Learner
from ch4grid.models.mixture import ClassMixture
from ch4grid.models.reference import Applicability
from ch4grid.models.refit import Refit
from ch4grid.models.samples import Points, Scaler
from ch4grid.models.zoo import ModelConfig
from ch4grid.structure import StructuralModel
from ch4grid.vocabulary import GASES

if TYPE_CHECKING:
    from ch4grid.models.checkpoint import Checkpoint

BANK = ("dynamic", "static", "latitude", "longitude", "ecosystem", "month")

Arrays = dict[str, NDArray[Any]]


def arrays(checkpoint: "Checkpoint") -> Arrays:
    """Everything that is numbers, by name, contiguous as safetensors wants it."""
    bank = checkpoint.bank
    found: Arrays = {f"bank.{name}": getattr(bank, name) for name in BANK}
    found |= {
        "static_weights": checkpoint.static_weights,
        "applicability.features": checkpoint.applicability.features,
        "applicability.weights": checkpoint.applicability.weights,
        "probability": np.stack([member.probability for member in checkpoint.members]),
    }
    if checkpoint.mixture is not None:
        found["mixture"] = checkpoint.mixture.coefficients
    if checkpoint.calendar is not None:
        found["calendar"] = checkpoint.calendar
    for i, member in enumerate(checkpoint.members):
        found |= {f"member.{i}.{name}": values for name, values in member.weights.items()}
    if checkpoint.refit is not None:
        found |= checkpoint.refit.arrays()
    for i, part in enumerate(checkpoint.parts):
        found |= {f"part.{i}.{name}": values for name, values in arrays(part).items()}
    return {name: np.ascontiguousarray(values) for name, values in found.items()}


def document(checkpoint: "Checkpoint") -> dict[str, Any]:
    """All that is not numbers, as JSON values."""
    found: dict[str, Any] = {
        "config": stored(checkpoint.config),
        "gas": checkpoint.gas,
        "scaler": checkpoint.scaler.to_json(),
        "graph": json.loads(checkpoint.graph.to_json()),
        "steps": [member.steps for member in checkpoint.members],
        "bank": {"site": checkpoint.bank.site.tolist()},
        "applicability": {
            "mean_distance": checkpoint.applicability.mean_distance,
            "threshold": checkpoint.applicability.threshold
            if np.isfinite(checkpoint.applicability.threshold)
            else None,
        },
        "calibration": checkpoint.calibration,
        "skill": list(checkpoint.skill),
        "meta": checkpoint.meta,
    }
    if checkpoint.structure is not None:
        found["structure"] = json.loads(checkpoint.structure.to_json())
    if checkpoint.refit is not None:
        found["refit"] = checkpoint.refit.document()
    if checkpoint.parts:
        found["parts"] = [document(part) for part in checkpoint.parts]
        found["weights"] = list(checkpoint.weights)
    return found


def fields(document: dict[str, Any], arrays: Arrays) -> dict[str, Any]:
    """What a checkpoint is made of, out of both files' content; the parts of a stack are checkpoints themselves."""
    members = []
    for i, steps in enumerate(document["steps"]):
        members.append(Member(below(arrays, f"member.{i}."), arrays["probability"][i], steps))
    limit = document["applicability"]["threshold"]
    config, graph = (
        decoded(document["config"]),
        CausalGraph.from_json(json.dumps(document["graph"])),
    )
    return {
        "config": config,
        "gas": document["gas"],
        "scaler": Scaler.from_json(document["scaler"]),
        "graph": graph,
        "members": tuple(members),
        "bank": Points(
            **{name: arrays[f"bank.{name}"] for name in BANK},
            site=np.array(document["bank"]["site"], dtype=str),
        ),
        "static_weights": arrays["static_weights"],
        "applicability": Applicability(
            features=arrays["applicability.features"],
            weights=arrays["applicability.weights"],
            mean_distance=document["applicability"]["mean_distance"],
            threshold=np.inf if limit is None else limit,
        ),
        "calibration": document["calibration"],
        "skill": tuple(document["skill"]),
        "meta": document["meta"],
        "structure": _structure(document.get("structure")),
        "mixture": ClassMixture(arrays["mixture"]) if "mixture" in arrays else None,
        "calendar": arrays.get("calendar"),
        "refit": Refit.from_files(
            arrays, document["refit"], learner=config, gas=GASES[document["gas"]], graph=graph
        )
        if "refit" in document
        else None,
        "weights": tuple(document.get("weights", ())),
    }


def stored(config: Learner) -> dict[str, Any]:
    """The settings of a model as a checkpoint holds them."""
    return config.stored() if isinstance(config, CTGATConfig) else config.model_dump(mode="json")


def decoded(document: dict[str, Any]) -> Learner:
    """The settings of a model from a checkpoint."""
    config: Learner = TypeAdapter(ModelConfig).validate_python(document, strict=False)
    return config


def _structure(document: dict[str, Any] | None) -> StructuralModel | None:
    return None if document is None else StructuralModel.from_json(json.dumps(document))
