"""Whether straight lines suffice: the flux equation against boosted trees on the same causes, out of cluster."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal.equations import Rows, rows
from ch4grid.causal.monthly import towers
from ch4grid.causal.structural import MIN_MEASURED, ROWS_PER_CAUSE
from ch4grid.structure import StructuralModel

Floats = NDArray[np.float64]

FOLDS = 5
TREES = 100


def compare(series: xr.Dataset, structure: StructuralModel, *, seed: int) -> pd.DataFrame:
    """Explained share of the flux anomalies of clusters that were not fitted, by lines and by boosted trees.

    Args:
        series: What the structure was fitted to.
        structure: The equations; only their causes are taken.
        seed: Seed of the trees.

    Returns:
        One row per class: `ecosystem`, `linear`, `boosted` [1], `better`, and the `clusters` and `rows` scored.
    """
    data = towers(series, structure.nodes)
    found = []
    for name in structure.ecosystems:
        e, members = structure.index(name), np.flatnonzero(data.ecosystems == name)
        flux = data.values[structure.target][members]
        clusters = data.clusters[members]
        columns = [
            data.lagged(structure.drivers[i], int(lag))[members] / structure.spread[e, i]
            for i, lag in np.argwhere(structure.coefficient[e, -1] != 0)
        ]
        columns = [c for c in columns if _share(c, flux) >= MIN_MEASURED]
        if not columns or len(np.unique(clusters)) < 2:
            continue
        used = rows(columns, flux, data.design)
        if len(used.y) < ROWS_PER_CAUSE * len(columns):
            continue
        found.append({"ecosystem": name} | _scores(used, clusters[used.site], seed))
    return pd.DataFrame(
        found, columns=["ecosystem", "linear", "boosted", "better", "clusters", "rows"]
    )


def _share(column: Floats, flux: Floats) -> float:
    there = np.isfinite(flux)
    return float(np.isfinite(column[there]).mean()) if there.any() else 0.0


def _scores(used: Rows, clusters: NDArray[np.int64], seed: int) -> dict[str, Any]:
    from sklearn.ensemble import HistGradientBoostingRegressor  # heavy

    names = np.unique(clusters)
    fold = np.searchsorted(names, clusters) % min(FOLDS, len(names))
    lines, trees = np.empty(len(used.y)), np.empty(len(used.y))
    for k in np.unique(fold):
        inside = fold != k
        b = np.linalg.lstsq(used.x[inside], used.y[inside], rcond=None)[0]
        lines[~inside] = used.x[~inside] @ b
        model = HistGradientBoostingRegressor(
            max_iter=TREES, learning_rate=0.05, max_depth=3, random_state=seed, early_stopping=False
        )
        trees[~inside] = model.fit(used.x[inside], used.y[inside]).predict(used.x[~inside])
    linear, boosted = (_explained(used.y, p) for p in (lines, trees))
    return {
        "linear": linear,
        "boosted": boosted,
        "better": "boosted" if boosted > linear else "linear",
        "clusters": len(names),
        "rows": len(used.y),
    }


def _explained(observed: Floats, predicted: Floats) -> float:
    return float(1 - ((observed - predicted) ** 2).sum() / (observed**2).sum())


def told(comparison: pd.DataFrame) -> Sequence[str]:
    """One clause per class, e.g. "upland 0.31 against 0.28"."""
    return [
        f"{r['ecosystem']} {r['linear']:.2f} against {r['boosted']:.2f}"
        for r in comparison.to_dict("records")
    ]
