"""Budgets: masses per month of regions and ecosystem classes, from ensemble members to intervals.

Members stay apart until the sum is made, because the uncertainty of a sum is the spread of sums. Month lengths are
true, cell areas are exact on WGS84, and sums run in float64.
"""

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import stdtrit

from ch4grid.errors import InputError
from ch4grid.grid import Grid, zone_area
from ch4grid.schema import check_budget
from ch4grid.vocabulary import BUDGET_UNITS, GASES, KG_PER_TG, Gas, seconds_in_month

Float = NDArray[np.float64]
Slices = tuple[slice, slice]

# Latitude bands [degrees_north]; the globe is their sum.
BANDS: dict[str, tuple[float, float]] = {
    "globe": (-90.0, 90.0),
    "southern-extratropics": (-90.0, -30.0),
    "tropics": (-30.0, 30.0),
    "northern-extratropics": (30.0, 90.0),
}
WHOLE: Slices = (slice(None), slice(None))
# Attribute of a product: factor on the half width of intervals of its budgets.
INFLATION = "budget_inflation"
# Excess over a whole cell that sums of shares may have.
ROUNDING = 1e-9
# A class has an interval of its paired difference while no larger share of it lies in cells that one product lacks.
ALONE = 0.01


def regions(grid: Grid) -> xr.DataArray:
    """Share of every cell's area that lies in each latitude band (region, latitude, longitude) [1].

    A row cut by a band's edge counts by the exact WGS84 areas of its two parts.
    """
    bounds = grid.latitude_bounds
    whole = zone_area(bounds)
    rows = [zone_area(np.clip(bounds, south, north)) / whole for south, north in BANDS.values()]
    weights = np.repeat(np.stack(rows)[:, :, None], grid.shape[1], axis=2)
    return xr.DataArray(
        weights,
        dims=("region", "latitude", "longitude"),
        coords={"region": list(BANDS), **grid.coords},
        attrs={"units": "1", "long_name": "share of the cell area that lies in the region"},
        name="region_fraction",
    )


def budget(
    flux: xr.Dataset,
    members: xr.DataArray,
    weights: xr.DataArray,
    grid: Grid,
    slices: Slices = WHOLE,
) -> xr.DataArray:
    """BUDGET of one write region (member, time, ecosystem, region) [Tg per month].

    The float32 rounding of the stored member flux is dealt to the classes in proportion to the size of their
    contributions, so that the classes add up to the stored flux x area x seconds and not to a number nobody can read.

    Args:
        flux: FLUX block of the region.
        members: The stored float32 flux per cell area (member, time, latitude, longitude) [kg m-2 s-1].
        weights: Shares of the cell area by region (region, latitude, longitude) of the block [1].
        grid: Grid of the product.
        slices: Rows and columns of the block.
    """
    name = str(members.name).removesuffix("_member")
    stored = np.asarray(members.values, dtype=np.float64)
    fraction = flux["ecosystem_fraction"].values
    density = flux[f"{name}_density"].values
    total, size = np.zeros_like(stored), np.zeros_like(stored)
    for k in range(len(fraction)):
        part = _contribution(density[:, k], fraction[k])
        total += part
        size += np.abs(part)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(size > 0, (stored - total) / size, 0.0)
    mass = np.zeros((stored.shape[0], stored.shape[1], len(fraction), weights.sizes["region"]))
    area = grid.cell_area[slices] * weights.values
    there = np.flatnonzero(area.any(axis=(1, 2)))
    for k in range(len(fraction)):
        part = _contribution(density[:, k], fraction[k])
        part = np.where(np.isfinite(stored), part + share * np.abs(part), 0.0)
        for r in there:
            mass[:, :, k, r] = np.einsum("mtyx,yx->mt", part, area[r])
    seconds = seconds_in_month(pd.DatetimeIndex(flux["time"].values))
    result = xr.DataArray(
        mass * seconds[None, :, None, None] / KG_PER_TG,
        dims=("member", "time", "ecosystem", "region"),
        coords={
            "member": members["member"],
            "time": flux["time"],
            "ecosystem": flux["ecosystem"],
            "region": weights["region"],
        },
        attrs={"units": BUDGET_UNITS},
        name=name.replace("_flux", "_budget"),
    )
    return check_budget(result)


