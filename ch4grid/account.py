"""The account of any region of a product: masses by member, by class and by year, and the spread of their sums.

A region is a name of the product's own table, a mask or share on its grid, or GeoJSON. Of the cube only chunks that the
region touches are read, and what is held in memory is a number per member and month.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid import budgets
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.vocabulary import GASES, KG_PER_TG, Gas, seconds_in_month

GLOBE = "globe"
PLANE = ("latitude", "longitude")
# Share of a region's area that may lie beyond a product that was cut before: rounding.
BEYOND = 1e-6


@runtime_checkable
class Geometry(Protocol):
    """An object that tells its GeoJSON, such as a geometry of shapely."""

    @property
    def __geo_interface__(self) -> Mapping[str, Any]:
        """The GeoJSON."""


Region = xr.DataArray | str | Path | Mapping[str, Any] | Geometry | None
Years = int | Iterable[int]


class Interval(NamedTuple):
    """A budget with its interval [Tg per month, or per year when it is `Annual`]."""

    lower: xr.DataArray
    mean: xr.DataArray
    upper: xr.DataArray


class Annual(Interval):
    """Annual totals with their intervals (year) [Tg per year]; `period` is their mean over the years asked for."""

    period: Interval


@dataclass(frozen=True)
class Place:
    """A region brought to a product.

    Args:
        name: Its name in the product's budget table; empty where the table does not have it.
        share: Share of every cell's area (latitude, longitude) [1]; None for all of the product.
    """

    name: str
    share: xr.DataArray | None


def gas_of(ds: xr.Dataset) -> Gas:
    """The gas of a product, by the variables it has.

    Raises:
        InputError: It has no members of any gas.
    """
    for gas in GASES.values():
        if f"{gas.flux}_member" in ds:
            return gas
    raise InputError(
        "this is no product: it has no ensemble members",
        expected=f"one of {', '.join(f'{g.flux}_member' for g in GASES.values())}",
        found=", ".join(map(str, ds.data_vars)),
    )


def place_of(ds: xr.Dataset, region: Region = None, feature: str | None = None) -> Place:
    """A region on the grid of a product.

    Args:
        ds: An opened product.
        region: See `ch4grid.budget`.
        feature: Identifier or property of the features of a GeoJSON to take; all of them when None.

    Raises:
        InputError: The region is not on the grid, not valid GeoJSON, or no name of the product; or a feature is asked
            of what has none.
    """
    names = [str(r) for r in ds["region"].values] if "region" in ds else []
    known = isinstance(region, str) and region in names
    if feature is not None and (region is None or known or isinstance(region, xr.DataArray)):
        raise InputError(
            "a feature can only be taken from GeoJSON",
            where="feature",
            expected="a region that is a GeoJSON file, mapping or geometry",
            found=f"{feature} and {'no region' if region is None else 'a region of another kind'}",
        )
    whole = ds.sizes["longitude"] == 2 * ds.sizes["latitude"] and _is_global(ds)
    if region is None:
        return Place(GLOBE if whole and GLOBE in names else "", None)
    if known:
        share = ds["region_fraction"].sel(region=region, drop=True)
        return Place(str(region) if whole else "", share)
    if isinstance(region, xr.DataArray):
        plane = xr.ones_like(ds["cell_area"], dtype=float)
        try:
            return Place("", (region * plane).transpose(*plane.dims))
        except ValueError as error:
            raise InputError(
                "the region is not on the grid of the product",
                where="region",
                expected=f"dimensions {dict(plane.sizes)}",
                found=f"dimensions {dict(region.sizes)}: {' '.join(str(error).split())[:200]}",
            ) from None
    if isinstance(region, str) and not Path(region).is_file():
        raise InputError(
            "the region is neither one of the product nor a file",
            where="region",
            expected=f"a GeoJSON file or one of {', '.join(names)}",
            found=region,
        )
    return Place("", _drawn(ds, region, feature))


def _is_global(ds: xr.Dataset) -> bool:
    rows = ds.sizes["latitude"]
    return bool(np.allclose(ds["latitude"].values, Grid(180.0 / rows).latitude, atol=1e-6))


def _drawn(ds: xr.Dataset, region: object, feature: str | None) -> xr.DataArray:
    """Share of the cells of a product, cut or whole, in GeoJSON."""
    from ch4grid.regions import region_share

    step = float(abs(np.diff(ds["latitude"].values[:2])[0])) if ds.sizes["latitude"] > 1 else 180.0
    grid = Grid(180.0 / round(180.0 / step))
    share = region_share(region, grid, feature=feature)
    area = share.copy(data=grid.cell_area * share.values)
    here = {d: ds[d].values for d in PLANE}
    try:
        cut, kept = (v.sel(here, method="nearest", tolerance=1e-6) for v in (share, area))
    except KeyError:
        raise InputError(
            "the product is not on a regular global grid",
            where="region",
            expected=f"cells of {grid.resolution:g} degrees counted from -90 and -180",
            found=f"first cell at {here['latitude'][0]:g}, {here['longitude'][0]:g}",
        ) from None
    lost = 1 - float(kept.sum()) / float(area.sum())
    if lost > BEYOND:
        raise InputError(
            "the region reaches beyond the product, which was cut before",
            where="region",
            expected="a region within it, or the whole product",
            found=f"{lost:.1%} of its area outside",
        )
    return cut


def monthly(ds: xr.Dataset, place: Place) -> xr.DataArray:
    """Mass per month of a region by member (member, time) [Tg], in memory.

    What the product's table has is taken from there; it equals the sum over the members to 1e-9.
    """
    gas = gas_of(ds)
    if not place.name:
        return budgets.regional(ds, place.share, gas=gas).compute()
    table = ds[f"{gas.name}_budget"].sel(region=place.name, drop=True).load()
    return table.sum("ecosystem", skipna=False, keep_attrs=True)


def by_class(ds: xr.Dataset, place: Place) -> xr.DataArray:
    """Mass per month of a region by ecosystem class [Tg], in memory.

    Returns:
        (member, time, ecosystem) for regions of the product's table. Members of cells are stored without classes, so
        any other region has the ensemble mean (time, ecosystem), without members and so without an interval.
    """
    gas = gas_of(ds)
    if place.name:
        return ds[f"{gas.name}_budget"].sel(region=place.name, drop=True).load()
    density = ds[f"{gas.flux}_density"]
    weight = _weight(ds, place)
    total = xr.zeros_like(density.isel(latitude=0, longitude=0, drop=True), dtype=np.float64)
    for rows, columns in budgets.touched(density, weight):
        at = {"latitude": rows, "longitude": columns}
        part = (density.isel(at).astype(np.float64) * ds["ecosystem_fraction"].isel(at)).fillna(0.0)
        total = total + xr.dot(part, weight.isel(at), dim=PLANE)
    mass: xr.DataArray = (total * _seconds(ds) / KG_PER_TG).where(budgets.made(ds, gas)).compute()
    return mass.transpose("time", "ecosystem").rename(f"{gas.name}_budget")


def select_years(ds: xr.Dataset, years: Years | None) -> tuple[xr.Dataset, list[int]]:
    """The product cut to some years, and these, ascending; all complete years when None.

    Raises:
        InputError: The product lacks months of a year, or has no complete one.
    """
    there = budgets.made(ds, gas_of(ds))
    there = there.any([d for d in there.dims if d != "time"]).compute()
    count = pd.Series(there["time"].dt.year.values[there.values]).value_counts()
    complete = sorted(int(y) for y in count.index[count == 12])
    asked = [years] if isinstance(years, int | np.integer) else years
    wanted = sorted({int(y) for y in complete} if asked is None else {int(y) for y in asked})
    lacking = [y for y in wanted if y not in complete]
    if lacking or not wanted:
        raise InputError(
            "the product has no complete year" if not lacking else "the product lacks a year",
            where="years",
            expected=f"some of {', '.join(map(str, complete)) or 'none'}",
            found=", ".join(map(str, lacking or wanted)) or "none",
        )
    return ds.sel(time=ds["time"].dt.year.isin(wanted)), wanted


def annual(members: xr.DataArray, level: float, inflation: float) -> Annual:
    """Annual totals and the mean of their period, with intervals from the spread of the members.

    Args:
        members: Mass per month of complete years (member, time, ...) [Tg].
        level: Coverage of the intervals.
        inflation: Factor on their half width.
    """
    totals = budgets.annual(members)
    result = Annual(*budgets.interval(totals, level, inflation))
    mean = totals.mean("year", keep_attrs=True)
    result.period = Interval(*budgets.interval(mean, level, inflation))
    return result


def inflation_of(ds: xr.Dataset) -> float:
    """Factor on half widths that held-out towers ask for [1]."""
    return float(ds.attrs.get(budgets.INFLATION, 1.0))


def spreads(ds: xr.Dataset, place: Place) -> xr.Dataset:
    """What the spread of annual totals is by the members, and what two naive rules make of the standard errors.

    Args:
        ds: A product cut to complete years.
        place: The region.

    Returns:
        Standard deviations (year) [Tg per year]. `members`: of the members' totals, times the product's inflation.
        `independent`: as if the errors of cells and months knew nothing of each other, the root of the sum of squared
        standard errors. `correlated`: as if they were one error, the sum of the standard errors. And the ratios
        `understated` = members / independent, `overstated` = correlated / members [1].
    """
    gas = gas_of(ds)
    totals = budgets.annual(monthly(ds, place))
    error, weight = ds[f"{gas.flux}_standard_error"], _weight(ds, place)
    squared = xr.zeros_like(ds["time"], dtype=np.float64)
    summed = squared
    for rows, columns in budgets.touched(error, weight):
        at = {"latitude": rows, "longitude": columns}
        part = (error.isel(at).astype(np.float64) * weight.isel(at)).fillna(0.0)
        squared, summed = squared + (part**2).sum(PLANE), summed + part.sum(PLANE)
    scale = _seconds(ds) / KG_PER_TG
    found = xr.Dataset({"independent": squared * scale**2, "correlated": summed * scale}).compute()
    found = found.groupby("time.year").sum()
    result = xr.Dataset(
        {
            "members": totals.std("member", ddof=1) * inflation_of(ds),
            "independent": np.sqrt(found["independent"]),
            "correlated": found["correlated"],
        }
    )
    for name in result:
        result[name].attrs = {"units": "Tg", "long_name": f"standard deviation, {name}"}
    return result.assign(
        understated=result["members"] / result["independent"],
        overstated=result["correlated"] / result["members"],
    )


def _weight(ds: xr.Dataset, place: Place) -> xr.DataArray:
    """Area of the region in every cell (latitude, longitude) [m2], in memory."""
    area = ds["cell_area"].astype(np.float64).drop_vars(PLANE, errors="ignore")
    if place.share is None:
        return area.compute()
    return (area * budgets.share_on(place.share, ds)).compute()


def _seconds(ds: xr.Dataset) -> xr.DataArray:
    seconds = seconds_in_month(pd.DatetimeIndex(ds["time"].values))
    return xr.DataArray(seconds, dims="time", coords={"time": ds["time"]})
