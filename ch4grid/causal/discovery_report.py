"""What a discovery found, as `Finding`s: links into the flux per class, and links among the drivers."""

import numpy as np
import pandas as pd

from ch4grid.causal.examination import COLUMNS, Examination
from ch4grid.causal.prior import POOL
from ch4grid.findings import Finding

LIMITS = (
    "A link is consistent with a cause; a driver that was not measured (salinity, management, water table) may stand"
    " behind it.",
    "No link in a short record means no power, not no cause.",
    "Links into the flux are oriented by the assumption that the flux moves no driver within the lags tested.",
    "Lags are whole steps; what acts faster than a step shows at lag 0.",
    "The chance of a link was measured on synthetic planets and holds here as far as these towers resemble them.",
)


def report_discovery(examination: Examination) -> tuple[Finding, ...]:
    """Links into the flux with all checks, and links among drivers.

    Args:
        examination: From `examine`.
    """
    graph, config = examination.graph, examination.config
    attributes = {
        "tigramite": graph.provenance["tigramite"],
        "config": config.model_dump(mode="json"),
        "seed": graph.provenance["seed"],
        "untested": graph.provenance["untested"],
    }
    into = examination.into_flux.reset_index(drop=True)
    among = examination.links[examination.links["target"] != graph.target]
    data = _data(examination)
    return (
        Finding(
            key="discovery",
            title="Links into the flux",
            question="Which drivers are linked to the flux given all others, at which lag, which way and how surely?",
            data=data,
            answers=_answers(into, examination),
            table=into,
            columns=COLUMNS,
            checks=examination.checks,
            limits=LIMITS,
            attributes=attributes,
        ),
        Finding(
            key="discovery-drivers",
            title="Links among the drivers",
            question="Which drivers are linked to one another, on all towers together?",
            data=data,
            answers=_inner_answers(among),
            table=among.reset_index(drop=True),
            columns=COLUMNS,
            limits=(
                "A link of the same step that no third variable orients counts half each way.",
                "Physics forbids some directions: nothing moves radiation or pressure, plants and readings of"
                " temperature move no weather.",
            ),
            attributes=attributes,
        ),
    )


def _data(examination: Examination) -> str:
    """Towers, years and effective sample sizes, in words."""
    panel, evidence = examination.panel, examination.evidence
    told = f"{len(panel.sites)} towers, {panel.years.sum():.0f} measured site years by {panel.step}"
    if evidence is None:
        return f"{told}; nothing could be tested"
    sizes = [f"{name} {np.min(n):.0f} to {np.max(n):.0f}" for name, n in evidence.effective.items()]
    alone = f"; {len(evidence.into_sites)} towers also alone" if evidence.into_sites else ""
    return f"{told}{alone}; effective sample sizes over drivers: {', '.join(sizes)}"


def _answers(into: pd.DataFrame, examination: Examination) -> tuple[str, ...]:
    """One sentence per class."""
    classes = [POOL, *examination.graph.ecosystems]
    return tuple(
        _answer(name, into[into["ecosystem"] == name], examination.panel.step) for name in classes
    )


def _answer(name: str, rows: pd.DataFrame, step: str) -> str:
    if rows.empty:
        return f"{name}: too few measured years for a test of its own; it rests on the pool."
    found = rows[rows["reported"]].sort_values("strength", key=abs, ascending=False)
    if found.empty:
        return f"{name}: no link is reported."
    told = [_link(row, step) for _, row in found.iterrows()]
    return f"{name}: consistent with {'; '.join(told)}."


def _link(row: pd.Series, step: str) -> str:
    interval = ""
    if np.isfinite(row["lower"]):
        interval = f" (90 % {row['lower']:+.2f} to {row['upper']:+.2f})"
    lag = int(row["lag"])
    when = (
        f"at once within the {step}" if lag == 0 else f"after {lag} {step}{'s' if lag > 1 else ''}"
    )
    return (
        f"{row['source']} {when}, partial correlation {row['strength']:+.2f}{interval}, found in"
        f" {row['frequency']:.0%}, q = {row['q']:.2g}"
    )


def _inner_answers(among: pd.DataFrame) -> tuple[str, ...]:
    held = among[among["reported"] & (among["source"] != among["target"])]
    told = [
        f"{r['source']} to {r['target']} lag {int(r['lag'])} ({r['sign']}, {r['frequency']:.0%})"
        for _, r in held.iterrows()
    ]
    return (f"Found: {'; '.join(told)}." if told else "No link among drivers was found.",)
