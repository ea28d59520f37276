"""MODIS land products on 250 m, 500 m and 1 km sinusoidal tiles, as monthly area means on the grid of a product.

Pixels are judged by their quality layer and their fills before anything is averaged. The values of a pixel are averaged
over the days of a month that its composites stand for, then the pixels over a cell, by exact area; a cell's valid
fraction is the area with any value in the month. Every granule is read once, and memory holds one tile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ch4grid.drivers.modis import geotiff, hdf4
from ch4grid.drivers.modis.granules import Granule, found
from ch4grid.drivers.modis.layers import (
    NOT_OVER_WETLANDS,
    TILES,
    WETLAND_NOTE,
    Layer,
    Product,
    packing,
    variables_of,
)
from ch4grid.drivers.modis.quality import good
from ch4grid.drivers.modis.shelf import Platform, Shelf, listed, on_platform
from ch4grid.drivers.modis.sinusoidal import (
    Cells,
    Days,
    Packing,
    Window,
    add_cells,
    add_pixels,
    means,
)
from ch4grid.drivers.source import LEAST_VALID, Holding, OnGrid, Source
from ch4grid.drivers.units import named
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.schema import check_range
from ch4grid.stores import Workspace
from ch4grid.vocabulary import SECONDS_PER_DAY, VARIABLES

EMPTY = Product({}, 1)


class ModisTiles(Source):
    """Granules of MOD11A1, 11A2, 13A1, 13A2, 13Q1, 15A2H, 17A2H or 17A2HGF (or MYD, MCD), as HDF4 or GeoTIFF.

    Leaf area (`lai`) and production (`gpp`) are not retrieved over permanent wetlands: what a cell has of them is left
    out of its mean and lowers its valid fraction, and the variable says so in its `comment`. Over wetlands use `evi`.

    Args:
        path: File or glob, relative to the data folder; GeoTIFFs may lie in ZIP archives.
        variables: `evi`, `ndvi`, `lst_day`, `lst_night`, `lai`, `gpp`, each held by one product among the files.
        platform: `terra`, `aqua`, `combined` (MCD), or `both` for the mean of Terra and Aqua; needed where the files
            are of more than one.
        reliability: Accepted ranks of the vegetation index: 0 good, 1 marginal, 2 snow or ice, 3 cloudy.
        screened: Whether quality layers are needed; rasters without them can only be read with `false`.
        barren: What barren ground and perennial snow and ice are to `lai` and `gpp`, which are not retrieved there:
            `missing`, or `zero` so that deserts and ice sheets have a value.
        least_coverage: Smallest part of a month's tile-days that must be on hand; below 1 for daily products, which
            lack days in the archive.
    """

    source: Literal["modis_tiles"] = "modis_tiles"
    path: str
    variables: tuple[str, ...] = Field(strict=False)
    platform: Platform | None = None
    reliability: tuple[int, ...] = Field(default=(0, 1, 2), strict=False)
    screened: bool = True
    barren: Literal["missing", "zero"] = "missing"
    least_coverage: float = Field(default=1.0, gt=0.0, le=1.0)

    @field_validator("variables")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = variables_of(TILES)
        unknown = [n for n in names if n not in known]
        if unknown or not names:
            raise ValueError(
                f"modis_tiles has no variable {', '.join(unknown)}; it has {', '.join(known)}"
            )
        return names

    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        """What is held of every variable in every month wanted; the reason names tiles and composites that lack.

        Raises:
            InputError: Two products or platforms hold a variable and the recipe does not say which to take.
        """
        shelves = self._shelves(workspace, self.variables)
        return [s.holding(m, self.least_coverage) for s in shelves for m in wanted]

    def open(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> xr.Dataset:
        """Nothing: tiles do not lie on latitude and longitude; `on_grid` aggregates them.

        Raises:
            InputError: Always.
        """
        raise InputError(
            "sinusoidal tiles have no latitude and longitude axes",
            where=f"modis_tiles, {self.path}",
            expected="aggregation on to the grid of a product",
            fix="Use on_grid",
        )

    def statics(self, workspace: Workspace) -> xr.Dataset:
        """An empty Dataset: all variables change."""
        return xr.Dataset()

    def statics_on_grid(self, workspace: Workspace, grid: Grid) -> OnGrid:
        """Empty Datasets: all variables change."""
        return OnGrid(xr.Dataset(), xr.Dataset())

    def on_grid(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex, grid: Grid
    ) -> OnGrid:
        """Monthly area means (time, latitude, longitude) and the area fractions with a value.

        Raises:
            InputError: A month is not held, or a granule cannot be read or lies elsewhere than its tile.
        """
        shelves = self._shelves(workspace, names)
        self._refuse_unheld(shelves, wanted)
        values, valid = xr.Dataset(), xr.Dataset()
        for together in _by_product(shelves):
            sums = {(s.name, m): Cells.empty(grid) for s in together for m in wanted}
            readers = _readers(together, wanted)
            for tile in sorted({g.tile for g in readers}):
                of_tile = {g: names for g, names in readers.items() if g.tile == tile}
                self._add_tile(of_tile, sums, grid)
            for shelf in together:
                fields = [means(sums[shelf.name, m], grid, LEAST_VALID) for m in wanted]
                values[shelf.name] = _series([f for f, _ in fields], shelf.name, wanted, grid)
                share = [s for _, s in fields]
                valid[shelf.name] = _labelled(share, wanted, grid)
                check_range(values[shelf.name], f"modis_tiles, {self.path}")
        return OnGrid(values[list(names)], valid[list(names)])

    def _shelves(self, workspace: Workspace, names: Sequence[str]) -> list[Shelf]:
        granules, strangers = found(workspace, self.path)
        return [self._shelf(granules, strangers, name) for name in names]

    def _shelf(self, granules: Sequence[Granule], strangers: Sequence[str], name: str) -> Shelf:
        where = f"modis_tiles, {self.path}"
        holders = on_platform([g for g in granules if holds(g, name)], self.platform, where)
        products = sorted({g.product for g in holders})
        if len(products) > 1:
            raise InputError(
                f"more than one product holds {name!r}",
                where=where,
                expected="one",
                found=", ".join(products),
                fix="Narrow the path to one product",
            )
        others = [*strangers, *(_content(g) for g in granules if not holds(g, name))]
        note = f"nothing on {self.path} matches" if not granules and not strangers else ""
        note = note or (f"no {name} in {listed(others)}" if others else "")
        product = products[0] if products else ""
        row = TILES.get(product, EMPTY)
        return Shelf(self.source, name, product, row, tuple(holders), self.screened, note)

    def _refuse_unheld(self, shelves: Sequence[Shelf], wanted: pd.DatetimeIndex) -> None:
        for shelf in shelves:
            for month in wanted:
                held = shelf.holding(month, self.least_coverage)
                if held.state in ("missing", "damaged"):
                    raise InputError(
                        f"{month:%Y-%m} of {shelf.name!r} is {held.state}",
                        where=f"modis_tiles, {self.path}",
                        expected="all tiles and composites of the month",
                        found=held.reason,
                        fix="Fetch what lacks, or leave the month out",
                    )

    def _add_tile(
        self,
        readers: Mapping[Granule, Sequence[str]],
        sums: dict[tuple[str, pd.Timestamp], Cells],
        grid: Grid,
    ) -> None:
        """Add the pixels of a tile to the sums per cell by variable and month, each granule read once."""
        running: dict[tuple[str, pd.Timestamp], Days] = {}
        place: Window | None = None
        for granule in sorted(readers, key=lambda g: (g.start, g.platform)):
            # a month is over when no later composite reaches back into it
            start = pd.Timestamp(granule.start)
            for key in [k for k in running if k[1] + pd.offsets.MonthBegin(1) <= start]:
                _close(running, key, place, sums, grid)
            fields, window = self._read(granule, readers[granule])
            place = _same(place, window, granule)
            weights = TILES[granule.product].cycle(granule.platform).weights(granule.start)
            for name, field in fields.items():
                for month in weights.keys() & {m for n, m in sums if n == name}:
                    days = running.setdefault((name, month), Days.empty(window.shape))
                    add_pixels(days, field.stored, field.good, field.packing, weights[month])
        for key in list(running):
            _close(running, key, place, sums, grid)

    def _read(self, granule: Granule, names: Sequence[str]) -> tuple[dict[str, "Readable"], Window]:
        layers = {n: TILES[granule.product].layers[n] for n in names}
        stored, window = _stored(granule, layers, screened=self.screened)
        cycle = TILES[granule.product].cycle(granule.platform)
        out = {}
        for name, layer in layers.items():
            values, attributes = stored[layer.name]
            rule = packing(layer, attributes, integers=values.dtype.kind in "iu")
            if layer.per_period:
                seconds = cycle.days(granule.start) * SECONDS_PER_DAY
                rule = replace(rule, factor=rule.factor / seconds)
            mask = None
            if self.screened and layer.judged:
                mask = good(stored[layer.quality].values, layer.kind, self.reliability)
            if self.barren == "zero" and layer.bare:
                bare = np.isin(values, layer.bare)
                values = np.where(bare, values.dtype.type(0), values)
                mask = mask | bare if mask is not None else None
            out[name] = Readable(values, mask, rule)
        return out, window


class Readable(NamedTuple):
    """A field as stored, its accepted pixels (None: all) and what its numbers mean."""

    stored: NDArray[np.generic]
    good: NDArray[np.bool_] | None
    packing: Packing


def holds(granule: Granule, name: str) -> bool:
    """Whether a granule's file names say that it holds a variable."""
    layer = TILES[granule.product].layers.get(name) if granule.product in TILES else None
    return layer is not None and granule.part(layer.name, layer.aliases[0]) is not None


