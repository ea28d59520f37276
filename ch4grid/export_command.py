"""The command `ch4grid export`: a published product in the form that a consumer reads, or the contract of that form."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ch4grid.arguments import AsJson
from ch4grid.console import say
from ch4grid.errors import RecipeError
from ch4grid.progress import reporting

CONSUMERS = "cf-netcdf, geoschem, imi, icos, openghg or csv-inventory"


def export(
    store: Annotated[
        str | None,
        typer.Argument(help="The product, a folder or URL ending in .zarr.", metavar="STORE"),
    ] = None,
    consumer: Annotated[str, typer.Option("--for", help=f"Who reads it: {CONSUMERS}.")] = "",
    years: Annotated[
        str | None,
        typer.Option("--years", help="Published years, e.g. 2001 or 2001-2003; all by default."),
    ] = None,
    ecosystem: Annotated[
        list[str] | None,
        typer.Option("--ecosystem", help="A class; repeatable. Their sum is exported."),
    ] = None,
    member: Annotated[
        int | None, typer.Option("--member", help="A member of the ensemble, not its mean.")
    ] = None,
    grid: Annotated[
        str, typer.Option("--grid", help="For imi: 2x2.5, 4x5, 0.5x0.625 or 0.25x0.3125.")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Where files go; exports/PRODUCT_VERSION_SCENARIO/FOR."),
    ] = None,
    describe: Annotated[
        bool,
        typer.Option("--describe", help="Print the contract of the files, and make none."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a published product in the form that a consumer reads; monthly totals are checked to 1e-6."""
    from ch4grid.exports import consumer_of, years_of

    if describe:
        _describe(consumer, as_json)
        return
    consumer_of(consumer)
    if store is None:
        raise RecipeError(
            "no product is given",
            where="STORE",
            expected="a folder or URL ending in .zarr",
            found="nothing",
            fix="Or give --describe",
        )
    asked = None if years is None else years_of(years)
    from ch4grid import api
    from ch4grid.exports import export as make

    with reporting() as report:
        done = make(
            api.open(store),
            store,
            consumer,
            years=asked,
            ecosystems=ecosystem or (),
            member=member,
            grid=grid,
            output=output,
            report=report,
        )
    say(json.dumps(done.as_dict(), indent=2) if as_json else done.in_words())


def _describe(consumer: str, as_json: bool) -> None:
    """Print the contract of a consumer, or of all of them."""
    from ch4grid.exports import EXPORTS, consumer_of

    found = [consumer_of(consumer)] if consumer else list(EXPORTS.values())
    if as_json:
        say(json.dumps({e.name: e.contract.as_dict() for e in found}, indent=2))
    else:
        say("\n\n".join(f"{e.name}\n{e.contract.in_words()}" for e in found))
