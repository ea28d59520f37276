"""DRIVERS: every source on the product grid, how they look at the towers, and the climate they describe.

Sources are opened and regridded a year at a time, so memory does not grow with the length of the period.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import xarray as xr

from ch4grid.drivers.units import named
from ch4grid.errors import RecipeError
from ch4grid.grid import Grid, great_circle_km
from ch4grid.regridding import conservative
from ch4grid.schema import check_drivers
from ch4grid.stores import Workspace
from ch4grid.vocabulary import DYNAMIC, STATIC, VARIABLES, Variable, months

# Valid area fraction from which a cell counts as valid; below it the valid part stands for the cell and is flagged.
VALID_FRACTION = 0.5
FILLED_FRACTION = 0.05

STATUS = {"valid": 0, "filled": 1, "missing": 2}

# Reach of the search for a cell with data around a tower at the coast [cells].
REACH = 2


class Source(Protocol):
    """What any driver source can do."""

    def open(self, workspace: Workspace, first_year: int, last_year: int) -> xr.Dataset:
        """Vocabulary variables on the native grid for all months of the years."""


def assemble(
    sources: Sequence[Source], grid: Grid, first_year: int, last_year: int, workspace: Workspace
) -> xr.Dataset:
    """DRIVERS of the years on `grid`, float32.

    Dynamic variables (time, latitude, longitude), statics (latitude, longitude), and two more (time, latitude,
    longitude): `driver_status` (0 valid, 1 filled: less than half of the cell has data, which stands for the cell, 2 a
    dynamic driver is missing) and `valid_fraction`, the smallest valid area fraction over the dynamic drivers [1]. Area
    layers count as zero where they are missing, so that their area is conserved at coasts.

    Raises:
        InputError: What the sources raise, or a variable out of its range.
        RecipeError: Two sources give the same variable.
    """
    years = [
        _year(sources, grid, year, workspace, statics=year == first_year)
        for year in range(first_year, last_year + 1)
    ]
    lasting = [n for n in years[0].data_vars if "time" not in years[0][n].dims]
    changing = [n for n in years[0].data_vars if n not in lasting]
    joined = xr.concat([y[changing] for y in years], dim="time", join="exact")
    drivers = joined.assign({n: years[0][n] for n in lasting}).assign_attrs(step="month")
    return check_drivers(drivers, [str(n) for n in drivers.data_vars if n in VARIABLES])


def _year(
    sources: Sequence[Source], grid: Grid, year: int, workspace: Workspace, *, statics: bool
) -> xr.Dataset:
    variables: dict[str, xr.DataArray] = {}
    shares: list[xr.DataArray] = []
    for source in sources:
        native = source.open(workspace, year, year)
        for name in map(str, native.data_vars):
            if name in variables:
                raise RecipeError(
                    f"variable {name!r} comes from two driver sources",
                    where="drivers",
                    expected="one",
                )
            if not statics and "time" not in native[name].dims:
                continue
            variables[name], share = _on_grid(native[name], grid)
            if name in DYNAMIC:
                shares.append(share)
    out = xr.Dataset(variables)
    return out.assign(_status(shares, grid, year)).drop_encoding()


def _on_grid(native: xr.DataArray, grid: Grid) -> tuple[xr.DataArray, xr.DataArray]:
    """A variable on the grid and its valid area fraction."""
    name = str(native.name)
    is_area = name in STATIC and name.endswith("_fraction")
    values, share = conservative(native.fillna(0.0) if is_area else native, grid, FILLED_FRACTION)
    return named(values, VARIABLES[name]), share


def _status(shares: Sequence[xr.DataArray], grid: Grid, year: int) -> dict[str, xr.DataArray]:
    """`driver_status` and `valid_fraction` of a year from the valid fractions of the dynamic drivers."""
    time = months(year, year)
    least = np.ones((len(time), *grid.shape), np.float32)
    for share in shares:
        least = np.minimum(least, np.clip(share.values, 0.0, 1.0))
    status = np.select(
        [least < FILLED_FRACTION - 1e-6, least < VALID_FRACTION - 1e-6],
        [STATUS["missing"], STATUS["filled"]],
        STATUS["valid"],
    ).astype(np.uint8)
    dims = ("time", "latitude", "longitude")
    coords = {"time": time} | grid.coords
    return {
        "driver_status": xr.DataArray(
            status,
            dims=dims,
            coords=coords,
            attrs={
                "long_name": "state of the predictors",
                "flag_values": np.array(list(STATUS.values()), np.uint8),
                "flag_meanings": " ".join(STATUS),
            },
        ),
        "valid_fraction": xr.DataArray(
            least,
            dims=dims,
            coords=coords,
            attrs={"units": "1", "long_name": "smallest valid area fraction of the predictors"},
        ),
    }


def normals(drivers: xr.Dataset) -> xr.Dataset:
    """Climate over the given months (latitude, longitude): the mean of every dynamic driver, two seasonal ranges.

    `<name>_mean` in the units of the driver; `tas_range` and `pr_range` are the largest minus the smallest month of the
    mean seasonal cycle. Dimensions other than time stay, so towers (site, time) work as well as the grid.
    """
    time = drivers.indexes["time"]
    period = f"{time[0]:%Y-%m} to {time[-1]:%Y-%m}"
    out: dict[str, xr.DataArray] = {}
    for name in (n for n in DYNAMIC if n in drivers and "time" in drivers[n].dims):
        variable = VARIABLES[name]
        mean = drivers[name].mean("time", dtype=np.float64)
        out[f"{name}_mean"] = _described(mean, variable, f"mean over {period}")
        if name in ("tas", "pr"):
            cycle = drivers[name].groupby("time.month").mean()
            span = cycle.max("month") - cycle.min("month")
            text = f"range of the mean seasonal cycle over {period}"
            out[f"{name}_range"] = _described(span, variable, text)
    return xr.Dataset(out)


def _described(values: xr.DataArray, variable: Variable, what: str) -> xr.DataArray:
    """A statistic of a variable, float32, with the units of the variable and none of its other attributes."""
    attrs = {"units": variable.units, "long_name": f"{what} of {variable.long_name}"}
    return values.astype(np.float32).drop_attrs(deep=False).assign_attrs(attrs)


def at_sites(drivers: xr.Dataset, sites: xr.Dataset) -> xr.Dataset:
    """Drivers at towers: (site, time) what changes, (site,) what does not, with the coordinates of `sites` per site.

    A tower sees the cell that contains it. Where that cell lacks drivers altogether, as at coasts, it sees the nearest
    of the cells within two that has the most of them; `cell_distance_km` tells how far the cell's centre is.

    Args:
        drivers: DRIVERS on a global grid, or `normals` of it.
        sites: SITES, or any Dataset with latitude and longitude per site.
    """
    grid = Grid(180.0 / drivers.sizes["latitude"])
    latitude = np.asarray(sites["latitude"].values, np.float64)
    longitude = np.asarray(sites["longitude"].values, np.float64)
    rows, columns, distance = _nearest_with_data(drivers, grid, latitude, longitude)
    names = [n for n in drivers.data_vars if n not in ("driver_status", "valid_fraction")]
    picked = drivers[names].isel(
        latitude=xr.DataArray(rows, dims="site"), longitude=xr.DataArray(columns, dims="site")
    )
    picked = picked.drop_vars(["latitude", "longitude"]).transpose("site", ...).load()
    per_site = {n: c for n, c in sites.coords.items() if c.dims == ("site",)}
    away = xr.DataArray(
        distance,
        dims="site",
        attrs={"units": "km", "long_name": "distance from the tower to the centre of its cell"},
    )
    return picked.assign_coords(per_site | {"cell_distance_km": away})


def _nearest_with_data(
    drivers: xr.Dataset, grid: Grid, latitude: np.ndarray, longitude: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and distance [km] of the cell each tower sees."""
    row, column = grid.cell_of(latitude, longitude)
    steps = np.arange(-REACH, REACH + 1)
    north, east = (s.ravel() for s in np.meshgrid(steps, steps, indexing="ij"))
    rows = np.clip(row[:, None] + north, 0, grid.shape[0] - 1)
    columns = (column[:, None] + east) % grid.shape[1]
    telling = [n for n in drivers.data_vars if str(n).removesuffix("_mean") in DYNAMIC]
    present = np.zeros(rows.shape, np.int64)
    for name in telling:
        around = drivers[name].isel(
            latitude=xr.DataArray(rows, dims=("site", "cell")),
            longitude=xr.DataArray(columns, dims=("site", "cell")),
        )
        seen = around.notnull()
        present += (seen.any("time") if "time" in seen.dims else seen).values
    distance = great_circle_km(
        latitude[:, None], longitude[:, None], grid.latitude[rows], grid.longitude[columns]
    )
    own = (north == 0) & (east == 0)
    # most drivers first, then the tower's own cell, then the nearest
    rank = np.lexsort((distance, np.broadcast_to(~own, rows.shape), -present), axis=1)[:, 0]
    at = (np.arange(row.size), rank)
    return rows[at], columns[at], distance[at]
