"""`Source`: a published product as exports read it, a year and some rows at a time, each object checked before.

Objects that an export reads are compared with the ledger first, so that a damaged chunk ends in an error that names it
and never in a file. The digest of a year's objects is the provenance of every file: it stays the same when other years
are added.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid import account, ledger
from ch4grid.cube.metadata import vouched
from ch4grid.cube.verify import damaged_rows
from ch4grid.errors import InputError
from ch4grid.exports.request import Request
from ch4grid.grid import TILE, Grid
from ch4grid.ledger import Row
from ch4grid.remote import STREAMS, connect, is_url
from ch4grid.vocabulary import KG_PER_TG, Gas, months, seconds_in_month

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]
EVERY = slice(None)


@dataclass(frozen=True)
class Source:
    """A published product.

    Args:
        ds: It, opened.
        store: Path or URL of its store.
        rows: Ledger rows of published objects.
    """

    ds: xr.Dataset
    store: str
    rows: tuple[Row, ...]

    @cached_property
    def gas(self) -> Gas:
        """The gas of the product."""
        return account.gas_of(self.ds)

    @cached_property
    def grid(self) -> Grid:
        """The grid of the product."""
        return Grid(180.0 / self.ds.sizes["latitude"])

    @property
    def stem(self) -> str:
        """Product, version and scenario, with which names of files begin."""
        return "_".join(str(self.ds.attrs[k]) for k in ("product", "product_version", "scenario"))

    @property
    def years(self) -> tuple[int, ...]:
        """Published years, ascending."""
        return tuple(sorted(int(y) for y in np.atleast_1d(self.ds.attrs["published_years"])))

    @property
    def ecosystems(self) -> tuple[str, ...]:
        """Classes of the product."""
        return tuple(str(e) for e in self.ds["ecosystem"].values)

    @property
    def members(self) -> tuple[int, ...]:
        """Members of the ensemble."""
        return tuple(int(m) for m in self.ds["member"].values)

    def digest(self, years: Iterable[int]) -> str:
        """SHA-256 of what the ledger says of these years: keys and digests of their objects and of the static ones."""
        wanted = {None, *years}
        lines = sorted(f"{r.key} {r.sha256}\n" for r in self.rows if r.year in wanted)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def check(self, names: Iterable[str], years: Sequence[int]) -> None:
        """Compare the objects of some variables with the ledger.

        Raises:
            InputError: One is gone, changed or not in the ledger.
        """
        wanted = set(names)
        rows = [r for r in self.rows if r.variable in wanted and r.year in {None, *years}]
        found = _damaged_remotely(self.store, rows) if is_url(self.store) else None
        if found is None:
            found = [str(p) for p in damaged_rows(Path(self.store), rows, among=self.rows)]
        found += [
            f"{n}: the ledger has no object of it" for n in wanted - {r.variable for r in rows}
        ]
        if found:
            raise InputError(
                "the store is damaged",
                where=self.store,
                expected="every object as the ledger says",
                found=found[0] + (f", and {len(found) - 1} more" if len(found) > 1 else ""),
                fix="`ch4grid verify` names all of it and `ch4grid repair` mends it; no file was made",
            )

    def stripes(self) -> Iterator[slice]:
        """Rows that are read at a time, south to north."""
        rows = self.grid.shape[0]
        for start in range(0, rows, TILE):
            yield slice(start, min(start + TILE, rows))

    def months(self, year: int) -> slice:
        """Positions of a year on the time axis."""
        there = np.flatnonzero(self.ds["time"].dt.year.values == year)
        return slice(int(there[0]), int(there[-1]) + 1)

    def read(self, name: str, year: int, rows: slice = EVERY, **at: int) -> NDArray[Any]:
        """Values of a variable in a year and rows (..., latitude, longitude), in memory."""
        variable = self.ds[name].isel(at)
        place: dict[str, slice] = {"time": self.months(year), "latitude": rows}
        return np.asarray(
            variable.isel({d: s for d, s in place.items() if d in variable.dims}).values
        )

    def flux(self, year: int, request: Request, rows: slice = EVERY) -> Float32:
        """Flux per area of the grid cell (month, latitude, longitude) [kg m-2 s-1], as the request has it.

        That of all classes and of a member is read as stored, bit for bit; chosen classes are added up in float64.
        """
        name = self.gas.flux
        if request.member is not None:
            at = self.members.index(request.member)
            return np.asarray(self.read(f"{name}_member", year, rows, member=at), np.float32)
        mean = np.asarray(self.read(name, year, rows), np.float32)
        if request.ecosystems == self.ecosystems:
            return mean
        total = np.zeros(mean.shape)
        for part in self.parts(year, request.ecosystems, rows):
            total += part
        return np.where(np.isfinite(mean), total, np.nan).astype(np.float32)

    def parts(self, year: int, ecosystems: Sequence[str], rows: slice = EVERY) -> Iterator[Float]:
        """Contribution of each class to the flux of the cell (month, latitude, longitude) [kg m-2 s-1]."""
        for name in ecosystems:
            k = self.ecosystems.index(name)
            density = self.read(f"{self.gas.flux}_density", year, rows, ecosystem=k)
            share = self.read("ecosystem_fraction", year, rows, ecosystem=k).astype(np.float64)
            yield np.where(share > 0, density.astype(np.float64) * share, 0.0)

    def share(self, year: int, ecosystems: Sequence[str], rows: slice = EVERY) -> Float | float:
        """Share of some classes in the sum of absolute contributions (month, latitude, longitude) [1]."""
        if tuple(ecosystems) == self.ecosystems:
            return 1.0
        shape = self.read(self.gas.flux, year, rows).shape
        chosen, whole = np.zeros(shape), np.zeros(shape)
        parts = self.parts(year, self.ecosystems, rows)
        for name, part in zip(self.ecosystems, parts, strict=True):
            size = np.abs(part)
            whole += size
            if name in ecosystems:
                chosen += size
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(whole > 0, chosen / whole, 0.0)

    def budget(self, year: int, request: Request) -> Float:
        """Mass of a month by the product's own table (month) [kg]: the globe, the classes and member of the request."""
        table = self.ds[f"{self.gas.name}_budget"].isel(time=self.months(year))
        table = table.sel(region=account.GLOBE, ecosystem=list(request.ecosystems))
        one = request.member
        table = table.mean("member") if one is None else table.sel(member=one)
        return np.asarray(table.sum("ecosystem").values, np.float64) * KG_PER_TG


