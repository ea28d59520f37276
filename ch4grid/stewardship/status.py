"""How a product stands: its years, regions in work and in quarantine, what it holds, and which inputs moved since.

Without a look at the inputs it reads the ledger and the staging folder only.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ch4grid import cube, ledger
from ch4grid.cube import staging
from ch4grid.errors import InputError

if TYPE_CHECKING:
    from ch4grid.stewardship.drift import Change

State = Literal["published", "in work", "quarantined"]


@dataclass(frozen=True)
class YearState:
    """How a year stands.

    Args:
        year: The year.
        state: `published`, `in work` (begun and not whole) or `quarantined` (regions of it could not be computed).
        objects: Objects that the ledger has.
        bytes: Their size [byte].
        done: Regions that are written, of a year that is not published.
        regions: Regions of a year.
        quarantined: Regions that could not be computed, each with its reason.
    """

    year: int
    state: State
    objects: int
    bytes: int
    done: int
    regions: int
    quarantined: tuple[str, ...] = ()

    def in_words(self) -> str:
        """The year as lines for people."""
        if self.state == "published":
            return f"{self.year}  published, {self.objects} objects, {_size(self.bytes)}"
        lines = [f"{self.year}  {self.state}, {self.done} of {self.regions} regions written"]
        return "\n".join([*lines, *(f"      quarantined: {q}" for q in self.quarantined)])


@dataclass(frozen=True)
class Status:
    """How a product stands.

    Args:
        store: The store.
        name: Product, version and scenario.
        years: Every year that is published or begun.
        objects: Objects that the ledger has.
        bytes: Their size [byte].
        running: Whether a run holds the store now.
        package: Version of ch4grid that the product is of; empty before its first year.
        changed: When the ledger was last replaced, by the file system, UTC; empty where there is none.
        retractions: What was taken back.
        damaged: Why the group metadata is not what was published; empty where it is.
        stale: What moved since, and which years it makes stale; None where it was not looked at.
    """

    store: Path
    name: str
    years: tuple[YearState, ...]
    objects: int
    bytes: int
    running: bool
    package: str
    changed: str
    retractions: tuple[cube.Retraction, ...]
    damaged: str = ""
    stale: "tuple[Change, ...] | None" = None

    def stale_years(self) -> tuple[int, ...]:
        """Published years that inputs or parts have moved under."""
        return tuple(sorted({y for change in self.stale or () for y in change.years}))

    def as_dict(self) -> dict[str, Any]:
        """The status as JSON values."""
        told = {
            "store": str(self.store),
            "stale": None if self.stale is None else [asdict(c) for c in self.stale],
            "stale_years": None if self.stale is None else list(self.stale_years()),
        }
        return asdict(self) | told

    def in_words(self) -> str:
        """The status as lines for people."""
        lines = [f"{self.name}: {self.store}"]
        lines += [y.in_words() for y in self.years]
        lines += [f"damaged: {self.damaged}"] if self.damaged else []
        lines += [
            f"taken back: {', '.join(map(str, r.years))}, {r.reason}" for r in self.retractions
        ]
        lines += [f"stale: {', '.join(map(str, c.years))}: {c.what}" for c in self.stale or ()]
        if self.stale == ():
            lines.append("inputs, recipe and package are those of every published year")
        if self.stale is None:
            lines.append("inputs were not looked at; --data says where they lie")
        lines.append(f"{self.objects} objects, {_size(self.bytes)}")
        last = f"last run ended {self.changed}" if self.changed else "no run has ended"
        by = f", by ch4grid {self.package}" if self.package else ""
        return "\n".join([*lines, "a run holds it now" if self.running else last + by])


def status(store: Path, *, data: Path | None = None, output: Path | None = None) -> Status:
    """How a product stands.

    Args:
        store: The store, published or in work.
        data: Where relative paths of its recipe start; inputs are looked at only where it is given.
        output: Where models and caches lie; the folder above the product when None.

    Raises:
        InputError: There is no product, neither published nor begun, or the ledger cannot be read.
    """
    store = store.absolute()
    extent, published = ledger.extent(store), ledger.published_years(store)
    begun = _begun(store)
    if not published and begun is None:
        raise InputError(
            "no product here",
            where=store,
            expected="a folder ending in .zarr with a ledger or a run in work beside it",
            found="neither",
        )
    problems = (
        [p for p in cube.metadata_problems(store) if p.kind == "metadata"] if published else []
    )
    damaged = f"{problems[0].what}; `ch4grid repair` writes it anew" if problems else ""
    package = "" if damaged or not published else str(cube.attributes(store)["ch4grid_version"])
    return Status(
        store=store,
        name=f"{store.parents[1].name} {store.parent.name}, scenario {store.stem}",
        years=_years(store, extent, published, begun),
        objects=sum(n for n, _ in extent.values()),
        bytes=sum(size for _, size in extent.values()),
        running=cube.busy(store),
        package=package,
        changed=_changed(store),
        retractions=cube.retractions(store),
        damaged=damaged,
        stale=None if data is None or damaged else _stale(store, data, output),
    )


def _begun(store: Path) -> staging.Plan | None:
    """The plan of a run that was begun and has not ended."""
    there = (staging.folder(store) / "plan.json").exists()
    return staging.read_plan(store) if there else None


def _years(
    store: Path,
    extent: dict[int | None, tuple[int, int]],
    published: tuple[int, ...],
    begun: staging.Plan | None,
) -> tuple[YearState, ...]:
    failed = cube.failures(store)
    planned = set(begun.inputs) - set(published) if begun else set()
    years = sorted({*published, *planned})
    regions = len(cube.tiles(store)) if planned else 0
    found = []
    for year in years:
        objects, size = extent.get(year, (0, 0))
        if year in published:
            found.append(YearState(year, "published", objects, size, 0, 0))
            continue
        lost = tuple(f"{f.place}: {f.reason}" for f in failed if f.year == year)
        done = staging.finished(store, year)
        state: State = "quarantined" if lost else "in work"
        found.append(YearState(year, state, objects, size, done, regions, lost))
    return tuple(found)


def _changed(store: Path) -> str:
    path = ledger.path_of(store)
    if not path.exists():
        return ""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")


def _stale(store: Path, data: Path, output: Path | None) -> "tuple[Change, ...] | None":
    """What moved since the store was published; None where it has no published year."""
    if not ledger.published_years(store):
        return None
    from ch4grid.assembly import Assembly
    from ch4grid.stewardship.drift import moved_inputs, moved_parts
    from ch4grid.stewardship.origin import origin_of

    origin = origin_of(store, data=data, output=output)
    assembly = Assembly(origin.recipe, origin.workspace)
    moved = moved_inputs(origin, assembly, origin.years)
    try:
        return (*moved_parts(origin, None, origin.years), *moved)
    except (
        InputError
    ):  # files of the training years are gone: a run would stop there, no year is stale by that
        return tuple(moved)


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.2f} GB"
