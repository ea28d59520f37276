"""The figures of a benchmark: which numbers of its tables are drawn, and a caption that says what is seen.

In come scores by model and split and the predictions of single months; out come figures with a picture, or with the
reason why there is none. Nothing here fails for what a benchmark did not run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from ch4grid.pages.benchmark_numbers import (
    LEVELS,
    TRANSFORMED,
    axis_scale,
    coverage,
    fluxes,
    nse,
    rmse,
    site_slope,
)
from ch4grid.pages.benchmark_plots import (
    Axis,
    Picture,
    Series,
    bars,
    curves,
    dot_rows,
    scatter,
)
from ch4grid.pages.figures import figure, percent, tick, words

# The score that decides, and the split that it decides under.
SCORE, HEADLINE, RANDOM = "asinh_nse", "loco", "random"
# Splits from the easiest to the hardest, in words.
SPLITS = {
    "random": "random months",
    "temporal": "later years",
    "loso": "tower left out",
    "loco": "cluster left out",
    "knndm": "kNNDM folds",
    "region": "region left out",
    "class": "class left out",
    "holdout": "towers never seen",
}
# Splits under which a tower is left out with nothing else that would matter more than its distance.
BY_DISTANCE = ("loso", "loco")
MAIN_MODELS = 8
# Skill below this is written at the edge of a plot: how much worse than the mean does not matter.
FLOOR = -1.0
# A calibration of fewer clusters says nothing.
MIN_CLUSTERS = 4
# Edges [km] and names of the bins of distance to the nearest training tower.
EDGES_KM = (0.0, 100.0, 300.0, 1000.0, 3000.0, np.inf)
DISTANCES = ("under 100 km", "100 to 300 km", "300 to 1000 km", "1000 to 3000 km", "over 3000 km")
DECILES = tuple(f"q{percent:02d}" for percent in LEVELS)
QUANTILES = tuple(f"q{percent:02d}" for percent in range(5, 100, 5))
NUMBERS = ("measured", *TRANSFORMED, "distance_km", *QUANTILES)
COLUMNS = ("model", "split", "site", "time", "cluster", "ecosystem", *NUMBERS)
SKILL = "efficiency (NSE) in asinh space, 1 is perfect"
CLIMATOLOGY = "climatology"


class Figure(NamedTuple):
    """A figure: its title, what is seen, and the picture; without a picture the caption says why."""

    title: str
    caption: str
    picture: Picture | None = None


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A benchmark with every column in place.

    Args:
        results: One row per model and split.
        predictions: One row per model, split and tower-month, with `COLUMNS`.
        winner: Name of the model that won.
        reference: Name of the model that others are compared with; empty where there is none.
    """

    results: pd.DataFrame
    predictions: pd.DataFrame
    winner: str
    reference: str

    def scores(self, split: str) -> "pd.Series[float]":
        """The deciding score by model, the best first."""
        rows = self.results[self.results["split"] == split].drop_duplicates("model")
        values = pd.to_numeric(rows.set_index("model")[SCORE], errors="coerce").astype(np.float64)
        return values[np.isfinite(values)].sort_values(ascending=False, kind="stable")

    def months(self, model: str, splits: Sequence[str] = (HEADLINE,)) -> pd.DataFrame:
        """Months of a model under splits that have a measured and a predicted value."""
        p = self.predictions
        rows = p[(p["model"] == model) & p["split"].isin(splits)]
        return _finite(rows, TRANSFORMED)

    def paired(self, models: Sequence[str], splits: Sequence[str]) -> pd.DataFrame:
        """Months that all of the models have."""
        rows = pd.concat([self.months(m, splits) for m in models])
        keys = [rows["split"], rows["site"], rows["time"]]
        return rows[rows.groupby(keys)["model"].transform("nunique") == len(models)]


def benchmark(
    results: pd.DataFrame, predictions: pd.DataFrame, *, winner: str, reference: str
) -> Benchmark:
    """A benchmark whose missing columns are there and empty."""
    least = ["model", "split", "interval", SCORE]
    rows = results.reindex(columns=[*results.columns, *(c for c in least if c not in results)])
    months = predictions.reindex(columns=list(COLUMNS))
    numbers = months[list(NUMBERS)].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    return Benchmark(rows, months.assign(**dict(numbers.items())), winner, reference)


