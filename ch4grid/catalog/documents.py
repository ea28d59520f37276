"""The Items of products and models, built with pystac from records and from the stores themselves.

Nothing is written here: records, stores and files come in, JSON-able documents with relative references go out.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import pystac
from pystac.extensions.datacube import SCHEMA_URI as DATACUBE
from pystac.extensions.file import SCHEMA_URI as FILE
from pystac.extensions.scientific import SCHEMA_URI as SCIENTIFIC
from pystac.extensions.version import SCHEMA_URI as VERSION

from ch4grid.catalog import tree
from ch4grid.catalog.datacube import (
    ZARR_MEDIA_TYPE,
    bbox,
    describe,
    open_store,
    year_interval,
    years_of,
    zarr_fields,
)
from ch4grid.catalog.records import SOFTWARE_PROVIDER, ModelRecord, ProductRecord
from ch4grid.catalog.tree import Document, href
from ch4grid.errors import InputError
from ch4grid.stores import sha256_file

PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
ZARR = "https://stac-extensions.github.io/zarr/v1.1.0/schema.json"

# Extensions of product Collections and Items.
EXTENSIONS = sorted([DATACUBE, FILE, PROCESSING, SCIENTIFIC, VERSION, ZARR])

# Title and roles of an asset by its key; the media type follows from the file's suffix.
ASSETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ledger": ("Ledger: state and SHA-256 of every chunk", ("metadata",)),
    "thumbnail": ("Map of the annual mean flux", ("thumbnail",)),
    "budget": ("Monthly budgets by ecosystem class and region", ("data",)),
    "page": ("Product page: maps, budgets, skill, how to use it", ("overview",)),
    "recipe": ("Resolved recipe", ("metadata",)),
    "checkpoint": ("Model weights", ("data",)),
    "configuration": ("Model configuration, scaling and calibration", ("metadata",)),
    "graph": ("Causal graph", ("metadata",)),
    "areas": ("Where the area of every layer went", ("metadata",)),
    "difference": ("What changed since the version before", ("metadata",)),
}
MEDIA_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".csv": "text/csv",
    ".html": "text/html",
    ".md": "text/markdown",
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
# Multihash prefix of SHA-256: function code 0x12, length 0x20.
SHA256_MULTIHASH = "1220"


def product_folder(catalog: Path, product: str) -> Path:
    """Folder of a product's Collection."""
    return catalog / "products" / product


def item_folder(catalog: Path, product: ProductRecord, year: int) -> Path:
    """Folder of a year's Item, where its small assets (thumbnail, budget table) belong."""
    return product_folder(catalog, product.product) / product.item_id(year)


def item_document(
    catalog: Path, product: ProductRecord, year: int, files: Mapping[str, Path]
) -> Document:
    """The Item of one published year; raises InputError when the store does not hold it."""
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
    start, end = (instant(t) for t in year_interval(year, year))
    item = pystac.Item(
        id=product.item_id(year),
        geometry=_rectangle(extent),
        bbox=extent,
        datetime=None,
        start_datetime=start,
        end_datetime=end,
        collection=product.product,
        stac_extensions=EXTENSIONS,
        properties=_properties(product, year) | cube,
    )
    item.assets = {"data": _store_asset(product, folder)} | _assets(files, folder)
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


def _store_asset(product: ProductRecord, folder: Path) -> pystac.Asset:
    return pystac.Asset(
        href=href(product.store, folder),
        title=f"Zarr group, version {product.version}, scenario {product.scenario}",
        description="Open with xarray.open_zarr(<absolute path or URL of this asset>)",
        media_type=ZARR_MEDIA_TYPE,
        roles=["data", "zarr"],
        extra_fields=zarr_fields(product.store),
    )


def _assets(files: Mapping[str, Path], folder: Path) -> dict[str, pystac.Asset]:
    assets = {}
    for key, path in files.items():
        if not path.is_file():
            raise InputError(
                f"asset {key!r} is missing", where=path, expected="a file", found="none"
            )
        title, roles = ASSETS.get(key, (key, ("metadata",)))
        assets[key] = pystac.Asset(
            href=href(path, folder),
            title=title,
            media_type=MEDIA_TYPES.get(path.suffix, "application/octet-stream"),
            roles=list(roles),
            extra_fields=file_fields(path),
        )
    return assets


def file_fields(path: Path) -> Document:
    """Size and checksum of an asset; none for pages, which are redrawn without a change to the data."""
    if path.suffix == ".html":
        return {}
    return {"file:size": path.stat().st_size, "file:checksum": SHA256_MULTIHASH + sha256_file(path)}


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


def model_document(folder: Path, model: ModelRecord) -> Document:
    """The Item of a trained model in `folder`; raises InputError when the checkpoint has no files."""
    files = sorted(p for p in model.folder.glob("*") if p.is_file() and not p.name.startswith("."))
    if not files:
        raise InputError(
            "no checkpoint to publish", where=model.folder, expected="its files", found="none"
        )
    catalog = folder.parents[1]
    extent = [-180.0, -90.0, 180.0, 90.0]
    start, end = (instant(t) for t in year_interval(*model.period))
    item = pystac.Item(
        id=model.id,
        geometry=_rectangle(extent),
        bbox=extent,
        datetime=None,
        start_datetime=start,
        end_datetime=end,
        collection="models",
        stac_extensions=sorted([FILE, PROCESSING]),
        properties={
            "title": model.title,
            "description": model.description,
            "license": model.licence,
            "providers": [SOFTWARE_PROVIDER],
            "processing:software": dict(model.software),
            "ch4grid:architecture": model.architecture,
            "ch4grid:gas": model.gas,
            "ch4grid:digest": model.digest,
            "ch4grid:drivers": list(model.drivers),
            "ch4grid:skill": [dict(row) for row in model.skill],
        },
    )
    item.assets = _assets({_model_key(p): p for p in files}, folder)
    up = structure(folder, catalog, parent=folder.parent / "collection.json")
    item.add_links([*up, *lineage(model.inputs, "", catalog, folder)])
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def _model_key(path: Path) -> str:
    """Asset key of a checkpoint file: weights, configuration and graph have their own, others their stem."""
    if path.suffix == ".safetensors":
        return "checkpoint"
    return "configuration" if path.name == "checkpoint.json" else path.stem


def _rectangle(extent: list[float]) -> Document:
    west, south, east, north = extent
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def instant(text: str) -> datetime:
    """An RFC 3339 text as a time with zone."""
    return datetime.fromisoformat(text)
