"""Where predictions can be trusted, and where their uncertainty comes from: two tables beside the scores."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.applicability import apart, leave_group_out
from ch4grid.decomposition import components
from ch4grid.models.learner import Learner, TrainingSet, without_flux
from ch4grid.models.reference import applicability_rows
from ch4grid.models.samples import Points, Scaler, class_codes, predictor_names
from ch4grid.uncertainty import mean_distance_of
from ch4grid.vocabulary import ECOSYSTEMS, Gas

# Draws of each source of uncertainty: enough to see which one leads.
DRAWS = 4
ENDS = ("q05", "q95")


def applicability(best: pd.DataFrame, samples: xr.Dataset, gas: Gas) -> pd.DataFrame:
    """Whether months unlike those of all other towers are predicted worse, class by class.

    Columns: class; months; mean dissimilarity index against towers of other clusters; factor on the 90 % interval that
    the other classes call for; share of months inside without and with it. Empty for a model without intervals.

    Args:
        best: Predictions of one model at towers left out by cluster.
        samples: The towers.
        gas: The gas.
    """
    low, high = np.arcsinh(best[list(ENDS)].to_numpy(np.float64) / gas.asinh_scale).T
    if not np.isfinite(low).all() or best["cluster"].nunique() < 2:
        return pd.DataFrame()
    drivers, statics = predictor_names(samples, gas)
    points = Points.of(samples, drivers, statics)
    rows = applicability_rows(points, Scaler.fit(points, drivers, statics))
    site = pd.Index(samples["site"].values.astype(str)).get_indexer(best["site"])
    month = pd.DatetimeIndex(samples["time"].values).get_indexer(pd.DatetimeIndex(best["time"]))
    features, cluster = rows[site, month], best["cluster"].to_numpy(np.int64)
    weights = np.ones(features.shape[1], dtype=np.float32)
    index = apart(features, weights, cluster, mean_distance=mean_distance_of(features, weights))
    error = np.abs((best["measured_asinh"] - best["predicted_asinh"]).to_numpy(np.float64))
    table = leave_group_out(
        index, error / ((high - low) / 2), cluster, best["ecosystem"].to_numpy()
    )
    return table.reset_index().rename(columns={"group": "class", "index": "dissimilarity"})


def decomposition(
    learner: Learner, others: Sequence[Learner], training: TrainingSet
) -> pd.DataFrame:
    """Share of each source in the variance of a month's location in asinh space, mean over months by class.

    Sources: noise of the measured flux, errors of the drivers, which towers there are, the seed of the model, and its
    structure (the other models in its place). Each is moved alone, so interactions are left out; the wetland area is no
    source at a tower.

    Args:
        learner: The model.
        others: Models that stand for another structure.
        training: All towers.
    """
    points = without_flux(training.samples, training.gas)
    table = components(
        learner.fit,
        training,
        points,
        draws=DRAWS,
        seed=training.seed,
        structures=[other.fit for other in others],
    )
    codes = class_codes(training.samples)
    names = [c for c in table.columns if c != "total"]
    means = table.groupby(np.array(ECOSYSTEMS)[np.repeat(codes, points.sizes["time"])]).mean()
    shares = means[names].div(means["total"], axis=0)
    shares.insert(0, "deviation", np.sqrt(means["total"]))
    return shares.rename_axis("class").reset_index()