def _contribution(density: NDArray[np.float32], fraction: NDArray[np.float32]) -> Float:
    """Flux per cell area of one class in float64; zero where the class is absent."""
    product = density.astype(np.float64) * fraction.astype(np.float64)
    return np.where(fraction > 0, product, 0.0)


def regional(
    ds: xr.Dataset, region: xr.DataArray | None = None, *, gas: Gas = GASES["ch4"]
) -> xr.DataArray:
    """Mass per month of any region, by member (member, time) [Tg], from an opened product.

    Args:
        ds: Product as opened.
        region: Mask or share of the cell area (latitude, longitude) [1]; None for the globe.
        gas: Gas of the product.

    Returns:
        Lazy where the product is: of the members, only chunks that the region touches are read when it is computed.
        Cells without a flux add nothing.

    Raises:
        InputError: The region is not on the product's grid or leaves [0, 1].
    """
    members = ds[f"{gas.flux}_member"]
    area = ds["cell_area"].astype(np.float64).drop_vars(("latitude", "longitude"), errors="ignore")
    weight = (area if region is None else area * share_on(region, ds)).compute()
    seconds = xr.DataArray(
        seconds_in_month(pd.DatetimeIndex(ds["time"].values)),
        dims="time",
        coords={"time": ds["time"]},
    )
    summed = xr.zeros_like(members.isel(latitude=0, longitude=0, drop=True), dtype=np.float64)
    for rows, columns in touched(members, weight):
        place = {"latitude": rows, "longitude": columns}
        part = members.isel(place).astype(np.float64).fillna(0.0)
        summed = summed + xr.dot(part, weight.isel(place), dim=("latitude", "longitude"))
    mass: xr.DataArray = (summed * seconds / KG_PER_TG).where(made(ds, gas))
    mass.attrs = {
        "units": BUDGET_UNITS,
        "long_name": f"mass of {gas.long_name} emitted in the month",
        "cell_methods": "time: sum area: sum",
    }
    return mass.rename(f"{gas.name}_budget")


def touched(values: xr.DataArray, weight: xr.DataArray) -> list[Slices]:
    """Rows and columns of the chunks of a variable in which a region has a share of a cell.

    Args:
        values: Variable (..., latitude, longitude), chunked or not.
        weight: Weights of the cells (latitude, longitude), in memory.
    """
    there = weight.values > 0
    edges = []
    for dim in ("latitude", "longitude"):
        sizes = values.chunksizes.get(dim, (values.sizes[dim],))
        ends = np.cumsum(sizes)
        edges.append([slice(int(e - n), int(e)) for e, n in zip(ends, sizes, strict=True)])
    return [(r, c) for r in edges[0] for c in edges[1] if there[r, c].any()]


def made(ds: xr.Dataset, gas: Gas) -> xr.DataArray:
    """Months that have a total (time), or (member, time) where the product has no budget table.

    One that nobody has made has none, and a sum over missing cells would call it zero.
    """
    table = ds.get(f"{gas.name}_budget")
    if table is not None:
        return table.isel(member=0, drop=True).notnull().any(("ecosystem", "region")).compute()
    return ds[f"{gas.flux}_member"].notnull().any(("latitude", "longitude"))


