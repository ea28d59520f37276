"""MODIS monthly climate modelling grids (CMG, HDF4): vegetation index and land surface temperature in our units.

Scale, fill and valid range come from the attributes of the file, and pixels are judged by their quality layer before
anything is averaged: a fill code inside a mean is an error of a factor, not of a rounding.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ch4grid.drivers.modis import hdf4
from ch4grid.drivers.modis.granules import Granule, found, newest
from ch4grid.drivers.modis.layers import CMG, Layer, packing, variables_of
from ch4grid.drivers.modis.quality import good
from ch4grid.drivers.modis.shelf import Platform, listed, on_platform
from ch4grid.drivers.source import Holding, Source
from ch4grid.errors import InputError
from ch4grid.stores import Workspace
from ch4grid.vocabulary import VARIABLES


class MODIS(Source):
    """Monthly CMG granules MOD13C2 and MOD11C3, or those of Aqua (MYD).

    Args:
        path: File or glob, relative to the data folder.
        variables: `evi`, `ndvi`, `lst_day`, `lst_night`.
        platform: `terra`, `aqua`, or `both` for the mean of the two, pixel by pixel; needed where a variable has files
            of both.
        reliability: Accepted ranks of the vegetation index: 0 good, 1 marginal, 2 snow or ice, 3 cloudy, 4 estimated.
            Snow stays in by default: the index over snow falls back to two bands, and without it winters are blank.
    """

    source: Literal["modis"] = "modis"
    path: str
    variables: tuple[str, ...] = Field(strict=False)
    platform: Platform | None = None
    reliability: tuple[int, ...] = Field(default=(0, 1, 2), strict=False)

    @field_validator("variables")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = variables_of(CMG)
        unknown = [n for n in names if n not in known]
        if unknown or not names:
            raise ValueError(
                f"modis has no variable {', '.join(unknown)}; it has {', '.join(known)}"
            )
        return names

    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        """What is held of every variable in every month wanted, from names and the granules' tables of contents.

        Raises:
            InputError: Both platforms hold a variable and the recipe does not say which to take.
        """
        granules, strangers = found(workspace, self.path)
        return [h for n in self.variables for h in self._held(granules, strangers, n, wanted)]

    def open(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> xr.Dataset:
        """The months wanted (time, latitude, longitude), north first, each granule read when it is needed.

        Raises:
            InputError: A month is missing, or a granule is not a readable CMG file.
        """
        granules, strangers = found(workspace, self.path)
        out = {}
        for name in names:
            held = self._held(granules, strangers, name, wanted)
            self._refuse_unheld(held)
            out[name] = self._series(name, [h.files for h in held])
        return xr.Dataset(out).assign_coords(time=wanted)

    def statics(self, workspace: Workspace) -> xr.Dataset:
        """An empty Dataset: all variables change."""
        return xr.Dataset()

    def _held(
        self,
        granules: Sequence[Granule],
        strangers: Sequence[str],
        name: str,
        wanted: pd.DatetimeIndex,
    ) -> list[Holding]:
        """Holdings of a variable, month by month; `files` are the granules to read."""
        monthly = [g for g in granules if _product(name) == g.product and g.start.day == 1]
        others = [
            *strangers,
            *(g.name for g in granules if g.product not in CMG or g.start.day != 1),
        ]
        chosen = on_platform(monthly, self.platform, f"modis, {self.path}")
        table: dict[pd.Timestamp, dict[str, list[Granule]]] = {}
        for granule in chosen:
            month = table.setdefault(pd.Timestamp(granule.start), {})
            month.setdefault(granule.platform, []).append(granule)
        return [self._holding(name, m, table.get(m, {}), others) for m in wanted]

    def _holding(
        self,
        name: str,
        month: pd.Timestamp,
        versions: dict[str, list[Granule]],
        others: Sequence[str],
    ) -> Holding:
        taken = [newest(v) for _, v in sorted(versions.items())]
        whole = [g for g, _ in taken if not g.flaw]
        flaws = [g.flaw for g, _ in taken if g.flaw]
        notes = [note for g, note in taken if note and not g.flaw]
        if whole:
            early = [f"near-real-time: {g.name}" for g in whole if g.preliminary]
            files = tuple(g.files[0] for g in whole)
            words = listed([*early, *notes, *flaws])
            state: Literal["preliminary", "final"] = "preliminary" if early else "final"
            return Holding(self.source, name, month, state, files, words)
        if taken:
            files = tuple(f for g, _ in taken for f in g.files)
            return Holding(self.source, name, month, "damaged", files, listed(flaws))
        reason = f"no M?D{_product(name)} of the month at {self.path}"
        reason += f"; not it: {listed(others)}" if others else ""
        return Holding(self.source, name, month, "missing", (), reason)

    def _refuse_unheld(self, held: Sequence[Holding]) -> None:
        lost = [h for h in held if h.state in ("missing", "damaged")]
        if lost:
            raise InputError(
                f"months are missing for {lost[0].variable!r}",
                where=f"modis, {self.path}",
                expected="a whole granule for every month asked for",
                found=f"no {', '.join(f'{h.month:%Y-%m}' for h in lost[:12])}: {lost[0].reason}",
                fix="Fetch these months or shorten the period",
            )

    def _series(self, name: str, paths: Sequence[tuple[Path, ...]]) -> xr.DataArray:
        import dask
        import dask.array

        layer = CMG[_product(name)].layers[name]
        shape = _shape(paths[0][0], layer)
        # only the path enters the graph: a worker opens the granule itself
        read = dask.delayed(read_layer, pure=True)
        fields = [
            dask.array.from_delayed(
                read(granules, layer, self.reliability, shape), shape=shape, dtype=np.float32
            )
            for granules in paths
        ]
        size = 180.0 / shape[0]
        return xr.DataArray(
            dask.array.stack(fields),
            dims=("time", "latitude", "longitude"),
            coords={
                "latitude": 90.0 - size * (np.arange(shape[0]) + 0.5),
                "longitude": -180.0 + size * (np.arange(shape[1]) + 0.5),
            },
            name=name,
            attrs=VARIABLES[name].attrs,
        )


def _product(name: str) -> str:
    return next(product for product, row in CMG.items() if name in row.layers)


def read_layer(
    paths: tuple[Path, ...], layer: Layer, reliability: tuple[int, ...], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """A field (latitude north first, longitude) in our units, NaN where missing or not good enough.

    Several granules give the mean of those that are good at a pixel.

    Raises:
        InputError: A granule cannot be read, has another shape, or lacks the field or its quality.
    """
    fields = [_judged(path, layer, reliability, shape) for path in paths]
    if len(fields) == 1:
        return fields[0]
    total, count = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for field in fields:
        total += np.nan_to_num(field)
        count += np.isfinite(field)
    return np.divide(total, count, out=np.full(shape, np.nan, np.float32), where=count > 0)


def _judged(
    path: Path, layer: Layer, reliability: tuple[int, ...], shape: tuple[int, int]
) -> NDArray[np.float32]:
    fields = hdf4.read(path, (layer.name, layer.quality))
    stored, attributes = fields[layer.name]
    quality = fields[layer.quality].values
    if stored.shape != shape or quality.shape != shape:
        raise InputError(
            f"field {layer.name!r} has another shape",
            where=path,
            expected=shape,
            found=stored.shape,
        )
    rule = packing(layer, attributes, integers=stored.dtype.kind in "iu")
    kept = good(quality, layer.kind, reliability)
    kept &= (stored >= rule.low) & (stored <= rule.high) & (stored != rule.fill)
    values = np.full(shape, np.nan, np.float32)
    np.subtract(stored, np.float32(rule.offset), out=values, where=kept, dtype=np.float32)
    values *= np.float32(rule.factor)
    return values


def _shape(path: Path, layer: Layer) -> tuple[int, int]:
    """Rows and columns of a field, a globe of square cells."""
    found = hdf4.shapes(path)
    if layer.name not in found:
        raise hdf4.lacking(path, layer.name, sorted(found))
    rows, columns = found[layer.name][:2]
    if columns != 2 * rows:
        raise InputError(
            f"field {layer.name!r} is not a global grid of square cells",
            where=path,
            expected="twice as many columns as rows",
            found=(rows, columns),
        )
    return rows, columns
