"""What a catalog holds, as plain values for tables and JSON: one row per product, model and input."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ch4grid.catalog import tree
from ch4grid.catalog.fetched import fetched
from ch4grid.catalog.tree import Document, resolve
from ch4grid.errors import InputError
from ch4grid.remote import is_url

SCENARIO, YEAR = "ch4grid:scenario", "ch4grid:year"
# Puts a path of this machine in terms of where the catalog lies.
Place = Callable[[str], str]


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


def list_catalog(catalog: Path | str) -> list[dict[str, Any]]:
    """One row per product, model and input: `kind, id, title, summary, version, scenarios, years, href`.

    Args:
        catalog: The catalog's folder, its root document or the output folder around it, or a URL of one of these.

    Raises:
        InputError: There is no catalog, or a document cannot be read.
        RecipeError: The URL carries credentials or nothing understands its protocol.
        RunError: The place behind the URL does not answer.
    """
    if is_url(catalog):
        with fetched(str(catalog)) as copy:
            return _listed(copy.root)
    return _listed(root_of(Path(catalog)))


def _listed(root: Path) -> list[dict[str, Any]]:
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


def show(catalog: Path | str, name: str) -> dict[str, Any]:
    """Everything about one product, model, input or Item, with references made absolute.

    Args:
        catalog: As of `list_catalog`.
        name: Its id.

    Raises:
        InputError: The catalog has nothing of this id.
        RecipeError: As of `list_catalog`.
        RunError: As of `list_catalog`.
    """
    if is_url(catalog):
        with fetched(str(catalog)) as copy:
            return _found(copy.root, name, copy.in_place)
    return _found(root_of(Path(catalog)), name, str)


def _found(root: Path, name: str, place: Place) -> dict[str, Any]:
    known = []
    for path, document in tree.walk(root):
        if document["id"] == name:
            return _shown(path, document, root, place)
        known.append(document["id"])
    raise InputError(
        f"nothing is called {name!r}", where=place(str(root)), expected=sorted(known), found=name
    )


def _kind(path: Path, document: Document, folder: Path) -> str:
    """`product`, `model` or `input`, by the part of the tree; empty for everything in between."""
    parts = path.relative_to(folder).parts
    if document["type"] == "Collection" and len(parts) == 3:
        return {"products": "product", "inputs": "input"}.get(parts[0], "")
    return "model" if document["type"] == "Feature" and parts[0] == "models" else ""


def _row(path: Path, document: Document, folder: Path) -> dict[str, Any]:
    told = document.get("properties", document)
    # a Collection has lists of what an Item has one of
    listed = document.get("summaries") or {k: [told[k]] for k in (SCENARIO, YEAR) if k in told}
    return {
        "id": document["id"],
        "title": told.get("title", ""),
        "summary": told.get("description", ""),
        "version": told.get("version", ""),
        "scenarios": listed.get(SCENARIO, []),
        "years": listed.get(YEAR, []),
        "href": path.relative_to(folder).as_posix(),
    }


def _shown(path: Path, document: Document, root: Path, place: Place) -> dict[str, Any]:
    properties = document.get("properties", document)
    shown: dict[str, Any] = _row(path, document, root.parent) | {
        "kind": _kind(path, document, root.parent)
        or ("year" if YEAR in properties else document["type"].lower()),
        "type": document["type"],
        "license": properties.get("license", ""),
        "citation": properties.get("sci:citation", ""),
        "interval": _interval(document),
        "bbox": _bbox(document),
        "variables": sorted(properties.get("cube:variables", {})),
        "derived_from": [e.get("title") for e in tree.links(document, "derived_from")],
        "items": [
            e["href"].split("/")[-1].removesuffix(".json") for e in tree.links(document, "item")
        ],
        "assets": {
            k: place(_absolute(a["href"], path.parent))
            for k, a in document.get("assets", {}).items()
        },
    }
    if "ch4grid:skill" in properties:
        shown["skill"] = properties["ch4grid:skill"]
    if "data" in shown["assets"]:
        where = place(str(root.absolute()))
        shown["open"] = f"xarray.open_zarr({shown['assets']['data']!r})"
        shown["opening"] = opening_lines(where, shown, document["type"])
    return shown


def opening_lines(root: str, shown: dict[str, Any], kind: str) -> dict[str, list[str]]:
    """Lines that open a product or a year of it, by the library that they use, ready to be copied.

    Args:
        root: Path or URL of the root document.
        shown: Its id and places of its assets.
        kind: `Collection` or `Feature`.
    """
    store, name = shown["assets"]["data"], shown["id"]
    year = str(shown["interval"][0])[:4]
    item = f"next(catalog.get_items({name!r}, recursive=True))"
    entry = f"catalog.get_child({name!r}, recursive=True)" if kind == "Collection" else item
    cut = "" if kind == "Collection" else f".sel(time={year!r})"
    read = "xr.open_zarr(entry.assets['data'].get_absolute_href())"
    return {
        "xarray": ["import xarray as xr", f"ds = xr.open_zarr({store!r}){cut}"],
        "ch4grid": ["import ch4grid", f"ds = ch4grid.open({store!r}){cut}"],
        "pystac": [
            "import pystac, xarray as xr",
            f"catalog = pystac.Catalog.from_file({root!r})",
            f"entry = {entry}",
            f"ds = {read}{cut}",
        ],
    }


def _interval(document: Document) -> list[str | None]:
    if document["type"] == "Feature":
        p = document["properties"]
        return [p.get("start_datetime"), p.get("end_datetime")]
    intervals = document.get("extent", {}).get("temporal", {}).get("interval", [[None, None]])
    return list(intervals[0])


def _bbox(document: Document) -> list[float] | None:
    boxes = document.get("extent", {}).get("spatial", {}).get("bbox", [None])
    found: list[float] | None = document.get("bbox") or boxes[0]
    return found


def _absolute(reference: str, folder: Path) -> str:
    return reference if tree.is_remote(reference) else str(resolve(reference, folder.absolute()))
