"""What out-of-fold predictions are worth: the calibration of intervals and a row of skill."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.models.samples import Targets, class_codes
from ch4grid.smearing import crossed
from ch4grid.uncertainty import Calibration
from ch4grid.vocabulary import Gas

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def judge(
    samples: xr.Dataset, gas: Gas, predicted: xr.Dataset, split: str
) -> tuple[Calibration, dict[str, Any]]:
    """The calibration of out-of-fold predictions and their skill.

    Args:
        samples: Towers (site, time) with measured flux and coverage.
        gas: The gas.
        predicted: Location and scale (member, site, time) of models that have not seen the cluster of the site [1].
        split: What to call the split in the row of skill.
    """
    targets = Targets.of(samples, gas)
    there = targets.weight > 0
    location, scale = (predicted[n].values[:, there] for n in ("location", "scale"))
    observed = targets.transformed[there]
    cluster = np.broadcast_to(samples["cluster"].values[:, None], there.shape)[there]
    ecosystem = np.broadcast_to(class_codes(samples)[:, None], there.shape)[there]
    calibration = Calibration.fit(
        location,
        scale,
        observed,
        cluster,
        ecosystem,
        asinh_scale=gas.asinh_scale,
        pulses=gas.process == "pulse",
    )
    flux = gas.asinh_scale * np.sinh(observed)
    if calibration.smearing is None:
        mean = calibration.apply(location, scale).mean.mean(axis=0)
        covered = _coverage(location, scale, observed, cluster, ecosystem)
    else:
        # the law is fitted to these very months: each is judged by the law of the other clusters
        told = crossed(location, observed, cluster, ecosystem)
        mean = gas.asinh_scale * told.mean.mean(axis=0)
        low, high = told.quantile
        covered = round(float(((observed >= low) & (observed <= high)).mean()), 3)
    return calibration, {
        "split": split,
        "n": len(observed),
        "clusters": calibration.clusters,
        "asinh_nse": _nse(observed, location.mean(axis=0)),
        "nse": _nse(flux, mean),
        "bias": round(float((mean - flux).mean()), 3),
        "coverage90": covered,
    }


def _coverage(
    location: NDArray[np.float32],
    scale: NDArray[np.float32],
    observed: Floats,
    cluster: Integers,
    ecosystem: Integers,
) -> float:
    """Share of months inside the 90 % interval whose factor comes from the other clusters."""
    inside = np.zeros(len(observed), dtype=bool)
    for label in np.unique(cluster):
        out = cluster == label
        if out.all():
            return float("nan")
        rest = Calibration.fit(
            location[:, ~out], scale[:, ~out], observed[~out], cluster[~out], ecosystem[~out]
        )
        low, high = rest.interval(location[:, out], scale[:, out], 0.9)
        inside[out] = (observed[out] >= low) & (observed[out] <= high)
    return round(float(inside.mean()), 3)


def _nse(observed: Floats, predicted: NDArray[np.floating[Any]]) -> float:
    """Nash-Sutcliffe efficiency about the observed mean, three decimals."""
    spread = float(((observed - observed.mean()) ** 2).sum())
    return round(1.0 - float(((observed - predicted) ** 2).sum()) / max(spread, 1e-12), 3)