def _content(granule: Granule) -> str:
    """A granule's name and, where it can be told, what it holds instead of a variable."""
    if granule.product in TILES and not TILES[granule.product].layers:
        return f"{granule.name} (snow extent, classes that are no predictor)"
    part = granule.parts[0][1]
    held = "" if granule.part("") else geotiff.described(part.path, part.member)
    return f"{granule.name} (it holds {held!r})" if held else granule.name


def _by_product(shelves: Sequence[Shelf]) -> list[list[Shelf]]:
    """The shelves in groups that share their granules."""
    products = dict.fromkeys(s.product for s in shelves)
    return [[s for s in shelves if s.product == p] for p in products]


def _readers(shelves: Sequence[Shelf], wanted: pd.DatetimeIndex) -> dict[Granule, list[str]]:
    """The granules that the months need, and the variables that each is read for."""
    readers: dict[Granule, list[str]] = {}
    for shelf in shelves:
        for granule in dict.fromkeys(g for m in wanted for g in shelf.coverage(m).whole):
            readers.setdefault(granule, []).append(shelf.name)
    return readers


def _same(place: Window | None, window: Window, granule: Granule) -> Window:
    if place is not None and not place.same_as(window):
        raise InputError(
            "the granule covers other pixels than those of other dates",
            where=granule.name,
            expected=place,
            found=window,
            fix="Cut all dates of a tile to one window",
        )
    return window


