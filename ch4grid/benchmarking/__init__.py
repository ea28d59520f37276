"""Benchmarks: a recipe of models against towers, run so that it can be resumed, scored, tested and written down."""

from ch4grid.benchmarking.execution import Benchmarked, benchmark, named_models, named_sections
from ch4grid.benchmarking.holdout import refuse_absent
from ch4grid.benchmarking.recipe import BenchmarkRecipe, is_benchmark, load, spoken
from ch4grid.benchmarking.results import Results, winner

__all__ = [
    "BenchmarkRecipe",
    "Benchmarked",
    "Results",
    "benchmark",
    "is_benchmark",
    "load",
    "named_models",
    "named_sections",
    "refuse_absent",
    "spoken",
    "winner",
]
