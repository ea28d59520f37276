"""Inference: a checkpoint over one region of the globe for one year."""

from ch4grid.inference.prediction import (
    CheckpointPlugin,
    densities,
    laws,
    loaded,
    predict_region,
)
from ch4grid.inference.region import (
    Inputs,
    Region,
    areas_of,
    count_clipped,
    equations,
    given,
    region_of,
    source_digest,
    tiled,
    under,
)

__all__ = [
    "CheckpointPlugin",
    "Inputs",
    "Region",
    "areas_of",
    "count_clipped",
    "densities",
    "equations",
    "given",
    "laws",
    "loaded",
    "predict_region",
    "region_of",
    "source_digest",
    "tiled",
    "under",
]
