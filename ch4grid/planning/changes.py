"""Why something that was made before is made again: what differs from the earlier run, down to the file.

A product keeps one fingerprint of the inputs of a year. Which files stood behind it is kept in the cache, so that a
plan can name those that changed; without the cache it names the year.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from ch4grid.planning.identity import fingerprint
from ch4grid.planning.saved import changed_files
from ch4grid.stores import Workspace, write_json

# Files that are named in a reason; of the others it tells the number.
NAMED = 3


def remember(workspace: Workspace, files: Mapping[int, Mapping[str, str]]) -> None:
    """Keep which files stand behind the fingerprints of years.

    Args:
        workspace: Folders; the lists go into its cache.
        files: SHA-256 by path, by year.

    Raises:
        RunError: The cache cannot be written.
    """
    for told in files.values():
        path = _path(workspace, fingerprint(dict(told)))
        if not path.exists():
            write_json(path, told)


def changed(
    workspace: Workspace,
    year: int,
    *,
    parts: tuple[Mapping[str, str], Mapping[str, str]],
    old: str | None,
    files: Mapping[str, str],
) -> str:
    """What differs for a year between an earlier run and now, in words; empty when nothing does.

    Args:
        workspace: Folders.
        year: The year.
        parts: Digests of the parts of the product then and now.
        old: Fingerprint of the year's inputs then; None when it is not known.
        files: SHA-256 by path of the year's inputs now.
    """
    then, now = parts
    names = [n for n in sorted({*then, *now}) if then.get(n) != now.get(n)]
    found = [f"{', '.join(names)} changed"] if names else []
    if old is not None and old != fingerprint(dict(files)):
        found += _files(workspace, year, old, files)
    return ", ".join(found)


def _files(workspace: Workspace, year: int, old: str, files: Mapping[str, str]) -> list[str]:
    path = _path(workspace, old)
    known = json.loads(path.read_bytes()) if path.exists() else {}
    named = [f"input {text}" for text in changed_files(known, files)] if known else []
    if not named:
        return [f"inputs of {year} changed"]
    more = [f"{len(named) - NAMED} more inputs changed"] if len(named) > NAMED else []
    return named[:NAMED] + more


def _path(workspace: Workspace, digest: str) -> Path:
    return workspace.cache / "inputs" / f"{digest}.json"
