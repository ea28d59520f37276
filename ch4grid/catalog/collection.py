"""The Collection of a product, made from its Items so that it can say nothing that no Item says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pystac

from ch4grid.catalog import tree
from ch4grid.catalog.datacube import bbox, describe, map_view, open_store, year_interval
from ch4grid.catalog.documents import EXTENSIONS, instant, lineage, product_folder, structure
from ch4grid.catalog.records import SOFTWARE_PROVIDER, ProductRecord
from ch4grid.catalog.schemas import RENDER
from ch4grid.catalog.tree import Document, href, resolve

DEFAULT_SCENARIO = "historical"
# Assets of Items that a Collection offers too, from the newest Item of each scenario.
OF_SCENARIO = ("data", "ledger", "budget", "page", "recipe")
PICTURES = ("thumbnail", "quicklook", "overview")


@dataclass(frozen=True)
class Held:
    """What the Items of a product hold together.

    Args:
        box: West, south, east and north edges [degrees].
        interval: First and last second of the published years, RFC 3339.
        cube: Fields `cube:dimensions` and `cube:variables` of the latest version's default scenario.
        version: The latest version.
        summaries: Values of the Items' properties.
        assets: Stores and ledgers of the latest version, the newest map and page.
        renders: Field `renders` of the newest Item of the default scenario; empty where it has none.
    """

    box: list[float]
    interval: list[str]
    cube: Document
    version: str
    summaries: dict[str, Any]
    assets: dict[str, pystac.Asset]
    renders: Document


def held(items: Mapping[Path, Document], folder: Path) -> Held:
    """What the Items hold together, seen from the Collection in `folder`; at least one Item."""
    latest = max(int(i["properties"]["version"]) for i in items.values())
    newest = _newest(items, latest)
    main = newest.get(DEFAULT_SCENARIO) or newest[min(newest)]
    years = [int(i["properties"]["ch4grid:year"]) for i in items.values()]
    span = _span(items, items[main])
    with open_store(resolve(items[main]["assets"]["data"]["href"], main.parent)) as ds:
        box, cube = bbox(ds), describe(ds, span[0], span[-1])
    return Held(
        box=box,
        interval=year_interval(min(years), max(years)),
        cube=cube,
        version=str(latest),
        summaries=_summaries(items),
        assets=_collection_assets(newest, items, folder),
        renders=_renders(items[main]["properties"]),
    )


def collection_document(
    catalog: Path, product: ProductRecord, items: Mapping[Path, Document]
) -> Document:
    """The Collection over all Items of a product; its data asset is the latest version of the default scenario."""
    folder = product_folder(catalog, product.product)
    all_items = held(items, folder)
    collection = pystac.Collection(
        id=product.product,
        title=product.title,
        description=product.summary,
        license=product.licence,
        keywords=list(product.keywords),
        providers=[pystac.Provider.from_dict(p) for p in _collection_providers(product)],
        extent=pystac.Extent(
            pystac.SpatialExtent([all_items.box]),
            pystac.TemporalExtent([[instant(t) for t in all_items.interval]]),
        ),
        stac_extensions=extensions(all_items),
        extra_fields=all_items.cube
        | all_items.renders
        | {"version": all_items.version, "deprecated": False, "sci:citation": product.citation}
        | ({"sci:doi": product.doi} if product.doi else {}),
        summaries=pystac.Summaries(all_items.summaries),
        assets=all_items.assets,
    )
    collection.add_links(_collection_links(catalog, product, items, folder))
    return collection.to_dict(include_self_link=False, transform_hrefs=False)


def remaining_document(
    collection: Document, items: Mapping[Path, Document], folder: Path
) -> Document:
    """The Collection once some of its Items are withdrawn: everything that Items decide is decided anew."""
    left = held(items, folder)
    kept = {href(path, folder) for path in items}
    return (
        collection
        | left.cube
        | left.renders
        | {
            "stac_extensions": extensions(left),
            "extent": {
                "spatial": {"bbox": [left.box]},
                "temporal": {"interval": [left.interval]},
            },
            "version": left.version,
            "summaries": left.summaries,
            "assets": {key: asset.to_dict() for key, asset in left.assets.items()},
            "links": [e for e in collection["links"] if e["rel"] != "item" or e["href"] in kept],
        }
    )


def extensions(all_items: Held) -> list[str]:
    """Extensions of the Collection over the Items."""
    return sorted([*EXTENSIONS, RENDER]) if all_items.renders else EXTENSIONS


def _renders(properties: Document) -> Document:
    return {"renders": properties["renders"]} if "renders" in properties else {}


def _span(items: Mapping[Path, Document], like: Document) -> tuple[int, ...]:
    """Published years of the version and scenario of one Item, ascending."""
    keys = ("version", "ch4grid:scenario")
    years = [
        int(i["properties"]["ch4grid:year"])
        for i in items.values()
        if all(i["properties"][k] == like["properties"][k] for k in keys)
    ]
    return tuple(sorted(years))


def _newest(items: Mapping[Path, Document], version: int) -> dict[str, Path]:
    """The last year's Item of each scenario of a version."""
    chosen = {
        (i["properties"]["ch4grid:scenario"], int(i["properties"]["ch4grid:year"])): path
        for path, i in items.items()
        if int(i["properties"]["version"]) == version
    }
    return {scenario: chosen[scenario, year] for scenario, year in sorted(chosen)}


