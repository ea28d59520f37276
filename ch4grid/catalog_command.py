"""The commands `ch4grid catalog list|show|validate`, of a catalog on this machine or behind a URL."""

import json
from typing import Annotated, Any

import typer

from ch4grid.arguments import AsJson
from ch4grid.console import say, say_table

app = typer.Typer(
    help="Look into and check the STAC catalog, here or behind a URL.", no_args_is_help=True
)

CatalogPlace = Annotated[
    str, typer.Option("--catalog", help="The catalog's folder or URL, or the output folder's.")
]
DEFAULT = "products/catalog"
COLUMNS = ("kind", "id", "version", "scenarios", "years", "title")
# What `show` says first, in this order, where it is there.
FACTS = (
    "title",
    "kind",
    "version",
    "scenarios",
    "years",
    "license",
    "citation",
    "interval",
    "bbox",
)
LISTS = ("variables", "derived_from", "items")


@app.command("list")
def list_command(catalog: CatalogPlace = DEFAULT, as_json: AsJson = False) -> None:
    """List the products, models and inputs of a catalog."""
    from ch4grid.catalog import list_catalog

    rows = list_catalog(catalog)
    if as_json:
        say(json.dumps(rows, indent=2))
    else:
        say_table([_told(row) for row in rows], COLUMNS)


@app.command("show")
def show_command(
    name: Annotated[
        str, typer.Argument(help="Id of a product, a year of it, a model or an input.")
    ],
    catalog: CatalogPlace = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Show one product, year, model or input: facts, assets, and the lines that open it."""
    from ch4grid.catalog import show

    shown = show(catalog, name)
    say(json.dumps(shown, indent=2) if as_json else "\n".join(_in_words(shown)))


@app.command("validate")
def validate_command(catalog: CatalogPlace = DEFAULT, as_json: AsJson = False) -> None:
    """Check a catalog without network but to itself: schemas, links, files, and that it agrees with its stores."""
    from ch4grid.catalog import validate

    problems = validate(catalog)
    if as_json:
        say(json.dumps(problems, indent=2))
    else:
        agrees = f"{catalog}: valid; every link and file is there; it agrees with its stores."
        say("\n".join(problems) or agrees)
    if problems:
        raise typer.Exit(1)


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """A row with lists in words."""
    return row | {"scenarios": ", ".join(row["scenarios"]), "years": spans(row["years"])}


def spans(years: list[int]) -> str:
    """Ascending years in words: 2001-2003, 2005."""
    runs: list[list[int]] = []
    for year in years:
        if runs and year == runs[-1][-1] + 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    return ", ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs)


def _in_words(shown: dict[str, Any]) -> list[str]:
    """What is shown, as lines: facts, lists, scores, assets, and last what a reader copies."""
    told = _told(shown) | {
        "interval": " to ".join(t or "now" for t in shown["interval"]),
        "bbox": " ".join(f"{v:g}" for v in shown["bbox"] or ()),
    }
    facts = [(k, told[k]) for k in FACTS] + [(k, ", ".join(map(str, told[k]))) for k in LISTS]
    facts = [(k, v) for k, v in facts if v]
    width = max(len(k) for k, _ in facts)
    lines = [shown["id"], *(f"  {k:<{width}}  {v}" for k, v in facts)]
    lines += (
        ["skill", *(f"  {_score(row)}" for row in shown["skill"])] if shown.get("skill") else []
    )
    if shown["assets"]:
        width = max(map(len, shown["assets"]))
        lines += ["assets", *(f"  {k:<{width}}  {v}" for k, v in shown["assets"].items())]
    for library, code in shown.get("opening", {}).items():
        lines += ["", f"# with {library}", *code]
    return lines


def _score(row: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
