"""A catalog behind a URL as a folder of this machine for as long as it is looked at.

Documents come along, and when asked for what they refer to: files whole, of stores the metadata and coordinates. What
reads a catalog then works on the folder as on any other, and what it says is put back into terms of the URL.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ch4grid import ledger
from ch4grid.catalog import tree
from ch4grid.catalog.datacube import ZARR_MEDIA_TYPE
from ch4grid.catalog.page_files import LIST
from ch4grid.catalog.tree import Document, resolve
from ch4grid.errors import InputError
from ch4grid.ledger import Row
from ch4grid.redaction import silent_clients
from ch4grid.remote import STREAMS, Remote, connect
from ch4grid.stores import write_atomic

ROOT = "catalog.json"
METADATA = "zarr.json"


@dataclass(frozen=True)
class Copy:
    """A catalog that was fetched.

    Args:
        place: The output folder behind the URL, which holds catalog, products and models.
        folder: The same here.
        root: The root document here.
    """

    place: Remote
    folder: Path
    root: Path

    def in_place(self, text: str) -> str:
        """A text with the folder here replaced by the URL."""
        return text.replace(str(self.folder), self.place.address)

    def sizes(self, store: Path, rows: list[Row]) -> Mapping[str, int] | None:
        """Sizes [byte] of a store's objects behind the URL by key; None where it cannot be listed."""
        if not self.place.listed:
            return None
        key = store.relative_to(self.folder).as_posix()
        known = {r.key for r in rows}
        there = self.place.sizes(key).items()
        return {k: size for name, size in there if (k := name.removeprefix(f"{key}/")) in known}


@contextmanager
def fetched(url: str, *, assets: bool = False) -> Iterator[Copy]:
    """The catalog behind a URL as a temporary folder.

    Args:
        url: The catalog's folder, its root document or the output folder around it.
        assets: Whether what the documents refer to comes along.

    Raises:
        InputError: There is no catalog.
        RecipeError: The URL carries credentials or nothing understands its protocol.
        RunError: The place does not answer.
    """
    with silent_clients(), TemporaryDirectory(prefix="ch4grid-catalog-") as folder:
        catalog = _catalog_at(url)
        place = catalog.above(1)
        name = catalog.address.rsplit("/", 1)[-1]
        output = Path(folder).resolve()
        copy = Copy(place, output, output / name / ROOT)
        documents = _documents(copy)
        if assets:
            _assets(copy, documents)
        yield copy


def _catalog_at(url: str) -> Remote:
    """The folder behind a URL that holds the root document."""
    place = connect(url.removesuffix(f"/{ROOT}"))
    if place.read(ROOT) is not None:
        return place
    if place.read(f"catalog/{ROOT}") is not None:
        return connect(f"{place.address}/catalog")
    raise InputError(
        "no catalog here",
        where=place.address,
        expected=f"{ROOT} in it, or a folder catalog that holds it",
        found="none",
        fix="Give the URL of <output>/catalog; `ch4grid mirror --catalog` brings it there",
    )


def _documents(copy: Copy) -> dict[Path, Document]:
    """Bring the documents that links lead to, level by level; by path here."""
    found: dict[Path, Document] = {}
    level = {copy.root}
    while level:
        _bring(copy, level)
        below: set[Path] = set()
        for path in sorted(p for p in level if p.is_file()):
            found[path] = tree.read(path)
            below |= {
                resolve(e["href"], path.parent)
                for e in tree.links(found[path], "child", "item")
                if not tree.is_remote(e["href"])
            }
        level = below - set(found)
    return found


def _assets(copy: Copy, documents: Mapping[Path, Document]) -> None:
    """Bring the files that documents refer to, of stores the metadata and coordinates."""
    files: set[Path] = set()
    stores: set[Path] = set()
    for path, document in documents.items():
        for asset in document.get("assets", {}).values():
            if not tree.is_remote(asset["href"]):
                target = resolve(asset["href"], path.parent)
                (stores if asset.get("type") == ZARR_MEDIA_TYPE else files).add(target)
    _bring(copy, files | {s / METADATA for s in stores} | {ledger.path_of(s) for s in stores})
    _bring(copy, [path for page in _folders(copy, files) for path in page])
    for store in sorted(s for s in stores if (s / METADATA).is_file()):
        _bring(copy, [store / key for key in _coordinates(store)])


def _folders(copy: Copy, files: Iterable[Path]) -> Iterator[list[Path]]:
    """The files beside each page, by the list that lies among them."""
    lists = [p.with_suffix("") / LIST for p in files if p.suffix == ".html"]
    _bring(copy, lists)
    for path in (p for p in lists if p.is_file()):
        try:
            years = json.loads(path.read_bytes())["years"].values()
            yield [path.parent / name for year in years for name in year["files"]]
        except (AttributeError, KeyError, TypeError, ValueError):
            continue  # told by whoever compares them


def _coordinates(store: Path) -> list[str]:
    """Keys of the objects of a store's coordinates and their bounds."""
    try:
        rows = ledger.rows_of(store)
        arrays = json.loads((store / METADATA).read_bytes())["consolidated_metadata"]["metadata"]
    except (InputError, KeyError, ValueError):
        return []  # told by whoever compares them
    names = {d for doc in arrays.values() for d in doc.get("dimension_names") or ()}
    wanted = names | {f"{name}_bnds" for name in names}
    return [r.key for r in rows if r.variable in wanted]


def _bring(copy: Copy, paths: Iterable[Path]) -> None:
    """Fetch files into the folder; what is not there, or lies outside the output folder, is left out."""
    inside = sorted(p for p in paths if p.is_relative_to(copy.folder) and not p.exists())

    def bring(path: Path) -> None:
        content = copy.place.read(path.relative_to(copy.folder).as_posix())
        if content is not None:
            write_atomic(path, content)

    with ThreadPoolExecutor(STREAMS, thread_name_prefix="catalog") as pool:
        list(pool.map(bring, inside))
