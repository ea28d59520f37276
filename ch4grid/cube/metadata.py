"""A copy of the group metadata beside the store, and metadata that was damaged written anew from what is left.

Readers open one file; without it nothing of the store can be read, and with a flipped bit in it a published year could
look taken back. Its copy is written just before it, so one of the two is always what the ledger or a publication in
progress vouches for.
"""

import json
from pathlib import Path

from ch4grid import ledger
from ch4grid.cube.objects import METADATA, serialised
from ch4grid.errors import RunError
from ch4grid.stores import beside, sha256_file, write_atomic

SUFFIX = ".metadata.json"


def copy_of(store: Path) -> Path:
    """Where the copy of the group metadata of a store lies."""
    return beside(store, SUFFIX)


def write_group(store: Path, content: bytes) -> None:
    """Replace the group metadata, which is the act of publication, its copy first.

    Raises:
        RunError: The disk refuses.
    """
    for path in (copy_of(store), store / METADATA):
        if not path.exists() or path.read_bytes() != content:
            write_atomic(path, content)


def vouched(store: Path) -> bool:
    """Whether the group metadata is what the ledger or the copy says; also where there is no copy to compare with."""
    if not copy_of(store).is_file():
        return True
    digest = sha256_file(store / METADATA)
    return digest in (ledger.root_digest(store), sha256_file(copy_of(store)))


def mend_group(store: Path) -> list[str]:
    """Write damaged group metadata anew from its copy; the keys that were written.

    Raises:
        RunError: It is damaged and there is no copy with the published digest.
    """
    path, expected = store / METADATA, ledger.root_digest(store)
    if path.is_file() and (sha256_file(path) == expected or _in_progress(store)):
        return []
    copy = copy_of(store)
    if not copy.is_file() or sha256_file(copy) != expected:
        raise RunError(
            "the group metadata is damaged and so is its copy",
            where=path,
            expected=f"{copy.name} beside the store with sha256 {expected}",
            found="another file" if copy.is_file() else "no such file",
            fix="Restore either file from a copy of the product; chunks can be repaired after that",
        )
    write_atomic(path, copy.read_bytes())
    return [METADATA]


def keep_copy(store: Path) -> None:
    """Bring the copy to the group metadata that the ledger knows, where a killed process left the two apart.

    Raises:
        RunError: The disk refuses.
    """
    path, copy = store / METADATA, copy_of(store)
    published = sha256_file(path) == ledger.root_digest(store)
    if published and (not copy.is_file() or copy.read_bytes() != path.read_bytes()):
        write_atomic(copy, path.read_bytes())


def _in_progress(store: Path) -> bool:
    """Whether a publication or rollback ended between the group metadata and the ledger; `settle` completes it."""
    copy = copy_of(store)
    return copy.is_file() and sha256_file(store / METADATA) == sha256_file(copy)


def mend_arrays(store: Path) -> list[str]:
    """Write damaged metadata of arrays anew from the group's; the keys that were written.

    Raises:
        RunError: The disk refuses.
    """
    written = []
    for name, doc in json.loads((store / METADATA).read_bytes())["consolidated_metadata"][
        "metadata"
    ].items():
        path, content = store / name / METADATA, serialised(doc)
        if not path.is_file() or path.read_bytes() != content:
            write_atomic(path, content)
            written.append(f"{name}/{METADATA}")
    return written
