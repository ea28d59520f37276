"""The STAC tree as files: where it ships, how it is installed, and relative references inside it.

Every reference between documents, stores and pages is relative, so the output folder can be moved or served as it is.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ch4grid.errors import InputError, RunError
from ch4grid.stores import exclusive, sweep_partial, write_atomic, write_json

Document = dict[str, Any]

ROOT_TITLE = "ch4grid: monthly methane flux products, their inputs and models"
JSON = "application/json"
GEOJSON = "application/geo+json"


def static_catalog() -> Path:
    """The folder of the static tree: inside an installed package, or beside the package in a checkout.

    Raises:
        RunError: Neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    places = (package / "static_catalog", package.parent / "catalog")
    for place in places:
        if (place / "catalog.json").is_file():
            return place
    raise RunError(
        "the static catalog is missing from the installation",
        where=places[0],
        expected="catalog.json",
        found="none",
        fix="Reinstall ch4grid",
    )


@contextmanager
def lock(catalog: Path) -> Iterator[None]:
    """Hold a catalog while it is written: runs of several products and scenarios share it and wait for each other.

    Temporary files of killed runs are swept first. The lock goes with the process that holds it.

    Raises:
        RunError: The folder cannot be written.
    """
    with exclusive(catalog.with_name(f"{catalog.name}.lock")):
        sweep_partial(catalog)
        yield


def install(catalog: Path) -> None:
    """Copy the documents of the static tree that `catalog` does not have yet, the root last."""
    source = static_catalog()
    documents = sorted(source.rglob("*.json"), key=lambda p: (p.parent == source, str(p)))
    for document in documents:
        target = catalog / document.relative_to(source)
        if not target.exists():
            write_atomic(target, document.read_bytes())


def read(path: Path) -> Document:
    """A STAC document.

    Raises:
        InputError: It is missing or not JSON.
    """
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            "not a readable STAC document",
            where=path,
            expected="a JSON object",
            found=error,
            fix="Check --catalog; a product's catalog is <output>/catalog",
        ) from error
    if not isinstance(document, dict):
        raise InputError(
            "not a STAC document", where=path, expected="a JSON object", found=type(document)
        )
    return document


def write_if_changed(path: Path, document: Document) -> None:
    """Write a document atomically unless the file already says the same, so that a second run touches nothing."""
    if not path.exists() or read(path) != document:
        write_json(path, document)


def href(target: Path, folder: Path) -> str:
    """Relative reference from a document in `folder` to `target`, with forward slashes."""
    relative = Path(os.path.relpath(target.absolute(), folder.absolute())).as_posix()
    return relative if relative.startswith("../") else f"./{relative}"


def is_remote(reference: str) -> bool:
    """Whether a reference names another place than this tree."""
    return bool(urlsplit(reference).scheme)


def resolve(reference: str, folder: Path) -> Path:
    """The file that a relative reference in a document of `folder` names."""
    return Path(os.path.normpath(folder / reference))


def link(rel: str, reference: str, *, title: str = "", media_type: str = JSON) -> Document:
    """A STAC link."""
    return {"rel": rel, "href": reference, "type": media_type} | ({"title": title} if title else {})


def links(document: Document, *rels: str) -> list[Document]:
    """Links of a document with one of the relations, in document order."""
    return [entry for entry in document.get("links", []) if entry.get("rel") in rels]


def walk(path: Path) -> Iterator[tuple[Path, Document]]:
    """A document and everything below it by `child` and `item` links, depth first; broken links are passed over."""
    document = read(path)
    yield path, document
    for entry in links(document, "child", "item"):
        below = resolve(entry["href"], path.parent)
        if not is_remote(entry["href"]) and below.is_file():
            yield from walk(below)


def with_link(document: Document, entry: Document) -> Document:
    """The document with one more link, after those it has; once only, ordered by reference within its relation."""
    others = [e for e in document["links"] if e["rel"] != entry["rel"]]
    same = [e for e in links(document, entry["rel"]) if e["href"] != entry["href"]]
    return document | {"links": [*others, *sorted([*same, entry], key=lambda e: str(e["href"]))]}
