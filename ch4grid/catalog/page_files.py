"""Whether the files that a product page loads are those that it was written with: there, whole, unchanged."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ch4grid.catalog.tree import Document, href, is_remote, resolve
from ch4grid.stores import sha256_file

# The list of files in the folder beside a page, and what a page that needs one has in it.
LIST = "files.json"
NEEDS = 'id="atlas"'


def page_problems(documents: Mapping[Path, Document], root: Path) -> Iterator[str]:
    """What is wrong with the files beside the pages of a catalog, in words.

    Args:
        documents: Documents of the catalog by path.
        root: Its root document.
    """
    pages = {
        resolve(document["assets"]["page"]["href"], path.parent)
        for path, document in documents.items()
        if "page" in document.get("assets", {})
        and not is_remote(document["assets"]["page"]["href"])
    }
    for page in sorted(p for p in pages if p.is_file()):
        folder = page.with_suffix("")
        if (folder / LIST).is_file():
            yield from _files(folder, root)
        elif NEEDS in page.read_text():
            yield f"{href(folder, root.parent)}: the page's folder has no {LIST}; run the recipe again"


def _files(folder: Path, root: Path) -> Iterator[str]:
    name = href(folder, root.parent)
    try:
        years: Mapping[str, Any] = json.loads((folder / LIST).read_bytes())["years"]
        told = {n: row["sha256"] for year in years.values() for n, row in year["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        yield f"{name}/{LIST}: cannot be read: {error!r}"
        return
    for file, digest in sorted(told.items()):
        if not (folder / file).is_file():
            yield f"{name}/{file}: is missing, a map or series of the page; run the recipe again"
        elif sha256_file(folder / file) != digest:
            yield f"{name}/{file}: is not the file that the page was written with; delete it and run again"
