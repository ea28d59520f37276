"""The public functions, each a door to one stage: strings and folders come in here and nowhere deeper."""

from collections.abc import Collection
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import xarray as xr

from ch4grid import account, budgets
from ch4grid.account import Annual, Interval, Region, Years
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.remote import is_url, open_dataset
from ch4grid.stores import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from ch4grid.exports import Exported
    from ch4grid.graph import CausalGraph
    from ch4grid.outcomes import Outcome
    from ch4grid.planning import Plan


def open(product: str | Path) -> xr.Dataset:
    """The product as a lazy Dataset, which `to_netcdf` writes as CF wants it.

    Args:
        product: Path or URL (s3, https or any other of fsspec) of its Zarr group. Credentials come from the environment
            or the configuration of the protocol's client.

    Raises:
        InputError: There is no product, or its metadata are damaged.
        RecipeError: The URL carries credentials.
        RunError: The place behind the URL does not answer, or the client of its protocol is not installed.
    """
    if is_url(product):
        return _conventional(open_dataset(str(product)))
    try:
        return _conventional(xr.open_zarr(str(product)))
    except (FileNotFoundError, KeyError) as error:
        raise InputError(
            "no product here", where=product, expected="the Zarr group of a product", found=error
        ) from error
    except JSONDecodeError as error:
        raise InputError(
            "the metadata of the product cannot be read",
            where=product,
            expected="zarr.json as it was published",
            found=error,
            fix="`ch4grid verify STORE` names what is damaged, `ch4grid repair STORE` writes it anew",
        ) from None


def _conventional(ds: xr.Dataset) -> xr.Dataset:
    """The Dataset with what JSON and defaults of xarray lose: types of flag values, coordinates without fill value."""
    for name, variable in ds.variables.items():
        if name in ds.coords or str(name).endswith("_bnds"):
            variable.encoding.setdefault("_FillValue", None)
        if "flag_values" in variable.attrs:
            flags = np.asarray(variable.attrs["flag_values"], dtype=variable.dtype)
            variable.attrs["flag_values"] = flags
    return ds


@overload
def budget(
    ds: xr.Dataset, *, region: Region = None, feature: str | None = None, level: float = 0.9
) -> Interval: ...
@overload
def budget(
    ds: xr.Dataset,
    *,
    region: Region = None,
    feature: str | None = None,
    years: Years,
    level: float = 0.9,
) -> Annual: ...
def budget(
    ds: xr.Dataset,
    *,
    region: Region = None,
    feature: str | None = None,
    years: Years | None = None,
    level: float = 0.9,
) -> Interval | Annual:
    """Budget of any region with the interval that its members and held-out towers ask for.

    Members are summed first and their spread is taken of the sums, so errors that cells share stay shared. Only chunks
    that the region touches are read, now, and only in the years asked for.

    Args:
        ds: An opened product.
        region: The globe when None. A region of the product by name (`tropics`). A mask, or share of each cell
            (latitude, longitude) on the product's grid, or something that broadcasts to it such as
            `ds.latitude > 60`. Or GeoJSON in degrees of WGS84: a file, a mapping, a geometry of shapely; then cells
            count by the exact share of their area.
        feature: Only features of the GeoJSON with this identifier or value of a property; all together when None.
        years: A year or several, complete ones; None for masses by month.
        level: Coverage of the interval.

    Returns:
        `lower, mean, upper`. Without `years` masses per month (time) [Tg per month]. With `years` the total of each
        year (year) [Tg per year], and in `.period`, also as lower, mean and upper, the mean of these totals: its
        interval is that of the mean, narrower where errors of years differ.

    Raises:
        InputError: The region is not on the grid of the product, not valid GeoJSON, empty or unknown; a year is not in
            the product or not complete.
    """
    inflation = account.inflation_of(ds)
    place = account.place_of(ds, region, feature)
    if years is None:
        return Interval(*budgets.interval(account.monthly(ds, place), level, inflation))
    cut, _ = account.select_years(ds, years)
    return account.annual(account.monthly(cut, place), level, inflation)


def spreads(
    ds: xr.Dataset,
    *,
    region: Region = None,
    feature: str | None = None,
    years: Years | None = None,
) -> xr.Dataset:
    """How wide annual totals of a region spread by the members, and what naive rules would say instead.

    Args:
        ds: An opened product.
        region: As of `budget`.
        feature: As of `budget`.
        years: Complete years; all that there are when None.

    Returns:
        Standard deviations (year) [Tg per year]: `members`; `independent`, the root of the sum of squared standard
        errors over cells and months; `correlated`, the sum of standard errors. Ratios [1]: `understated` = members /
        independent, `overstated` = correlated / members.

    Raises:
        InputError: As of `budget`.
    """
    cut, _ = account.select_years(ds, years)
    return account.spreads(cut, account.place_of(cut, region, feature))


