"""The Items of products, built with pystac from records and from the stores themselves.

Nothing is written here: records, stores and files come in, JSON-able documents with relative references go out.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import pystac

from ch4grid.catalog import tree
from ch4grid.catalog.assets import file_assets
from ch4grid.catalog.datacube import (
    ZARR_MEDIA_TYPE,
    bbox,
    describe,
    map_view,
    open_store,
    year_interval,
    years_of,
    zarr_fields,
)
from ch4grid.catalog.records import SOFTWARE_PROVIDER, Display, ProductRecord
from ch4grid.catalog.schemas import (
    DATACUBE,
    FILE,
    PROCESSING,
    RENDER,
    SCIENTIFIC,
    VERSION,
    ZARR,
)
from ch4grid.catalog.tree import Document, href
from ch4grid.errors import InputError

# Extensions of product Collections and Items.
EXTENSIONS = sorted([DATACUBE, FILE, PROCESSING, SCIENTIFIC, VERSION, ZARR])
# Colours of maps without and with sinks: names that matplotlib, titiler and STAC Browser share.
COLOURS = ("viridis", "rdbu_r")


def product_folder(catalog: Path, product: str) -> Path:
    """Folder of a product's Collection."""
    return catalog / "products" / product


def item_folder(catalog: Path, product: ProductRecord, year: int) -> Path:
    """Folder of a year's Item, where its small assets (thumbnail, budget table) belong."""
    return product_folder(catalog, product.product) / product.item_id(year)


def item_document(
    catalog: Path,
    product: ProductRecord,
    year: int,
    files: Mapping[str, Path],
    display: Display | None = None,
) -> Document:
    """The Item of one published year.

    Raises:
        InputError: The store does not hold the year, or a file is missing.
    """
    folder = item_folder(catalog, product, year)
    with open_store(product.store) as ds:
        if year not in years_of(ds):
            raise InputError(
                f"cannot publish {year}",
                where=product.store,
                expected=f"twelve months of {year} in the published store",
                found=f"complete years {list(years_of(ds))}",
            )
        extent, cube = bbox(ds), describe(ds, year, year)
        view = map_view(ds, product.flux, (year,))
    start, end = (instant(t) for t in year_interval(year, year))
    item = pystac.Item(
        id=product.item_id(year),
        geometry=rectangle(extent),
        bbox=extent,
        datetime=None,
        start_datetime=start,
        end_datetime=end,
        collection=product.product,
        stac_extensions=sorted([*EXTENSIONS, RENDER]) if display else EXTENSIONS,
        properties=_properties(product, year) | cube | renders(product.flux, display),
    )
    item.assets = {"data": _store_asset(product, folder, view)} | file_assets(files, folder)
    up = structure(folder, catalog, parent=folder.parent / "collection.json")
    item.add_links([*up, *lineage(product.inputs, product.model, catalog, folder)])
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def _properties(product: ProductRecord, year: int) -> Document:
    return {
        "title": f"{product.title}: {year}, {product.scenario}, version {product.version}",
        "description": product.summary,
        "license": product.licence,
        "providers": [dict(p) for p in product.providers] + [SOFTWARE_PROVIDER],
        "version": str(product.version),
        "deprecated": False,
        "sci:citation": product.citation,
        "processing:level": "L4",
        "processing:lineage": product.lineage,
        "processing:software": dict(product.software),
        "ch4grid:gas": product.gas,
        "ch4grid:scenario": product.scenario,
        "ch4grid:year": year,
    } | ({"sci:doi": product.doi} if product.doi else {})


def renders(variable: str, display: Display | None) -> Document:
    """The field `renders`: how a map of a variable of the asset `data` is coloured; nothing without a display."""
    if display is None:
        return {}
    signed = display.low < 0
    return {
        "renders": {
            variable: {
                "title": "Flux of the month",
                "assets": ["data"],
                "rescale": [[display.low, display.high]],
                "colormap_name": COLOURS[signed],
            }
        }
    }


def _store_asset(product: ProductRecord, folder: Path, view: Document) -> pystac.Asset:
    return pystac.Asset(
        href=href(product.store, folder),
        title=f"Zarr group, version {product.version}, scenario {product.scenario}",
        description="Open with xarray.open_zarr(<absolute path or URL of this asset>)",
        media_type=ZARR_MEDIA_TYPE,
        roles=["data", "zarr"],
        extra_fields=zarr_fields(product.store) | view,
    )


def structure(folder: Path, catalog: Path, *, parent: Path) -> list[pystac.Link]:
    """Links up the tree: root, parent and, when the parent is a Collection, collection."""
    up = href(parent, folder)
    rels = {"root": href(catalog / "catalog.json", folder), "parent": up}
    if parent.name == "collection.json":
        rels["collection"] = up
    return [pystac.Link(rel, target, media_type=tree.JSON) for rel, target in rels.items()]


def lineage(inputs: tuple[str, ...], model: str, catalog: Path, folder: Path) -> list[pystac.Link]:
    """Links `derived_from` to the Collections of inputs and the Item of the model."""
    targets = {i: (catalog / "inputs" / i / "collection.json", tree.JSON) for i in inputs}
    if model:
        targets[model] = (catalog / "models" / model / f"{model}.json", tree.GEOJSON)
    return [
        pystac.Link("derived_from", href(path, folder), media_type=kind, title=name)
        for name, (path, kind) in targets.items()
    ]


def rectangle(extent: list[float]) -> Document:
    """A box of west, south, east and north edges [degrees] as a GeoJSON polygon."""
    west, south, east, north = extent
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def instant(text: str) -> datetime:
    """An RFC 3339 text as a time with zone."""
    return datetime.fromisoformat(text)
