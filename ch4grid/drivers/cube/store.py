"""The driver cube: DRIVERS of a recipe on the product grid, by month, made once and extended or revised month by month.

A month is as its ledger rows say: they carry a fingerprint of the files it was read from and of how well they held it.
Where a fingerprint differs the month is read again, and of its objects only those are replaced whose values changed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid import ledger
from ch4grid.drivers.cube import gaps, planes, revision
from ch4grid.drivers.cube.filling import Fill, fill_month
from ch4grid.drivers.cube.gaps import READABLE, Policy
from ch4grid.drivers.cube.month import Month, partial_bits, read_month, refuse_twice, status
from ch4grid.drivers.cube.revision import Revision
from ch4grid.drivers.source import Holding, Source
from ch4grid.grid import Grid
from ch4grid.stores import Fingerprints, Workspace, exclusive, sha256_json, sweep_partial
from ch4grid.vocabulary import months

FORMAT = 3
Mapper = Callable[[str, Callable[[Any], Any], Sequence[Any]], Iterable[Any]]

# Months between two entries in the ledger.
BATCH = 12

# Marks a month that is read but not yet filled.
RAW = "raw-"


@dataclass(frozen=True)
class Job:
    """One month to read, as it travels to a worker."""

    store: Path
    sources: tuple[Source, ...]
    names: tuple[tuple[str, ...], ...]
    workspace: Workspace
    grid: Grid
    dynamic: tuple[str, ...]
    states: tuple[str, ...]
    month: pd.Timestamp
    index: int
    tolerant: bool
    revised: bool
    fingerprint: str


def in_turn(_stage: str, function: Callable[[Any], Any], jobs: Sequence[Any]) -> list[Any]:
    """The mapper that runs jobs one after the other in this process."""
    return [function(job) for job in jobs]


class DriverCube:
    """The drivers of some sources on a grid.

    Args:
        root: Folder that holds cubes.
        sources: Where drivers come from.
        grid: The product grid.
        workspace: Where relative paths start.
        first_year: First year of the time axis.
        policy: What to do about gaps.
        reference: First and last year of the mean year that `fill` takes its values from.
        fingerprints: Digests of files.
    """

    def __init__(
        self,
        root: Path,
        sources: Sequence[Source],
        grid: Grid,
        workspace: Workspace,
        *,
        first_year: int,
        policy: Policy = "strict",
        reference: tuple[int, int],
        fingerprints: Fingerprints,
    ) -> None:
        self.sources = tuple(sources)
        self.grid = grid
        self.workspace = workspace
        self.first_year = first_year
        self.policy = policy
        self.reference = reference
        self.fingerprints = fingerprints
        told = [s.model_dump(mode="json") for s in sources]
        rule = [policy, *reference] if policy == "fill" else [policy]
        key = sha256_json([FORMAT, told, grid.resolution, first_year, rule])[:16]
        self.store = root / f"{key}.zarr"
        self._known: dict[pd.Timestamp | None, list[tuple[int, Holding]]] = {}

    def survey(self, wanted: pd.DatetimeIndex) -> list[Holding]:
        """What the sources hold of the months wanted, statics first; months are looked at once."""
        new = pd.DatetimeIndex([m for m in wanted if m not in self._known]).as_unit("s")
        if len(new):
            self._known.pop(None, None)
            for number, source in enumerate(self.sources):
                for holding in source.survey(self.workspace, new):
                    self._known.setdefault(holding.month, []).append((number, holding))
        every = [*self._known.get(None, []), *(h for m in wanted for h in self._known.get(m, []))]
        return [holding for _, holding in every]

    def files(self, wanted: pd.DatetimeIndex) -> list[Path]:
        """The files that the months wanted are read from, sorted."""
        readable = [h for h in self.survey(wanted) if h.state in READABLE]
        return sorted({f for h in readable for f in h.files})

    def update(self, wanted: pd.DatetimeIndex, mapper: Mapper = in_turn) -> list[Revision]:
        """Bring the months wanted up to date with their inputs; returns what changed in months that were there.

        Args:
            wanted: First days of months.
            mapper: Runs a function over jobs: stage, function, jobs.

        Raises:
            InputError: The policy does not accept a gap, or a file cannot be read.
            RecipeError: Two sources give the same variable.
            RunError: The cube cannot be written.
        """
        wanted = self._with_reference(wanted)
        gaps.refuse(self.survey(wanted), self.policy)
        refuse_twice([(h.variable, h.source) for _, h in self._of(wanted[0])])
        prints = self._fingerprints(wanted)
        with exclusive(self.store.with_name(f".{self.store.name}.lock")):
            if self._owed(wanted, prints):
                sweep_partial(self.store, "**/*.partial")
                planes.create(self.store, self.grid, self._axis(wanted), self._dynamic(wanted))
                self._write_statics()
                self._read_months(wanted, prints, mapper)
                self._fill_months(wanted, prints, mapper)
            return revision.compare(
                self.store, self.grid, self._axis(wanted), self._dynamic(wanted)
            )

    def owed(self, wanted: pd.DatetimeIndex) -> dict[pd.Timestamp, Literal["new", "revised", ""]]:
        """What an update would do to the months wanted, and to those it needs besides: nothing where it says nothing.

        Args:
            wanted: First days of months.
        """
        every = self._with_reference(wanted)
        self.survey(every)
        prints, done = self._fingerprints(every), self._done()
        kept = {m: done.get(self._index(m)) for m in every}
        return {
            m: "new" if kept[m] is None else "" if kept[m] in (p, RAW + p) else "revised"
            for m, p in prints.items()
        }

    def open(self, first_year: int, last_year: int) -> xr.Dataset:
        """DRIVERS of consecutive years, lazy: what changes (time, latitude, longitude) and statics, marks included."""
        return open_cube(self.store, first_year, last_year)

    def fingerprint(self, wanted: pd.DatetimeIndex) -> str:
        """Digest of everything that determines the months wanted."""
        return sha256_json([str(self.store.stem), sorted(self._fingerprints(wanted).values())])

    def _of(self, month: pd.Timestamp) -> list[tuple[int, Holding]]:
        return [*self._known.get(None, []), *self._known.get(month, [])]

    def _with_reference(self, wanted: pd.DatetimeIndex) -> pd.DatetimeIndex:
        if self.policy != "fill":
            return wanted
        return wanted.union(months(*self.reference)).as_unit("s")

    def _dynamic(self, wanted: pd.DatetimeIndex) -> tuple[str, ...]:
        return tuple(h.variable for _, h in self._known.get(wanted[0], []))

    def _axis(self, wanted: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """All months of the time axis, which never gets shorter."""
        last = wanted[-1].year
        if (self.store / "time" / "zarr.json").exists():
            import zarr

            held: Any = zarr.open_array(self.store / "time", mode="r")
            last = max(last, self.first_year + held.shape[0] // 12 - 1)
        return months(self.first_year, last)

    def _index(self, month: pd.Timestamp) -> int:
        return (month.year - self.first_year) * 12 + month.month - 1

    def _fingerprints(self, wanted: pd.DatetimeIndex) -> dict[pd.Timestamp, str]:
        """Per month a digest of its files and how they hold it; under `fill` of the reference months as well."""
        every = self._with_reference(wanted)
        digests = self._digests(every)
        base = {
            m: sha256_json([[n, h.variable, h.state, digests[id(h)]] for n, h in self._of(m)])
            for m in every
        }
        if self.policy != "fill":
            return {m: base[m] for m in wanted}
        mean = {
            k: sha256_json([base[m] for m in months(*self.reference) if m.month == k])
            for k in range(1, 13)
        }
        return {m: sha256_json([base[m], mean[m.month]]) for m in wanted}

    def _digests(self, wanted: pd.DatetimeIndex) -> dict[int, list[str]]:
        holdings = self.survey(wanted)
        table = self.fingerprints.of(sorted({f for h in holdings for f in h.files if f.exists()}))
        return {
            id(h): sorted(digest for f in h.files for path, digest in _below(f, table))
            for h in holdings
        }

    def _rows(self) -> dict[str, ledger.Row]:
        return {r.key: r for r in ledger.rows_of(self.store)}

    def _owed(self, wanted: pd.DatetimeIndex, prints: dict[pd.Timestamp, str]) -> bool:
        done = self._done()
        return any(done.get(self._index(m)) != prints[m] for m in wanted)

    def _done(self) -> dict[int, str]:
        """Fingerprint by position of the months that are whole."""
        found = (r for r in ledger.rows_of(self.store) if r.variable == "driver_status")
        return {int(r.key.split("/")[2]): r.inputs for r in found}

    def _write_statics(self) -> None:
        """Read and write what does not change, unless its files are those of the last time."""
        holdings = [(n, h) for n, h in self._known.get(None, [])]
        digests = self._digests(pd.DatetimeIndex([]))
        rows = self._rows()
        made: list[ledger.Row] = []
        for number, source in enumerate(self.sources):
            mine = {h.variable: sha256_json(digests[id(h)]) for n, h in holdings if n == number}
            if all(self._static_print(rows, name) == token for name, token in mine.items()):
                continue
            found = source.statics_on_grid(self.workspace, self.grid).values
            made += [
                planes.write_static(
                    self.store,
                    name,
                    np.asarray(found[name].transpose("latitude", "longitude").values, np.float32),
                    token,
                )
                for name, token in mine.items()
            ]
        self._record(made)

    @staticmethod
    def _static_print(rows: dict[str, ledger.Row], name: str) -> str | None:
        row = rows.get(f"{name}/c/0/0")
        return row.inputs if row else None

    def _read_months(
        self, wanted: pd.DatetimeIndex, prints: dict[pd.Timestamp, str], mapper: Mapper
    ) -> None:
        done = self._done()
        mark = RAW if self.policy == "fill" else ""
        owed = [m for m in wanted if done.get(self._index(m)) not in (prints[m], mark + prints[m])]
        jobs = [self._job(m, mark + prints[m], self._index(m) in done) for m in owed]
        self._run("read drivers", write_month, jobs, mapper)

    def _job(self, month: pd.Timestamp, fingerprint: str, revised: bool) -> Job:
        held = self._known[month]
        names = tuple(
            tuple(h.variable for n, h in held if n == number and h.state in READABLE)
            for number in range(len(self.sources))
        )
        return Job(
            store=self.store,
            sources=self.sources,
            names=names,
            workspace=self.workspace,
            grid=self.grid,
            dynamic=tuple(h.variable for _, h in held),
            states=tuple(h.state for _, h in held),
            month=month,
            index=self._index(month),
            tolerant=self.policy != "strict",
            revised=revised,
            fingerprint=fingerprint,
        )

    def _fill_months(
        self, wanted: pd.DatetimeIndex, prints: dict[pd.Timestamp, str], mapper: Mapper
    ) -> None:
        if self.policy != "fill":
            return
        done, reference = self._done(), months(*self.reference)
        tasks = [
            Fill(
                store=self.store,
                dynamic=self._dynamic(wanted),
                index=self._index(m),
                year=m.year,
                reference=tuple(self._index(r) for r in reference if r.month == m.month),
                preliminary=any(h.state == "preliminary" for _, h in self._known[m]),
                fingerprint=prints[m],
            )
            for m in wanted
            if done.get(self._index(m)) != prints[m]
        ]
        self._run("fill drivers", fill_month, tasks, mapper)

    def _run(
        self, stage: str, function: Callable[[Any], Any], jobs: Sequence[Any], mapper: Mapper
    ) -> None:
        """Run jobs and record their rows, a few at a time: what is recorded an interrupted update need not repeat."""
        for start in range(0, len(jobs), BATCH):
            made = mapper(stage, function, jobs[start : start + BATCH])
            self._record([row for rows in made for row in rows])

    def _record(self, rows: Sequence[ledger.Row]) -> None:
        if rows:
            known = ledger.rows_of(self.store)
            ledger.write(self.store, ledger.merge(known, rows), root_sha256=None)


def _below(path: Path, table: dict[str, str]) -> list[tuple[str, str]]:
    """Paths and digests of a file, or of all files of a folder."""
    if str(path) in table:
        return [(str(path), table[str(path)])]
    return [(p, d) for p, d in table.items() if p.startswith(f"{path}/")]


def write_month(job: Job) -> list[ledger.Row]:
    """Read a month, write its objects, and return their ledger rows; values that are replaced are kept to compare."""
    if job.revised:
        revision.remember(job.store, job.index, job.dynamic)
    found = read_month(
        job.sources, job.names, job.workspace, job.month, job.grid, tolerant=job.tolerant
    )
    fields = _planes(job, found)
    return [
        planes.write_plane(job.store, name, job.index, values, job.month.year, job.fingerprint)
        for name, values in fields.items()
    ]


def _planes(job: Job, found: Month) -> dict[str, Any]:
    """Every array of a month in the order of writing: `driver_status` comes last, it says that the month is whole."""
    shape = job.grid.shape
    absent = np.full(shape, np.nan, np.float32)
    nothing = np.zeros(shape, np.float32)
    values = {n: found.values.get(n, absent) for n in job.dynamic}
    valid = {n: found.valid.get(n, nothing) for n in job.dynamic}
    partial = partial_bits(valid, job.dynamic)
    states = [
        planes.STATES["damaged" if n in found.damaged else s]  # type: ignore[index]
        for n, s in zip(job.dynamic, job.states, strict=True)
    ]
    return values | {
        "source_status": np.array(states, np.uint8),
        "valid_fraction": np.minimum.reduce([np.clip(v, 0.0, 1.0) for v in valid.values()]),
        "driver_partial": partial,
        "driver_climatology": np.zeros(shape, np.uint32),
        "driver_status": status(
            values, partial, preliminary="preliminary" in job.states, shape=shape
        ),
    }


def open_cube(store: Path, first_year: int, last_year: int) -> xr.Dataset:
    """DRIVERS of consecutive years from a driver cube, lazy."""
    opened: xr.Dataset = xr.open_zarr(store, consolidated=False, chunks=None)
    return opened.sel(time=slice(f"{first_year}-01", f"{last_year}-12"))
