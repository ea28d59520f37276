"""Whether Items, their store and its ledger tell the same, and a Collection what its Items tell.

Everything comes back as sentences with what was expected, from the store or the ledger, and what the catalog says.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ch4grid import ledger
from ch4grid.catalog import tree
from ch4grid.catalog.collection import remaining_document
from ch4grid.catalog.datacube import (
    bbox,
    describe,
    map_view,
    open_store,
    year_interval,
    years_of,
    zarr_fields,
)
from ch4grid.catalog.tree import Document, resolve
from ch4grid.catalog.versions import RELS, versioned
from ch4grid.errors import InputError
from ch4grid.stores import sha256_file

Items = Mapping[Path, Document]
# Sizes [byte] of objects of a store by key, of those that are there; None where the place cannot say.
Sizes = Callable[[Path, list[ledger.Row]], Mapping[str, int] | None]

METADATA = "zarr.json"
# Objects of a store that are named one by one.
NAMED = 5
# Longest value that a sentence quotes [character].
QUOTED = 200


def sizes_on_disk(store: Path, rows: list[ledger.Row]) -> dict[str, int]:
    """Sizes [byte] of the objects of a ledger's rows that are on the disk, by key."""
    files = {r.key: store / r.key for r in rows}
    return {key: path.stat().st_size for key, path in files.items() if path.is_file()}


def items_by_store(documents: Items) -> dict[Path, dict[Path, Document]]:
    """Items of years by the store that their asset `data` names."""
    found: dict[Path, dict[Path, Document]] = {}
    for path, document in documents.items():
        asset = document.get("assets", {}).get("data")
        if asset and "ch4grid:year" in document.get("properties", {}):
            found.setdefault(resolve(asset["href"], path.parent), {})[path] = document
    return found


def store_problems(store: Path, items: Items, sizes: Sizes) -> Iterator[tuple[Path, str]]:
    """Where a store, its ledger and the Items of its years differ: the document or store concerned, and a sentence.

    Args:
        store: The store's folder.
        items: Its Items by path.
        sizes: Tells which objects the place holds.
    """
    if not (store / METADATA).is_file():
        yield store, f"{METADATA}: expected the metadata of a group, found none"
        return
    try:
        years = _years(store)
        yield from ((store, p) for p in _ledger_problems(store, sizes))
        with open_store(store) as ds:
            for path, item in items.items():
                yield from ((path, p) for p in _item_problems(ds, store, path, item))
    except (InputError, KeyError, ValueError) as error:
        yield store, f"cannot be compared with its Items: {error}"
        return
    listed = sorted(int(i["properties"]["ch4grid:year"]) for i in items.values())
    missing = sorted(set(years) - set(listed))
    if missing:
        yield (
            store,
            f"the store holds {missing}, the catalog has no Item for them; run the recipe again",
        )


def _years(store: Path) -> tuple[int, ...]:
    with open_store(store) as ds:
        return years_of(ds)


def _ledger_problems(store: Path, sizes: Sizes) -> Iterator[str]:
    """Whether the store holds the objects, the group metadata and the years of its ledger."""
    rows = ledger.rows_of(store)
    if not rows:
        yield f"expected a ledger {ledger.path_of(store).name} beside it, found none or an empty one"
        return
    expected, found = ledger.root_digest(store), sha256_file(store / METADATA)
    if expected and expected != found:
        yield f"{METADATA}: expected SHA-256 {expected} by the ledger, found {found}"
    told, held = ledger.published_years(store), _years(store)
    if told != held:
        yield f"years: expected {list(told)} by the ledger, found {list(held)}"
    there = sizes(store, rows)
    wrong = [] if there is None else [r for r in rows if there.get(r.key) != r.bytes]
    for r in wrong[:NAMED]:
        size = (there or {}).get(r.key)
        yield f"{r.key}: expected {r.bytes} bytes by the ledger, found {'none' if size is None else size}"
    if len(wrong) > NAMED:
        yield f"{len(wrong) - NAMED} more objects are missing or of another size; see `ch4grid verify`"


