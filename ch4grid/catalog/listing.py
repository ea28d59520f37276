"""What a catalog holds, as plain values for tables and JSON: one row per product, model and input."""

from pathlib import Path
from typing import Any

from ch4grid.catalog import tree
from ch4grid.catalog.tree import Document, resolve
from ch4grid.errors import InputError


def root_of(catalog: Path) -> Path:
    """The root document of a catalog given as its folder, its root document or the output folder around it.

    Raises:
        InputError: There is none.
    """
    for place in (catalog, catalog / "catalog.json", catalog / "catalog" / "catalog.json"):
        if place.is_file():
            return place
    raise InputError(
        "no catalog here",
        where=catalog,
        expected="catalog.json",
        found="none",
        fix="Give --catalog the folder <output>/catalog; `ch4grid run` makes it with the first published year",
    )


def list_catalog(catalog: Path) -> list[dict[str, Any]]:
    """One row per product, model and input: `kind, id, title, summary, version, scenarios, years, href`.

    Raises:
        InputError: There is no catalog, or a document cannot be read.
    """
    root = root_of(catalog)
    rows = []
    for path, document in tree.walk(root):
        kind = _kind(path, document, root.parent)
        if kind:
            rows.append({"kind": kind} | _row(path, document, root.parent))
    order = ("product", "model", "input")
    return sorted(rows, key=lambda row: (order.index(row["kind"]), row["id"]))


def model_of(catalog: Path, digest: str) -> tuple[str, list[dict[str, Any]]]:
    """Id and rows of skill of the model whose checkpoint has a digest; empty where the catalog does not know it."""
    for path in sorted((catalog / "models").glob("*/*.json")):
        document = tree.read(path)
        if document.get("properties", {}).get("ch4grid:digest") == digest:
            return str(document["id"]), list(document["properties"].get("ch4grid:skill", []))
    return "", []


def show(catalog: Path, name: str) -> dict[str, Any]:
    """Everything about one product, model, input or Item, with references made absolute.

    Raises:
        InputError: The catalog has nothing of this id.
    """
    root = root_of(catalog)
    known = []
    for path, document in tree.walk(root):
        if document["id"] == name:
            return _shown(path, document, root.parent)
        known.append(document["id"])
    raise InputError(f"nothing is called {name!r}", where=root, expected=sorted(known), found=name)


def _kind(path: Path, document: Document, folder: Path) -> str:
    """`product`, `model` or `input`, by the part of the tree; empty for everything in between."""
    parts = path.relative_to(folder).parts
    if document["type"] == "Collection" and len(parts) == 3:
        return {"products": "product", "inputs": "input"}.get(parts[0], "")
    return "model" if document["type"] == "Feature" and parts[0] == "models" else ""


def _row(path: Path, document: Document, folder: Path) -> dict[str, Any]:
    summaries = document.get("summaries", {})
    title = document.get("title") or document.get("properties", {}).get("title", "")
    return {
        "id": document["id"],
        "title": title,
        "summary": document.get("properties", document).get("description", ""),
        "version": document.get("version", ""),
        "scenarios": summaries.get("ch4grid:scenario", []),
        "years": summaries.get("ch4grid:year", []),
        "href": path.relative_to(folder).as_posix(),
    }


def _shown(path: Path, document: Document, folder: Path) -> dict[str, Any]:
    properties = document.get("properties", document)
    shown: dict[str, Any] = _row(path, document, folder) | {
        "type": document["type"],
        "license": properties.get("license", ""),
        "citation": properties.get("sci:citation", ""),
        "interval": _interval(document),
        "bbox": document.get("bbox") or document.get("extent", {}).get("spatial", {}).get("bbox"),
        "variables": sorted(properties.get("cube:variables", {})),
        "derived_from": [e.get("title") for e in tree.links(document, "derived_from")],
        "items": [
            e["href"].split("/")[-1].removesuffix(".json") for e in tree.links(document, "item")
        ],
        "assets": {
            k: _place(a["href"], path.parent) for k, a in document.get("assets", {}).items()
        },
    }
    if "ch4grid:skill" in properties:
        shown["skill"] = properties["ch4grid:skill"]
    if "data" in shown["assets"]:
        shown["open"] = f"xarray.open_zarr({shown['assets']['data']!r})"
    return shown


def _interval(document: Document) -> list[str | None]:
    if document["type"] == "Feature":
        p = document["properties"]
        return [p.get("start_datetime"), p.get("end_datetime")]
    intervals = document.get("extent", {}).get("temporal", {}).get("interval", [[None, None]])
    return list(intervals[0])


def _place(reference: str, folder: Path) -> str:
    return reference if tree.is_remote(reference) else str(resolve(reference, folder.absolute()))
