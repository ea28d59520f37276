"""The urban gradient as a `Finding`: what was asked, what is claimed and on which conditions, what it does not show."""

from collections.abc import Mapping
from typing import Any

from ch4grid.causal.gradient import Gradient
from ch4grid.causal.reversals import COLUMNS
from ch4grid.findings import Finding

QUESTION = "Does the effect of a driver on the flux change sign along the urban gradient, and at which urban fraction?"
RULE = (
    "A reversal is claimed only if the change of the slope is significant after the false discovery rate over drivers "
    "and classes (q <= 0.05), the 90 % interval of the reversal is bounded and inside the observed urban fractions, "
    "every fit without one urban site keeps it, and the signs at the ends of the observed gradient differ with 95 %."
)
LIMITS = (
    RULE,
    "A changing slope is consistent with a changing process and with anything else that goes with built-up land: "
    "heating and gas use, leaks, sewage, drainage.",
    "Nothing is said about urban fractions beyond those of the towers.",
    "Errors are autoregressive of order one within sites (prewhitened) and shared between sites at a time step; longer "
    "memory is not modelled.",
    "Whether wind speed changes the flux or only what a tower detects is not told apart.",
)


def report_gradient(result: Gradient) -> Finding:
    """The finding of a gradient; where the data cannot answer, it says so and what is missing."""
    claimed = result.table[result.table["claimed"].astype(bool)]
    answers: tuple[str, ...]
    if result.reason:
        answers = (f"This cannot be answered with these data: {result.reason}.",)
    elif len(claimed):
        answers = tuple(_sentence(row) for row in claimed.to_dict("records"))
    else:
        plain = result.table[result.table["scale"] == "plain"]
        answers = (
            f"No reversal is claimed: of {len(plain)} slopes, "
            + "; ".join(f"{n} {why}" for why, n in plain["why"].value_counts().items())
            + ".",
        )
    left_out = tuple(f"Left out: {name}, {reason}." for name, reason in result.untested.items())
    return Finding(
        key="urban-gradient",
        title="Urban gradient",
        question=QUESTION,
        data=result.data,
        answers=answers,
        table=result.table,
        columns=COLUMNS,
        checks=result.checks,
        limits=LIMITS + left_out,
        attributes=result.attributes,
    )


def _sentence(row: Mapping[Any, Any]) -> str:
    rising = "negative to positive" if row["change"] > 0 else "positive to negative"
    where = "All classes together" if row["ecosystem"] == "pool" else str(row["ecosystem"])
    return (
        f"{where}: consistent with an effect of {row['driver']} that turns from {rising} at an urban fraction of "
        f"{row['reversal']:.2f} ({row['lower']:.2f} to {row['upper']:.2f}, 90 %), "
        f"from {row['sites']} towers and about {row['effective_steps']} independent steps "
        f"(q = {row['q']:.1g})."
    )
