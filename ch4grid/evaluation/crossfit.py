"""One fold of one model: settings chosen, errors learnt and the model fitted, from training towers alone.

Groups of training clusters are left out in turn. Their errors choose among the candidate settings of the model, the
same number for every model, and make its predictive law. Then the model is fitted to all training towers. Nothing here
has seen the towers that are scored.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.conformal import LEVELS, Conformal, HeldOut
from ch4grid.models.folds import grouped_folds
from ch4grid.models.learner import Law, Learner, Regressor, TrainingSet, learnt, out_of_fold
from ch4grid.models.samples import class_codes
from ch4grid.vocabulary import Gas

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model with the law of its errors.

    Args:
        learner: The settings that were chosen.
        regressor: The fitted model.
        conformal: Law of its errors at unseen clusters; None when there were too few clusters to learn one.
        gas: The gas.
        seconds: Wall clock of tuning and fitting [s].
    """

    learner: Learner
    regressor: Regressor
    conformal: Conformal | None
    gas: Gas
    seconds: float

    def predict(self, points: xr.Dataset) -> xr.Dataset:
        """Location [1], mean flux and quantiles [nmol m-2 s-1] at points (site, time)."""
        law = self.regressor.predict(points)
        ecosystem = np.broadcast_to(class_codes(points)[:, None], law.location.shape)
        c = self.gas.asinh_scale
        dims = ("site", "time")
        if self.conformal is None:
            mean = c * np.sinh(law.location)
            quantiles = np.full((len(LEVELS), *law.location.shape), np.nan)
        else:
            mean = self.conformal.mean(law.location, law.scale, ecosystem, c)
            quantiles = c * np.sinh(self.conformal.quantiles(law.location, law.scale, ecosystem))
        return xr.Dataset(
            {
                "location": (dims, law.location),
                "flux": (dims, mean),
                "quantile_flux": (("quantile", *dims), quantiles),
            },
            coords={
                "site": points["site"],
                "time": points["time"],
                "quantile": list(LEVELS),
            },
        )


def cross_fit(
    learner: Learner, training: TrainingSet, *, candidates: int = 2, groups: int = 3
) -> Fitted:
    """The model of a training set.

    Args:
        learner: The model.
        training: Training towers.
        candidates: Settings tried, the learner's own first.
        groups: Groups of clusters left out in turn; 0 fits once and learns no law of errors.

    Raises:
        InputError: No month is measured well enough.
    """
    start = time.perf_counter()
    training = measured_only(training)
    clusters = training.samples["cluster"].values.astype(np.int64)
    tried = learner.candidates()[:candidates]
    if groups == 0 or len(np.unique(clusters)) < groups + 1:
        return Fitted(
            learner,
            learner.fit(training),
            None,
            training.gas,
            time.perf_counter() - start,
        )
    fold = grouped_folds(clusters, groups, training.seed, ecosystem=class_codes(training.samples))
    chosen, law, regressor = _chosen(tried, training, fold)
    conformal = conformal_of(law, training)
    return Fitted(chosen, regressor, conformal, training.gas, time.perf_counter() - start)


def _chosen(
    tried: Sequence[Learner], training: TrainingSet, fold: NDArray[np.int64]
) -> tuple[Learner, Law, Regressor]:
    """The settings with the smallest held-out error, that error's law and the model fitted to all towers."""
    if len(tried) == 1:
        return tried[0], *learnt(tried[0], training, fold)
    laws = [out_of_fold(settings.trial(), training, fold) for settings in tried]
    best = int(np.argmin([held_out_loss(law, training) for law in laws]))
    return tried[best], laws[best], tried[best].fit(training)


def measured_only(training: TrainingSet) -> TrainingSet:
    """The training set without towers that have no target."""
    there = training.targets.weight.sum(axis=1) > 0
    if there.all():
        return training
    return replace(training.subset(np.flatnonzero(there)), learnt=training.learnt)


def held_out_loss(law: Law, training: TrainingSet) -> float:
    """Weighted mean squared error in asinh space: towers count by the root of their months, classes are balanced."""
    error = (training.targets.transformed - law.location) ** 2
    return float((training.weights * error).sum())


def conformal_of(law: Law, training: TrainingSet) -> Conformal:
    """The law of the errors of an out-of-fold law, in units of the model's own scale where it has one."""
    targets, samples = training.targets, training.samples
    at = targets.weight > 0
    site, _ = np.nonzero(at)
    rows = HeldOut(
        location=law.location[at],
        observed=targets.transformed[at],
        cluster=samples["cluster"].values.astype(np.int64)[site],
        ecosystem=class_codes(samples)[site],
        site=site,
        scale=None if law.scale is None else law.scale[at],
    )
    return Conformal.fit(rows, scale="none" if law.scale is None else "own", method="class")


def columns() -> list[str]:
    """Names of the quantile columns of a table of predictions."""
    return [f"q{round(100 * level):02d}" for level in LEVELS]


def table(predicted: xr.Dataset, at: NDArray[np.bool_]) -> pd.DataFrame:
    """Location, mean flux and quantiles of the months of a mask (site, time), one row each."""
    frame = pd.DataFrame(
        {
            "predicted": predicted["flux"].transpose("site", "time").values[at],
            "predicted_asinh": predicted["location"].transpose("site", "time").values[at],
        }
    )
    quantiles = predicted["quantile_flux"].transpose("quantile", "site", "time").values[:, at]
    return frame.assign(**dict(zip(columns(), quantiles, strict=True)))
