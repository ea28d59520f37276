"""Why something that was made before is made again: what differs from the earlier run, down to the file.

A product keeps one fingerprint of the inputs of a year; the record beside its store says which files stood behind it,
so that those that changed have a name. Without the record the year has.
"""

from collections.abc import Mapping

from ch4grid.cube import fingerprint
from ch4grid.planning.saved import changed_files

# Files that are named in a reason; of the others it tells the number.
NAMED = 3


def changed(
    year: int,
    *,
    parts: tuple[Mapping[str, str], Mapping[str, str]],
    old: str | None,
    known: Mapping[str, str] | None,
    files: Mapping[str, str],
) -> str:
    """What differs for a year between an earlier run and now, in words; empty when nothing does.

    Args:
        year: The year.
        parts: Digests of the parts of the product then and now.
        old: Fingerprint of the year's inputs then; None when it is not known.
        known: SHA-256 by path of the year's inputs then; None when there is no record.
        files: SHA-256 by path of the year's inputs now.
    """
    then, now = parts
    names = [n for n in sorted({*then, *now}) if then.get(n) != now.get(n)]
    found = [f"{', '.join(names)} changed"] if names else []
    if old is not None and old != fingerprint(files):
        found += _files(year, known or {}, files)
    return ", ".join(found)


def _files(year: int, known: Mapping[str, str], files: Mapping[str, str]) -> list[str]:
    named = [f"input {text}" for text in changed_files(known, files)] if known else []
    if not named:
        return [f"inputs of {year} changed"]
    more = [f"{len(named) - NAMED} more inputs changed"] if len(named) > NAMED else []
    return named[:NAMED] + more