def _item_problems(ds: Any, store: Path, path: Path, item: Document) -> Iterator[str]:
    """Whether an Item tells the year, box, variables and model of its opened store."""
    properties, data = item["properties"], item["assets"]["data"]
    year, years = int(properties["ch4grid:year"]), years_of(ds)
    if year not in years:
        yield f"year {year} is not in the store, which holds {list(years)}"
    yield from _differ("bbox", bbox(ds), item.get("bbox"))
    for key, value in zarr_fields(store).items():
        yield from _differ(f"asset 'data' {key}", value, data.get(key))
    for key, value in describe(ds, year, year).items():
        yield from _differ(key, value, properties.get(key))
    shown = next(iter(data.get("cube:variables", {})), None)
    if shown in ds and year in years:
        for key, value in map_view(ds, str(shown), (year,)).items():
            yield from _differ(f"asset 'data' {key}", value, data.get(key))
    span = [properties.get("start_datetime"), properties.get("end_datetime")]
    yield from _differ("start_datetime, end_datetime", year_interval(year, year), span)
    yield from _model(ds.attrs.get("ch4grid_checkpoint"), path, item)
    yield from _tables(path, item, year)


def _model(checkpoint: str | None, path: Path, item: Document) -> Iterator[str]:
    """Whether the model that an Item derives from is the checkpoint of its store."""
    for entry in tree.links(item, "derived_from"):
        target = resolve(entry["href"], path.parent)
        if checkpoint and entry.get("type") == tree.GEOJSON and target.is_file():
            digest = tree.read(target)["properties"].get("ch4grid:digest")
            yield from _differ(f"checkpoint of the model {target.stem}", checkpoint, digest)


def _tables(path: Path, item: Document, year: int) -> Iterator[str]:
    """Whether ledger and budget table know the year."""
    for key, column in (("ledger", "year"), ("budget", "period")):
        asset = item["assets"].get(key)
        if asset is None:
            if key == "ledger":
                yield "has no asset 'ledger'"
            continue
        file = resolve(asset["href"], path.parent)
        if not file.is_file():
            continue
        try:
            known = _column(file, column)
        except (OSError, ValueError) as error:
            yield f"asset {key!r}: expected a table with a column {column!r}, found {error}"
            continue
        if str(year) not in known:
            yield f"asset {key!r}: expected a row of {year}, found {', '.join(sorted(known)[:NAMED])}"


def _column(file: Path, name: str) -> set[str]:
    """Values of a column as words."""
    table = pd.read_csv(file, usecols=[name]) if file.suffix == ".csv" else pd.read_parquet(file)
    values = table[name].dropna()
    # a column of whole numbers with gaps reads as floating point
    return set((values.astype(int) if values.dtype.kind == "f" else values).astype(str))


def collection_problems(path: Path, collection: Document, items: Items) -> Iterator[str]:
    """Where a product's Collection differs from what its Items and their stores hold together."""
    try:
        expected = remaining_document(collection, items, path.parent)
    except (InputError, KeyError, TypeError, ValueError, OSError) as error:
        yield f"cannot be compared with its Items: {error}"
        return
    for key in sorted(set(expected) | set(collection)):
        yield from _differ(key, expected.get(key), collection.get(key))


def version_problems(items: Items) -> Iterator[tuple[Path, str]]:
    """Where links between versions, or what is deprecated, are not as the Items of a product have it."""
    for path, expected in versioned(items).items():
        for rel in RELS:
            told = [[e["href"] for e in tree.links(d, rel)] for d in (expected, items[path])]
            yield from ((path, p) for p in _differ(f"link {rel!r}", *told))
        told = [d["properties"].get("deprecated") for d in (expected, items[path])]
        yield from ((path, p) for p in _differ("deprecated", *told))


def _differ(what: str, expected: Any, found: Any) -> Iterator[str]:
    if expected != found:
        if isinstance(expected, dict) and isinstance(found, dict):
            for key in sorted(set(expected) | set(found), key=str):
                yield from _differ(f"{what}/{key}", expected.get(key), found.get(key))
        else:
            yield f"{what}: expected {_short(expected)}, found {_short(found)}"


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}..."