def _summaries(items: Mapping[Path, Document]) -> dict[str, Any]:
    properties = [i["properties"] for i in items.values()]
    keys = ("version", "ch4grid:scenario", "ch4grid:gas", "ch4grid:year", "processing:level")
    return {key: sorted({p[key] for p in properties}) for key in keys}


def _collection_providers(product: ProductRecord) -> list[Document]:
    software = SOFTWARE_PROVIDER | {
        "processing:level": "L4",
        "processing:lineage": product.lineage,
        "processing:software": dict(product.software),
    }
    return [*(dict(p) for p in product.providers), software]


def _collection_assets(
    newest: Mapping[str, Path], items: Mapping[Path, Document], folder: Path
) -> dict[str, pystac.Asset]:
    """Stores, ledgers and tables of the latest version by scenario, and the newest pictures of the default one."""
    default = DEFAULT_SCENARIO if DEFAULT_SCENARIO in newest else min(newest)
    assets = {}
    for scenario, path in newest.items():
        wanted = (*OF_SCENARIO, *PICTURES) if scenario == default else OF_SCENARIO
        for key in [k for k in wanted if k in items[path]["assets"]]:
            asset = items[path]["assets"][key]
            moved = asset | {"href": href(resolve(asset["href"], path.parent), folder)}
            if key == "data":
                moved |= _whole_view(asset, path, _span(items, items[path]))
            name = key if scenario == default else f"{key}-{scenario}"
            assets[name] = pystac.Asset.from_dict(moved)
    return assets


def _whole_view(asset: Document, path: Path, years: tuple[int, ...]) -> Document:
    """What a map shows of a store over all its published years."""
    shown = asset.get("cube:variables", {})
    with open_store(resolve(asset["href"], path.parent)) as ds:
        return map_view(ds, next(iter(shown)), years) if shown else {}


def _collection_links(
    catalog: Path, product: ProductRecord, items: Mapping[Path, Document], folder: Path
) -> list[pystac.Link]:
    up = structure(folder, catalog, parent=catalog / "products" / "catalog.json")
    licence = pystac.Link(
        "license", f"https://spdx.org/licenses/{product.licence}.html", "text/html", product.licence
    )
    doi = [pystac.Link("cite-as", f"https://doi.org/{product.doi}")] if product.doi else []
    below = [
        pystac.Link("item", href(path, folder), tree.GEOJSON, items[path]["properties"]["title"])
        for path in sorted(items)
    ]
    return [*up, licence, *doi, *lineage(product.inputs, product.model, catalog, folder), *below]
