"""What the predictions of a benchmark are worth: rows of scores, paired tests, strata, and the model that wins."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ch4grid.benchmarking.recipe import HEADLINE
from ch4grid.errors import InputError
from ch4grid.evaluation import compare, intervals, scores
from ch4grid.models.learner import Learner
from ch4grid.models.zoo import DECIDING_SCORE as DECIDING
from ch4grid.models.zoo import ranked

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Results:
    """A benchmark, scored.

    Args:
        rows: One per model and split, as the command line writes them.
        comparisons: Paired tests over clusters against the reference under the headline split; empty without it.
        predictions: One row per model, split and tower-month.
        reference: Name of the model that others are compared with.
    """

    rows: list[Row]
    comparisons: pd.DataFrame
    predictions: pd.DataFrame
    reference: str

    def under(self, split: str) -> list[Row]:
        """Rows of a split, the best first; a model without a score is last."""
        without = [r for r in self.rows if r["split"] == split and r[DECIDING] is None]
        return ranked(self.rows, split) + without


def score(
    predictions: pd.DataFrame,
    models: Mapping[str, Learner],
    *,
    reference: str,
    seed: int,
) -> Results:
    """The results of predictions.

    Args:
        predictions: What `harness.run` returns.
        models: Settings of the models by name, kept in the rows.
        reference: Model that others are compared with.
        seed: Seed of the bootstrap over clusters.
    """
    rows = [
        _row(str(model), str(split), frame, models, seed)
        for (split, model), frame in predictions.groupby(["split", "model"], sort=False)
    ]
    headline = predictions[predictions["split"] == HEADLINE]
    there = set(headline["model"])
    comparisons = (
        compare(headline, reference, split=HEADLINE, seed=seed)
        if reference in there and len(there) > 1
        else pd.DataFrame()
    )
    return Results(rows, comparisons, predictions, reference)


def winner(rows: list[Row], split: str = HEADLINE) -> Row:
    """The row with the highest efficiency in asinh space under a split.

    Raises:
        InputError: No model was scored under it.
    """
    order = ranked(rows, split)
    if not order:
        raise InputError(
            "no model was scored under the split that decides",
            where="benchmark table",
            expected=f"rows with split {split}",
            found=", ".join(sorted({str(r["split"]) for r in rows})) or "no rows",
        )
    return order[0]


def reason(rows: list[Row], split: str = HEADLINE) -> str:
    """Why the winner was taken, in one sentence with its figure, interval and the runner-up."""
    best, *others = ranked(rows, split) or [winner(rows, split)]
    place = "on towers left out by cluster" if split == HEADLINE else f"under split {split}"
    told = (
        f"the highest efficiency in asinh space {place} is that of {best['model']}, "
        f"{best[DECIDING]:.3f}{_range(best)}"
    )
    if not others:
        return told
    return f"{told}; next is {others[0]['model']} with {others[0][DECIDING]:.3f}"


def _row(
    model: str, split: str, frame: pd.DataFrame, models: Mapping[str, Learner], seed: int
) -> Row:
    once = frame.drop_duplicates("fold")
    found = scores(frame)
    return (
        {"model": model, "split": split, "n": len(frame)}
        | found
        | {
            "interval": intervals(frame, seed=seed),
            "seconds": round(float((once["fit_seconds"] + once["predict_seconds"]).sum()), 2),
            "fit_seconds": round(float(once["fit_seconds"].mean()), 2),
            "predict_seconds": round(float(once["predict_seconds"].mean()), 3),
            "parameters": int(np.median(once["parameters"])),
            "folds": len(once),
            "clusters": int(frame["cluster"].nunique()),
            "towers": int(frame["site"].nunique()),
            "settings": json.loads(models[model].model_dump_json()),
        }
    )


def _range(row: Row) -> str:
    bounds = (row.get("interval") or {}).get(DECIDING)
    return f" (90 % interval {bounds[0]:.2f} to {bounds[1]:.2f})" if bounds else ""
