"""The Item of a trained model: what it is by the MLM extension, its scores and causal graph, its files as assets."""

from pathlib import Path

import pystac

from ch4grid.catalog.assets import file_assets
from ch4grid.catalog.datacube import year_interval
from ch4grid.catalog.documents import instant, lineage, rectangle, structure
from ch4grid.catalog.records import SOFTWARE_PROVIDER, ModelRecord
from ch4grid.catalog.schemas import FILE, MLM, PROCESSING
from ch4grid.catalog.tree import Document
from ch4grid.errors import InputError

# Format of the weights: arrays and their shapes, nothing that runs.
ARTIFACT = "safetensors"
CHECKPOINT = "checkpoint"
# What the extension calls a package.
FRAMEWORKS = {"torch": "PyTorch"}


def model_document(folder: Path, model: ModelRecord) -> Document:
    """The Item of a trained model in `folder`.

    Raises:
        InputError: The checkpoint has no files, or one of `model.files` is missing.
    """
    files = sorted(p for p in model.folder.glob("*") if p.is_file() and not p.name.startswith("."))
    if not files:
        raise InputError(
            "no checkpoint to publish", where=model.folder, expected="its files", found="none"
        )
    catalog = folder.parents[1]
    extent = [-180.0, -90.0, 180.0, 90.0]
    start, end = (instant(t) for t in year_interval(*model.period))
    item = pystac.Item(
        id=model.id,
        geometry=rectangle(extent),
        bbox=extent,
        datetime=None,
        start_datetime=start,
        end_datetime=end,
        collection="models",
        stac_extensions=sorted([FILE, MLM, PROCESSING]),
        properties=_properties(model),
    )
    item.assets = file_assets({_key(p): p for p in files} | dict(model.files), folder)
    if CHECKPOINT in item.assets:
        item.assets[CHECKPOINT].roles = ["mlm:model", "mlm:weights", "data"]
        item.assets[CHECKPOINT].extra_fields["mlm:artifact_type"] = ARTIFACT
    up = structure(folder, catalog, parent=folder.parent / "collection.json")
    item.add_links([*up, *lineage(model.inputs, "", catalog, folder)])
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def _properties(model: ModelRecord) -> Document:
    return {
        "title": model.title,
        "description": model.description,
        "license": model.licence,
        "providers": [SOFTWARE_PROVIDER],
        "processing:software": dict(model.software),
        "ch4grid:architecture": model.architecture,
        "ch4grid:gas": model.gas,
        "ch4grid:digest": model.digest,
        "ch4grid:drivers": list(model.drivers),
        "ch4grid:skill": [dict(row) for row in model.skill],
    } | _mlm(model)


def _mlm(model: ModelRecord) -> Document:
    """Fields of the MLM extension; the shape is that of a batch of months with all predictors of a place."""
    task = ["regression"]
    framework = {}
    if model.framework:
        framework = {
            "mlm:framework": FRAMEWORKS.get(model.framework, model.framework),
            "mlm:framework_version": model.software[model.framework].partition("+")[0],
        }
    return {
        "mlm:name": model.id,
        "mlm:architecture": model.architecture,
        "mlm:tasks": task,
        **framework,
        "mlm:accelerator": None,
        "mlm:input": [
            {
                "name": "predictors",
                "description": "Predictors of a place by month, in the order of ch4grid:drivers.",
                "bands": [],
                "input": {
                    "shape": [-1, -1, len(model.drivers)],
                    "dim_order": ["batch", "time", "variable"],
                    "data_type": "float32",
                },
                "value_scaling": None,
                "resize_type": None,
                "pre_processing_function": None,
            }
        ],
        "mlm:output": [
            {
                "name": f"{model.gas}_flux",
                "description": "Flux by member, place and month [kg m-2 s-1], positive upward.",
                "tasks": task,
                "result": {
                    "shape": [-1, -1, -1],
                    "dim_order": ["member", "batch", "time"],
                    "data_type": "float32",
                },
            }
        ],
    }


def _key(path: Path) -> str:
    """Asset key of a checkpoint file: weights and configuration have their own, others their stem."""
    if path.suffix == ".safetensors":
        return CHECKPOINT
    return "configuration" if path.name == "checkpoint.json" else path.stem
