"""The results of an investigation in few words: per class which driver acts which way, after how long, how surely."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ch4grid.causal.prior import POOL
from ch4grid.findings import Check, Finding
from ch4grid.pages.figures import MINUS, figure, words
from ch4grid.vocabulary import VARIABLES

# A link is reported when it was found this often and is this significant (methods 3.3); weaker ones are named as such.
REPORTED, WEAK, SIGNIFICANT = 0.6, 0.3, 0.05

COLUMNS = {
    "ecosystem": "class; pool is all towers together",
    "driver": "driver",
    "direction": f"+ where more of the driver goes with more flux, {MINUS} where with less",
    "lag": "steps after which the driver acts",
    "frequency": "share of resampled records in which the link was found [1]",
    "q": "expected share of false links among all links at least as significant [1]",
    "effect": "change of the flux in asinh space per unit of the driver, adjusted for the graph's confounders [1]",
    "lower": "lower end of its 90 % interval",
    "upper": "upper end of its 90 % interval",
    "unit": "unit of the effect",
    "certainty": "in words: reported, weak or not found, and whether the effect stands its checks",
}


def overview(
    links: pd.DataFrame,
    effects: pd.DataFrame,
    *,
    flux: str,
    towers: str,
    step: str,
    gate: Check,
) -> Finding:
    """The strongest links of every class with their effects.

    Args:
        links: Columns ecosystem, source, target, lag, frequency, strength and q.
        effects: Columns ecosystem, driver, effect, lower, upper, unit and sound.
        flux: Name of the flux variable.
        towers: What the answers rest on.
        step: What a lag counts, "month" or "week".
        gate: Whether the null controls let links be used.
    """
    into = links[links["target"] == flux]
    best = into.sort_values("frequency", ascending=False, kind="stable").drop_duplicates(
        ["ecosystem", "source"]
    )
    rows = [
        _row(link, effect_of(effects, link["ecosystem"], link["source"]), gate)
        for _, link in best[best["frequency"] >= WEAK].iterrows()
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    order = {name: i for i, name in enumerate(dict.fromkeys(into["ecosystem"]))}
    table = table.sort_values(
        ["ecosystem", "frequency"],
        ascending=[True, False],
        key=lambda c: c.map(order) if c.name == "ecosystem" else c,
        kind="stable",
    ).reset_index(drop=True)
    return Finding(
        key="overview",
        title="In short",
        question="Which drivers move the flux, which way, after how long, and how sure is that?",
        data=f"{towers}; lags in {step}s",
        answers=(),
        table=table,
        columns=COLUMNS,
        checks=(gate,),
    )


def lead(
    finding: Finding, ecosystems: Iterable[str], tested: Sequence[str], step: str
) -> dict[str, list[str]]:
    """Sentences about the reported links of every class, by the class in words.

    Args:
        finding: The overview.
        ecosystems: Classes with towers.
        tested: Classes with enough data for a test of their own.
        step: What a lag counts.
    """
    sentences = {}
    for name in (POOL, *ecosystems):
        rows = finding.table[finding.table["ecosystem"] == name]
        title = "All towers together" if name == POOL else words(name).capitalize()
        if name not in tested:
            told = [
                "Too few measured years for a test of its own: it rests on all towers together."
            ]
        elif rows.empty or not rows["certainty"].str.startswith("reported").any():
            told = ["No driver was found often and significantly enough to be reported."]
            told += [f"Weak: {_named(rows)}."] if len(rows) else []
        else:
            strong = rows[rows["certainty"].str.startswith("reported")]
            told = [sentence(row, step) for _, row in strong.iterrows()]
            weak = rows.drop(strong.index)
            told += [f"Weak, not to be relied on: {_named(weak)}."] if len(weak) else []
        sentences[title] = told
    return sentences


def sentence(row: pd.Series, step: str) -> str:
    """A reported link in words."""
    lag = int(row["lag"])
    when = f"within the same {step}" if lag == 0 else f"{lag} {step}{'s' if lag > 1 else ''} later"
    way = {"+": "more", MINUS: "less"}.get(row["direction"], "a changed")
    told = (
        f"More {long_name(row['driver'])} goes with {way} flux {when} (found in {row['frequency']:.0%} of resampled"
        f" records, {_rate(float(row['q']))})."
    )
    if np.isfinite(row["effect"]):
        told += (
            f" Adjusted effect: {figure(row['effect'])} {row['unit']}"
            f" (90 % interval {figure(row['lower'])} to {figure(row['upper'])})"
        )
        told += (
            "."
            if "checks" not in row["certainty"]
            else "; a check failed, so do not rely on its size."
        )
    return told


def long_name(driver: str) -> str:
    """A driver in words."""
    if driver not in VARIABLES:
        return driver
    return VARIABLES[driver].long_name.split(" at ")[0].split(" 0 to")[0].rstrip(",")


def _rate(q: float) -> str:
    """A false discovery rate; very small ones are not told apart."""
    return "q < 0.001" if q < 0.001 else f"q = {figure(q)}"


def effect_of(effects: pd.DataFrame, ecosystem: str, driver: str) -> pd.Series | None:
    """The effect of a driver in a class; None where it was not estimated."""
    if effects.empty:
        return None
    rows = effects[(effects["ecosystem"] == ecosystem) & (effects["driver"] == driver)]
    rows = rows[np.isfinite(rows["effect"])]
    return rows.iloc[0] if len(rows) else None


def _row(link: pd.Series, effect: pd.Series | None, gate: Check) -> tuple[object, ...]:
    return (
        link["ecosystem"],
        link["source"],
        direction(float(link["strength"])),
        int(link["lag"]),
        float(link["frequency"]),
        float(link["q"]),
        *((np.nan, np.nan, np.nan) if effect is None else effect[["effect", "lower", "upper"]]),
        "" if effect is None else effect["unit"],
        _certainty(link, effect, gate),
    )


def reported(link: pd.Series) -> bool:
    """Whether a link was found often and significantly enough."""
    return bool(link["frequency"] >= REPORTED and link["q"] < SIGNIFICANT)


def direction(strength: float) -> str:
    """The sign of a link; nothing where it is not known."""
    return "" if not np.isfinite(strength) else "+" if strength >= 0 else MINUS


def _certainty(link: pd.Series, effect: pd.Series | None, gate: Check) -> str:
    told = "reported" if reported(link) else "weak"
    if gate.passed is False:
        told = "weak, null controls failed"
    if effect is None:
        return f"{told}, no effect estimated"
    if not effect["sound"]:
        return f"{told}, effect fails its checks"
    holds_zero = effect["lower"] <= 0 <= effect["upper"]
    return f"{told}, effect {'not told from zero' if holds_zero else 'away from zero'}"


def _named(rows: pd.DataFrame) -> str:
    return ", ".join(
        f"{long_name(r['driver'])} ({r['direction']}{r['frequency']:.0%})"
        for _, r in rows.iterrows()
    )
