"""Trends of annual totals per class and region, with intervals that hold the spread of the ensemble, and by decade.

In goes a product with its budget by member, out comes a Dataset (ecosystem, region); the class `all` is their sum.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.trends.series import block_slopes, false_discovery_rates, mann_kendall, theil_sen
from ch4grid.trends.years import (
    STATUS,
    STATUS_ATTRS,
    caution,
    complete_years,
    decades,
    label,
    status_of,
)
from ch4grid.vocabulary import BUDGET_UNITS

Floats = NDArray[np.float64]

ALL = "all"
LEVEL = 0.9
ALPHA = 0.05
# Blocks of 24 months (methods 3.15), in years.
BLOCK = 2
DIMS = ("ecosystem", "region")


def trends(
    product: xr.Dataset,
    *,
    gas: str = "ch4",
    record: tuple[int, int] | None = None,
    draws: int = 300,
    seed: int = 0,
) -> xr.Dataset:
    """Trends of the annual totals of every class and region.

    The slope is the Theil-Sen slope of the ensemble mean, its p-value that of a Mann-Kendall test that allows for
    memory, its interval the spread over members and over series put together from blocks of two years. A trend is
    significant when its false discovery rate over classes and regions is at most 0.05 and its interval excludes zero.

    Args:
        product: Product with `<gas>_budget` (member, time, ecosystem, region) [Tg per month].
        gas: Name of the gas.
        record: First and last year of the tower record; None when unknown.
        draws: Draws per member for the interval.
        seed: Seed of the draws.

    Returns:
        `trend`, `trend_lower`, `trend_upper` [Tg per year and year], `relative_trend` [% per decade], `mean` [Tg per
        year], `p`, `q`, `significant`, `status` and `persistence` (ecosystem, region); `trend_member` (member, ...);
        `decade_trend` and bounds (decade, ...), `acceleration` and bounds (last less first decade), NaN with fewer
        than two decades. Attribute `label` says how the trends must be called.

    Raises:
        InputError: The product has no budget or no complete year.
    """
    annual, years = annual_totals(product, gas)
    members, count = annual.sizes["member"], len(years)
    values = annual.values.reshape(members, -1, count)
    time = years.astype(np.float64)
    mean = values.mean(axis=0)
    shape = (annual.sizes["ecosystem"], annual.sizes["region"])
    tested = mann_kendall(mean, time)
    status = status_of(mean)
    p = np.where(status == STATUS["tested"], tested.p, np.nan)
    q = false_discovery_rates(p)
    rng = np.random.default_rng([seed, count])
    drawn = _drawn(values, time, draws, rng)
    lower, upper = bounds_of(drawn)
    known = status == STATUS["tested"]
    significant = known & (q <= ALPHA) & (lower * upper > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = tested.slope / np.abs(mean.mean(axis=-1)) * 1000
    rate = f"{BUDGET_UNITS} year-2"
    columns = {
        "trend": (tested.slope, rate),
        "trend_lower": (lower, rate),
        "trend_upper": (upper, rate),
        "relative_trend": (relative, "percent per decade"),
        "mean": (mean.mean(axis=-1), f"{BUDGET_UNITS} year-1"),
        "p": (p, "1"),
        "q": (q, "1"),
        "persistence": (tested.persistence, "1"),
    }
    out = xr.Dataset(
        {n: (DIMS, v.reshape(shape), {"units": units}) for n, (v, units) in columns.items()},
        coords={"ecosystem": annual["ecosystem"], "region": annual["region"]},
    )
    out["significant"] = DIMS, significant.reshape(shape)
    out["status"] = DIMS, status.reshape(shape), STATUS_ATTRS
    each = np.stack([theil_sen(v, time) for v in values])
    out["trend_member"] = ("member", *DIMS), each.reshape(members, *shape), {"units": rate}
    out = out.assign_coords(member=annual["member"])
    out = out.merge(_by_decade(values, years, shape, draws, rng), combine_attrs="drop")
    return out.assign_attrs(
        label=label(years, record),
        caution=caution(years, record),
        first_year=int(years[0]),
        last_year=int(years[-1]),
        level=LEVEL,
        block_years=BLOCK,
        gas=gas,
    )


def annual_totals(product: xr.Dataset, gas: str) -> tuple[xr.DataArray, NDArray[np.int64]]:
    """Totals of complete years (member, ecosystem, region, year) [Tg], the class `all` last, and the years."""
    monthly, years, rows = class_budget(product, gas)
    total = monthly.values[..., rows].sum(axis=-1)
    dims = ("member", *DIMS, "year")
    coords = {name: monthly[name] for name in ("member", *DIMS)}
    return xr.DataArray(total, dims=dims, coords=coords | {"year": years}), years


def class_budget(
    product: xr.Dataset, gas: str
) -> tuple[xr.DataArray, NDArray[np.int64], NDArray[np.intp]]:
    """Budget (member, ecosystem, region, time) with the class `all`, complete years, positions of their months."""
    name = f"{gas}_budget"
    if name not in product:
        raise InputError(
            "the product has no budget",
            where="trends",
            expected=f"{name} (member, time, ecosystem, region)",
            found=sorted(map(str, product.data_vars)),
        )
    monthly = product[name]
    if "member" not in monthly.dims:
        monthly = monthly.expand_dims(member=[0])
    monthly = monthly.transpose("member", *DIMS, "time").astype(np.float64).compute()
    whole = monthly.sum("ecosystem", skipna=False).expand_dims(ecosystem=[ALL])
    wide = xr.DataArray(
        np.concatenate([monthly.values, whole.transpose(*monthly.dims).values], axis=1),
        dims=monthly.dims,
        coords={
            "member": monthly["member"].values,
            "ecosystem": [*map(str, monthly["ecosystem"].values), ALL],
            "region": monthly["region"].values,
            "time": monthly["time"].values,
        },
    )
    years, rows = complete_years(wide["time"])
    return wide, years, rows


def _drawn(values: Floats, time: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Slopes (draw, series) of all members, each draw from the same blocks in every member."""
    members, series, years = values.shape
    if years <= BLOCK:
        return np.full((1, series), np.nan)
    together = block_slopes(
        values.reshape(members * series, years), time, block=BLOCK, draws=draws, rng=rng
    )
    return together.reshape(draws * members, series)


