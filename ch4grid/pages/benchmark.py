"""The page of a benchmark: which model won, how sure that is, and where each of them fails.

In come tables of scores, paired tests and predictions, out comes one HTML file. Like every page it loads nothing from
elsewhere, has no script, and the same tables give the same bytes; what a benchmark did not run is said and left out.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ch4grid.pages.benchmark_figures import (
    HEADLINE,
    SCORE,
    SPLITS,
    Benchmark,
    benchmark,
    figures,
    interval_of,
)
from ch4grid.pages.causal import LONGEST_TABLE, SHORT_TABLE, Head, Sheet, cell
from ch4grid.pages.figures import MINUS, MISSING, figure, words
from ch4grid.pages.templates import render

# Scores of the headline table: column, head, what it means.
FLUX = "nmol m⁻² s⁻¹"
SCORES = {
    "asinh_nse": (
        "NSE, asinh",
        "efficiency in asinh space, which decides: 1 is perfect, 0 the mean of the measured",
    ),
    "nse": ("NSE", "efficiency of the flux itself"),
    "r2": ("R²", "squared correlation of the flux"),
    "mae": ("MAE", f"mean absolute error [{FLUX}]"),
    "rmse": ("RMSE", f"root mean square error [{FLUX}]"),
    "bias": ("bias", f"mean of predicted less measured [{FLUX}]"),
    "coverage50": ("in 50 %", "share of months inside the 50 % interval"),
    "coverage80": ("in 80 %", "share of months inside the 80 % interval"),
    "coverage90": ("in 90 %", "share of months inside the 90 % interval"),
    "width90": ("width 90 %", f"mean width of the 90 % interval [{FLUX}]"),
    "crps": ("CRPS", f"continuous ranked probability score [{FLUX}]; lower is better"),
}
COMPARED = {
    "model": "model compared with the reference on the same months, clusters left out",
    "difference": "efficiency in asinh space of the model less that of the reference; above 0 is better",
    "lower": "lower end of its 90 % interval over clusters",
    "upper": "upper end of its 90 % interval over clusters",
    "p": "two-sided p of a signed-rank test of the mean squared errors of clusters",
    "p_holm": "p corrected for the number of models by Holm",
    "better": "whether the model is better than the reference after the correction",
    "clusters": "clusters compared",
    "months": "tower-months compared",
    "mae_difference": f"mean absolute error of the model less that of the reference [{FLUX}]; below 0 is better",
    "p_mae": "p of the same test of absolute errors of the flux; decides nothing",
    "p_mae_holm": "the same, corrected by Holm",
}
COST = {
    "model": "name in the recipe",
    "parameters": "numbers that the model fits",
    "seconds": "seconds of all fits and predictions under the split",
    "fit_seconds": "mean seconds of one fit",
    "predict_seconds": "mean seconds of the predictions of one fold",
    "folds": "number of fits",
}
PROBABILITIES = frozenset({"p", "p_holm", "p_mae", "p_mae_holm"})
LEAST_P = 1e-3
# Numbers around 1, which are given to the same decimal in every row.
EVEN = PROBABILITIES | {"nse", "asinh_nse", "r2", "coverage50", "coverage80", "coverage90"}
EVEN |= {"difference", "lower", "upper"}
HEADS = {
    **{name: head for name, (head, _) in SCORES.items()},
    "p_holm": "p (Holm)",
    "mae_difference": "MAE difference",
    "p_mae": "p (MAE)",
    "p_mae_holm": "p (MAE, Holm)",
}


class Cell(NamedTuple):
    """A score and its interval as text."""

    text: str
    range: str


class Line(NamedTuple):
    """A row of the headline table."""

    model: str
    months: str
    cells: tuple[Cell, ...]
    won: bool


class Table(NamedTuple):
    """A table with a title, a sentence, and the meaning of its columns where that is known."""

    title: str
    note: str
    sheet: Sheet
    folded: bool


def benchmark_page(
    *,
    title: str,
    summary: str,
    results: pd.DataFrame,
    comparisons: pd.DataFrame,
    predictions: pd.DataFrame,
    extras: Mapping[str, pd.DataFrame],
    command: str,
    winner: str,
    reason: str,
    reading: Sequence[str],
) -> str:
    """The page as HTML; whatever is missing in the tables is left out with a sentence.

    Args:
        title: One line.
        summary: One paragraph of plain text: which towers, which models.
        results: One row per model and split with `model`, `split`, `n`, the scores of `SCORES`, `parameters`, `seconds`
            and `interval`, which maps a score to its 90 % interval or None.
        comparisons: Paired tests against a reference, clusters left out; columns of `COMPARED`. The attribute
            `reference` names it.
        predictions: One row per model, split and tower-month.
        extras: Further tables by title.
        command: What makes this page again.
        winner: Name of the model that won.
        reason: Why, in one sentence.
        reading: What to take from the page, sentence by sentence.
    """
    reference = str(comparisons.attrs.get("reference", ""))
    b = benchmark(results.reset_index(drop=True), predictions, winner=winner, reference=reference)
    return render(
        "benchmark.html.j2",
        title=title,
        summary=summary,
        lead=_lead(winner, reason),
        reading=list(reading),
        scores=SCORES,
        lines=_headline(b),
        everything=_everything(b),
        figures=figures(b),
        comparisons=_comparisons(comparisons, reference),
        cost=_cost(b),
        extras=[
            _table(name, "", frame, {}, folded=len(frame) > SHORT_TABLE)
            for name, frame in extras.items()
        ],
        command=command,
    )


def _lead(winner: str, reason: str) -> str:
    """What won and why, in one sentence that names the winner."""
    told = reason.strip().rstrip(".")
    if winner and winner not in told:
        told = f"{winner} won: {told}" if told else f"{winner} won"
    return f"{told}." if told else "No model won."


def _headline(b: Benchmark) -> list[Line]:
    """Scores with clusters left out, the best model first; models without the deciding score last."""
    rows = b.results[b.results["split"] == HEADLINE].drop_duplicates("model")
    score = pd.to_numeric(rows[SCORE], errors="coerce")
    order = (-score).sort_values(kind="stable", na_position="last").index
    return [_line(row, b.winner) for _, row in rows.loc[order].iterrows()]


def _line(row: pd.Series, winner: str) -> Line:
    cells = []
    for name in SCORES:
        ends = interval_of(row, name)
        told = " to ".join(_score(name, end, 2) for end in ends) if ends else ""
        cells.append(Cell(_score(name, _number(row.get(name))), told))
    return Line(
        str(row["model"]), _text(_whole(row.get("n"))), tuple(cells), row["model"] == winner
    )


def _everything(b: Benchmark) -> Table | None:
    """Scores of every model under every split."""
    columns = [c for c in ("model", "split", "n", *SCORES) if c in b.results]
    frame = b.results[columns]
    frame = frame.assign(split=frame["split"].map(lambda s: SPLITS.get(s, s)))
    return (
        _table("All scores under every split", "", frame, {}, folded=True) if len(frame) else None
    )


def _comparisons(comparisons: pd.DataFrame, reference: str) -> Table:
    title = "Paired tests"
    if comparisons.empty or "model" not in comparisons:
        return _table(title, "No model was compared with a reference.", pd.DataFrame(), {})
    frame = comparisons
    if "difference" in frame:
        frame = frame.sort_values("difference", ascending=False, kind="stable")
    against = reference or "the reference"
    note = f"Every model against {against}, on the same months, cluster by cluster."
    if "better" in frame:
        better = [
            str(m)
            for m, found in zip(frame["model"], frame["better"], strict=True)
            if found is True or found == 1
        ]
        note += (
            f" Better after correction for {len(frame)} comparisons: {', '.join(better)}."
            if better
            else f" None of {len(frame)} is better after correction for their number."
        )
    return _table(title, note, frame, COMPARED)


def _cost(b: Benchmark) -> Table:
    """Size and time of every model with clusters left out, or under the first split that there is."""
    title = "Parameters and seconds"
    there = list(dict.fromkeys(b.results["split"]))
    split = HEADLINE if HEADLINE in there else next(iter(there), "")
    columns = [c for c in COST if c in b.results]
    frame = b.results.loc[b.results["split"] == split, columns]
    if frame.empty or not {"parameters", "seconds"} & set(columns):
        return _table(title, "Neither was recorded.", pd.DataFrame(), {})
    note = f"Of the split {SPLITS.get(split, split)}; seconds depend on the machine."
    if "seconds" in frame:
        frame = frame.sort_values("seconds", kind="stable")
    return _table(title, note, frame, COST)


def _table(
    title: str, note: str, frame: pd.DataFrame, meanings: Mapping[str, str], *, folded: bool = False
) -> Table:
    if not isinstance(frame.index, pd.RangeIndex) and any(frame.index.names):
        frame = frame.reset_index()
    heads = tuple(
        Head(
            HEADS.get(str(c), words(str(c))),
            meanings.get(str(c), ""),
            not pd.api.types.is_numeric_dtype(frame[c]),
        )
        for c in frame.columns
    )
    shown = frame.head(LONGEST_TABLE)
    columns = [_column(str(c), shown[c]) for c in shown.columns]
    rows = tuple(zip(*columns, strict=True))
    return Table(title, note, Sheet(heads, rows, max(0, len(frame) - LONGEST_TABLE)), folded)


def _column(name: str, values: pd.Series) -> list[str]:
    """Values of a column as text, counts without decimals."""
    numbers = values.map(_number).astype(np.float64)
    known = numbers[np.isfinite(numbers)]
    if name in EVEN and pd.api.types.is_numeric_dtype(values):
        return [_score(name, v) for v in numbers]
    if pd.api.types.is_float_dtype(values) and (known == known.round()).all():
        return [f"{v:.0f}".replace("-", MINUS) if np.isfinite(v) else MISSING for v in numbers]
    return [_text(v) for v in values]


def _score(name: str, value: float, decimals: int = 3) -> str:
    """A number of a score as text; of a small probability only the bound."""
    if not math.isfinite(value) or name not in EVEN:
        return figure(value)
    if name in PROBABILITIES and value < LEAST_P:
        return f"< {LEAST_P:g}"
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", MINUS)


def _text(value: Any) -> str:
    """A value as text: an interval with its ends, a dash for what is missing."""
    if isinstance(value, list | tuple):
        return " to ".join(map(_text, value)) or MISSING
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(v)}" for key, v in value.items()) or MISSING
    if value is None or value is pd.NaT or value is pd.NA:
        return MISSING
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    return cell(value)


def _number(value: Any) -> float:
    """A value as a number, NaN for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _whole(value: Any) -> int | None:
    """A value as a count; None for anything else."""
    number = _number(value)
    return round(number) if math.isfinite(number) else None
