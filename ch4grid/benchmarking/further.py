"""Questions that a benchmark answers beside its ranking: whether graph and transfer help, which intervals hold."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ch4grid.benchmarking.recipe import HEADLINE
from ch4grid.benchmarking.results import Results, winner
from ch4grid.conformal import LEVELS, HeldOut, Method, crossed
from ch4grid.evaluation import compare, scores
from ch4grid.evaluation.crossfit import columns
from ch4grid.models.euclidean_distance import ced_against_skill
from ch4grid.vocabulary import ECOSYSTEMS, Gas

Tables = dict[str, pd.DataFrame]

GRAPH = "ctgat"
SCRATCH = "transfer-scratch"
FOREST, CAUSES = "random-forest", "causal-parents-rf"
QUANTILE_FOREST = "quantile-forest"
METHODS: tuple[tuple[str, Method], ...] = (
    ("months of a class, clusters count as one", "class"),
    ("grouped conformal, for a new cluster", "grouped"),
    ("split conformal, months count as one", "split"),
)
INTERVALS = ("coverage50", "coverage80", "coverage90", "width90", "crps")


def further(found: Results, gas: Gas, distance: dict[str, float]) -> Tables:
    """Tables by title; a question for which models are missing has none.

    Args:
        found: The results.
        gas: The gas.
        distance: Comprehensive Euclidean distance of each tower from the training towers of its headline fold.
    """
    tables = {
        "CT-GAT against what it lacks": against(found, GRAPH, f"{GRAPH}-"),
        "A forest on the causes against one on all drivers": against(found, FOREST, CAUSES),
        "Transfer from simulated towers against training from scratch": against(
            found, SCRATCH, "transfer-"
        ),
        "Ways to make intervals": intervals(found, gas),
        "Distance to the training towers and skill": relations(found, distance),
    }
    return {title: table for title, table in tables.items() if len(table)}


def against(found: Results, reference: str, prefix: str) -> pd.DataFrame:
    """Models whose names begin with a prefix against a reference, under every split that both ran under."""
    frame = found.predictions
    ours = frame[(frame["model"] == reference) | frame["model"].str.startswith(prefix)]
    parts = []
    for split, part in ours.groupby("split", sort=False):
        if reference in set(part["model"]) and part["model"].nunique() > 1:
            table = compare(part, reference, split=str(split), seed=0)
            parts.append(table.assign(split=split, reference=reference))
    if not parts:
        return pd.DataFrame()
    wanted = ["split", "model", "reference", "difference", "lower", "upper", "p", "p_holm"]
    rows: pd.DataFrame = pd.concat(parts, ignore_index=True)[wanted]
    return rows


def intervals(found: Results, gas: Gas) -> pd.DataFrame:
    """Coverage, width and CRPS of rival intervals around the winner, and those of the quantile forest itself.

    The rivals are told of a cluster by the held-out errors of the others (cross-conformal).
    """
    headline = found.predictions[found.predictions["split"] == HEADLINE]
    if headline["cluster"].nunique() < 2:
        return pd.DataFrame()
    best = str(winner(found.rows)["model"])
    frame = headline[headline["model"] == best].reset_index(drop=True)
    rows = [{"model": best, "intervals": "as in the table of scores"} | _judged(frame)]
    for told, method in METHODS:
        rows.append({"model": best, "intervals": told} | _judged(_recalibrated(frame, gas, method)))
    forest = headline[headline["model"] == QUANTILE_FOREST]
    if len(forest):
        name = {"model": QUANTILE_FOREST, "intervals": "its own spread, calibrated inside the fold"}
        rows.append(name | _judged(forest))
    return pd.DataFrame(rows)


def relations(found: Results, distance: dict[str, float]) -> pd.DataFrame:
    """Spearman correlation over towers of distance and skill, by model under the headline split."""
    rows = []
    for row in found.under(HEADLINE) if distance else ():
        frame = found.predictions
        frame = frame[(frame["split"] == HEADLINE) & (frame["model"] == row["model"])]
        one = {name: ced_against_skill(frame, distance, name) for name in ("r2", "nse")}
        rows.append(
            {
                "model": row["model"],
                "towers": one["r2"].n,
                "rho_r2": one["r2"].rho,
                "p_r2": one["r2"].p,
                "rho_nse": one["nse"].rho,
                "p_nse": one["nse"].p,
            }
        )
    return pd.DataFrame(rows)


def _judged(frame: pd.DataFrame) -> dict[str, float | None]:
    found = scores(frame)
    return {name: found[name] for name in INTERVALS}


def _recalibrated(frame: pd.DataFrame, gas: Gas, method: Method) -> pd.DataFrame:
    """Predictions with quantiles by another method."""
    names: Sequence[str] = columns()
    rows = HeldOut(
        location=frame["predicted_asinh"].to_numpy(np.float64),
        observed=frame["measured_asinh"].to_numpy(np.float64),
        cluster=frame["cluster"].to_numpy(np.int64),
        ecosystem=np.array([ECOSYSTEMS.index(e) for e in frame["ecosystem"]]),
        site=np.unique(frame["site"].to_numpy(), return_inverse=True)[1],
    )
    told = crossed(rows, asinh_scale=gas.asinh_scale, method=method)
    flux = gas.asinh_scale * np.sinh(told.quantile)
    return frame.assign(**{names[i]: flux[i] for i in range(len(LEVELS))})