def seconds(year: int) -> Float:
    """True lengths of the months of a year (month) [s]."""
    return np.asarray(seconds_in_month(months(year, year)), np.float64)


def days(year: int) -> NDArray[np.int32]:
    """First days of the months of a year and of those that follow them (month, 2) [days since 1970-01-01]."""
    starts = months(year, year)
    ends = starts + pd.offsets.MonthBegin()
    edges = [i.values.astype("datetime64[D]").astype(np.int32) for i in (starts, ends)]
    return np.stack(edges, axis=1)


def source_of(ds: xr.Dataset, store: str) -> Source:
    """A product that is open, with its ledger.

    Raises:
        InputError: It is no product with members, nothing of it is published, its ledger or group metadata is damaged.
        RunError: The place behind its URL does not answer.
    """
    account.gas_of(ds)
    rows = _remote_rows(store) if is_url(store) else ledger.rows_of(Path(store))
    rows = [r for r in rows if r.state == "published"]
    told = [
        k for k in ("product", "product_version", "scenario", "published_years") if k in ds.attrs
    ]
    if not rows or len(told) < 4:
        raise InputError(
            "no published product to export",
            where=store,
            expected="a product with published years and its ledger beside it",
            found="no ledger" if not rows else f"attributes {', '.join(told) or 'of no product'}",
        )
    if not is_url(store) and not vouched(Path(store)):
        raise InputError(
            "the group metadata is not what was published",
            where=Path(store) / "zarr.json",
            fix="`ch4grid repair` mends it; no file was made",
        )
    return Source(ds, store, tuple(rows))


def _remote_rows(url: str) -> list[Row]:
    name = url.rstrip("/").rsplit("/", 1)[-1].removesuffix(".zarr") + ledger.SUFFIX
    content = connect(url).above(1).read(name)
    return [] if content is None else ledger.rows_in(content, url)


def _damaged_remotely(url: str, rows: Sequence[Row]) -> list[str]:
    place = connect(url)
    with ThreadPoolExecutor(STREAMS) as pool:
        digests = list(pool.map(lambda r: place.digest(r.key), rows))
    return [
        f"{r.key}: {'gone' if d is None else 'other bytes than published'}"
        for r, d in zip(rows, digests, strict=True)
        if d != r.sha256
    ]
