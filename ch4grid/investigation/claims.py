"""What others claim about the causes of the flux, what physics expects, and what these towers show.

The claims are those of a seminar abstract of May 2026 on urban gradients of methane; no paper, code or data list is
public. A claim counts as supported or contradicted only where a link was reported, its effect stands its checks and its
interval lies on one side of zero.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from ch4grid.causal.prior import POOL
from ch4grid.findings import Check, Finding
from ch4grid.investigation.overview import effect_of, long_name, reported
from ch4grid.pages.figures import MINUS, figure, words

SUPPORTED, CONTRADICTED = "supported", "contradicted"
UNDECIDED, UNTESTABLE = "undecided", "not testable with these data"


class Claim(NamedTuple):
    """A claim: driver, sign that is claimed (+1, -1), what physics expects, and why a sign may mislead."""

    driver: str
    sign: int
    expected: str


class Reversal(NamedTuple):
    """A claimed reversal of sign along the urban gradient, and what physics expects."""

    driver: str
    expected: str


CLAIMS = (
    Claim(
        "ps",
        +1,
        "negative at the scale of weather: falling pressure releases bubbles. A positive sign is what elevation between"
        " sites, or heating under winter highs, would make",
    ),
    Claim(
        "vpd",
        +1,
        "no sign of its own: deficit = saturation pressure (T) times (1 - humidity), so it stands for heat, light or"
        " drought, and drought lowers the flux of a wetland",
    ),
    Claim("tas", +1, "positive: methanogenesis speeds up with the temperature of the soil"),
    Claim(
        "hurs",
        -1,
        "the mirror of vapour pressure deficit at a given temperature; never a third, separate cause beside both",
    ),
)
REVERSALS = (
    Reversal(
        "tas",
        "a negative urban slope follows from heating in winter without any change of biology: confounded by demand",
    ),
    Reversal("sfcWind", "wind changes what eddy covariance detects, so a slope may be selection"),
    Reversal(
        "gpp", "gpp is itself partitioned with temperature and radiation, so part of it is built in"
    ),
)

COLUMNS = {
    "claim": "what is claimed",
    "ecosystem": "class; pool is all towers together",
    "verdict": "supported, contradicted, undecided (no link was reported, or the interval holds zero), or not testable",
    "found": "frequency and sign of the most frequent link, effect with its 90 % interval",
    "why": "why the verdict is what it is",
    "expected": "what is physically expected",
}


def compare(
    links: pd.DataFrame,
    effects: pd.DataFrame,
    reversals: pd.DataFrame,
    *,
    humidity: pd.DataFrame,
    ecosystems: tuple[str, ...],
    flux: str,
    gate: Check,
    towers: str,
) -> Finding:
    """Claims against findings, one row per claim and class.

    Args:
        links: Columns ecosystem, source, target, lag, frequency, strength and q.
        effects: Columns ecosystem, driver, effect, lower, upper, unit and sound.
        reversals: Columns driver, reversal, lower, upper, found and why; empty where no gradient could be fitted.
        humidity: Links of relative humidity in the graph that holds it in the place of the deficit.
        ecosystems: Classes with towers.
        flux: Name of the flux variable.
        gate: Whether the null controls let links be used.
        towers: What the answers rest on.
    """
    into = links[links["target"] == flux]
    if len(humidity):
        into = pd.concat([into, humidity.rename(columns={"driver": "source"})], join="inner")
    rows = [
        row
        for claim in CLAIMS
        for name in (POOL, *ecosystems)
        for row in _judged(claim, name, into, effects, gate)
    ]
    rows += [_reversed(reversal, reversals) for reversal in REVERSALS]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Finding(
        key="claims",
        title="Compared with claims",
        question=(
            "Do these towers bear out that air pressure, vapour pressure deficit and air temperature raise the flux,"
            " that relative humidity suppresses it, and that temperature, wind and productivity act the other way in"
            " cities?"
        ),
        data=towers,
        answers=tuple(_told(table)),
        table=table,
        columns=COLUMNS,
        checks=(gate,),
        limits=(
            "The claims come from an abstract without data or code, so the sites, drivers and settings behind them are"
            " unknown.",
            "Undecided is not contradicted: few towers and short records have little power.",
            "On a synthetic planet the verdicts say what was planted there and nothing about the Earth.",
        ),
    )


def _judged(
    claim: Claim, ecosystem: str, into: pd.DataFrame, effects: pd.DataFrame, gate: Check
) -> Iterator[tuple[str, ...]]:
    """The row of a claim for a class."""
    title = f"{long_name(claim.driver)} {'raises' if claim.sign > 0 else 'lowers'} the flux"
    tested = into[(into["ecosystem"] == ecosystem) & (into["source"] == claim.driver)]
    effect = effect_of(effects, ecosystem, claim.driver)
    if tested.empty:
        there = claim.driver in set(into["source"])
        why = (
            "too few measured years in this class"
            if there
            else "the driver is not in the graph"
            + (
                ": two of temperature, deficit and humidity determine the third"
                if claim.driver == "hurs"
                else ""
            )
        )
        yield title, ecosystem, UNTESTABLE, "", why, claim.expected
        return
    best = tested.sort_values("frequency", ascending=False, kind="stable").iloc[0]
    verdict, why = _verdict(claim, best, effect, gate)
    yield title, ecosystem, verdict, _found(best, effect), why, claim.expected


def _verdict(
    claim: Claim, link: pd.Series, effect: pd.Series | None, gate: Check
) -> tuple[str, str]:
    if gate.passed is not True:
        return UNTESTABLE, "the null controls do not let links be used"
    if not reported(link):
        return UNDECIDED, "no link was found often and significantly enough"
    if effect is None:
        return UNDECIDED, "a link was reported, but its effect could not be estimated"
    if not effect["sound"]:
        return UNTESTABLE, "the effect fails a check"
    if effect["lower"] <= 0 <= effect["upper"]:
        return UNDECIDED, "the interval of the effect holds zero"
    agrees = np.sign(effect["effect"]) == claim.sign
    return (SUPPORTED if agrees else CONTRADICTED), "link reported, effect sound and away from zero"


def _found(link: pd.Series, effect: pd.Series | None) -> str:
    sign = {True: "+", False: MINUS}[bool(link["strength"] >= 0)]
    told = f"{sign} in {link['frequency']:.0%} at lag {int(link['lag'])} (q = {figure(float(link['q']))})"
    if effect is not None:
        told += (
            f"; {figure(effect['effect'])} ({figure(effect['lower'])} to {figure(effect['upper'])})"
            f" {effect['unit']}"
        )
    return told


def _reversed(claim: Reversal, reversals: pd.DataFrame) -> tuple[str, ...]:
    title = f"{long_name(claim.driver)} reverses along the urban gradient"
    rows = reversals[reversals["driver"] == claim.driver] if len(reversals) else reversals
    if rows.empty:
        return (
            title,
            POOL,
            UNTESTABLE,
            "",
            "no gradient could be fitted for this driver",
            claim.expected,
        )
    row = rows.iloc[0]
    return title, POOL, str(row["verdict"]), str(row["found"]), str(row["why"]), claim.expected


def _told(table: pd.DataFrame) -> Iterator[str]:
    """One sentence per claim: the verdict by class, and what physics expects."""
    for claim, rows in table.groupby("claim", sort=False):
        told = [
            f"{verdict} in {', '.join(map(_place, rows.loc[rows['verdict'] == verdict, 'ecosystem']))}"
            for verdict in (SUPPORTED, CONTRADICTED, UNDECIDED, UNTESTABLE)
            if (rows["verdict"] == verdict).any()
        ]
        yield f"Claimed: {claim}. Here: {'; '.join(told)}. Physics expects: {rows['expected'].iloc[0]}."


def _place(ecosystem: str) -> str:
    return "all towers together" if ecosystem == POOL else words(ecosystem)
