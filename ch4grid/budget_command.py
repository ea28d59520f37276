"""The command `ch4grid budget`: annual budgets of a region of a product, as a table or as JSON."""

import json
from typing import Annotated

import typer

from ch4grid.arguments import AsJson, Product
from ch4grid.console import say, say_table


def budget(
    store: Product,
    region: Annotated[
        str | None,
        typer.Option("--region", help="A GeoJSON file, or a region of the product; the globe."),
    ] = None,
    feature: Annotated[
        str | None, typer.Option("--feature", help="Only features of the file with this name.")
    ] = None,
    year: Annotated[
        list[int] | None, typer.Option("--year", help="A year; repeatable. All by default.")
    ] = None,
    classes: Annotated[
        bool, typer.Option("--by-class", help="Also every ecosystem class.")
    ] = False,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Also standard deviations by naive rules, beside members."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the annual budget of a region with its 90 % interval [Tg per year], and the mean of the years."""
    from ch4grid import account, api
    from ch4grid.statement import LEVEL, SPREADS, statement

    ds, years = account.select_years(api.open(store), year)
    place = account.place_of(ds, region, feature)
    gas = account.gas_of(ds)
    rows = statement(ds, place, classes=classes, compare=compare)
    told = {
        "store": str(store),
        "region": region or account.GLOBE,
        "feature": feature,
        "gas": gas.name,
        "units": "Tg per year",
        "level": LEVEL,
        "years": years,
    }
    if as_json:
        say(json.dumps(told | {"rows": rows}, indent=2))
        return
    columns = ("years", "ecosystem", "mean", "lower", "upper", *(SPREADS if compare else ()))
    say_table([{c: _shown(row.get(c)) for c in columns} for row in rows], columns)
    say(f"{feature or told['region']}, {gas.formula} [Tg per year], {LEVEL:.0%} interval")
    if classes and not place.name:
        say("Members have no classes: name the region in the recipe (regions) for their intervals.")
    if compare:
        say(
            "Standard deviations: members of the sums; independent and correlated as if errors of cells and months "
            "were strangers or one. understated = members / independent, overstated = correlated / members."
        )


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
