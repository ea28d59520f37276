"""The inventory: what is held of every variable of a recipe in every month, before any work is done.

It asks every source, adds sizes and fingerprints of the files, and remembers the answers of sources that lie on the
network, so that they can be shown without it. It reads headers only.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from ch4grid.drivers.source import Holding, Source, State
from ch4grid.errors import Ch4gridError
from ch4grid.progress import Report, silent
from ch4grid.recipe import ModelCheckpoint, Recipe
from ch4grid.sites import SiteSource
from ch4grid.stores import Fingerprints, Workspace, sha256_json, write_json
from ch4grid.vocabulary import Gas, months

# States in which a month cannot be used.
LACKING: tuple[State, ...] = ("missing", "damaged")
# Order in which states are counted for people.
STATES: tuple[State, ...] = ("final", "preliminary", "climatology", "missing", "damaged")


@dataclass(frozen=True)
class Entry:
    """What is held of one variable in one month.

    Args:
        source: Kind of the source, `era5`.
        path: Its path in the recipe, empty where it has none.
        variable: Vocabulary name; `towers` for sites.
        month: `YYYY-MM`; None for what does not change.
        state: How well it is held.
        reason: Why it is missing, damaged or preliminary, in words.
        files: Files that it is read from, relative to the data folder where they lie in it.
        bytes: Their size; None on the network.
        sha256: Their fingerprint: the SHA-256 of a single file, the digest of all digests for several; None on the
            network.
        remembered: Whether it comes from memory because the source could not be reached.
    """

    source: str
    path: str
    variable: str
    month: str | None
    state: State
    reason: str
    files: tuple[str, ...]
    bytes: int | None
    sha256: str | None
    remembered: bool = False


@dataclass(frozen=True)
class Inventory:
    """All entries of a recipe, in the order of its sources and variables."""

    product: str
    entries: tuple[Entry, ...]

    @property
    def lacking(self) -> tuple[Entry, ...]:
        """Entries that are missing or damaged."""
        return tuple(e for e in self.entries if e.state in LACKING)

    def as_dict(self) -> dict[str, Any]:
        """The inventory as JSON values, one row per source, variable and month."""
        return {
            "product": self.product,
            "complete": not self.lacking,
            "count": self._count(),
            "rows": [asdict(e) | {"files": list(e.files)} for e in self.entries],
        }

    def table(self) -> list[dict[str, str]]:
        """One row per source and variable for people: months of one state and reason are drawn together."""
        groups: dict[tuple[str, str, str], list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault((entry.source, entry.path, entry.variable), []).append(entry)
        return [
            {
                "source": f"{source} {path}".strip(),
                "variable": variable,
                "size": _size(group),
                "held": ", ".join(_runs(group)),
            }
            for (source, path, variable), group in groups.items()
        ]

    def in_words(self) -> str:
        """The counts by state in one line."""
        count = self._count()
        told = ", ".join(f"{n} {state}" for state, n in count.items() if n)
        remembered = sum(e.remembered for e in self.entries)
        note = f"; {remembered} from memory, the source was not reached" if remembered else ""
        return f"{self.product}: {len(self.entries)} entries, {told or 'none'}{note}"

    def _count(self) -> dict[str, int]:
        found = Counter(e.state for e in self.entries)
        return {state: found[state] for state in STATES}


def inventory(
    recipe: Recipe,
    workspace: Workspace,
    *,
    years: Sequence[int] | None = None,
    offline: bool = False,
    report: Report = silent,
) -> Inventory:
    """What is held of every variable and month of a recipe, and of its towers.

    Args:
        recipe: The recipe.
        workspace: Its folders.
        years: Years asked for, with the spin-up before them; when None the period and the years of the training.
        offline: Whether sources on the network are shown from memory without being asked.
        report: Told after every source.
    """
    surveys = list(wanted_of(recipe, years))
    total = len(surveys) + len(_towers(recipe))
    held: list[tuple[str, Holding, bool]] = []
    for done, (source, wanted) in enumerate(surveys, 1):
        found, remembered = survey(source, workspace, wanted, offline=offline)
        held += [(path_of(source), h, remembered) for h in found]
        report("inventory", done, total)
    for done, towers in enumerate(_towers(recipe), len(surveys) + 1):
        held.append(
            (
                str(getattr(towers, "path", "")),
                _tower_holding(towers, workspace, recipe.gas_row),
                False,
            )
        )
        report("inventory", done, total)
    return Inventory(recipe.product, tuple(_entries(held, workspace)))


def wanted_of(
    recipe: Recipe, years: Sequence[int] | None = None
) -> Iterator[tuple[Source, pd.DatetimeIndex]]:
    """Every source of drivers and areas with the months that the years need of it; drivers include the spin-up."""
    asked = sorted(set(years or recipe.years))
    if not years and recipe.training and not isinstance(recipe.model, ModelCheckpoint):
        first, last = recipe.training.period
        asked = sorted({*asked, *range(first, last + 1)})
    memory = sorted({y - back for y in asked for back in range(recipe.spin_up + 1)})
    areas = (*recipe.ecosystems.areas, *recipe.ecosystems.wetlands.values())
    sources: list[tuple[Source, set[int]]] = []
    for known, needed in chain(((s, memory) for s in recipe.drivers), ((s, asked) for s in areas)):
        # compared, not hashed: a source may hold a mapping
        same = next((n for s, n in sources if s == known), None)
        if same is None:
            sources.append((known, set(needed)))
        else:
            same.update(needed)
    for source, taken in sources:
        yield source, _months_of(sorted(taken))


def survey(
    source: Source, workspace: Workspace, wanted: pd.DatetimeIndex, *, offline: bool = False
) -> tuple[list[Holding], bool]:
    """The holdings of a source, and whether they come from memory because it lies on the network and was not reached.

    A source that holds nothing at all counts as not reached when something is remembered of it: a store on the network
    does not lose all of its months at once.
    """
    if not on_network(source):
        return _asked(source, workspace, wanted), False
    memory = _Memory(source, workspace)
    if offline:
        return memory.recall(wanted, "not asked, and nothing is remembered"), True
    found = _asked(source, workspace, wanted)
    if any(h.state not in LACKING for h in found):
        memory.keep(found)
        return found, False
    reason = next((h.reason for h in found), "")
    recalled = memory.recall(wanted, reason)
    return (recalled, True) if any(h.state not in LACKING for h in recalled) else (found, False)


def on_network(source: Source) -> bool:
    """Whether the path of a source is an address."""
    return "://" in path_of(source)


def path_of(source: Source) -> str:
    """The path of a source as the recipe gives it, empty where it has none."""
    return str(getattr(source, "path", ""))


def _asked(source: Source, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
    """What a source says; one that cannot even be asked misses everything, for the reason it gives."""
    try:
        return source.survey(workspace, wanted)
    except (Ch4gridError, OSError) as error:
        reason = " ".join(str(error).split())
        return [
            Holding(kind_of(source), n, m, "missing", (), reason) for n, m in _all(source, wanted)
        ]


def kind_of(source: Source) -> str:
    """The name by which a recipe calls this kind of source."""
    return str(getattr(source, "source", type(source).__name__))


def _all(source: Source, wanted: pd.DatetimeIndex) -> Iterator[tuple[str, pd.Timestamp]]:
    names: Iterable[str] = getattr(source, "variables", ())
    return ((name, month) for name in names for month in wanted)


class _Memory:
    """What a source on the network held when it was last asked: a JSON file in the cache, by variable and month."""

    def __init__(self, source: Source, workspace: Workspace) -> None:
        self.source = source
        told = source.model_dump(mode="json")
        self.file = workspace.cache / "inventory" / f"{sha256_json(told)[:16]}.json"

    def keep(self, found: Sequence[Holding]) -> None:
        """Add these holdings to the memory, in place of older ones."""
        table = self._table()
        for holding in found:
            rows = table.setdefault(holding.variable, {})
            rows[_label(holding.month) or ""] = {
                "state": holding.state,
                "files": [_address(f) for f in holding.files],
                "reason": holding.reason,
            }
        write_json(self.file, table)

    def recall(self, wanted: pd.DatetimeIndex, reason: str) -> list[Holding]:
        """The holdings of these months from memory; what is not remembered is missing for this reason."""
        return [h for name, rows in self._named() for h in self._of(name, rows, wanted, reason)]

    def _named(self) -> Iterator[tuple[str, dict[str, Any]]]:
        table = self._table()
        names = chain(getattr(self.source, "variables", ()), table)
        return ((name, table.get(name, {})) for name in dict.fromkeys(names))

    def _of(
        self, name: str, rows: dict[str, Any], wanted: pd.DatetimeIndex, reason: str
    ) -> Iterator[Holding]:
        kind = kind_of(self.source)
        for month in (None,) if "" in rows else tuple(wanted):
            row = rows.get(_label(month) or "")
            if row is None:
                yield Holding(kind, name, month, "missing", (), reason)
            else:
                files = tuple(Path(f) for f in row["files"])
                yield Holding(kind, name, month, row["state"], files, row["reason"])

    def _table(self) -> dict[str, dict[str, Any]]:
        try:
            table = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # nothing is remembered, or not legibly
            return {}
        return dict(table)


def _towers(recipe: Recipe) -> list[SiteSource]:
    towers: list[SiteSource] = []
    for known in (*recipe.sites, *recipe.discovery.sites):
        towers += [] if known in towers else [known]
    return towers


def _tower_holding(towers: SiteSource, workspace: Workspace, gas: Gas) -> Holding:
    """The files of towers, or why there are none."""
    try:
        files = tuple(towers.inputs(workspace, gas))
    except (Ch4gridError, OSError) as error:
        return Holding(towers.source, "towers", None, "missing", (), " ".join(str(error).split()))
    empty = [f for f in files if f.is_file() and not f.stat().st_size]
    if empty:
        return Holding(towers.source, "towers", None, "damaged", files, f"{empty[0].name} is empty")
    return Holding(towers.source, "towers", None, "final", files)


def _entries(held: Sequence[tuple[str, Holding, bool]], workspace: Workspace) -> Iterator[Entry]:
    """Entries with sizes and fingerprints; every file is read once, and again only when it changed."""
    files = sorted({f for _, h, _ in held for f in h.files if f.exists()})
    prints = fingerprints_of(files, workspace)
    seen: set[tuple[str, ...]] = set()
    for path, holding, remembered in held:
        key = (holding.source, path, holding.variable, _label(holding.month) or "")
        if key in seen:  # a source of drivers and of areas tells its variables twice
            continue
        seen.add(key)
        known = [prints[f] for f in holding.files if f in prints]
        whole = bool(known) and len(known) == len(holding.files)
        yield Entry(
            source=holding.source,
            path=path,
            variable=holding.variable,
            month=_label(holding.month),
            state=holding.state,
            reason=holding.reason,
            files=tuple(_relative(f, workspace) for f in holding.files),
            bytes=sum(size for size, _ in known) if whole else None,
            sha256=_together([digest for _, digest in known]) if whole else None,
            remembered=remembered,
        )


def fingerprints_of(files: Sequence[Path], workspace: Workspace) -> dict[Path, tuple[int, str]]:
    """Size [bytes] and SHA-256 of every file; for a Zarr folder the sum and digest over its files."""
    digests = Fingerprints(workspace.cache / "fingerprints.json").of(files)
    return {f: _fingerprint(f, digests) for f in files}


def _fingerprint(path: Path, digests: dict[str, str]) -> tuple[int, str]:
    if path.is_file():
        return path.stat().st_size, digests[str(path)]
    inside = sorted(q for q in path.rglob("*") if q.is_file())
    told = {q.relative_to(path).as_posix(): digests[str(q)] for q in inside if str(q) in digests}
    return sum(q.stat().st_size for q in inside), sha256_json(told)


def _together(digests: Sequence[str]) -> str:
    return digests[0] if len(digests) == 1 else sha256_json(sorted(digests))


def _relative(path: Path, workspace: Workspace) -> str:
    for base in (workspace.data, workspace.output):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return _address(path)


def _address(path: Path) -> str:
    """A path as text; a Path folds the two slashes of an address into one."""
    return re.sub(r"^(\w[\w+.-]+):/(?!/)", r"\1://", path.as_posix())


def _label(month: pd.Timestamp | None) -> str | None:
    return None if month is None else f"{month:%Y-%m}"


def _months_of(years: Sequence[int]) -> pd.DatetimeIndex:
    parts = [months(y, y) for y in years]
    return pd.DatetimeIndex(parts[0].append(parts[1:]))


def _runs(group: Sequence[Entry]) -> Iterator[str]:
    """Consecutive months of one state and reason as `2001-01..2001-12 final`."""
    run: list[Entry] = []
    for entry in group:
        if run and not _continues(run[-1], entry):
            yield _told(run)
            run = []
        run.append(entry)
    yield _told(run)


def _continues(last: Entry, entry: Entry) -> bool:
    if (last.state, last.remembered) != (entry.state, entry.remembered):
        return False
    if last.month is None or entry.month is None or _plain(last) != _plain(entry):
        return False
    return pd.Period(last.month, "M") + 1 == pd.Period(entry.month, "M")


def _plain(entry: Entry) -> str:
    """The reason without what holds for its month alone."""
    return entry.reason.replace(entry.month or "\0", "the month")


def _told(run: Sequence[Entry]) -> str:
    first, last = run[0].month, run[-1].month
    span = "" if first is None else f"{first} " if first == last else f"{first}..{last} "
    reason = run[0].reason if first == last else _plain(run[0])
    # the rest of an error's paragraph is for the one who meets it
    short = reason.partition(". Expected")[0]
    told = "; ".join(t for t in (short, "as remembered" if run[0].remembered else "") if t)
    return f"{span}{run[0].state}" + (f" ({told})" if told else "")


def _size(group: Sequence[Entry]) -> str:
    """Bytes of the files of a group, each counted once, as MB."""
    size = sum({e.files: e.bytes for e in group if e.bytes is not None}.values())
    return f"{size / 1e6:.1f} MB" if any(e.bytes is not None for e in group) else ""


def months_lacking(found: Iterable[Holding]) -> list[Holding]:
    """Holdings that a fetch could better: missing, damaged or preliminary."""
    return [h for h in found if h.state in (*LACKING, "preliminary")]
