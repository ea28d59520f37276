"""A product in memory, from a seed, whose budget is added up here and nowhere else; and files read back."""

from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

from ch4grid.exports.request import Request
from ch4grid.exports.source import Source
from ch4grid.grid import Grid
from ch4grid.vocabulary import ECOSYSTEMS, months

MEMBERS = 3
BLOCK = ("time", "latitude", "longitude")


def source(seed: int, resolution: float, year: int = 2004) -> Source:
    """A product of one year: emission and uptake, absent classes, oceans, lost cells."""
    rng = np.random.default_rng(seed)
    grid, time = Grid(resolution), months(year, year)
    shape = (12, *grid.shape)
    fraction = rng.dirichlet(np.ones(7), shape).transpose(3, 0, 1, 2) * 0.9
    fraction = np.where(rng.random(fraction.shape) < 0.3, 0.0, fraction).astype(np.float32)
    fraction[:, :, rng.random(grid.shape) < 0.2] = 0.0
    density = rng.normal(1e-9, 3e-9, (MEMBERS, *fraction.shape))
    lost = rng.random(shape) < 0.05
    parts = np.where(fraction > 0, density * fraction, 0.0)
    members = np.where(lost, np.nan, parts.sum(axis=1)).astype(np.float32)
    mean = members.mean(axis=0, dtype=np.float64).astype(np.float32)
    mass = np.where(lost, 0.0, parts) * grid.cell_area
    seconds = np.asarray(time.days_in_month)[:, None] * 86400.0
    table = mass.sum(axis=(3, 4)).transpose(0, 2, 1) * seconds / 1e9
    mean_density = np.where((fraction > 0) & ~lost, density.mean(axis=0), np.nan).astype(np.float32)
    error = np.where(lost, np.nan, rng.uniform(1e-10, 4e-9, shape)).astype(np.float32)
    ds = xr.Dataset(
        {
            "ch4_flux": (BLOCK, mean),
            "ch4_flux_standard_error": (BLOCK, error),
            "ch4_flux_density": (("ecosystem", *BLOCK), mean_density),
            "ecosystem_fraction": (("ecosystem", *BLOCK), fraction),
            "ch4_flux_member": (("member", *BLOCK), members),
            "ch4_budget": (("member", "time", "ecosystem", "region"), table[..., None]),
            "cell_area": (BLOCK[1:], grid.cell_area),
            "land_fraction": (BLOCK[1:], np.full(grid.shape, 0.5, np.float32)),
        },
        coords={
            "member": np.arange(MEMBERS),
            "ecosystem": list(ECOSYSTEMS),
            "region": ["globe"],
            "time": time,
            **grid.coords,
        },
        attrs={
            "title": "Cells",
            "product": "cells",
            "product_version": "v1",
            "scenario": "historical",
            "published_years": [year],
        },
    )
    return Source(ds, "cells.zarr", ())


def of_gas(source: Source, gas: str) -> Source:
    """The same product as that of another gas."""
    names = {n: str(n).replace("ch4_", f"{gas}_") for n in source.ds.data_vars}
    return Source(source.ds.rename(names), source.store, source.rows)


def request(source: Source, *ecosystems: str, **changes) -> Request:
    """A request of all years and, unless named, all classes."""
    known = {"ecosystems": ecosystems or source.ecosystems, "selected": bool(ecosystems)}
    return Request(years=source.years, **(known | changes))


def masses(path: Path, name: str, area: np.ndarray, kg: float = 1.0) -> np.ndarray:
    """Mass by month [Tg] by brute force: every cell, every month, the lengths of the months by the calendar."""
    with netCDF4.Dataset(path) as file:
        values = np.ma.filled(file[name][:].astype(np.float64), 0.0)
        first = netCDF4.num2date(file["time"][:], file["time"].units, file["time"].calendar)
    days = [xr.date_range(str(t)[:10], periods=1)[0].days_in_month for t in first]
    return np.array(
        [float((v * area).sum()) * d * 86400 * kg / 1e9 for v, d in zip(values, days, strict=True)]
    )


def gross(source: Source, year: int, names: tuple[str, ...]) -> np.ndarray:
    """Gross mass by month [Tg] of the classes."""
    parts = sum(np.nan_to_num(np.abs(p)) for p in source.parts(year, names))
    length = np.asarray(months(year, year).days_in_month) * 86400.0
    return np.asarray((parts * source.grid.cell_area).sum(axis=(1, 2)) * length / 1e9)