def _close(
    running: dict[tuple[str, pd.Timestamp], Days],
    key: tuple[str, pd.Timestamp],
    place: Window | None,
    sums: dict[tuple[str, pd.Timestamp], Cells],
    grid: Grid,
) -> None:
    if place is not None:
        add_cells(sums[key], running.pop(key), place, grid)


def _stored(
    granule: Granule, layers: dict[str, Layer], *, screened: bool
) -> tuple[dict[str, hdf4.Stored], Window]:
    """The fields of the layers and of their quality by name, each read once, and where they lie.

    Raises:
        InputError: A file cannot be read or lacks a field, or a quality layer has another shape.
    """
    wanted = {la.name: la.aliases[0] for la in layers.values()}
    if screened:
        wanted |= {la.quality: la.aliases[1] for la in layers.values() if la.judged}
    first = next(iter(wanted))
    whole = granule.part("")
    if whole is not None:
        stored = hdf4.read(whole.path, list(wanted))
        window = hdf4.window(whole.path, first)
    else:
        rasters = {n: _raster(granule, n, alias) for n, alias in wanted.items()}
        stored = {n: field for n, (field, _) in rasters.items()}
        window = rasters[first][1]
    for name, field in stored.items():
        if field.values.shape != window.shape:
            raise InputError(
                f"field {name!r} has another shape than its grid",
                where=granule.name,
                expected=window.shape,
                found=field.values.shape,
            )
    return stored, window


def _raster(granule: Granule, name: str, alias: str) -> tuple[hdf4.Stored, Window]:
    part = granule.part(name, alias)
    if part is None:
        raise hdf4.lacking(granule.files[0], name, [field for field, _ in granule.parts])
    return geotiff.read(part.path, part.member)


def _labelled(
    fields: Sequence[NDArray[np.float32]], wanted: pd.DatetimeIndex, grid: Grid
) -> xr.DataArray:
    return xr.DataArray(
        np.stack(fields),
        dims=("time", "latitude", "longitude"),
        coords={"time": wanted, **grid.coords},
        attrs={"units": "1", "long_name": "area fraction with valid input"},
    )


def _series(
    fields: Sequence[NDArray[np.float32]], name: str, wanted: pd.DatetimeIndex, grid: Grid
) -> xr.DataArray:
    bare = _labelled(fields, wanted, grid).drop_attrs(deep=False)
    series = named(bare, VARIABLES[name])
    return series.assign_attrs(comment=WETLAND_NOTE) if name in NOT_OVER_WETLANDS else series
