"""The catalog on its way: what Items refer to first, then Items, Collections, catalogs, the root last."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ch4grid.catalog.tree import is_remote, resolve
from ch4grid.cube.objects import METADATA
from ch4grid.errors import InputError, RecipeError, RunError
from ch4grid.remote import Remote

Document = dict[str, Any]
ROOT = "catalog.json"
# Order by what a document is: a reader comes from the root, so each step is there before one leads to it.
RANKS = {"Feature": 1, "Collection": 2, "Catalog": 3}


@dataclass(frozen=True)
class Shelf:
    """A catalog's folder and the output folder around it, from which its references are resolved."""

    folder: Path

    @property
    def output(self) -> Path:
        """The folder that holds catalog, products and models."""
        return self.folder.parent

    def levels(self, store: Path, url: str) -> int:
        """How many folders above a store's URL the output folder lies.

        Raises:
            InputError: There is no catalog.
            RecipeError: The URL does not end as the store's path does, so that no reference of the catalog would hold.
        """
        if not (self.folder / ROOT).is_file():
            raise InputError(
                "no catalog here",
                where=self.folder,
                expected=ROOT,
                found="none",
                fix="Give --catalog",
            )
        try:
            inside = store.absolute().relative_to(self.output.absolute())
        except ValueError:
            inside = Path(store.name)
        if not url.rstrip("/").endswith("/" + inside.as_posix()) or len(inside.parts) == 1:
            raise RecipeError(
                "the catalog refers to its stores by relative paths, which would not hold there",
                where=url,
                expected=f"a URL that ends in {inside.as_posix()}, of a store below {self.output}",
                found=url.rsplit("/", 1)[-1],
                fix="Give such a URL, or mirror without --catalog",
            )
        return len(inside.parts)

    def steps(self) -> Iterator[list[Path]]:
        """Files to send, step by step: a step may go when the one before is there."""
        documents: dict[Path, Document] = {}
        for path in sorted(self.folder.rglob("*.json")):
            found = json.loads(path.read_bytes())
            if isinstance(found, dict) and found.get("type") in RANKS and "stac_version" in found:
                documents[path] = found
        others = {p for p in self.folder.rglob("*") if p.is_file() and p.name[0] != "."}
        yield sorted((others - set(documents)) | set(self._outside(documents)))
        for rank in ("Feature", "Collection"):
            yield [p for p, d in documents.items() if d["type"] == rank]
        catalogs = [p for p, d in documents.items() if d["type"] == "Catalog"]
        for depth in sorted({len(p.parts) for p in catalogs}, reverse=True):
            yield [p for p in catalogs if len(p.parts) == depth]

    def _outside(self, documents: dict[Path, Document]) -> Iterator[Path]:
        """Files outside the folder that Items refer to, such as checkpoints; stores and ledgers go by themselves."""
        for path, key, target in self._assets(documents):
            inside = target.is_relative_to(self.output) and target.is_file()
            if inside and key != "ledger" and not target.is_relative_to(self.folder):
                yield target
            elif not target.is_relative_to(self.output):
                raise InputError(
                    f"asset {key!r} lies outside the output folder",
                    where=path,
                    expected=f"a reference below {self.output}",
                    found=target,
                )

    def stores(self) -> list[Path]:
        """Stores that Items refer to."""
        found = sorted(self.folder.rglob("*.json"))
        documents = {p: json.loads(p.read_bytes()) for p in found}
        items = {p: d for p, d in documents.items() if isinstance(d, dict) and "assets" in d}
        return sorted({t for _, _, t in self._assets(items) if (t / METADATA).is_file()})

    def refuse_absent(self, target: Remote) -> None:
        """Refuse to send Items whose stores the target does not hold as they are here.

        Raises:
            RunError: There are such stores.
        """
        behind = [
            store.relative_to(self.output).as_posix()
            for store in self.stores()
            if target.read(f"{store.relative_to(self.output).as_posix()}/{METADATA}")
            != (store / METADATA).read_bytes()
        ]
        if behind:
            raise RunError(
                "the catalog tells of stores that the target does not hold as they are here",
                where=target.address,
                expected="every store of the catalog mirrored",
                found=", ".join(behind[:5]) + (" and more" if len(behind) > 5 else ""),
                fix="Mirror these first, without --catalog; the store itself was mirrored",
            )

    @staticmethod
    def _assets(documents: dict[Path, Document]) -> Iterator[tuple[Path, str, Path]]:
        for path, document in documents.items():
            for key, asset in document.get("assets", {}).items():
                if not is_remote(asset["href"]):
                    yield path, key, resolve(asset["href"], path.parent)
