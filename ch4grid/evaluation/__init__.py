"""Evaluation: splits that hide what is scored, metrics with intervals over clusters, and the benchmark of models."""

from ch4grid.evaluation.benchmark import benchmark, holdout
from ch4grid.evaluation.fitters import (
    MODELS,
    CTGATFitter,
    Fitter,
    Predictor,
    climatology,
    fitters,
    predictions,
    random_forest,
)
from ch4grid.evaluation.metrics import Pairs, intervals, scores
from ch4grid.evaluation.splits import KINDS, Split, SplitKind, series_without, splits, without

__all__ = [
    "KINDS",
    "MODELS",
    "CTGATFitter",
    "Fitter",
    "Pairs",
    "Predictor",
    "Split",
    "SplitKind",
    "benchmark",
    "climatology",
    "fitters",
    "holdout",
    "intervals",
    "predictions",
    "random_forest",
    "scores",
    "series_without",
    "splits",
    "without",
]
