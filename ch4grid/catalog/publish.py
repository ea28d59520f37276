"""Publish years and models in the catalog: Items first, then the Collection, then the way down to it.

A reader who starts at the root sees a year only when its Item and everything it refers to are in place. A crash leaves
the old state to readers; the same call again ends with the same bytes as if nothing had happened.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from ch4grid.catalog import tree
from ch4grid.catalog.assets import file_fields
from ch4grid.catalog.collection import collection_document, remaining_document
from ch4grid.catalog.documents import item_document, item_folder, product_folder
from ch4grid.catalog.model_item import model_document
from ch4grid.catalog.records import Display, ModelRecord, ProductRecord
from ch4grid.catalog.tree import Document, href, resolve, write_if_changed
from ch4grid.catalog.versions import versioned


def publish_item(
    catalog: Path,
    product: ProductRecord,
    year: int,
    *,
    files: Mapping[str, Path],
    display: Display | None = None,
) -> Path:
    """Publish one year of a product: its Item, the Collection and the link down to it.

    Args:
        catalog: The catalog's folder, `<output>/catalog`; the static tree is installed when absent.
        product: The version and scenario.
        year: The year, complete on the time axis of the consolidated store.
        files: Assets besides store and ledger by key: `thumbnail`, `budget`, `page`, `recipe`, `graph`, ...
        display: Ends of the colours of its map; the Item has no hint for viewers without.

    Returns:
        The Item's file.

    Raises:
        InputError: The store does not hold the year, or an asset is missing.
    """
    tree.install(catalog)
    folder = item_folder(catalog, product, year)
    path = folder / f"{product.item_id(year)}.json"
    item = item_document(catalog, product, year, {"ledger": product.ledger, **files}, display)
    items = _items(catalog, product.product) | {path: item}
    settled = _settle(items)
    for place in sorted(settled, key=lambda p: (p == path, str(p))):
        write_if_changed(place, settled[place])
    _publish_collection(catalog, product, settled)
    return path


def published_years(catalog: Path, product: str, version: int, scenario: str) -> tuple[int, ...]:
    """Years of a version and scenario that a reader can reach from the root of the catalog, ascending."""
    years = [
        int(item["properties"]["ch4grid:year"])
        for item in _reachable(catalog, product)
        if item["properties"].get("version") == str(version)
        and item["properties"].get("ch4grid:scenario") == scenario
    ]
    return tuple(sorted(years))


def withdraw(catalog: Path, product: str, version: int, scenario: str, year: int) -> None:
    """Take a year back: out of the Collection first, then its Item; the last Item takes the Collection with it.

    Call it after the store has lost the year. A year that is not published is passed over.
    """
    items = _items(catalog, product)
    gone = [p for p, item in items.items() if _names(item) == (str(version), scenario, year)]
    left = _settle({p: item for p, item in items.items() if p not in gone})
    where = product_folder(catalog, product) / "collection.json"
    if not gone:
        return
    for path, item in left.items():
        write_if_changed(path, item)
    if left:
        write_if_changed(where, remaining_document(tree.read(where), left, where.parent))
    else:
        _unlink_collection(catalog, where)
    for path in gone:
        path.unlink()


def publish_model(catalog: Path, model: ModelRecord) -> Path:
    """Publish a trained model: its Item, then the models Collection. Returns the Item's file.

    Raises:
        InputError: The checkpoint's folder is empty or missing.
    """
    tree.install(catalog)
    folder = catalog / "models" / model.id
    path = folder / f"{model.id}.json"
    write_if_changed(path, model_document(folder, model))
    where = catalog / "models" / "collection.json"
    collection = tree.with_link(
        tree.read(where),
        tree.link("item", href(path, where.parent), title=model.title, media_type=tree.GEOJSON),
    )
    periods = [
        tree.read(resolve(entry["href"], where.parent))["properties"]
        for entry in tree.links(collection, "item")
    ]
    interval = [
        min(p["start_datetime"] for p in periods),
        max(p["end_datetime"] for p in periods),
    ]
    collection["extent"]["temporal"]["interval"] = [interval]
    write_if_changed(where, collection)
    return path


def _items(catalog: Path, product: str) -> dict[Path, Document]:
    """Item documents of a product on disk, reachable or not."""
    found = sorted(product_folder(catalog, product).glob("*/*.json"))
    documents = {path: tree.read(path) for path in found if path.stem == path.parent.name}
    return {p: d for p, d in documents.items() if d.get("type") == "Feature"}


def _reachable(catalog: Path, product: str) -> list[Document]:
    """Items of a product that the links from the root lead to."""
    where = catalog / "products" / "catalog.json"
    collection = product_folder(catalog, product) / "collection.json"
    if not where.is_file() or not collection.is_file():
        return []
    if href(collection, where.parent) not in [
        e["href"] for e in tree.links(tree.read(where), "child")
    ]:
        return []
    paths = [
        resolve(e["href"], collection.parent) for e in tree.links(tree.read(collection), "item")
    ]
    return [tree.read(path) for path in paths if path.is_file()]


def _names(item: Document) -> tuple[str, str, int]:
    """Version, scenario and year of an Item."""
    properties = item["properties"]
    return properties["version"], properties["ch4grid:scenario"], int(properties["ch4grid:year"])


def _unlink_collection(catalog: Path, where: Path) -> None:
    products = catalog / "products" / "catalog.json"
    document = tree.read(products)
    gone = href(where, products.parent)
    kept = [e for e in document["links"] if e["rel"] != "child" or e["href"] != gone]
    write_if_changed(products, document | {"links": kept})
    where.unlink(missing_ok=True)


def _settle(items: Mapping[Path, Document]) -> dict[Path, Document]:
    """Items with checksums as the files are now and, for each year and scenario, the order of versions."""
    fields = cache(file_fields)
    return versioned({path: _rechecked(item, path.parent, fields) for path, item in items.items()})


def _rechecked(item: Document, folder: Path, fields: Callable[[Path], Document]) -> Document:
    assets = {}
    for key, asset in item["assets"].items():
        path = resolve(asset["href"], folder)
        assets[key] = asset | (fields(path) if path.is_file() else {})
    return item | {"assets": assets}


def _publish_collection(
    catalog: Path, product: ProductRecord, items: Mapping[Path, Document]
) -> None:
    where = product_folder(catalog, product.product) / "collection.json"
    write_if_changed(where, collection_document(catalog, product, items))
    products = catalog / "products" / "catalog.json"
    child = tree.link("child", href(where, products.parent), title=product.title)
    write_if_changed(products, tree.with_link(tree.read(products), child))
