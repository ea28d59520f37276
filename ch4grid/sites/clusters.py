"""Clusters of towers that see the same weather and landscape, so that no split puts neighbours on both sides."""

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from ch4grid.grid import great_circle_km


def clusters(
    latitude: NDArray[np.float64], longitude: NDArray[np.float64], distance_km: float = 300.0
) -> NDArray[np.int64]:
    """Cluster number of each tower (site), from 0 in the order in which clusters first appear.

    Complete linkage on great-circle distances: all towers of a cluster lie within `distance_km` of each other.

    Args:
        latitude: Of the towers (site) [degrees_north].
        longitude: Of the towers (site) [degrees_east].
        distance_km: Largest distance within a cluster [km].
    """
    if latitude.size < 2:
        return np.zeros(latitude.size, np.int64)
    distance = great_circle_km(latitude[:, None], longitude[:, None], latitude, longitude)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="complete")
    labels = fcluster(tree, t=distance_km, criterion="distance")
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return np.asarray(order[inverse], np.int64)
