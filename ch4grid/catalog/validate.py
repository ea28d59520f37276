"""Prove that a catalog says what its stores and ledgers hold: schemas, references, files, years, versions.

Needs no network: all schemas are bundled. Problems come back as sentences, one each, that begin with the document or
store concerned and say what was expected and what was found.
"""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from ch4grid.catalog import schemas, tree
from ch4grid.catalog.agreement import (
    Items,
    Sizes,
    collection_problems,
    items_by_store,
    sizes_on_disk,
    store_problems,
    version_problems,
)
from ch4grid.catalog.assets import SHA256_MULTIHASH
from ch4grid.catalog.fetched import fetched
from ch4grid.catalog.listing import root_of
from ch4grid.catalog.page_files import page_problems
from ch4grid.catalog.schemas import FILE
from ch4grid.catalog.tree import Document, resolve
from ch4grid.remote import is_url
from ch4grid.stores import sha256_file

Digest = Callable[[Path], str]


def validate(catalog: Path | str) -> list[str]:
    """Problems of a catalog in words, in the order of the tree; empty when everything agrees.

    Of a store its metadata, coordinates, and the sizes of its objects are looked at, not every byte: that is what
    `verify` does. Behind http, where nothing can be listed, sizes are left out.

    Args:
        catalog: The catalog's folder, its root document or the output folder around it, or a URL of one of these.

    Raises:
        InputError: There is no catalog.
        RecipeError: The URL carries credentials or nothing understands its protocol.
        RunError: The place behind the URL does not answer.
    """
    if is_url(catalog):
        with fetched(str(catalog), assets=True) as copy:
            return [copy.in_place(p) for p in _problems(copy.root, copy.sizes)]
    return list(_problems(root_of(Path(catalog)), sizes_on_disk))


def _problems(root: Path, sizes: Sizes) -> Iterator[str]:
    documents = dict(tree.walk(root))
    digest: Digest = cache(sha256_file)
    for path, document in documents.items():
        for problem in _document(path, document, root, digest):
            yield f"{tree.href(path, root.parent).removeprefix('./')}: {problem}"
    for path in _orphans(root, documents):
        yield f"{tree.href(path, root.parent).removeprefix('./')}: no link leads to it"
    yield from page_problems(documents, root)
    for place, problem in _disagreements(documents, sizes):
        yield f"{tree.href(place, root.parent).removeprefix('./')}: {problem}"


def _document(path: Path, document: Document, root: Path, digest: Digest) -> Iterator[str]:
    yield from schemas.problems(document)
    yield from _links(path, document, root)
    yield from _assets(path, document, digest)
    yield from _dimensions(document)


def _links(path: Path, document: Document, root: Path) -> Iterator[str]:
    if path != root and not tree.links(document, "root"):
        yield "link 'root': expected one, found none"
    for entry in document.get("links", []):
        yield from _reference(f"link {entry['rel']!r}", entry["href"], path)
        if entry["rel"] == "root" and resolve(entry["href"], path.parent) != root:
            yield f"link 'root': expected {tree.href(root, path.parent)}, found {entry['href']}"


def _reference(what: str, reference: str, path: Path) -> Iterator[str]:
    if tree.is_remote(reference):
        return
    if reference.startswith("/"):
        yield f"{what}: expected a relative reference, found {reference}: the folder could not be moved"
    elif not resolve(reference, path.parent).exists():
        yield f"{what} leads to {reference}: expected a file or store there, found none"


def _assets(path: Path, document: Document, digest: Digest) -> Iterator[str]:
    """Whether the assets of a document are there, as long as it says and with the bytes that it says."""
    described = FILE in document.get("stac_extensions", [])
    for key, asset in document.get("assets", {}).items():
        yield from _reference(f"asset {key!r}", asset["href"], path)
        target = resolve(asset["href"], path.parent)
        if tree.is_remote(asset["href"]) or not target.is_file():
            continue
        told, size = asset.get("file:size"), target.stat().st_size
        if told is not None and told != size:
            yield f"asset {key!r} ({asset['href']}): expected {told} bytes, found {size}"
        if "file:checksum" in asset:
            found = SHA256_MULTIHASH + digest(target)
            if found != asset["file:checksum"]:
                expected = str(asset["file:checksum"]).removeprefix(SHA256_MULTIHASH)
                yield (
                    f"asset {key!r} ({asset['href']}): expected SHA-256 {expected}, "
                    f"found {digest(target)}"
                )
        elif described:
            yield f"asset {key!r} ({asset['href']}): expected a file:checksum, found none"


def _dimensions(document: Document) -> Iterator[str]:
    """Whether variables of a datacube have dimensions that it has; a JSON Schema cannot say so."""
    for owner in (document.get("properties", document), *document.get("assets", {}).values()):
        dimensions, variables = owner.get("cube:dimensions"), owner.get("cube:variables")
        if not isinstance(dimensions, dict) or not isinstance(variables, dict):
            continue
        for name, variable in variables.items():
            unknown = sorted(set(variable.get("dimensions", [])) - set(dimensions))
            if unknown:
                yield (
                    f"cube:variables/{name}: expected dimensions among {sorted(dimensions)}, "
                    f"found {unknown}"
                )


def _orphans(root: Path, documents: Items) -> list[Path]:
    """Collections and Items on disk that no link leads to, such as a year whose publishing was interrupted."""
    found = [p for p in sorted(root.parent.rglob("*.json")) if p not in documents]
    return [p for p in found if p.stem in (p.parent.name, "collection", "catalog")]


def _disagreements(documents: Items, sizes: Sizes) -> Iterator[tuple[Path, str]]:
    """Where catalog, stores and ledgers differ."""
    for store, items in items_by_store(documents).items():
        yield from store_problems(store, items, sizes)
    for path, document in documents.items():
        below = {
            p: documents[p]
            for e in tree.links(document, "item")
            if (p := resolve(e["href"], path.parent)) in documents
        }
        items = {p: d for p, d in below.items() if "ch4grid:year" in d.get("properties", {})}
        if document.get("type") == "Collection" and items:
            yield from ((path, p) for p in collection_problems(path, document, items))
            yield from version_problems(items)
