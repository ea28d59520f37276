"""The public functions, each a door to one stage: strings and folders come in here and nowhere deeper."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import xarray as xr

from ch4grid import budgets
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace

if TYPE_CHECKING:
    from ch4grid.graph import CausalGraph
    from ch4grid.outcomes import Outcome
    from ch4grid.planning import Plan


class Interval(NamedTuple):
    """A budget with its 90 % interval [Tg per month]."""

    lower: xr.DataArray
    mean: xr.DataArray
    upper: xr.DataArray


def open(product: str | Path) -> xr.Dataset:
    """The product as a lazy Dataset.

    Args:
        product: Path or URL of its Zarr group.

    Raises:
        InputError: There is no product.
    """
    try:
        opened: xr.Dataset = xr.open_zarr(str(product))
        return opened
    except (FileNotFoundError, KeyError) as error:
        raise InputError(
            "no product here", where=product, expected="the Zarr group of a product", found=error
        ) from error


def budget(ds: xr.Dataset, *, region: xr.DataArray | None = None, level: float = 0.9) -> Interval:
    """Monthly budget of a region from the members of a product, with the interval that held-out towers ask for.

    Args:
        ds: An opened product.
        region: Mask, or share of each cell (latitude, longitude) on the product's grid, or something that broadcasts to
            it such as `ds.latitude > 60`; the globe when None.
        level: Coverage of the interval.

    Raises:
        InputError: The region is not on the grid of the product.
    """
    whole = xr.ones_like(ds["cell_area"], dtype=float)
    share = whole if region is None else (region * whole).transpose(*whole.dims)
    members = budgets.regional(ds, share)
    inflation = float(ds.attrs.get(budgets.INFLATION, 1.0))
    return Interval(*budgets.interval(members, level, inflation))


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
