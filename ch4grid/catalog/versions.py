"""The order of versions among the Items of a product: predecessor, successor, latest, and what is deprecated."""

from collections.abc import Mapping
from pathlib import Path

from ch4grid.catalog import tree
from ch4grid.catalog.tree import Document, href

RELS = ("predecessor-version", "successor-version", "latest-version")


def versioned(items: Mapping[Path, Document]) -> dict[Path, Document]:
    """The Items with links to the versions before and after of the same year and scenario, and to the latest.

    An Item that has a successor is deprecated; the latest has no link to itself.
    """
    chains: dict[tuple[str, int], list[tuple[int, Path]]] = {}
    for path, item in items.items():
        p = item["properties"]
        chain = chains.setdefault((p["ch4grid:scenario"], p["ch4grid:year"]), [])
        chain.append((int(p["version"]), path))
    settled = {}
    for chain in chains.values():
        order = [path for _, path in sorted(chain)]
        for i, path in enumerate(order):
            last = i + 1 == len(order)
            neighbours = (
                order[i - 1] if i else None,
                *((None, None) if last else (order[i + 1], order[-1])),
            )
            settled[path] = _linked(items[path], path, dict(zip(RELS, neighbours, strict=True)))
    return settled


def _linked(item: Document, path: Path, others: Mapping[str, Path | None]) -> Document:
    kept = [e for e in item["links"] if e["rel"] not in RELS]
    links = [
        tree.link(rel, href(other, path.parent), title=other.stem, media_type=tree.GEOJSON)
        for rel, other in others.items()
        if other is not None
    ]
    deprecated = others["successor-version"] is not None
    return item | {
        "links": [*kept, *links],
        "properties": item["properties"] | {"deprecated": deprecated},
    }
