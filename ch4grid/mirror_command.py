"""The command `ch4grid mirror`: a published product to object storage, in the order of publication."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ch4grid.arguments import AsJson, Store
from ch4grid.console import say
from ch4grid.progress import reporting


def mirror(
    store: Store,
    url: Annotated[
        str, typer.Argument(help="Its URL, e.g. s3://bucket/product/v1/historical.zarr.")
    ],
    catalog: Annotated[
        Path | None,
        typer.Option("--catalog", help="A catalog's folder that goes along, Items last."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy a published product to object storage; readers there see its old state or its new one, never half.

    What is there is not sent again, so a rerun finishes what was interrupted. Credentials come from the environment or
    the configuration of the object store's client, never from the URL.
    """
    from ch4grid.mirroring import mirror as mirror_product

    with reporting() as report:
        done = mirror_product(store, url, catalog=catalog, report=report)
    say(json.dumps(done.as_dict(), indent=2) if as_json else done.in_words())
