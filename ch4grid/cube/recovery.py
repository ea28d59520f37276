"""After a crash between two files: the group metadata is what readers saw, so the ledger and the arrays follow it."""

import hashlib
import json
from pathlib import Path

from ch4grid import ledger
from ch4grid.cube import inputs, staging
from ch4grid.cube.metadata import copy_of, keep_copy, mend_arrays, vouched
from ch4grid.cube.objects import METADATA
from ch4grid.errors import RunError
from ch4grid.ledger import Row
from ch4grid.stores import beside, sweep_partial, unwritable

# Suffix of the log of years that were taken back.
RETRACTIONS = ".retractions.json"


def settle(store: Path) -> None:
    """Bring the ledger and the array metadata to the years that the group metadata shows.

    A year that was verified and then shown is published. A year that is published in the ledger and no longer shown
    was taken back. Anything else is left alone: damage is for `verify` to name.

    Raises:
        RunError: The group metadata shows years that neither the ledger nor a publication in progress knows, or the
            disk refuses.
    """
    path = store / METADATA
    rows = ledger.rows_of(store)
    if not path.exists() or not rows:
        return
    content = path.read_bytes()
    shown = shown_years(store)
    if shown == ledger.published_years(store) or not shown:
        keep_copy(store)
        return
    if not vouched(store):
        raise _damaged(store, f"published years {list(shown)} that nothing vouches for")
    kept = [r for r in rows if r.year is None or r.year <= shown[-1] or r.state != "published"]
    settled = [
        ledger.in_state([r], "published")[0] if r.year is None or r.year <= shown[-1] else r
        for r in kept
    ]
    mend_arrays(store)
    dropped = [r for r in rows if r not in kept]
    gone = {r.year for r in dropped if r.year is not None}
    inputs.forget(store, gone)
    staging.forget_kept(store, gone)
    ledger.write(store, settled, root_sha256=hashlib.sha256(content).hexdigest())
    _remove(store, dropped)


def sweep_beside(store: Path) -> None:
    """Remove the temporary files of what lies beside a store that a killed process left.

    Raises:
        RunError: The system refuses.
    """
    names = [p(store).name for p in (ledger.path_of, copy_of, inputs.path_of)]
    for name in (*names, beside(store, RETRACTIONS).name):
        sweep_partial(store.parent, f".{name}.*.partial")


def shown_years(store: Path) -> tuple[int, ...]:
    """Years that the group metadata of a published store shows.

    Raises:
        RunError: The group metadata is damaged.
    """
    try:
        years = json.loads((store / METADATA).read_bytes())["attributes"]["published_years"]
    except (ValueError, KeyError) as error:
        raise _damaged(store, repr(error)) from error
    return tuple(years)


def _damaged(store: Path, found: str) -> RunError:
    return RunError(
        "the group metadata is damaged",
        where=store / METADATA,
        expected="that of a published product",
        found=found,
        fix="`ch4grid repair` writes it anew",
    )


def _remove(store: Path, rows: list[Row]) -> None:
    try:
        for r in rows:
            (store / r.key).unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(store, error) from error