def bounds_of(drawn: Floats) -> tuple[Floats, Floats]:
    """Bounds (series) at LEVEL from draws (draw, series); NaN where there is none."""
    bounds = np.full((2, drawn.shape[1]), np.nan)
    some = np.isfinite(drawn).any(axis=0)
    if some.any():
        ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        bounds[:, some] = np.nanquantile(drawn[:, some], ends, axis=0)
    return bounds[0], bounds[1]


def _by_decade(
    values: Floats,
    years: NDArray[np.int64],
    shape: tuple[int, int],
    draws: int,
    rng: np.random.Generator,
) -> xr.Dataset:
    """Slopes within decades with bounds, and the last less the first."""
    parts = decades(years)
    slopes, low, high, drawn = [], [], [], []
    for part in parts:
        time = years[part].astype(np.float64)
        inside = values[:, :, part]
        slopes.append(theil_sen(inside.mean(axis=0), time))
        drawn.append(_drawn(inside, time, draws, rng))
        lower, upper = bounds_of(drawn[-1])
        low.append(lower)
        high.append(upper)
    size = shape[0] * shape[1]
    change, bounds = np.full(size, np.nan), (np.full(size, np.nan), np.full(size, np.nan))
    if parts:
        change, bounds = slopes[-1] - slopes[0], bounds_of(drawn[-1] - drawn[0])
    names = [f"{years[part[0]]}-{years[part[-1]]}" for part in parts]
    units = {"units": f"{BUDGET_UNITS} year-2"}
    whole = {"decade_trend": slopes, "decade_trend_lower": low, "decade_trend_upper": high}
    single = {
        "acceleration": change,
        "acceleration_lower": bounds[0],
        "acceleration_upper": bounds[1],
    }
    return xr.Dataset(
        {
            n: (("decade", *DIMS), np.reshape(v, (len(parts), *shape)), units)
            for n, v in whole.items()
        }
        | {n: (DIMS, v.reshape(shape), units) for n, v in single.items()},
        coords={"decade": np.array(names, dtype=str)},
    )
