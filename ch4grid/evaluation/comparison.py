"""Whether a model is better than another: the same months, cluster by cluster, corrected for how many are compared.

In comes the frame of predictions of several models under several splits (see `scoring`); out goes one row for each
model against a reference. The unit is the cluster of towers, since months of a cluster are not independent. The
criterion is the squared error in asinh space, declared beforehand; the absolute error of the flux is reported beside it
and decides nothing.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from ch4grid.errors import InputError
from ch4grid.evaluation.scoring import REPLICATES, interval, resampled, skill

Floats = NDArray[np.float64]

# Family-wise chance of calling a model better that is not.
ALPHA = 0.05
KEYS = ["site", "time"]
COLUMNS = ["measured", "predicted", "measured_asinh", "predicted_asinh"]
# Columns of the model and of the reference in a paired table.
SUFFIXES = ("", "_reference")
CRITERION = ("months", "clusters", "difference", "lower", "upper", "p")
BESIDE = ("mae_difference", "p_mae")
ROW = (*CRITERION, *BESIDE, "median_change")
OUT = ("model", *CRITERION, "p_holm", "better", *BESIDE, "p_mae_holm")


def compare(
    frame: pd.DataFrame,
    reference: str,
    *,
    split: str,
    seed: int,
    replicates: int = REPLICATES,
) -> pd.DataFrame:
    """Every other model against a reference under one split, on the months that both have.

    Args:
        frame: Predictions of several models.
        reference: Name of the model that the others are compared with.
        split: Name of the split.
        seed: Seed of the draws of clusters.
        replicates: Number of draws.

    Returns:
        model; months and clusters compared; difference of asinh_nse (model less reference) with lower and upper, its
        90 % interval over clusters drawn with replacement; p of a two-sided Wilcoxon signed-rank test of the clusters'
        mean squared errors in asinh space, p_holm corrected over the models; better, whether p_holm is below 5 %, the
        lower end above zero and the median cluster improved; mae_difference [nmol m-2 s-1] (negative is better), p_mae
        and p_mae_holm, the same test of the clusters' mean absolute errors. NaN where fewer than two clusters are left.

    Raises:
        InputError: The reference has no predictions under the split, a model has a month twice or none in common.
    """
    rows = frame[frame["split"] == split]
    tables = {str(name): part for name, part in rows.groupby("model", sort=False)}
    if reference not in tables:
        raise InputError(
            "no predictions of the reference",
            where=f"split {split}",
            expected=reference,
            found=", ".join(tables) or "no model",
        )
    others = [name for name in tables if name != reference]
    pairs = [_paired(tables[name], tables[reference], name) for name in others]
    found = [_row(pair, seed, replicates) for pair in pairs]
    out = pd.DataFrame(found, columns=list(ROW)).astype({"months": np.int64, "clusters": np.int64})
    out.insert(0, "model", others)
    for name in ("p", "p_mae"):
        out[f"{name}_holm"] = holm(out[name].to_numpy(np.float64))
    improved = (out["lower"] > 0) & (out["median_change"] < 0)
    out["better"] = (improved & (out["p_holm"] < ALPHA)).astype(bool)
    return out[list(OUT)]


def holm(p: Floats) -> Floats:
    """Values of p corrected for their number by Holm's step-down method; NaN stays and does not count.

    Holm (1979, Scand. J. Stat. 6, 65): the i-th smallest of m, times m - i + 1, never below a smaller one's.
    """
    out = np.full(len(p), np.nan)
    order = np.argsort(p)[: int(np.isfinite(p).sum())]
    factor = np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * factor), 1.0)
    return out


def signed_rank(change: Floats) -> float:
    """Two-sided p of a Wilcoxon signed-rank test of changes (cluster,); 1 if none changed, NaN for fewer than two."""
    if len(change) < 2 or not np.isfinite(change).all():
        return float("nan")
    moved = change[change != 0]
    return float(wilcoxon(moved).pvalue) if len(moved) else 1.0


def _paired(model: pd.DataFrame, reference: pd.DataFrame, name: str) -> pd.DataFrame:
    """Months of both, columns of the reference with suffix _reference."""
    for part in (model, reference):
        if part.duplicated(KEYS).any():
            raise InputError("a month of a tower is there twice", where=part["model"].iloc[0])
    pair = model[[*KEYS, "cluster", *COLUMNS]].merge(
        reference[[*KEYS, *COLUMNS]], on=KEYS, suffixes=("", "_reference")
    )
    if pair.empty:
        raise InputError("no month in common with the reference", where=name)
    return pair


def _row(pair: pd.DataFrame, seed: int, replicates: int) -> dict[str, float]:
    """One comparison; the names of `ROW`."""
    measured = pair["measured_asinh"].to_numpy()
    squared = _errors(pair, "_asinh", "") ** 2 - _errors(pair, "_asinh", "_reference") ** 2
    absolute = np.abs(_errors(pair, "", "")) - np.abs(_errors(pair, "", "_reference"))
    home = np.unique(pair["cluster"].to_numpy(), return_inverse=True)[1]
    # A missing prediction leaves its cluster without a mean, not with a mean of fewer months.
    by_squared, by_absolute = (
        np.bincount(home, weights=v) / np.bincount(home) for v in (squared, absolute)
    )
    better, base = (skill(measured, pair[f"predicted_asinh{s}"].to_numpy()) for s in SUFFIXES)
    ends = _difference_interval(pair, squared, seed, replicates)
    return {
        "months": len(pair),
        "clusters": len(by_squared),
        "difference": better["nse"] - base["nse"],
        "lower": ends[0],
        "upper": ends[1],
        "p": signed_rank(by_squared),
        "mae_difference": float(absolute.mean()),
        "p_mae": signed_rank(by_absolute),
        "median_change": float(np.median(by_squared)),
    }


def _errors(pair: pd.DataFrame, space: str, suffix: str) -> Floats:
    return np.asarray(
        pair[f"predicted{space}{suffix}"] - pair[f"measured{space}"], dtype=np.float64
    )


def _difference_interval(
    pair: pd.DataFrame, change: Floats, seed: int, replicates: int
) -> list[float]:
    """90 % interval of the difference of asinh_nse, both on the same draws: less squared error over the spread."""
    measured = pair["measured_asinh"].to_numpy()
    y = measured - measured.mean()
    terms = {"n": np.ones(len(y)), "y": y, "yy": y**2, "change": change}
    sums = resampled(terms, pair["cluster"], seed=seed, replicates=replicates)
    if sums is None:
        return [np.nan, np.nan]
    with np.errstate(all="ignore"):
        difference = -sums["change"] / (sums["yy"] - sums["y"] ** 2 / sums["n"])
    return interval(difference) or [np.nan, np.nan]