def share_on(region: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    """A region checked against the grid of a product, its share of the cells without coordinates of its own.

    Args:
        region: Mask or share (latitude, longitude) [1]; missing values are none.
        ds: The product.

    Raises:
        InputError: The region is not on the grid of the product or leaves [0, 1].
    """
    for dim in ("latitude", "longitude"):
        if (
            dim not in region.dims
            or region.sizes[dim] != ds.sizes[dim]
            or (dim in region.coords and not np.allclose(region[dim], ds[dim], atol=1e-6))
        ):
            raise InputError(
                f"the region is not on the grid of the product along {dim}",
                where="region",
                expected=f"{ds.sizes[dim]} values from {float(ds[dim][0]):g} to {float(ds[dim][-1]):g}",
                found=f"dimensions {dict(region.sizes)}",
                fix="Bring it to the grid with ch4grid.regrid or build it from the coordinates of the product",
            )
    share = region.astype(np.float64).fillna(0.0)
    if float(share.min()) < -ROUNDING or float(share.max()) > 1 + ROUNDING:
        raise InputError(
            "the region is not a share of the cell area",
            where="region",
            expected="a mask, or values from 0 to 1",
            found=f"{float(share.min()):g} to {float(share.max()):g}",
        )
    return share.drop_vars(("latitude", "longitude"), errors="ignore").transpose(
        "latitude", "longitude"
    )


def annual(monthly: xr.DataArray) -> xr.DataArray:
    """Sums over calendar years, `time` becoming `year`; a year without all twelve months is missing."""
    # not by groupby: loading flox takes longer than everything else that a run with nothing to do does
    ordered = monthly.sortby("time")
    years, first, count = np.unique(
        ordered["time.year"].values, return_index=True, return_counts=True
    )
    axis = ordered.get_axis_num("time")
    sums = np.add.reduceat(ordered.values, first, axis=axis)
    whole = xr.DataArray(count == 12, dims="year", coords={"year": years})
    dims = ["year" if d == "time" else d for d in ordered.dims]
    coords = {n: c for n, c in ordered.coords.items() if "time" not in c.dims}
    total = xr.DataArray(sums, dims=dims, coords=coords | {"year": years}).where(whole)
    total = total.transpose(*dims)
    total.attrs = dict(monthly.attrs)
    return total.rename(monthly.name)


def interval(
    members: xr.DataArray, level: float = 0.9, inflation: float = 1.0
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Lower bound, mean and upper bound of a budget at a level, from its members.

    The members are a small sample (ten or so) of an unknown distribution and the truth is one more draw from it, so
    the half width is that of a prediction interval, t((1 + level) / 2, M - 1) x standard deviation x sqrt(1 + 1 / M),
    times the inflation that held-out towers ask for. Quantiles of ten members would stop at the extreme member.

    Args:
        members: Budget with a `member` dimension [Tg].
        level: Coverage wanted, in (0, 1).
        inflation: Factor on the half width, 1 or more as the calibration says.

    Raises:
        InputError: Fewer than two members or a level outside (0, 1).
    """
    m = members.sizes["member"]
    if m < 2 or not 0 < level < 1:
        raise InputError(
            "an interval needs two members or more and a level between 0 and 1",
            where="budget",
            expected="member >= 2, 0 < level < 1",
            found=f"{m} members, level {level:g}",
        )
    mean: xr.DataArray = members.mean("member", keep_attrs=True)
    half = members.std("member", ddof=1) * (
        float(stdtrit(m - 1, (1 + level) / 2)) * np.sqrt(1 + 1 / m) * inflation
    )
    return mean - half, mean, mean + half


def paired_difference(
    new: xr.Dataset, old: xr.Dataset, gas: Gas, level: float = 0.9
) -> pd.DataFrame | None:
    """Mean annual difference of two opened products over the cell-months that both have, member by member.

    Members share model and areas, so what they have in common drops out of the difference. Members are stored without
    classes, so the interval of a class comes from the budget tables, less the ensemble mean of cells that one product
    alone has; a class that exchanges more than a hundredth of its gas in such cells has none.

    Args:
        new: A scenario.
        old: History, on the same grid and with the same members.
        gas: The gas.
        level: Coverage of the interval.

    Returns:
        Columns ecosystem (`all` first), mean, lower, upper [Tg yr-1], years; None where no year is in both.
    """
    years = sorted(_whole_years(new, gas) & _whole_years(old, gas))
    if not years:
        return None
    parts = [_difference(new, old, gas, str(year)) for year in years]
    total, classes, alone, gross, whole = (np.sum(p, axis=0) for p in zip(*parts, strict=True))
    inflation = max(float(ds.attrs.get(INFLATION, 1.0)) for ds in (new, old))
    mean = xr.DataArray(total / len(years), dims="member")
    rows = [("all", *(float(v) for v in interval(mean, level, inflation)))]
    names = [str(e) for e in new["ecosystem"].values]
    for k, name in enumerate(names):
        value = float(classes[k] / len(years))
        lower = upper = float("nan")
        if gross[k] <= ALONE * whole[k]:
            tables = [_of_class(ds, gas, years, name) for ds in (new, old)]
            both = tables[0] - tables[1] - float(alone[k]) / len(years)
            lower, value, upper = (float(v) for v in interval(both, level, inflation))
        rows.append((name, lower, value, upper))
    table = pd.DataFrame(rows, columns=["ecosystem", "lower", "mean", "upper"])
    return table.assign(years=", ".join(map(str, years)))


def _whole_years(ds: xr.Dataset, gas: Gas) -> set[int]:
    """Years with a budget, which those between that nobody made lack."""
    told = ds[f"{gas.name}_budget"].isel(member=0).notnull().any(("ecosystem", "region"))
    return {int(y) for y in ds["time"].dt.year.values[told.values]}


def _difference(
    new: xr.Dataset, old: xr.Dataset, gas: Gas, year: str
) -> tuple[Float, Float, Float, Float, Float]:
    """Differences of a year by member and by class, and by class what cells of one product alone hold [Tg].

    The latter as difference, as the sum of absolute values, and the same sum of all cells of the old product.
    """
    pair = [ds.sel(time=year) for ds in (new, old)]
    valid = [np.isfinite(ds[gas.flux].values) for ds in pair]
    both = valid[0] & valid[1]
    seconds = seconds_in_month(pd.DatetimeIndex(pair[0]["time"].values))[:, None, None]
    weight = new["cell_area"].values.astype(np.float64) * seconds / KG_PER_TG

    def mass(ds: xr.Dataset, name: str, **at: int) -> Float:
        part = np.nan_to_num(ds[name].isel(at).values.astype(np.float64)) * weight
        share = 1.0 if name != f"{gas.flux}_density" else _fraction(ds, at["ecosystem"])
        return np.asarray(part * share)

    classes = []
    for k in range(new.sizes["ecosystem"]):
        after, before = (mass(ds, f"{gas.flux}_density", ecosystem=k) for ds in pair)
        step, size = after - before, np.abs(after) + np.abs(before)
        sums = (step[both], step[~both], size[~both], np.abs(before))
        classes.append([float(part.sum()) for part in sums])
    name = f"{gas.flux}_member"
    members = [
        float((mass(pair[0], name, member=m) - mass(pair[1], name, member=m))[both].sum())
        for m in range(new.sizes["member"])
    ]
    by_class, alone, gross, whole = np.array(classes).T
    return np.array(members), by_class, alone, gross, whole


def _fraction(ds: xr.Dataset, ecosystem: int) -> Float:
    return np.asarray(ds["ecosystem_fraction"].isel(ecosystem=ecosystem).values, dtype=np.float64)


def _of_class(ds: xr.Dataset, gas: Gas, years: list[int], ecosystem: str) -> xr.DataArray:
    """Mean annual mass of a class by member (member) [Tg] from the budget table."""
    table = ds[f"{gas.name}_budget"].sel(region="globe", ecosystem=ecosystem)
    mean: xr.DataArray = annual(table.load()).sel(year=years).mean("year")
    return mean
