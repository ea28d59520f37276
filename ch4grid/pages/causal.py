"""The report of a causal investigation: one HTML file that a scientist can read and a newcomer can start with.

It is made from findings and the links that were found, and knows nothing of how they came about. Like every page it
loads nothing from elsewhere, has no script, and the same findings give the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ch4grid.findings import Check, Finding
from ch4grid.pages.drawings import Drawing, drawings
from ch4grid.pages.figures import MINUS, MISSING, figure, words
from ch4grid.pages.network import FAINT, STRONG, Link, Network, among, network, short
from ch4grid.pages.templates import render
from ch4grid.stores import write_atomic

# Longer tables are folded away.
SHORT_TABLE = 12
# Rows of a table on the page; the rest is in its CSV file.
LONGEST_TABLE = 400
STATES = {True: ("passed", "passed"), False: ("failed", "failed"), None: ("open", "not run")}


class Unanswered(NamedTuple):
    """A part of the investigation that ended in an error: its title and the reason."""

    title: str
    reason: str


@dataclass(frozen=True)
class CausalPage:
    """Everything that the report shows.

    Args:
        title: One line.
        summary: One paragraph of plain text: which towers, what for.
        product: Identifier.
        flux: How to call the flux in a picture.
        target: Name of the flux variable.
        drivers: Drivers to draw.
        step: What a lag counts, "months" or "weeks".
        links: Links found, by class; links among drivers under `pool`.
        gate: What the null controls say about the whole, and whether they let it pass.
        overview: The main results by class and driver.
        lead: Sentences for newcomers, by class.
        claims: What others claim, what physics expects and what was found.
        findings: All findings, in the order of the chain.
        unanswered: Parts that ended in an error.
        provenance: What it was made from, by heading.
    """

    title: str
    summary: str
    product: str
    flux: str
    target: str
    drivers: tuple[str, ...]
    step: str
    links: Mapping[str, Sequence[Link]]
    gate: Check
    overview: Finding
    lead: Mapping[str, Sequence[str]]
    claims: Finding
    findings: tuple[Finding, ...]
    unanswered: tuple[Unanswered, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)


class Head(NamedTuple):
    """A column: its name, meaning, and whether it holds words."""

    name: str
    meaning: str
    words: bool


class Sheet(NamedTuple):
    """A table as text, and how many rows it leaves out."""

    heads: tuple[Head, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int


class Shown(NamedTuple):
    """A check in words."""

    name: str
    told: str
    state: str
    word: str


class Section(NamedTuple):
    """A finding ready to show."""

    finding: Finding
    sheet: Sheet
    folded: bool
    checks: tuple[Shown, ...]
    drawings: tuple[Drawing, ...]


class Heat(NamedTuple):
    """Frequencies of the links into the flux of one class by driver (rows) and lag (columns)."""

    name: str
    lags: tuple[int, ...]
    rows: tuple[tuple[str, tuple[tuple[float, str, str], ...]], ...]


def write_causal_page(path: Path, page: CausalPage) -> Path:
    """Write the report to `path`, atomically.

    Raises:
        RunError: The file cannot be written.
    """
    text = render(
        "causal.html.j2",
        page=page,
        gate=_check(page.gate),
        overview=section(page.overview),
        claims=section(page.claims),
        graphs=graphs(page),
        web=_web(page),
        heats=[_heat(name, page) for name in page.links],
        sections=[section(finding) for finding in page.findings],
        strong=f"{STRONG:.0%}",
        faint=f"{FAINT:.0%}",
    )
    write_atomic(path, text.encode())
    return path


def graphs(page: CausalPage) -> dict[str, Network]:
    """The picture of every class."""
    return {
        name: network(
            links,
            page.drivers,
            target=page.target,
            flux=page.flux,
            title=f"Links into the flux, {class_words(name)}",
            step=page.step,
        )
        for name, links in page.links.items()
    }


def section(finding: Finding) -> Section:
    """A finding as text and drawings."""
    return Section(
        finding,
        _sheet(finding),
        len(finding.table) > SHORT_TABLE,
        tuple(map(_check, finding.checks)),
        tuple(drawings(finding)),
    )


def class_words(name: str) -> str:
    """A class in words; the pool is all towers together."""
    return "all towers together" if name == "pool" else words(name)


def _web(page: CausalPage) -> Network | None:
    links = page.links.get("pool", ())
    inner = [link for link in links if link.target != page.target]
    title = "Links among the drivers"
    return among(inner, page.drivers, title=title, step=page.step) if inner else None


def _check(check: Check) -> Shown:
    state, word = STATES[check.passed]
    return Shown(check.name, check.told, state, word)


def _sheet(finding: Finding) -> Sheet:
    table = finding.table
    heads = tuple(
        Head(words(str(name)), meaning, bool(not pd.api.types.is_numeric_dtype(table[name])))
        for name, meaning in ((n, finding.columns[str(n)]) for n in table.columns)
    )
    rows = tuple(
        tuple(cell(value) for value in row)
        for row in table.head(LONGEST_TABLE).itertuples(index=False, name=None)
    )
    return Sheet(heads, rows, max(0, len(table) - LONGEST_TABLE))


def cell(value: Any) -> str:
    """A value of a table as text."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return str(value).replace("-", MINUS)
    if isinstance(value, float | np.floating):
        return figure(float(value))
    return MISSING if value is None or value is pd.NA else str(value)


def _heat(name: str, page: CausalPage) -> Heat:
    into = [link for link in page.links[name] if link.target == page.target]
    lags = tuple(sorted({link.lag for link in into}))
    found = {(link.source, link.lag): link for link in into}
    rows = []
    for driver in page.drivers:
        cells = [_warmth(found.get((driver, lag))) for lag in lags]
        rows.append((short(driver), tuple(cells)))
    return Heat(class_words(name), lags, tuple(rows))


def _warmth(link: Link | None) -> tuple[float, str, str]:
    """Shade, style and text of a cell."""
    if link is None:
        return 0.0, "", MISSING
    if link.frequency < 0.005:
        return 0.0, "", "0"
    sign, style = ("+", "plus") if link.strength >= 0 else (MINUS, "minus")
    return round(link.frequency, 3), style, f"{sign}{100 * link.frequency:.0f}"
