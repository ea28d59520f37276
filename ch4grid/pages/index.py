"""The index page: one card per product, version and scenario, with a map and a link to its page."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ch4grid.pages.maps import data_url
from ch4grid.pages.product import years_words
from ch4grid.pages.templates import render
from ch4grid.stores import write_atomic


@dataclass(frozen=True)
class IndexEntry:
    """A product on the index page.

    Args:
        title: One line.
        summary: One paragraph of plain text.
        product: Identifier.
        version: Number N of `v<N>`.
        scenario: Name of the scenario.
        years: Published years.
        page: The product's page.
        thumbnail: A PNG map to show, or None.
    """

    title: str
    summary: str
    product: str
    version: int
    scenario: str
    years: tuple[int, ...]
    page: Path
    thumbnail: Path | None = None


def write_index(
    path: Path,
    entries: Sequence[IndexEntry],
    *,
    title: str = "Surface flux products",
    catalog: Path | None = None,
) -> Path:
    """Write the index page to `path` atomically unless it says the same; products by name, the newest version first.

    Args:
        path: The page.
        entries: Products.
        title: Heading of the page.
        catalog: Root document of the STAC catalog to link, if there is one.

    Raises:
        RunError: The file cannot be written.
    """
    ordered = sorted(entries, key=lambda e: (e.product, -e.version, e.scenario))
    cards = [
        {
            "title": e.title,
            "summary": e.summary,
            "product": e.product,
            "version": e.version,
            "scenario": e.scenario,
            "years": years_words(e.years),
            "page": _relative(e.page, path),
            "thumbnail": data_url(e.thumbnail.read_bytes()) if e.thumbnail else "",
        }
        for e in ordered
    ]
    reference = _relative(catalog, path) if catalog else ""
    text = render("index.html.j2", title=title, entries=cards, catalog=reference)
    if not path.exists() or path.read_text() != text:
        write_atomic(path, text.encode())
    return path


def _relative(target: Path, page: Path) -> str:
    return Path(os.path.relpath(target.absolute(), page.parent.absolute())).as_posix()
