"""Folds whose held-out towers lie as far from training towers as the cells of a map lie from any tower.

k-fold nearest neighbour distance matching (Linnenbrink et al. 2024, Geosci. Model Dev. 17, 5897,
doi:10.5194/gmd-17-5897-2024). G*(r) is the share of held-out towers within r of a training tower of their fold, G(r)
the share of cells within r of a tower; of many ways to make k folds the one is taken that has the smallest

    W = integral over r of |G*(r) - G(r)|    [km].

A way is a hierarchical clustering on the sphere, cut into k to all groups, which are dealt out to k folds in the order
of their centres on the first principal component; a group of 1/k of the towers or more is a fold of its own. What
differs from the paper: clusters of towers are what is grouped and they are never cut, three linkages are tried, and no
test decides beforehand whether random folds would do, as dealing out all clusters singly is a candidate too.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import wasserstein_distance

from ch4grid.errors import InputError
from ch4grid.grid import great_circle_km

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FOLDS = 10
# No fold holds more than this share of the towers, where clusters allow it.
LARGEST_FOLD = 0.5
# Numbers of groups that are tried between k and all, more of them small.
TRIED = 40
LINKAGES = ("ward", "average", "complete")
# Quantiles that stand for the cells of a map while candidates are compared.
POINTS = 2000


class Matched(NamedTuple):
    """Folds matched to a map.

    Args:
        fold: Fold of each tower (site,), from 0.
        groups: Number of groups that were dealt out to the folds.
        wasserstein: W of the folds [km].
    """

    fold: Integers
    groups: int
    wasserstein: float


def matched(
    latitude: Floats,
    longitude: Floats,
    cluster: Integers,
    distances: Floats,
    *,
    folds: int = FOLDS,
) -> Matched:
    """The folds of clusters that come closest to the distances of a map; deterministic.

    Args:
        latitude: Of the towers (site,) [degrees_north].
        longitude: Of the towers (site,) [degrees_east].
        cluster: Cluster of each tower (site,), never cut.
        distances: From each cell of the map to its nearest tower [km].
        folds: Number of folds k; fewer if there are fewer clusters.

    Raises:
        InputError: There is one cluster only, or the distances are none, negative or missing.
    """
    _check(cluster, distances)
    towers = great_circle_km(latitude[:, None], longitude[:, None], latitude, longitude)
    cells = np.quantile(distances, (np.arange(POINTS) + 0.5) / POINTS)

    def rank(candidate: tuple[int, Integers]) -> tuple[bool, float]:
        fold = candidate[1]
        large = bool(np.bincount(fold).max() > LARGEST_FOLD * len(fold))
        return large, wasserstein(fold_distances(towers, fold), cells)

    groups, fold = min(_candidates(latitude, longitude, cluster, folds), key=rank)
    return Matched(fold, groups, wasserstein(fold_distances(towers, fold), distances))


def wasserstein(held_out: Floats, deployment: Floats) -> float:
    """Area between the distribution functions of two sets of distances, in their units; missing ones do not count."""
    parts = [values[np.isfinite(values)] for values in (held_out, deployment)]
    return float(wasserstein_distance(*parts))


def fold_distances(towers: Floats, fold: Integers) -> Floats:
    """Distance of each tower to the nearest tower of another fold (site,), from distances (site, site)."""
    same = fold[:, None] == fold
    return np.asarray(np.where(same, np.inf, towers).min(axis=1))


def _check(cluster: Integers, distances: Floats) -> None:
    if len(np.unique(cluster)) < 2:
        raise InputError(
            "too few clusters of towers to hold some out",
            where="knndm",
            expected="2",
            found=len(np.unique(cluster)),
        )
    if not distances.size or not np.isfinite(distances).all() or (distances < 0).any():
        raise InputError(
            "distances of the map are none, negative or missing",
            where="knndm",
            expected="the distance of every cell to its nearest tower [km]",
            found=f"{distances.size} distances, {int((~np.isfinite(distances)).sum())} missing",
        )


def _candidates(
    latitude: Floats, longitude: Floats, cluster: Integers, folds: int
) -> Iterator[tuple[int, Integers]]:
    """Number of groups and fold of each tower (site,), by linkage and number of groups."""
    names, home, size = np.unique(cluster, return_inverse=True, return_counts=True)
    units, k = len(names), min(folds, len(np.unique(cluster)))
    vectors = _vectors(latitude, longitude)
    centre = np.stack([np.bincount(home, weights=v) for v in vectors.T], axis=1) / size[:, None]
    place = _first_component(vectors, centre)
    yield units, _dealt(np.arange(units), size, place, k)[home]
    for method in LINKAGES:
        tree = _tree(centre, method)
        for groups in np.unique(np.geomspace(k, units, TRIED).round().astype(int)):
            label = fcluster(tree, groups, criterion="maxclust") - 1
            # Ties can leave fewer groups than asked for.
            if label.max() + 1 >= k:
                yield int(label.max() + 1), _dealt(label, size, place, k)[home]


def _tree(centre: Floats, method: str) -> Floats:
    """The dendrogram of centres: Ward on straight lines through the sphere, the others on great circles."""
    if method == "ward":
        return np.asarray(linkage(centre, "ward"))
    length = np.linalg.norm(centre, axis=1)
    # Centres of opposite towers have no direction; they stay where rounding puts them.
    unit = centre / np.where(length > 0, length, 1.0)[:, None]
    lat = np.rad2deg(np.arcsin(np.clip(unit[:, 2], -1, 1)))
    lon = np.rad2deg(np.arctan2(unit[:, 1], unit[:, 0]))
    between = great_circle_km(lat[:, None], lon[:, None], lat, lon)
    np.fill_diagonal(between, 0.0)
    return np.asarray(linkage(squareform(between, checks=False), method))


def _dealt(label: Integers, size: Integers, place: Floats, folds: int) -> Integers:
    """Fold of each cluster: a large group is a fold, the others are dealt out in order of their place."""
    count = np.bincount(label, weights=size)
    middle = np.bincount(label, weights=size * place) / count
    large = np.flatnonzero(count >= size.sum() / folds)
    order = np.argsort(middle, kind="stable")
    small = order[count[order] < size.sum() / folds]
    fold = np.empty(len(count), np.int64)
    fold[large] = np.arange(len(large))
    if len(small):
        left = np.arange(len(large), folds)
        fold[small] = left[np.arange(len(small)) % len(left)]
    return fold[label]


def _first_component(vectors: Floats, centre: Floats) -> Floats:
    """Place of centres on the first principal component of the towers' vectors (cluster,)."""
    middle = vectors.mean(axis=0)
    axis = np.linalg.svd(vectors - middle, full_matrices=False)[2][0]
    # The sign of a component is arbitrary; one is chosen, so that the folds are the same on any machine.
    axis = axis * np.sign(axis[np.abs(axis).argmax()])
    return np.asarray((centre - middle) @ axis)


def _vectors(latitude: Floats, longitude: Floats) -> Floats:
    lat, lon = np.deg2rad(latitude), np.deg2rad(longitude)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
