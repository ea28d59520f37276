"""Evaluation: splits that hide what is scored, one fold of any model, scores with intervals over clusters, the zoo."""

from ch4grid.evaluation.comparison import compare
from ch4grid.evaluation.crossfit import Fitted, cross_fit, table
from ch4grid.evaluation.scoring import intervals, scores
from ch4grid.evaluation.splits import (
    KINDS,
    Split,
    SplitKind,
    series_without,
    splits,
    training_km,
    without,
)
from ch4grid.evaluation.strata import by, levels, per_site
from ch4grid.evaluation.zoo import Model, zoo

__all__ = [
    "KINDS",
    "Fitted",
    "Model",
    "Split",
    "SplitKind",
    "by",
    "compare",
    "cross_fit",
    "intervals",
    "levels",
    "per_site",
    "scores",
    "series_without",
    "splits",
    "table",
    "training_km",
    "without",
    "zoo",
]