def difference(new: xr.Dataset, old: xr.Dataset, *, level: float = 0.9) -> "pd.DataFrame":
    """Mean annual difference of a scenario to history, over the cells and months that both have, member by member.

    Totals of two cubes do not compare where a scenario leaves cells out, nor where the two have other years.

    Args:
        new: An opened scenario.
        old: The opened historical product of the same version.
        level: Coverage of the interval.

    Returns:
        Columns ecosystem (`all` first), lower, mean, upper [Tg per year], and years, those that both have.

    Raises:
        InputError: The two have no year in common.
    """
    found = budgets.paired_difference(new, old, account.gas_of(new), level)
    if found is None:
        raise InputError(
            "no year is in both products",
            where="difference",
            expected=f"a year of {old.attrs.get('id')}: {_years(old)}",
            found=f"those of {new.attrs.get('id')}: {_years(new)}",
            fix="Make the year that is lacking: `ch4grid run RECIPE --year Y`, with `--scenario NAME` or without",
        )
    return found


def _years(ds: xr.Dataset) -> str:
    return ", ".join(map(str, np.atleast_1d(ds.attrs.get("published_years", ())))) or "none"


def export(
    product: str | Path,
    consumer: str,
    *,
    years: Years | None = None,
    ecosystems: Collection[str] = (),
    member: int | None = None,
    grid: str = "",
    output: str | Path | None = None,
) -> "Exported":
    """The files of a published product for one of its consumers, each checked against the budget of the product.

    Args:
        product: Path or URL of its store.
        consumer: `cf-netcdf`, `geoschem`, `imi`, `icos`, `openghg` or `csv-inventory`.
        years: A published year or several; all of them when None.
        ecosystems: Classes to be summed; what the consumer's contract says when empty.
        member: Member of the ensemble in place of its mean.
        grid: Target grid of `imi`, such as `2x2.5`.
        output: Where the files go; `exports/PRODUCT_VERSION_SCENARIO/CONSUMER` when None.

    Raises:
        RecipeError: The consumer, a class, a member or a grid is unknown or does not fit the consumer.
        InputError: There is no product, a year is not published, or the store is damaged.
        RunError: The folder cannot be written, or a file would not hold the budget of the product.
    """
    from ch4grid.exports import export as make

    asked = [years] if isinstance(years, int) else years
    folder = None if output is None else Path(output)
    return make(
        open(product),
        str(product),
        consumer,
        years=asked,
        ecosystems=ecosystems,
        member=member,
        grid=grid,
        output=folder,
    )


def regrid(
    ds: xr.Dataset,
    grid: Grid,
    *,
    method: Literal["conservative", "bilinear", "nearest"] = "conservative",
    min_valid: float = 0.5,
) -> xr.Dataset:
    """A Dataset on the product grid, missing values left out; lazy input gives lazy output.

    Args:
        ds: Variables (..., latitude, longitude), either latitude order, any longitude convention.
        grid: The grid.
        method: First-order conservative means over WGS84 cells, bilinear interpolation, or the nearest value.
        min_valid: Smallest valid share of a cell's area, or of the weights, that gives a value.

    Raises:
        InputError: A coordinate is not monotonic or out of range.
    """
    from ch4grid.regridding import Rule
    from ch4grid.regridding import regrid as by_rule

    values, _ = by_rule(ds, grid, Rule(method=method, min_valid=min_valid, figure="wgs84"))
    return values


def causal_graph(model: str | Path) -> "CausalGraph":
    """The causal graph inside a checkpoint.

    Args:
        model: The checkpoint's folder.

    Raises:
        InputError: The folder holds no checkpoint.
    """
    from ch4grid.models import Checkpoint

    return Checkpoint.load(Path(model)).graph


def plan(
    recipe: str | Path,
    *,
    years: list[int] | None = None,
    scenario: str = "historical",
    output: str | Path = "products",
    data: str | Path = ".",
) -> "Plan":
    """What `run` with the same arguments would do."""
    from ch4grid.planning import plan as make
    from ch4grid.recipe import load

    return make(load(Path(recipe)), _workspace(output, data), years=years, scenario=scenario)


def run(
    recipe: str | Path,
    *,
    years: list[int] | None = None,
    output: str | Path = "products",
    data: str | Path = ".",
    **settings: Any,
) -> "Outcome":
    """Make the years of a recipe and publish them; further settings as of `ch4grid.running.run`.

    The default cluster starts processes: call it from under `if __name__ == "__main__":` in a script, or give
    `cluster="local:1"`.
    """
    from ch4grid.recipe import load
    from ch4grid.running import run as make

    return make(load(Path(recipe)), _workspace(output, data), years=years, **settings)


def _workspace(output: str | Path, data: str | Path) -> Workspace:
    return Workspace(data=Path(data).absolute(), output=Path(output).absolute())