def figures(b: Benchmark) -> list[Figure]:
    """All figures, in the order of the page."""
    return [
        random_against_clusters(b),
        skill_by_split(b),
        skill_by_class(b),
        observed_against_predicted(b),
        reliability(b),
        pit_histogram(b),
        error_by_distance(b),
    ]


def interval_of(row: pd.Series, score: str) -> tuple[float, float] | None:
    """The interval of a score in a row of results."""
    found = row["interval"].get(score) if isinstance(row["interval"], dict) else None
    if not found or not np.isfinite(np.array(found, dtype=np.float64)).all():
        return None
    return float(found[0]), float(found[1])


def random_against_clusters(b: Benchmark) -> Figure:
    """What a random split promises against what is left at towers of another place."""
    title = "Random split against leave-one-cluster-out"
    hard, easy = b.scores(HEADLINE), b.scores(RANDOM)
    if hard.empty or easy.empty:
        lacking = HEADLINE if hard.empty else RANDOM
        return Figure(title, f"Not drawn: no model was scored under the split {lacking}.")
    rows = b.results[b.results["split"] == HEADLINE].drop_duplicates("model").set_index("model")
    models = list(hard.index)
    picture = dot_rows(
        models,
        [
            Series(
                "cluster left out",
                tuple(hard),
                0,
                tuple(interval_of(rows.loc[m], SCORE) for m in models),
            ),
            Series("random months", tuple(easy.reindex(models)), 1),
        ],
        Axis(SKILL, floor=FLOOR),
        title=title,
        linked=True,
    )
    both = [m for m in models if m in easy.index]
    return Figure(title, " ".join(_losses(hard, easy, both, models)), picture)


def _losses(
    hard: "pd.Series[float]", easy: "pd.Series[float]", both: list[str], models: list[str]
) -> Iterator[str]:
    yield (
        "Each row is a model, from the best on left-out clusters down; the shaded bar is the 90 % interval over"
        " clusters, the grey line is what the random split promises too much (or, rarely, too little)."
    )
    if both:
        change = (easy[both] - hard[both]).sort_values()
        yield (
            f"Over {_count(len(both), 'model')} the median is {figure(float(easy[both].median()))} on random months"
            f" and {figure(float(hard[both].median()))} on left-out clusters; the gap is narrowest for"
            f" {change.index[0]} ({figure(float(change.iloc[0]))}) and widest for {change.index[-1]}"
            f" ({figure(float(change.iloc[-1]))})."
        )
    lacking = [m for m in models if m not in both]
    if lacking:
        yield f"Not scored on random months: {', '.join(lacking)}."


def skill_by_split(b: Benchmark) -> Figure:
    """Skill of the main models from the easiest split to the hardest."""
    title = "Skill by split"
    there = set(b.results["split"].dropna().astype(str))
    ordered = [s for s in SPLITS if s in there] + sorted(there - set(SPLITS))
    by_split = {s: scores for s in ordered if len(scores := b.scores(s))}
    if len(by_split) < 2:
        return Figure(title, "Not drawn: fewer than two splits have scores.")
    models = _main_models(b, by_split)
    series = [
        Series(m, tuple(float(s.get(m, np.nan)) for s in by_split.values()), i, joined=i < 2)
        for i, m in enumerate(models)
    ]
    labels = [SPLITS.get(s, words(s)) for s in by_split]
    picture = dot_rows(labels, series, Axis(SKILL, floor=FLOOR), title=title)
    caption = (
        f"Splits from the easiest (top) to the hardest, for the {_count(len(models), 'model')} that ran under the most"
        f" splits; lines follow {' and '.join(models[:2])}. Splits score different sets of months, so compare models"
        " within a row, and the fall down the rows only roughly."
    )
    best = [
        f"{label}: {s.index[0]} ({figure(float(s.iloc[0]))})"
        for label, s in zip(labels, by_split.values(), strict=True)
    ]
    return Figure(title, f"{caption} Best of all models: {', '.join(best)}.", picture)


