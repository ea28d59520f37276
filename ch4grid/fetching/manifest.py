"""What became of every file of an order: a rerun skips what is done and resumes the rest.

One JSON document per collection, folder and period in the cache. It holds no signature, no key, no clock and no
absolute path.
"""

import json
import threading
from pathlib import Path
from typing import Any

from ch4grid.fetching.offer import Order
from ch4grid.redaction import redacted
from ch4grid.stores import Workspace, sha256_json, write_json


class Manifest:
    """The files of an order.

    Args:
        order: The order.
        workspace: Its folders.
    """

    def __init__(self, order: Order, workspace: Workspace) -> None:
        place = order.folder
        if place.is_relative_to(workspace.data):
            place = place.relative_to(workspace.data)
        name = f"{order.collection}-{order.period}-{sha256_json(place.as_posix())[:8]}.json"
        self.file = workspace.cache / "fetch" / order.remote / name
        self.order = order
        self._lock = threading.Lock()
        self._table = _read(self.file)

    def entry(self, name: str) -> "Entry":
        """The entry of a file by its name, empty if it is new or was asked for otherwise."""
        key = f"{self.order.folder.name}/{name}"
        known = self._table.get(key, {})
        if known.get("asked") != self.order.digest:
            self._table[key] = {"asked": self.order.digest, "stage": "asked", "status": "waiting"}
        return Entry(self, key)

    def facts(self, key: str) -> dict[str, Any]:
        """What is kept of a file."""
        return dict(self._table[key])

    def write(self, key: str, facts: dict[str, Any]) -> None:
        """Keep facts of a file; None forgets one."""
        with self._lock:
            merged = self._table[key] | facts
            self._table[key] = {n: v for n, v in merged.items() if v is not None}
            write_json(self.file, self._table)


class Entry:
    """A file of a manifest: `stage` asked, download or place; `status` waiting, running, done or failed."""

    def __init__(self, manifest: Manifest, key: str) -> None:
        self._manifest = manifest
        self._key = key

    @property
    def request(self) -> str:
        """Identifier of a request that the remote still works on, empty if none."""
        return str(self._facts.get("request", ""))

    @property
    def etag(self) -> str:
        """Entity tag of the file that was begun, empty if unknown."""
        return str(self._facts.get("etag", ""))

    def note(self, **facts: object) -> None:
        """Keep these facts, without secrets of addresses; None forgets one."""
        told = {n: redacted(v) if isinstance(v, str) else v for n, v in facts.items()}
        self._manifest.write(self._key, told)

    def fail(self, reason: str) -> None:
        """Keep why the file could not be had."""
        self.note(status="failed", error=reason)

    def done(self, size: int, digest: str) -> None:
        """Keep that the file is complete and in its place."""
        self.note(
            stage="place",
            status="done",
            bytes=size,
            sha256=digest,
            error=None,
            request=None,
            etag=None,
        )

    def is_done(self, size: int, digest: str) -> bool:
        """Whether exactly this file was fetched for this order."""
        facts = self._facts
        same = facts.get("bytes") == size and facts.get("sha256") == digest
        return facts.get("status") == "done" and same

    @property
    def size(self) -> int | None:
        """Size of the file that was fetched [bytes], None if none was."""
        return self._facts.get("bytes")

    @property
    def _facts(self) -> dict[str, Any]:
        return self._manifest.facts(self._key)


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or not legible: files are then checked anew
        return {}
    return dict(table) if isinstance(table, dict) else {}
