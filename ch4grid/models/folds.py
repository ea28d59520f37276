"""Folds of towers by whole clusters: what inner validation and calibration leave out in turn."""

import numpy as np
from numpy.typing import NDArray

from ch4grid.errors import InputError

Integers = NDArray[np.int64]


def grouped_folds(
    cluster: Integers, folds: int, seed: int, *, ecosystem: Integers | None = None
) -> Integers:
    """Fold of each tower (S): whole clusters, the largest first, each to the fold that holds fewest towers like it.

    Args:
        cluster: Cluster of each tower (S).
        folds: Number of folds.
        seed: Seed of the order among equal clusters.
        ecosystem: Class of each tower (S); with it no fold leaves out a class that others could leave out in part.

    Raises:
        InputError: There are fewer clusters than folds.
    """
    labels, index, counts = np.unique(cluster, return_inverse=True, return_counts=True)
    if len(labels) < max(folds, 2):
        raise InputError(
            "too few clusters of towers",
            where="training.folds",
            expected=f"at least {max(folds, 2)} clusters for {folds} folds",
            found=f"{len(labels)} clusters",
            fix="Add towers or ask for fewer folds",
        )
    classes = np.zeros_like(cluster) if ecosystem is None else ecosystem
    # Towers of each class in each cluster.
    content = np.zeros((len(labels), int(classes.max()) + 1), dtype=np.int64)
    np.add.at(content, (index, classes), 1)
    random = np.random.default_rng(seed).permutation(len(labels))
    held, home = np.zeros((folds, content.shape[1]), dtype=np.int64), np.zeros_like(labels)
    for i in random[np.argsort(-counts[random], kind="stable")]:
        alike, size = held @ content[i], held.sum(axis=1)
        home[i] = np.lexsort((size, alike))[0]
        held[home[i]] += content[i]
    return np.asarray(home[index], dtype=np.int64)
