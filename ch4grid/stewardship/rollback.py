"""Taking the last years of a product back, with a reason that stays, so that catalog, store and ledger agree."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ch4grid import cube
from ch4grid.stewardship.origin import Origin, origin_of
from ch4grid.stewardship.withdrawal import withdraw


@dataclass(frozen=True)
class RolledBack:
    """What was taken back and what is left."""

    store: Path
    retracted: tuple[int, ...]
    published: tuple[int, ...]
    withdrawn: tuple[int, ...]
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "store": str(self.store),
            "retracted": list(self.retracted),
            "published": list(self.published),
            "withdrawn_from_catalog": list(self.withdrawn),
            "reason": self.reason,
        }

    def in_words(self) -> str:
        """The result as lines for people."""
        years = ", ".join(map(str, self.retracted))
        listed = ", ".join(map(str, self.withdrawn)) or "none"
        return "\n".join(
            [
                f"took back {years}: {self.reason}",
                f"published {', '.join(map(str, self.published))}",
                f"withdrawn from the catalog: {listed}",
                f"store    {self.store}",
            ]
        )


def rollback(store: Path, *, reason: str, to: int | None = None) -> RolledBack:
    """Take the years after `to` back, in the store at one stroke and then in the catalog.

    A rollback that ended between the two is completed by the same command: years that a store has lost and the catalog
    still lists leave it.

    Args:
        store: A published store; its catalog lies in the folder above the product.
        reason: Why; it stays in the log beside the store.
        to: The last year to keep, the last but one when None.

    Raises:
        RecipeError: There is no reason, or `to` is no published year before the last.
        RunError: There is one year only, a run holds the store, or the disk refuses.
        InputError: There is no published product.
    """
    origin = origin_of(store)
    with cube.lock(origin.store):
        last = origin.years[-1]
        owed = _withdraw(origin)
        if to in (None, last) and (owed or (to == last and _retracted(origin.store, last))):
            gone, withdrawn = owed or _retracted(origin.store, last), owed
        else:
            gone = cube.rollback(origin.store, reason=reason, to=to)
            withdrawn = (*_withdraw(origin), *owed)
    return RolledBack(origin.store, gone, origin.years, withdrawn, reason.strip())


def _withdraw(origin: Origin) -> tuple[int, ...]:
    return withdraw(origin.recipe, origin.workspace, origin.store, origin.version)


def _retracted(store: Path, last: int) -> tuple[int, ...]:
    """Years after the last published one that were taken back before."""
    return tuple(sorted({y for r in cube.retractions(store) for y in r.years if y > last}))
