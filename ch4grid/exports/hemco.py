"""Lines of HEMCO_Config.rc that read exported files, with the settings that they need and what not to count twice."""

from collections.abc import Sequence
from dataclasses import dataclass

from ch4grid.exports.coards import UNITS
from ch4grid.exports.request import Request
from ch4grid.exports.sectors import sector_of

# Hierarchy of the lines: above the inventories that come with GEOS-Chem (1 and 2 for wetlands, 1 and 5 for rice).
HIERARCHY = 10
WETLANDS = 10


@dataclass(frozen=True)
class Entry:
    """A line of base emissions.

    Args:
        name: Its name after `CH4GRID_`.
        variable: Variable of the files.
        category: Category of emissions; None where no line can be given.
        active: Whether it is read; otherwise it is a comment.
        note: Why.
    """

    name: str
    variable: str
    category: int | None
    active: bool
    note: str


def entry_of(ecosystem: str, variable: str) -> Entry:
    """The line of a class: active where it is wetland, which no other inventory holds besides another map of it."""
    sector = sector_of(ecosystem)
    return Entry(
        name=ecosystem.replace("-", "_").upper(),
        variable=variable,
        category=sector.hemco,
        active=sector.hemco_name == "wetlands",
        note=f"{sector.hemco_name or 'no category of its own'}; {sector.place}",
    )


def entry_of_sum(variable: str, ecosystems: Sequence[str]) -> Entry:
    """The line of several classes in one variable."""
    others = [e for e in ecosystems if sector_of(e).hemco_name != "wetlands"]
    note = "wetlands" + (
        f", and {', '.join(others)}: switch their inventories off" if others else ""
    )
    return Entry("WETLANDS" if not others else "SUM", variable, WETLANDS, True, note)


def config(request: Request, pattern: str, entries: Sequence[Entry], notes: Sequence[str]) -> bytes:
    """The lines as a text file.

    Args:
        request: What was exported.
        pattern: Name of the files with `$YYYY` in place of the year.
        entries: The lines.
        notes: Lines of comment at the top.
    """
    lines = [f"# {note}" for note in notes]
    lines += [
        "#",
        "# Put the files below $ROOT/CH4GRID and these lines into the base emissions of HEMCO_Config.rc.",
        "# Setting needed where a class takes up methane: `Negative values: 2`.",
        "# A field takes the place of those of lower hierarchy in its category. Lines with # in front do so where",
        "# inventories are kept by default; remove the # to use them.",
        "#",
        "# ExtNr Name sourceFile sourceVar sourceTime C/R/E SrcDim SrcUnit Species ScalIDs Cat Hier",
        "(((CH4GRID",
    ]
    period = f"{request.years[0]}-{request.years[-1]}/1-12/1/0"
    for e in entries:
        lines.append(f"# {e.name}: {e.note}")
        if e.category is not None:
            source = f"$ROOT/CH4GRID/{pattern} {e.variable} {period} C xy {UNITS} CH4 -"
            line = f"0 CH4GRID_{e.name} {source} {e.category} {HIERARCHY}"
            lines.append(line if e.active else f"#{line}")
    return "\n".join([*lines, ")))CH4GRID", ""]).encode()
