"""Prove that a catalog says what its stores and ledgers hold: schemas, references, years, checksums, pages.

Needs no network: core STAC 1.1 schemas come with pystac, the fields of extensions are checked here. Problems come back
as sentences, one each, that begin with the document concerned.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pystac
from pystac.extensions.datacube import SCHEMA_URI as DATACUBE
from pystac.extensions.file import SCHEMA_URI as FILE
from pystac.extensions.scientific import SCHEMA_URI as SCIENTIFIC
from pystac.extensions.version import SCHEMA_URI as VERSION
from pystac.validation import validate_dict

from ch4grid.catalog import tree
from ch4grid.catalog.datacube import (
    ZARR_MEDIA_TYPE,
    bbox,
    describe,
    open_store,
    years_of,
    zarr_fields,
)
from ch4grid.catalog.documents import PROCESSING, SHA256_MULTIHASH, ZARR
from ch4grid.catalog.listing import root_of
from ch4grid.catalog.page_files import page_problems
from ch4grid.catalog.tree import Document, resolve
from ch4grid.errors import InputError
from ch4grid.stores import sha256_file

Years = dict[Path, set[int]]

DOI = re.compile(r"^10\.[0-9a-zA-Z]{4,}/[^\s]+$")


def validate(catalog: Path) -> list[str]:
    """Problems of a catalog in words, in the order of the tree; empty when everything agrees.

    Args:
        catalog: The catalog's folder, its root document or the output folder around it.

    Raises:
        InputError: There is no catalog.
    """
    root = root_of(catalog)
    documents = dict(tree.walk(root))
    problems = []
    for path, document in documents.items():
        name = path.relative_to(root.parent).as_posix()
        problems += [f"{name}: {p}" for p in _document(path, document, root)]
    problems += [
        f"{p.relative_to(root.parent).as_posix()}: no link leads to it"
        for p in _orphans(root, documents)
    ]
    problems += page_problems(documents, root)
    return problems + list(_unlisted_years(documents, root))


def _document(path: Path, document: Document, root: Path) -> Iterator[str]:
    yield from _core(document)
    yield from _references(path, document, root)
    for uri in document.get("stac_extensions", []):
        if uri in EXTENSIONS:
            yield from EXTENSIONS[uri](document)
    yield from _checksums(path, document)
    if document.get("type") == "Feature" and "ch4grid:year" in document.get("properties", {}):
        yield from _store(path, document)


def _core(document: Document) -> Iterator[str]:
    try:
        validate_dict(document | {"stac_extensions": []})
    except pystac.STACValidationError as error:
        yield f"not valid STAC: {str(error).splitlines()[0]}"
    except (KeyError, TypeError, ValueError) as error:
        yield f"not STAC: {error!r}"


def _references(path: Path, document: Document, root: Path) -> Iterator[str]:
    if path != root and not tree.links(document, "root"):
        yield "has no link to the root"
    for entry in document.get("links", []):
        yield from _reference(f"link {entry['rel']!r}", entry["href"], path)
        if entry["rel"] == "root" and resolve(entry["href"], path.parent) != root:
            yield f"link 'root' leads to {entry['href']}, not to the root"
    for key, asset in document.get("assets", {}).items():
        yield from _reference(f"asset {key!r}", asset["href"], path)


def _reference(what: str, reference: str, path: Path) -> Iterator[str]:
    if tree.is_remote(reference):
        return
    if reference.startswith("/"):
        yield f"{what} is absolute ({reference}): the folder could not be moved"
    elif not resolve(reference, path.parent).exists():
        yield f"{what} leads to {reference}, which does not exist"


def _orphans(root: Path, documents: dict[Path, Document]) -> list[Path]:
    """Collections and Items on disk that no link leads to, such as a year whose publishing was interrupted."""
    found = [p for p in sorted(root.parent.rglob("*.json")) if p not in documents]
    return [p for p in found if p.stem in (p.parent.name, "collection", "catalog")]


def _checksums(path: Path, document: Document) -> Iterator[str]:
    for key, asset in document.get("assets", {}).items():
        target = resolve(asset["href"], path.parent)
        if "file:checksum" in asset and target.is_file():
            found = SHA256_MULTIHASH + sha256_file(target)
            if found != asset["file:checksum"]:
                yield f"asset {key!r} has checksum {asset['file:checksum']}, its file {found}"


def _store(path: Path, item: Document) -> Iterator[str]:
    """Whether an Item, its store and its ledger tell the same year, box and variables."""
    data = item["assets"].get("data")
    if data is None:
        yield "has no asset 'data'"
        return
    store = resolve(data["href"], path.parent)
    properties, year = item["properties"], int(item["properties"]["ch4grid:year"])
    try:
        fields = zarr_fields(store)
        with open_store(store) as ds:
            years, box, cube = years_of(ds), bbox(ds), describe(ds, year, year)
    except InputError as error:
        yield f"asset 'data' cannot be opened: {error}"
        return
    if year not in years:
        yield f"year {year} is not in the store, which holds {list(years)}"
    if box != item.get("bbox"):
        yield f"bbox is {item.get('bbox')}, that of the store {box}"
    if any(data.get(k) != v for k, v in fields.items()):
        yield f"asset 'data' does not carry the store's {fields}"
    yield from (f"{k} is not that of the store" for k, v in cube.items() if properties.get(k) != v)
    span = (properties.get("start_datetime"), properties.get("end_datetime"))
    if span != (f"{year}-01-01T00:00:00Z", f"{year}-12-31T23:59:59Z"):
        yield f"covers {span[0]} to {span[1]}, not the year {year}"
    yield from _ledger(path, item, year)


def _ledger(path: Path, item: Document, year: int) -> Iterator[str]:
    asset = item["assets"].get("ledger")
    if asset is None:
        yield "has no asset 'ledger'"
        return
    if "file:checksum" not in asset:
        yield "asset 'ledger' has no file:checksum"
    target = resolve(asset["href"], path.parent)
    if not target.is_file():
        return
    table = pd.read_parquet(target)
    if "year" in table and year not in set(table["year"]):
        yield f"the ledger has no row of {year}"


def _unlisted_years(documents: dict[Path, Document], root: Path) -> Iterator[str]:
    """Years that a store holds and no Item tells of: a publishing that stopped between store and catalog."""
    listed: Years = {}
    for path, document in documents.items():
        if "ch4grid:year" in document.get("properties", {}) and "data" in document["assets"]:
            store = resolve(document["assets"]["data"]["href"], path.parent)
            listed.setdefault(store, set()).add(int(document["properties"]["ch4grid:year"]))
    for store, years in listed.items():
        if not (store / "zarr.json").is_file():
            continue
        with open_store(store) as ds:
            missing = sorted(set(years_of(ds)) - years)
        if missing:
            name = tree.href(store, root.parent)
            yield f"{name}: the store holds {missing}, the catalog has no Item for them; run the recipe again"


def _owner(document: Document) -> Document:
    """Where the fields of an extension stand: the properties of an Item, a Collection itself."""
    properties: Document = document.get("properties", document)
    return properties


def _datacube(document: Document) -> Iterator[str]:
    owner = _owner(document)
    dimensions, variables = owner.get("cube:dimensions"), owner.get("cube:variables", {})
    if not isinstance(dimensions, dict) or not dimensions:
        yield "datacube: no cube:dimensions"
        return
    for name, dimension in dimensions.items():
        needed = {
            "spatial": {"axis", "extent"},
            "temporal": {"extent"},
        }.get(str(dimension.get("type")), set())
        if "type" not in dimension or not needed <= set(dimension):
            yield f"datacube: dimension {name!r} lacks {sorted({'type', *needed} - set(dimension))}"
        elif not needed and not {"extent", "values"} & set(dimension):
            yield f"datacube: dimension {name!r} has neither extent nor values"
    for name, variable in variables.items():
        unknown = sorted(set(variable.get("dimensions", ["dimensions"])) - set(dimensions))
        if unknown:
            yield f"datacube: variable {name!r} has unknown dimensions {unknown}"
        if variable.get("type") not in ("data", "auxiliary"):
            yield f"datacube: variable {name!r} has type {variable.get('type')!r}"


def _zarr(document: Document) -> Iterator[str]:
    stores = {
        k: a for k, a in document.get("assets", {}).items() if a.get("type") == ZARR_MEDIA_TYPE
    }
    if not stores:
        yield f"zarr: no asset of media type {ZARR_MEDIA_TYPE}"
    expected: dict[str, Any] = {
        "zarr:zarr_format": 3,
        "zarr:node_type": "group",
        "zarr:consolidated": True,
    }
    for key, asset in stores.items():
        wrong = {k: asset.get(k) for k, v in expected.items() if asset.get(k) != v}
        if wrong:
            yield f"zarr: asset {key!r} has {wrong}, expected {expected}"


def _file(document: Document) -> Iterator[str]:
    for key, asset in document.get("assets", {}).items():
        checksum = asset.get("file:checksum")
        if checksum is not None and not re.fullmatch(
            SHA256_MULTIHASH + "[0-9a-f]{64}", str(checksum)
        ):
            yield f"file: asset {key!r} has no SHA-256 multihash as checksum: {checksum!r}"
        if not isinstance(asset.get("file:size", 0), int):
            yield f"file: asset {key!r} has a size that is not an integer"


def _version(document: Document) -> Iterator[str]:
    owner = _owner(document)
    if not isinstance(owner.get("version"), str):
        yield f"version: 'version' is {owner.get('version')!r}, expected a string"
    if not isinstance(owner.get("deprecated", False), bool):
        yield "version: 'deprecated' is not a boolean"


def _processing(document: Document) -> Iterator[str]:
    holders = (
        [document["properties"]] if "properties" in document else document.get("providers", [])
    )
    software = [h["processing:software"] for h in holders if "processing:software" in h]
    if not software:
        yield "processing: no processing:software"
    for table in software:
        if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
            yield "processing: processing:software is not a table of version strings"


def _scientific(document: Document) -> Iterator[str]:
    owner = _owner(document)
    if not {"sci:doi", "sci:citation", "sci:publications"} & set(owner):
        yield "scientific: neither DOI, citation nor publications"
    dois = [owner["sci:doi"]] if "sci:doi" in owner else []
    dois += [p["doi"] for p in owner.get("sci:publications", []) if "doi" in p]
    yield from (f"scientific: {doi!r} is not a DOI" for doi in dois if not DOI.match(str(doi)))


EXTENSIONS: dict[str, Callable[[Document], Iterator[str]]] = {
    DATACUBE: _datacube,
    FILE: _file,
    PROCESSING: _processing,
    SCIENTIFIC: _scientific,
    VERSION: _version,
    ZARR: _zarr,
}
