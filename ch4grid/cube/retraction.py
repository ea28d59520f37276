"""Taking published years back: never without a reason, which stays in a log beside the store.

A published extent shrinks in this way only. Readers lose the years at one stroke, with the group metadata; the ledger,
the arrays and the record of inputs follow, also when the process ends in between.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ch4grid import ledger
from ch4grid.cube.blanking import ATTRIBUTE
from ch4grid.cube.metadata import write_group
from ch4grid.cube.objects import METADATA, dims_of, serialised
from ch4grid.cube.recovery import RETRACTIONS, settle
from ch4grid.cube.template import coverage, year_slice
from ch4grid.errors import RecipeError, RunError
from ch4grid.stores import beside, write_atomic


@dataclass(frozen=True)
class Retraction:
    """Years that were taken back.

    Args:
        years: The years, ascending.
        reason: Why, in the words of whoever did it.
        inputs: Fingerprint of the inputs of each year, in the same order.
        root_sha256: Digest of the group metadata that showed them.
    """

    years: tuple[int, ...]
    reason: str
    inputs: tuple[str, ...]
    root_sha256: str


def log_of(store: Path) -> Path:
    """Where the log of a store's retractions lies."""
    return beside(store, RETRACTIONS)


def retractions(store: Path) -> tuple[Retraction, ...]:
    """What was taken back from a store, oldest first.

    Raises:
        RunError: The log is damaged.
    """
    path = log_of(store)
    if not path.exists():
        return ()
    try:
        return tuple(
            Retraction(tuple(e["years"]), e["reason"], tuple(e["inputs"]), e["root_sha256"])
            for e in json.loads(path.read_bytes())
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            "the log of retractions is damaged",
            where=path,
            expected="a JSON list with years, reason, inputs and root_sha256",
            found=repr(error),
            fix="Restore it from a copy of the product",
        ) from error


def rollback(store: Path, *, reason: str, to: int | None = None) -> tuple[int, ...]:
    """Take the years after `to` back; readers lose them at one stroke. Returns the years.

    Args:
        store: A published store, held by the caller.
        reason: Why; it goes to the log.
        to: The last year to keep, the last but one when None.

    Raises:
        RecipeError: There is no reason, or `to` is no published year before the last.
        RunError: There is one year only, or the disk refuses.
    """
    if not reason.strip():
        raise RecipeError(
            "published years are not taken back without a reason",
            where="--retract",
            expected="the reason in words",
            found="none",
        )
    gone = years_after(store, to)
    last = max(y for y in ledger.published_years(store) if y not in gone)
    root = json.loads((store / METADATA).read_bytes())
    known = {int(y): d for y, d in json.loads(root["attributes"]["ch4grid_inputs"]).items()}
    digest = str(ledger.root_digest(store))
    _log(store, Retraction(gone, reason.strip(), tuple(known[y] for y in gone), digest))
    root["attributes"] |= coverage({y: d for y, d in known.items() if y not in gone})
    told = json.loads(root["attributes"].get(ATTRIBUTE, "{}"))
    if told:
        left = {y: v for y, v in told.items() if int(y) not in gone}
        root["attributes"][ATTRIBUTE] = json.dumps(left, sort_keys=True)
    length = year_slice(last, int(root["attributes"]["ch4grid_first_year"])).stop
    for doc in root["consolidated_metadata"]["metadata"].values():
        if "time" in dims_of(doc):
            doc["shape"][dims_of(doc).index("time")] = length
    write_group(store, serialised(root))
    settle(store)
    return gone


def years_after(store: Path, to: int | None) -> tuple[int, ...]:
    """The years that a rollback takes back.

    Raises:
        RecipeError: `to` is no published year before the last.
        RunError: There is one year only.
    """
    years = ledger.published_years(store)
    if len(years) < 2:
        raise RunError(
            "there is no earlier state to go back to",
            where=store,
            expected="two published years or more",
            found=list(years),
            fix="Delete the version's folder instead",
        )
    if to is not None and to not in years[:-1]:
        raise RecipeError(
            "that is no year to go back to",
            where="--to",
            expected=f"one of {', '.join(map(str, years[:-1]))}",
            found=to,
        )
    return tuple(y for y in years if y > (years[-2] if to is None else to))


def _log(store: Path, entry: Retraction) -> None:
    """Add an entry, in place of one of the same state that was begun and not carried out."""
    kept = [e for e in retractions(store) if e.root_sha256 != entry.root_sha256]
    told = [asdict(e) for e in (*kept, entry)]
    write_atomic(log_of(store), (json.dumps(told, indent=2) + "\n").encode())