def _main_models(b: Benchmark, by_split: dict[str, "pd.Series[float]"]) -> list[str]:
    """The winner, the reference and the models under most splits, ties by the headline score."""
    everyone = list(dict.fromkeys(m for s in by_split.values() for m in s.index))
    headline = by_split.get(HEADLINE, pd.Series(dtype=np.float64))
    ranked = sorted(
        everyone,
        key=lambda m: (-sum(m in s.index for s in by_split.values()), -headline.get(m, -np.inf)),
    )
    first = [m for m in (b.winner, b.reference) if m in everyone]
    return list(dict.fromkeys([*first, *ranked]))[:MAIN_MODELS]


def skill_by_class(b: Benchmark) -> Figure:
    """Skill within each class of winner, reference and climatology, clusters left out."""
    title = "Skill by class"
    models = _shown(b, (HEADLINE,))
    if not models:
        return Figure(title, f"Not drawn: {_nothing(b)}")
    found, sizes, left_out = {}, {}, []
    for name, part in b.paired(models, (HEADLINE,)).groupby("ecosystem"):
        skill = [nse(part[part["model"] == m]) for m in models]
        if np.isfinite(skill).any():
            found[str(name)], sizes[str(name)] = skill, part["site"].nunique()
        else:
            left_out.append(words(str(name)))
    if not found:
        return Figure(title, "Not drawn: no class has enough months.")
    order = sorted(found, key=lambda name: -found[name][0])
    picture = dot_rows(
        [f"{words(name)} ({sizes[name]})" for name in order],
        [Series(m, tuple(found[n][i] for n in order), i) for i, m in enumerate(models)],
        Axis(SKILL, floor=FLOOR),
        title=title,
    )
    caption = (
        f"Clusters left out; in brackets the number of towers. Zero is the mean of the measured months of the class:"
        f" {models[0]} is above it in {sum(found[n][0] > 0 for n in order)} of {len(order)} classes, best in"
        f" {words(order[0])} ({figure(found[order[0]][0])}), worst in {words(order[-1])}"
        f" ({figure(found[order[-1]][0])}). A class whose fluxes hardly vary scores low even with small errors."
    )
    if left_out:
        caption += f" Too few months: {', '.join(left_out)}."
    return Figure(title, caption, picture)


def observed_against_predicted(b: Benchmark) -> Figure:
    """Every month and tower of the winner, clusters left out."""
    title = f"Observed against predicted, {b.winner}"
    months = b.months(b.winner)
    scale = axis_scale(months)
    if scale is None:
        return Figure(title, f"Not drawn: {_nothing(b)}")
    sites = months.groupby("site")[list(TRANSFORMED)].mean()
    slope = site_slope(sites)
    caption = (
        f"Small dots are {_count(len(months), 'tower-month')}, large dots the means in asinh space of"
        f" {_count(len(sites), 'tower')}, clusters left out; the dashed line is where both are the same."
        f" Axes are asinh(flux / {tick(scale.linear)}), labelled in {scale.units}."
    )
    if np.isfinite(slope):
        caption += f" Over towers the predicted mean rises by {figure(slope)} for every 1 of the measured mean"
        caption += (
            "; below 1, low towers are predicted too high and high ones too low."
            if slope < 1
            else "."
        )
    labels = (f"measured [{scale.units}]", f"predicted [{scale.units}]")
    picture = scatter(
        fluxes(months, scale),
        fluxes(sites, scale),
        scale,
        title=title,
        description=f"{title}. {caption}",
        labels=labels,
    )
    return Figure(title, caption, picture)


def reliability(b: Benchmark) -> Figure:
    """Share of months inside central intervals of the winner, of all towers and by class."""
    title = f"Reliability of intervals, {b.winner}"
    months = _with_law(b)
    if months.empty:
        return Figure(title, f"Not drawn: {_no_law(b)}")
    inside = coverage(months)
    series = [Series("all towers", tuple(inside), 0, joined=True)]
    for name, part in months.groupby("ecosystem"):
        if part["cluster"].nunique() >= MIN_CLUSTERS:
            series.append(Series(words(str(name)), tuple(coverage(part)), len(series) + 1))
    series = series[:MAIN_MODELS]
    picture = curves(
        np.array(LEVELS) / 100,
        series,
        title=title,
        x_label="nominal level of the central interval",
        y_label="share of months inside",
    )
    caption = (
        f"Below the dashed line intervals are too narrow, above it too wide. Of {_count(len(months), 'month')} of"
        f" left-out clusters {percent(inside[4])} lie inside the 50 % interval, {percent(inside[7])} inside 80 %,"
        f" {percent(inside[8])} inside 90 %. Classes with {MIN_CLUSTERS} clusters or more are drawn on their own."
    )
    return Figure(title, caption, picture)


