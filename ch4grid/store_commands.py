"""Commands on a published store: repair, status, rollback, explain."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ch4grid.arguments import AsJson, Cluster, Store, data_folder
from ch4grid.console import say
from ch4grid.progress import reporting

Output = Annotated[
    Path | None,
    typer.Option("--output", help="Where models and caches lie; the folder above the product."),
]


def repair(
    store: Store,
    data: Annotated[
        Path, typer.Option("--data", help="Where relative paths of its recipe start.")
    ] = Path(),
    output: Output = None,
    cluster: Cluster = "local",
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu or cuda: what made the product.")
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Write damaged objects of a product anew, bit for bit, computing nothing but what is damaged."""
    from ch4grid.stewardship.repair import repair as repair_store

    with reporting() as report:
        done = repair_store(
            store,
            data=data_folder(data),
            output=output,
            cluster=cluster,
            device=device,
            report=report,
        )
    say(json.dumps(done.as_dict(), indent=2) if as_json else done.in_words())


def status(
    store: Store,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Also look at the inputs below this folder: what is stale?"),
    ] = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Say how a product stands: its years, regions in work and in quarantine, size, and what moved since."""
    from ch4grid.stewardship.status import status as status_of

    found = status_of(store, data=None if data is None else data_folder(data), output=output)
    say(json.dumps(found.as_dict(), indent=2, default=str) if as_json else found.in_words())


def rollback(
    store: Store,
    retract: Annotated[str, typer.Option("--retract", help="Why; it stays beside the store.")],
    to: Annotated[
        int | None, typer.Option("--to", help="The last year to keep; the last but one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take the last years of a product back, in the store and in the catalog."""
    from ch4grid.stewardship.rollback import rollback as take_back

    done = take_back(store, reason=retract, to=to)
    say(json.dumps(done.as_dict(), indent=2) if as_json else done.in_words())


def explain(
    store: Store,
    lat: Annotated[float, typer.Option("--lat", help="Latitude [degrees north].")],
    lon: Annotated[float, typer.Option("--lon", help="Longitude [degrees east].")],
    month: Annotated[str, typer.Option("--month", help="A published month, YYYY-MM.")],
    as_json: AsJson = False,
) -> None:
    """Explain a value: its uncertainty, the object that holds it, inputs, model, recipe and version."""
    from ch4grid.stewardship.explanation import explain as explain_value

    found = explain_value(store, lat=lat, lon=lon, month=month)
    say(json.dumps(found.as_dict(), indent=2) if as_json else found.in_words())


def join(app: typer.Typer) -> None:
    """Add the commands of this module to an application."""
    for command in (repair, status, rollback, explain):
        app.command()(command)
