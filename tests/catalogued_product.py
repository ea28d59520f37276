"""The planted product in the catalog of its output folder."""

from pathlib import Path

import planted_product as planted

from ch4grid import catalog as stac
from ch4grid import ledger
from ch4grid.catalog import ProductRecord


def publish(output: Path, *years: int) -> Path:
    """Tell the catalog of an output folder of years of the planted product."""
    store, folder = planted.store_path(output), output / "catalog"
    record = ProductRecord(
        product="planted",
        title="A made-up product",
        summary="Made up for tests.",
        gas="ch4",
        version=1,
        scenario="historical",
        store=store,
        ledger=ledger.path_of(store),
        inputs=("twin",),
        model="",
        citation="Nobody (2026): A made-up product, version 1.",
        lineage="Random numbers.",
        software={"ch4grid": "0.1.0"},
        licence="CC0-1.0",
    )
    for year in years:
        page = stac.item_folder(folder, record, year) / "page.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(f"<p>{year}</p>")
        stac.publish_item(folder, record, year, files={"page": page})
    return folder
