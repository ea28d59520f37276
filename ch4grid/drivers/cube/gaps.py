"""What to do about months that are missing, damaged or preliminary: stop, mark them, or fill them; never silently."""

from collections.abc import Sequence
from typing import Literal

import pandas as pd

from ch4grid.drivers.source import Holding
from ch4grid.errors import InputError

# strict: anything missing, damaged or preliminary stops. flag: preliminary months are used and missing ones left out,
# both marked. fill: as flag, and what is missing becomes the mean of the same calendar month over the reference years.
Policy = Literal["strict", "flag", "fill"]

# What can be read, and what strict does not accept.
READABLE = ("final", "preliminary", "climatology")
DOUBTFUL = ("missing", "damaged", "preliminary")

# Gaps named in a message.
NAMED = 6


def doubts(holdings: Sequence[Holding]) -> list[str]:
    """Everything that is not final, in words: variables of the same months, state and reason in one line."""
    months: dict[tuple[str, str, str, str], list[pd.Timestamp | None]] = {}
    for h in holdings:
        if h.state != "final":
            months.setdefault((h.source, h.state, h.reason, h.variable), []).append(h.month)
    variables: dict[tuple[str, str, str, str], list[str]] = {}
    for (source, state, reason, variable), when in months.items():
        variables.setdefault((source, runs(when), state, reason), []).append(variable)
    return [
        f"{source} {', '.join(names)} {when} {state}" + (f": {reason}" if reason else "")
        for (source, when, state, reason), names in variables.items()
    ]


def runs(when: Sequence[pd.Timestamp | None]) -> str:
    """Months as runs: `2003-01 to 2003-04, 2003-07`; `static` for what has none."""
    dated = sorted(m for m in when if m is not None)
    if not dated:
        return "static"
    parts: list[list[pd.Timestamp]] = []
    for month in dated:
        if parts and month == parts[-1][-1] + pd.offsets.MonthBegin(1):
            parts[-1].append(month)
        else:
            parts.append([month])
    return ", ".join(
        f"{p[0]:%Y-%m}" if len(p) == 1 else f"{p[0]:%Y-%m} to {p[-1]:%Y-%m}" for p in parts
    )


def refuse(holdings: Sequence[Holding], policy: Policy) -> None:
    """Stop over what the policy does not accept.

    Under `strict` that is every doubt. Under any policy it is a static that is not there, and a variable that no month
    holds: that is a wrong path rather than a gap.

    Raises:
        InputError: There is such a holding; the message has the first of them.
    """
    held = {h.variable for h in holdings if h.state in READABLE}
    stopping = [
        h
        for h in holdings
        if h.state in DOUBTFUL and (policy == "strict" or h.month is None or h.variable not in held)
    ]
    if not stopping:
        return
    told = doubts(stopping)
    more = f"; and {len(told) - NAMED} more" if len(told) > NAMED else ""
    raise InputError(
        "inputs are missing, damaged or preliminary",
        where=", ".join(sorted({h.source for h in stopping})),
        expected="every variable in every month, final"
        if policy == "strict"
        else "every static variable, and every other one in some month",
        found="; ".join(told[:NAMED]) + more,
        fix="Bring them (`ch4grid fetch` does where an archive has them), ask for other years, or set `gaps: flag` or "
        "`gaps: fill` in the recipe"
        if policy == "strict"
        else "Check the path in the recipe, or take the variable out of it",
    )
