"""The finding about effects: what was estimated, which rows may be read as effects and which only as associations."""

from collections.abc import Hashable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.causal.effects import COLUMNS, Effects, Mapper, effects
from ch4grid.causal.estimates import ESTIMATED, EffectSettings
from ch4grid.findings import Check, Finding
from ch4grid.graph import CausalGraph

TITLE = "What the drivers do to the flux"
QUESTION = (
    "By how much does the flux of each class change with a driver, all else that matters held?"
)
# Share of 90 % intervals of nothing that miss zero by chance, and standard errors granted on top.
BY_CHANCE = 0.1
GRANTED = 2.0
LIMITS = (
    "An effect is only as good as the graph: a common cause that is not measured is not held.",
    "Averages weight months by the variation of the driver that nothing held explains, not all alike.",
    "Where the interval is over years of sites, it holds for these towers and not for the class.",
    "Intervals of single sites in the forests do not count the clusters and are too narrow (on the twin about three in "
    "four hold the truth); those of classes and quarters do.",
)


def report_effects(
    series: xr.Dataset,
    graph: CausalGraph,
    *,
    flux: str,
    ecosystems: Sequence[str],
    treatments: Sequence[tuple[str, int]] | None = None,
    config: EffectSettings,
    seed: int,
    mapper: Mapper = map,
) -> Finding:
    """The finding of `effects`; arguments as there."""
    found = effects(
        series,
        graph,
        flux=flux,
        ecosystems=ecosystems,
        treatments=treatments,
        config=config,
        seed=seed,
        mapper=mapper,
    )
    return finding(found)


def finding(found: Effects) -> Finding:
    """Effects as a finding."""
    table = found.table
    done = table[table["effect"].notna()] if len(table) else table
    return Finding(
        key="effects",
        title=TITLE,
        question=QUESTION,
        data=_data(done),
        answers=_answers(table),
        table=table,
        columns=COLUMNS,
        checks=_checks(done, found),
        limits=LIMITS,
        attributes={
            "econml": version("econml"),
            "config": found.config.model_dump(mode="json"),
            "seed": found.seed,
        },
    )


def _data(done: pd.DataFrame) -> str:
    rows = done[(done["contrast"] == "per unit") & (done["kind"] == "total")]
    if not len(rows):
        return "No class has enough months with a flux and its drivers."
    largest = rows.groupby("ecosystem", sort=False)[["n", "n_eff", "clusters"]].max()
    return "; ".join(
        f"{name}: {months:.0f} months (as good as {alike:.0f} independent ones) in {blocks:.0f} blocks"
        for name, (months, alike, blocks) in zip(
            largest.index, largest.to_numpy(float), strict=True
        )
    )


def _answers(table: pd.DataFrame) -> tuple[str, ...]:
    """One sentence per class and treatment about its total effect, and one per class without any."""
    rows = table[(table["contrast"] == "per unit") & (table["kind"] == "total")]
    return tuple(_sentence(row) for row in rows.to_dict("records"))


def _sentence(row: Mapping[Hashable, Any]) -> str:
    """A result with its interval, in words no stronger than its status."""
    when = {0: "in the same month", 1: "a month later"}.get(
        int(row["lag"]), f"{row['lag']} months later"
    )
    name = f"{row['ecosystem']}, {row['driver']} on the flux {when}"
    status = str(row["status"])
    effect, lower, upper, spread = (
        float(row[key]) for key in ("effect", "lower", "upper", "spread")
    )
    if not np.isfinite(effect):
        return f"{name}: no estimate ({status})."
    figures = (
        f"{effect * spread:+.3f} ({lower * spread:+.3f} to {upper * spread:+.3f}) in asinh space "
        f"per standard deviation of {spread:.3g}"
    )
    if status != ESTIMATED:
        return f"{name}: {figures}, an association only ({status.removeprefix('association: ')})."
    verdict = "consistent with no effect" if lower <= 0 <= upper else "consistent with an effect"
    return f"{name}: {figures}, {verdict}, held: {row['adjustment']}."


def _checks(done: pd.DataFrame, found: Effects) -> tuple[Check, ...]:
    each = done[(done["contrast"] == "per unit")]
    once = each.drop_duplicates(["ecosystem", "driver", "lag"])
    dealt = each[each["shuffled_lower"].notna()]
    missed = (dealt["shuffled_lower"] > 0) | (dealt["shuffled_upper"] < 0)
    next_month = once[once["placebo_lower"].notna()]
    outside = (next_month["placebo_lower"] > 0) | (next_month["placebo_upper"] < 0)
    weak = each[each["status"] != ESTIMATED]
    checks = [
        _placebo("next month's driver has no effect", outside),
        _placebo("the driver with the sign of every year dealt anew has no effect", missed),
        Check(
            "every effect has an adjustment set, overlap and a clean placebo",
            bool(len(weak) == 0) if len(each) else None,
            f"{len(each) - len(weak)} of {len(each)} rows have; the others are associations",
        ),
    ]
    checks += [_forest(row) for row in found.forests.to_dict("records")]
    return tuple(checks)


def _forest(row: Mapping[Hashable, Any]) -> Check:
    """Whether the differences that a forest predicts are there on clusters that it did not see."""
    slope, lower, upper = (float(row[key]) for key in ("calibration", "lower", "upper"))
    return Check(
        f"the forest of {row['driver']} (lag {row['lag']}) predicts real differences of the effect",
        lower > 0,
        f"slope of true on predicted differences {slope:.2f} ({lower:.2f} to {upper:.2f}), 1 is perfect, 0 none; "
        f"R-learner score {row['gain']:.3f} on unseen clusters, {row['months']} months",
    )


def _placebo(name: str, missed: pd.Series) -> Check:
    """Whether no more placebos miss zero than chance explains."""
    count = len(missed)
    if not count:
        return Check(name, None, "no row has enough data")
    most = BY_CHANCE + GRANTED * np.sqrt(BY_CHANCE * (1 - BY_CHANCE) / count)
    share = float(missed.mean())
    return Check(
        name,
        bool(share <= most),
        f"{share:.0%} of {count} intervals miss zero; by chance 10 % and at most {most:.0%} do",
    )