def pit_histogram(b: Benchmark) -> Figure:
    """Share of measured months in each tenth of the predicted law of the winner."""
    title = f"Measured months within the predicted law (PIT), {b.winner}"
    months = _with_law(b)
    if months.empty:
        return Figure(title, f"Not drawn: {_no_law(b)}")
    above = months["measured"].to_numpy()[:, None] > months[list(DECILES)].to_numpy()
    shares = np.bincount(above.sum(axis=1), minlength=10) / len(months)
    picture = bars(
        shares,
        0.1,
        title=title,
        x_label="quantile of the predicted law",
        y_label="share of months",
    )
    caption = (
        "A calibrated law has a tenth of the months in each bar (dashed line). A U means intervals too narrow, a hump"
        f" too wide, a slope a bias. The lowest bar holds {percent(float(shares[0]))}, the highest"
        f" {percent(float(shares[-1]))}."
    )
    return Figure(title, caption, picture)


def error_by_distance(b: Benchmark) -> Figure:
    """Error of winner and reference against the distance to the nearest training tower."""
    title = "Error by distance to the nearest training tower"
    ran = set(b.predictions.loc[b.predictions["model"] == b.winner, "split"])
    splits = tuple(s for s in BY_DISTANCE if s in ran)
    models = _shown(b, splits)[:2]
    if b.reference not in models:
        models = models[:1]
    if not models:
        return Figure(title, f"Not drawn: {_nothing(b)}")
    months = b.paired(models, splits)
    months = months[np.isfinite(months["distance_km"])]
    bins = np.digitize(months["distance_km"], EDGES_KM[1:-1])
    held = [i for i in range(len(DISTANCES)) if (bins == i).any()]
    if not held:
        return Figure(title, "Not drawn: distances are not known.")
    parts = [months[bins == i] for i in held]
    series = [
        Series(m, tuple(rmse(part[part["model"] == m]) for part in parts), i, joined=True)
        for i, m in enumerate(models)
    ]
    labels = [
        f"{DISTANCES[i]} ({part['site'].nunique()})" for i, part in zip(held, parts, strict=True)
    ]
    picture = dot_rows(labels, series, Axis("RMSE in asinh space, 0 is perfect"), title=title)
    first, last = series[0].values[0], series[0].values[-1]
    caption = (
        f"In brackets the number of towers; months of the splits {' and '.join(SPLITS[s] for s in splits)}. The error"
        f" of {models[0]} is {figure(first)} ({DISTANCES[held[0]]}) and {figure(last)} ({DISTANCES[held[-1]]})."
        " Bins hold different towers, so that a step between two may be their fluxes rather than their distance."
    )
    return Figure(title, caption, picture)


def _shown(b: Benchmark, splits: Sequence[str]) -> list[str]:
    """Winner, reference and climatology, as far as they ran under every one of the splits."""
    p = b.predictions[b.predictions["split"].isin(splits)]
    ran = p.groupby("model")["split"].nunique()
    everyone = [str(m) for m in ran.index[ran == len(splits)]] if len(splits) else []
    named = [b.winner, b.reference, *(m for m in everyone if CLIMATOLOGY in m)]
    shown = [m for m in dict.fromkeys(named) if m in everyone and len(b.months(m, splits))]
    return shown[:3] if b.winner in shown else []


def _with_law(b: Benchmark) -> pd.DataFrame:
    """Months of the winner that have quantiles."""
    months = b.months(b.winner)
    return _finite(months, ("measured", *QUANTILES))


def _finite(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Rows with a finite value in every one of the columns."""
    known = np.isfinite(rows[list(columns)].to_numpy(np.float64)).all(axis=1)
    return rows.iloc[np.flatnonzero(known)]


def _nothing(b: Benchmark) -> str:
    return f"there are no predictions of {b.winner or 'a winner'} for clusters left out."


def _no_law(b: Benchmark) -> str:
    return _nothing(b) if b.months(b.winner).empty else f"{b.winner} gives no quantiles."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
