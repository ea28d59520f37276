"""The structural model as a finding: its coefficients with intervals and what is left over by its equations."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from ch4grid.causal.intervals import reach
from ch4grid.causal.nonlinear import told
from ch4grid.findings import Check, Finding
from ch4grid.structure import POOL, StructuralModel
from ch4grid.vocabulary import GASES

# Residuals that remember more than this from month to month hide a cause, or a longer lag.
LARGEST_MEMORY = 0.4
# Boosted trees must explain this much more of the variance out of cluster before lines are said not to suffice.
CLEARLY_BETTER = 0.05


def report_structure(structure: StructuralModel, comparison: pd.DataFrame | None = None) -> Finding:
    """The finding of a fitted structure.

    Args:
        structure: What `fit_structure` gave.
        comparison: What `compare` gave for the same towers; without it that check says that it was not run.
    """
    gas = next(g for g in GASES.values() if g.flux == structure.target)
    table = coefficients(structure)
    equations = pd.DataFrame(structure.provenance["equations"])
    flux = equations[equations["node"] == structure.target]
    clear = table[(table["to"] == structure.target) & ((table["lower"] > 0) | (table["upper"] < 0))]
    own = clear[clear["ecosystem"].isin(set(flux["ecosystem"]) - {POOL})]
    answers = tuple(_answer(row) for row in own.to_dict("records"))
    pool = flux[flux["ecosystem"] == POOL].to_dict("records")
    data = (
        f"{pool[0]['sites']} towers, {pool[0]['rows']} months worth {pool[0]['effective_rows']:.0f} independent ones"
        if pool
        else "no equation of the flux over all towers"
    )
    return Finding(
        key="structure",
        title=f"Equations of the {gas.long_name} flux and its drivers",
        question=f"By how much does each cause in the graph move the {gas.long_name} flux and the other drivers?",
        data=data,
        answers=answers or ("No effect on the flux can be told from none.",),
        table=table,
        columns={
            "ecosystem": "class, or all towers",
            "to": "node that is moved",
            "from": "driver that moves it",
            "lag": "months by which it is ahead",
            "estimate": "change of the node per standard deviation of the driver [sd of the node per sd of the driver]",
            "lower": "lower end of the 90 % interval",
            "upper": "upper end of the 90 % interval",
            "natural": "the same in asinh units, or transformed units of the node, per transformed unit of the driver",
        },
        checks=(
            _memory(flux),
            _ridge(equations),
            _cycles(structure.provenance["cycles_broken"]),
            _lines(comparison),
        ),
        limits=(
            "Classes without an equation of their own take that of all towers.",
            "Coefficients are consistent with the graph; they are effects only if it holds all common causes.",
            _absences(structure),
        ),
        attributes={k: v for k, v in structure.provenance.items() if k != "equations"},
    )


def coefficients(structure: StructuralModel) -> pd.DataFrame:
    """All coefficients that are not zero, one row each, with intervals as wide as few clusters ask for."""
    found = []
    for e, name in enumerate((*structure.ecosystems, POOL)):
        for to, node in enumerate(structure.nodes):
            half = reach(structure.clusters(name, node))
            for i, driver in enumerate(structure.drivers):
                for lag in range(structure.max_lag + 1):
                    value = float(structure.coefficient[e, to, i, lag])
                    error = float(structure.error[e, to, i, lag])
                    unit = float(structure.spread[e, to] / structure.spread[e, i])
                    if value:
                        found.append(
                            {
                                "ecosystem": name,
                                "to": node,
                                "from": driver,
                                "lag": lag,
                                "estimate": value,
                                "lower": value - half * error,
                                "upper": value + half * error,
                                "natural": value * unit,
                            }
                        )
    names = ["ecosystem", "to", "from", "lag", "estimate", "lower", "upper", "natural"]
    return pd.DataFrame(found, columns=names)


def _answer(row: Mapping[Hashable, Any]) -> str:
    return (
        f"{row['ecosystem']}: one standard deviation of {row['from']} {row['lag']} months before goes with "
        f"{row['estimate']:+.2f} (90 % interval {row['lower']:.2f} to {row['upper']:.2f}) of the flux."
    )


def _memory(flux: pd.DataFrame) -> Check:
    name = "what the flux equations leave over does not last"
    if flux.empty:
        return Check(name, None, "no flux equation")
    worst = max(flux.to_dict("records"), key=lambda row: abs(row["residual_autocorrelation"]))
    found = worst["residual_autocorrelation"]
    return Check(
        name,
        abs(found) <= LARGEST_MEMORY,
        f"expected a correlation of successive residuals within {LARGEST_MEMORY:g}; found {found:.2f} for "
        f"{worst['ecosystem']}",
    )


def _ridge(equations: pd.DataFrame) -> Check:
    name = "no equation has collinear causes"
    if equations.empty:
        return Check(name, None, "no equation")
    found = equations[equations["ridge"] > 0]
    places = ", ".join(f"{r['node']} of {r['ecosystem']}" for r in found.to_dict("records"))
    return Check(name, found.empty, f"expected no ridge penalty; found one for {places or 'none'}")


def _cycles(broken: list[dict[str, Any]]) -> Check:
    links = ", ".join(sorted({f"{b['from']} to {b['to']}" for b in broken}))
    return Check(
        "links within a month form no cycle",
        not broken,
        f"expected none; left out as the least probable of a cycle: {links or 'none'}",
    )


def _lines(comparison: pd.DataFrame | None) -> Check:
    name = "straight lines suffice for the flux"
    if comparison is None or comparison.empty:
        return Check(name, None, "not compared with boosted trees")
    gain = float((comparison["boosted"] - comparison["linear"]).max())
    return Check(
        name,
        gain <= CLEARLY_BETTER,
        f"expected boosted trees to explain at most {CLEARLY_BETTER:g} more of the variance out of cluster; found "
        f"lines against trees: {', '.join(told(comparison))}",
    )


def _absences(structure: StructuralModel) -> str:
    gone = structure.provenance["absent"]
    partly = sorted(
        {f"{u['from']} in {u['ecosystem']}" for u in structure.provenance["unmeasured"]}
    )
    if not gone and not partly:
        return "Drivers that the graph does not know are not in it."
    return f"Causes in the graph that towers do not measure are left out: {', '.join([*gone, *partly])}."
