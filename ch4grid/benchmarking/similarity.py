"""How far every tower is from those that its models learnt from: the comprehensive Euclidean distance, fold by fold."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid import __version__
from ch4grid.benchmarking.discovering import digest
from ch4grid.benchmarking.recipe import HEADLINE
from ch4grid.evaluation import splits, without
from ch4grid.models.euclidean_distance import ced, comprehensive_distance, group_weights
from ch4grid.models.learner import TrainingSet
from ch4grid.stores import sha256_json, write_atomic
from ch4grid.vocabulary import Gas

Mapper = Callable[[str, Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True, eq=False)
class Fold:
    """Towers that are left out, and what is learnt from the others.

    Args:
        training: The others.
        test: Those left out.
    """

    training: TrainingSet
    test: xr.Dataset


def distances(
    samples: xr.Dataset, gas: Gas, seed: int, mapper: Mapper, folder: Path
) -> dict[str, float]:
    """Comprehensive Euclidean distance of each tower from the towers of other clusters; kept in a file.

    Groups of predictors weigh by what they are worth to a forest on the training towers of the fold.

    Args:
        samples: Towers.
        gas: The gas.
        seed: Seed of the forests.
        mapper: Runs a function over folds: stage, function, folds.
        folder: Where the distances are kept.
    """
    key = sha256_json([__version__, digest(samples), seed])[:12]
    path = folder / "distances" / f"{key}.csv"
    if not path.is_file():
        folds = [
            Fold(
                TrainingSet(without(samples, gas.flux, fold), gas=gas, seed=seed),
                samples.isel(site=np.flatnonzero(fold.test.any(axis=1))),
            )
            for fold in splits(samples, HEADLINE, seed=seed)
        ]
        parts = mapper("measure distances between towers", fold_distances, folds)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, pd.concat(list(parts)).to_csv(index=False).encode())
    table = pd.read_csv(path, dtype={"site": str})
    return dict(zip(table["site"], table["distance"].astype(float), strict=True))


def fold_distances(fold: Fold) -> pd.DataFrame:
    """Site and distance of the towers of a fold."""
    training = fold.training
    between = comprehensive_distance(
        training.samples, fold.test, group_weights(training), gas=training.gas
    )
    return pd.DataFrame({"site": fold.test["site"].values.astype(str), "distance": ced(between)})
