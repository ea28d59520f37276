"""The input files that every year of a store was computed from, in a JSON file beside it: year to file to SHA-256.

The attributes of the store carry one fingerprint per year; this record says which files it stands for, so that a change
of inputs can be named. It vouches for itself: the digest of a year's files is the fingerprint in the attributes.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from ch4grid.errors import RunError
from ch4grid.stores import beside, sha256_json, write_json

SUFFIX = ".inputs.json"
Files = Mapping[str, str]


def path_of(store: Path) -> Path:
    """Where the record of a store lies."""
    return beside(store, SUFFIX)


def fingerprint(files: Files) -> str:
    """What the inputs of a year are told from others by, given their SHA-256 by path."""
    return sha256_json(dict(files))


def record(store: Path, years: Mapping[int, Files], fingerprints: Mapping[int, str]) -> None:
    """Add years to the record.

    Args:
        store: The store.
        years: Files with their SHA-256 by year.
        fingerprints: What was planned, by year.

    Raises:
        RunError: The files of a year are not those that were planned, or the disk refuses.
    """
    moved = sorted(y for y, files in years.items() if fingerprint(files) != fingerprints[y])
    if moved:
        raise RunError(
            "inputs changed while the run was planned",
            where=store,
            expected=f"inputs of {moved[0]} with fingerprint {fingerprints[moved[0]][:16]}",
            found=fingerprint(years[moved[0]])[:16],
            fix="Let the download end, then run again",
        )
    known = _read(store)
    new = known | {str(y): dict(files) for y, files in years.items()}
    if new != known:
        write_json(path_of(store), new)


def recorded(store: Path, fingerprints: Mapping[int, str]) -> dict[int, dict[str, str]]:
    """Files by year, of the years whose record is the one that was published.

    Args:
        store: The store.
        fingerprints: Those in the attributes of the store, by year.
    """
    known = _read(store)
    files = {y: known[str(y)] for y in sorted(fingerprints) if str(y) in known}
    return {y: f for y, f in files.items() if fingerprint(f) == fingerprints[y]}


def forget(store: Path, years: Iterable[int]) -> None:
    """Take years that are no longer published out of the record."""
    known, gone = _read(store), set(map(str, years))
    if gone & set(known):
        write_json(path_of(store), {y: f for y, f in known.items() if y not in gone})


def _read(store: Path) -> dict[str, dict[str, str]]:
    """The record; empty where it is missing or damaged: it explains and decides nothing."""
    try:
        found: dict[str, dict[str, str]] = json.loads(path_of(store).read_bytes())
    except (OSError, ValueError):
        return {}
    return found
