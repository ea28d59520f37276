"""A benchmark in words: the same table and reading for the Markdown file and the page."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ch4grid.benchmarking.further import Tables
from ch4grid.benchmarking.recipe import HEADLINE, BenchmarkRecipe
from ch4grid.benchmarking.results import Results, Row, reason, winner
from ch4grid.evaluation import by, compare, levels
from ch4grid.models.zoo import DECIDING_SCORE as DECIDING

# Columns of the table of scores: heading, key, decimals.
COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("asinh NSE", "asinh_nse", 3),
    ("NSE", "nse", 3),
    ("R2", "r2", 2),
    ("MAE", "mae", 1),
    ("bias", "bias", 1),
    ("CRPS", "crps", 1),
    ("in 50 %", "coverage50", 2),
    ("in 80 %", "coverage80", 2),
    ("in 90 %", "coverage90", 2),
    ("width of 90 %", "width90", 0),
)
RANDOM = "random"
# The model under the discovered graph and the same network under a graph dealt at random.
GRAPH, CONTROL = "ctgat", "ctgat-random-dag"
# A class with fewer clusters is not judged by its coverage.
JUDGED_CLUSTERS = 4
# Share of months that a 90 % interval should hold.
WANTED_COVERAGE = (0.85, 0.95)


def markdown(
    recipe: BenchmarkRecipe, found: Results, command: str, tables: Tables | None = None
) -> str:
    """The Markdown document of a benchmark.

    Args:
        recipe: The benchmark.
        found: Its results.
        command: What makes it again.
        tables: Further tables by title.
    """
    parts = [f"# {recipe.title}", recipe.summary.strip()]
    split = main_split(found)
    if command:
        parts.append(f"Made by\n\n    {command}")
    parts.append("## Reading\n\n" + "\n".join(f"- {line}" for line in reading(found)))
    parts.append(f"## Scores, {SPLIT_NAMES.get(split, split)}\n\n{scores_table(found, split)}")
    others = [s for s in dict.fromkeys(r["split"] for r in found.rows) if s != split]
    if others:
        parts.append(f"## Efficiency in asinh space by split\n\n{splits_table(found)}")
    if len(found.comparisons):
        parts.append(
            f"## Paired tests against {found.reference}, over clusters\n\n{tests_table(found)}"
        )
    best = best_frame(found)
    parts.append(f"## The best model by class\n\n{class_table(best)}")
    parts.append(f"## The best model by level\n\n{level_table(best)}")
    parts += [f"## {title}\n\n{plain_table(table)}" for title, table in (tables or {}).items()]
    parts.append(f"## Cost\n\n{cost_table(found, split)}")
    return "\n\n".join(part for part in parts if part) + "\n"


SPLIT_NAMES = {
    "loco": "one 300 km cluster of towers left out at a time",
    "loso": "one tower left out at a time, its neighbours left in",
    "random": "random months",
    "temporal": "the last months of every record",
    "class": "one class left out at a time",
    "region": "one continent left out at a time",
    "knndm": "folds as far from their training towers as land is from towers",
    "holdout": "towers kept back",
}


def main_split(found: Results) -> str:
    """The headline split, or the first there is."""
    there = [str(row["split"]) for row in found.rows]
    return HEADLINE if HEADLINE in there else there[0]


def best_frame(found: Results) -> pd.DataFrame:
    """Predictions of the best model under the main split."""
    split = main_split(found)
    best = winner(found.rows, split)["model"]
    frame = found.predictions
    rows: pd.DataFrame = frame[(frame["split"] == split) & (frame["model"] == best)]
    return rows


def reading(found: Results) -> list[str]:
    """What the numbers say, in sentences with figures, the inconvenient ones too."""
    told = [
        reason(found.rows, main_split(found)),
        _optimism(found),
        _tested(found),
        _graph(found),
        *_coverage(found),
    ]
    return [f"{line[0].upper()}{line[1:]}." for line in told if line]


def scores_table(found: Results, split: str) -> str:
    """All scores of a split, the best model first; the efficiency with its interval over clusters."""
    head = ["model", *(name for name, _, _ in COLUMNS)]
    rows = []
    for row in found.under(split):
        cells = [_number(row[key], digits) for _, key, digits in COLUMNS]
        cells[0] += _bounds(row, DECIDING)
        rows.append([row["model"], *cells])
    units = "MAE, bias, CRPS and width in nmol m-2 s-1; in brackets the 90 % interval over clusters drawn again."
    first = found.under(split)[0]
    size = f"{first['n']} months, {first['towers']} towers, {first['clusters']} clusters, {first['folds']} folds. "
    return f"{size}{units}\n\n{_table(head, rows)}"


def splits_table(found: Results) -> str:
    """Efficiency in asinh space of every model under every split."""
    kinds = list(dict.fromkeys(str(row["split"]) for row in found.rows))
    at = {(row["model"], row["split"]): row[DECIDING] for row in found.rows}
    order = [row["model"] for row in found.under(main_split(found))]
    order += [m for m in dict.fromkeys(r["model"] for r in found.rows) if m not in order]
    rows = [[m, *(_number(at[m, k], 3) if (m, k) in at else "" for k in kinds)] for m in order]
    return _table(["model", *kinds], rows)


def tests_table(found: Results) -> str:
    """Differences to the reference with interval and corrected p."""
    table = found.comparisons.sort_values("difference", ascending=False)
    rows = [
        [
            str(row["model"]),
            f"{row['difference']:+.3f} ({row['lower']:+.3f} to {row['upper']:+.3f})",
            _number(row["p"], 3),
            _number(row["p_holm"], 3),
            "yes" if row["better"] else "no",
        ]
        for row in table.to_dict("records")
    ]
    head = ["model", "difference of asinh NSE", "p (Wilcoxon)", "p (Holm)", "better"]
    return _table(head, rows)


def class_table(frame: pd.DataFrame) -> str:
    """Scores of one model by class."""
    table = by(frame, "ecosystem")
    rows = [
        [
            row["ecosystem"],
            str(row["sites"]),
            str(row["clusters"]),
            str(row["months"]),
            *(_number(row[k], d) for k, d in CLASS_COLUMNS),
        ]
        for row in table.to_dict("records")
    ]
    head = ["class", "towers", "clusters", "months", *(k for k, _ in CLASS_COLUMNS)]
    return _table(head, rows)


CLASS_COLUMNS = (("asinh_nse", 2), ("mae", 1), ("bias", 1), ("coverage50", 2), ("coverage90", 2))


def level_table(frame: pd.DataFrame) -> str:
    """Skill of one model for months, tower means, seasonal cycles and anomalies."""
    table = levels(frame)
    columns = [c for c in table.columns if c != "level"]
    rows = [
        [str(row["level"]), *(_number(row[c], 0 if c == "n" else 2) for c in columns)]
        for row in table.to_dict("records")
    ]
    return _table(["level", *columns], rows)


def cost_table(found: Results, split: str) -> str:
    """Parameters and seconds by model."""
    rows = [
        [
            r["model"],
            f"{r['parameters']:,}",
            _number(r["fit_seconds"], 1),
            _number(r["predict_seconds"], 3),
            _number(r["seconds"], 0),
        ]
        for r in sorted(found.under(split), key=lambda r: r["seconds"])
    ]
    head = ["model", "parameters", "s to fit a fold", "s to predict it", "s in all folds"]
    return _table(head, rows)


def plain_table(table: pd.DataFrame) -> str:
    """Any table, numbers to three digits."""
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False, name=None)]
    return _table([str(c).replace("_", " ") for c in table.columns], rows)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return _number(value, 3 if abs(value) < 10 else 1)
    return "" if value is None else str(value)


def _optimism(found: Results) -> str:
    """By how much random months flatter."""
    random = {r["model"]: r[DECIDING] for r in found.rows if r["split"] == RANDOM}
    pairs = [
        (random[r["model"]], r[DECIDING])
        for r in found.under(HEADLINE)
        if random.get(r["model"]) is not None and r[DECIDING] is not None
    ]
    if not pairs:
        return ""
    kind, hard = np.median(np.array(pairs), axis=0)
    verb = "flatter" if kind > hard else "do not flatter here"
    return (
        f"random months {verb}: over {len(pairs)} models the median efficiency in asinh space is {kind:.2f} there and "
        f"{hard:.2f} at clusters left out; only the second says anything about a map"
    )


def _tested(found: Results) -> str:
    """Whether the winner is better than the reference beyond doubt."""
    table = found.comparisons
    if not len(table):
        return ""
    best = winner(found.rows)["model"]
    row = table[table["model"] == best]
    better = [str(m) for m in table[table["better"]]["model"]]
    told = (
        f"better than {found.reference} beyond doubt (Holm over {len(table)} models): "
        f"{', '.join(better) if better else 'no model'}"
    )
    if not len(row):
        return told
    one = row.iloc[0]
    bounds = f"{one['lower']:+.3f} to {one['upper']:+.3f}"
    return (
        f"paired over clusters, {best} less {found.reference}: {one['difference']:+.3f} ({bounds}), "
        f"p {one['p']:.3f}, corrected {one['p_holm']:.3f}; {told}"
    )


def _graph(found: Results) -> str:
    """Whether the discovered graph helps."""
    frame = found.predictions
    there = set(frame.loc[frame["split"] == HEADLINE, "model"])
    if not {GRAPH, CONTROL} <= there:
        return ""
    pair = frame[frame["model"].isin((GRAPH, CONTROL))]
    row = compare(pair, CONTROL, split=HEADLINE, seed=0).iloc[0]
    sure = row["lower"] > 0 or row["upper"] < 0
    return (
        f"the discovered graph against links dealt at random: {row['difference']:+.3f} in efficiency "
        f"({row['lower']:+.3f} to {row['upper']:+.3f}, p {row['p']:.3f}); "
        + (
            "the interval leaves zero out"
            if sure
            else "the interval holds zero, so it is not shown to help"
        )
    )


def _coverage(found: Results) -> list[str]:
    """Whether 90 % intervals of the best model hold what they should, in all and by class."""
    frame = best_frame(found)
    table = by(frame, "ecosystem")
    whole = next(
        (r for r in found.under(main_split(found)) if r["model"] == frame["model"].iloc[0]), None
    )
    if whole is None or whole["coverage90"] is None:
        return ["the best model gives no intervals"]
    low, high = WANTED_COVERAGE
    judged = table[table["clusters"] >= JUDGED_CLUSTERS]
    wrong = judged[(judged["coverage90"] < low) | (judged["coverage90"] > high)]
    told = [
        f"90 % intervals of {whole['model']} hold {100 * whole['coverage90']:.0f} % of the months that were scored"
    ]
    if len(judged):
        told[0] += (
            f", and in the {len(judged)} classes with at least {JUDGED_CLUSTERS} clusters "
            f"{100 * judged['coverage90'].min():.0f} to {100 * judged['coverage90'].max():.0f} %"
        )
    if len(wrong):
        names = ", ".join(
            f"{r['ecosystem']} {100 * r['coverage90']:.0f} %" for r in wrong.to_dict("records")
        )
        told.append(f"outside 85 to 95 %: {names}")
    return told


def _bounds(row: Row, name: str) -> str:
    bounds = row["interval"].get(name)
    return f" ({bounds[0]:.2f} to {bounds[1]:.2f})" if bounds else ""


def _number(value: float | None, digits: int) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
