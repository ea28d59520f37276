"""Sources on the product grid in memory, how drivers look at the towers, and the climate they describe."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from ch4grid.drivers.cube.gaps import refuse
from ch4grid.drivers.cube.month import refuse_twice
from ch4grid.drivers.cube.planes import MARKS
from ch4grid.drivers.source import Source
from ch4grid.grid import Grid, great_circle_km
from ch4grid.stores import Workspace
from ch4grid.vocabulary import DYNAMIC, VARIABLES, Variable, months

# Reach of the search for a cell with data around a tower at the coast [cells].
REACH = 2


def assemble(
    sources: Sequence[Source], grid: Grid, first_year: int, last_year: int, workspace: Workspace
) -> xr.Dataset:
    """Variables of the years on `grid` in memory, float32: (time, latitude, longitude) and (latitude, longitude).

    For layers that are few; the drivers of a recipe have a cube of their own. Area layers count as zero where they are
    missing, so that their area is conserved at coasts.

    Raises:
        InputError: A variable is missing, damaged or preliminary, or out of its range.
        RecipeError: Two sources give the same variable.
    """
    time = months(first_year, last_year)
    variables: dict[str, xr.DataArray] = {}
    holders: list[tuple[str, str]] = []
    for source in sources:
        holdings = source.survey(workspace, time)
        refuse(holdings, "strict")
        dynamic = list(dict.fromkeys(h.variable for h in holdings if h.month is not None))
        static = [h.variable for h in holdings if h.month is None]
        holders += [(name, source.source) for name in (*dynamic, *static)]
        if dynamic:
            found = source.on_grid(workspace, dynamic, time, grid).values
            variables |= {n: found[n] for n in dynamic}
        if static:
            found = source.statics_on_grid(workspace, grid).values
            variables |= {n: found[n] for n in static}
    refuse_twice(holders)
    return xr.Dataset(variables).assign_attrs(step="month").drop_encoding()


def normals(drivers: xr.Dataset) -> xr.Dataset:
    """Climate over the given months (latitude, longitude): the mean of every dynamic driver, two seasonal ranges.

    `<name>_mean` in the units of the driver; `tas_range` and `pr_range` are the largest minus the smallest month of the
    mean seasonal cycle. Dimensions other than time stay, so towers (site, time) work as well as the grid. Lazy drivers
    are read one calendar month at a time.
    """
    time = drivers.indexes["time"]
    period = f"{time[0]:%Y-%m} to {time[-1]:%Y-%m}"
    out: dict[str, xr.DataArray] = {}
    for name in (n for n in DYNAMIC if n in drivers and "time" in drivers[n].dims):
        variable = VARIABLES[name]
        total, count = _by_calendar_month(drivers[name])
        number = count.sum("month")
        mean = total.sum("month") / number.where(number > 0)
        out[f"{name}_mean"] = _described(mean, variable, f"mean over {period}")
        if name in ("tas", "pr"):
            cycle = total / count
            span = cycle.max("month") - cycle.min("month")
            text = f"range of the mean seasonal cycle over {period}"
            out[f"{name}_range"] = _described(span, variable, text)
    return xr.Dataset(out)


def spreads(drivers: xr.Dataset, log_floor: Mapping[str, float]) -> xr.Dataset:
    """Standard deviation of the monthly anomalies of every dynamic driver (latitude, longitude).

    The anomaly of a month is its departure from the mean of its calendar month; every such mean costs a degree of
    freedom. Lazy drivers are read one calendar month at a time.

    Args:
        drivers: Drivers (time, latitude, longitude).
        log_floor: Drivers whose logarithm is meant, with the value below which it is not taken.
    """
    out: dict[str, xr.DataArray] = {}
    for name in (n for n in DYNAMIC if n in drivers and "time" in drivers[n].dims):
        deviation = _deviation(drivers[name], log_floor.get(name))
        attrs = {"long_name": f"standard deviation of the anomalies of {VARIABLES[name].long_name}"}
        if name in log_floor:
            attrs["comment"] = "of the natural logarithm"
        units = {} if name in log_floor else {"units": VARIABLES[name].units}
        out[name] = deviation.drop_attrs(deep=False).assign_attrs(attrs | units)
    return xr.Dataset(out)


def _deviation(values: xr.DataArray, floor: float | None) -> xr.DataArray:
    """Spread (...) of the anomalies of values (time, ...), of their logarithm where a floor is given."""
    squares, free = [], []
    calendar = values.indexes["time"].month
    for month in sorted(set(calendar)):
        some = values.isel(time=np.flatnonzero(calendar == month)).load().astype(np.float64)
        if floor is not None:
            some = xr.apply_ufunc(np.log, some.clip(min=floor))
        squares.append(((some - some.mean("time")) ** 2).sum("time"))
        free.append((some.count("time") - 1).clip(min=0))
    total, count = (xr.concat(v, "month", join="exact").sum("month") for v in (squares, free))
    deviation: xr.DataArray = (total / count.where(count > 0)) ** 0.5
    return deviation.astype(np.float32)


def _by_calendar_month(values: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Sums and numbers of the valid values of each calendar month (month, ...), float64; no number is NaN."""
    number = values.indexes["time"].month
    totals, counts = [], []
    for month in sorted(set(number)):
        some = values.isel(time=np.flatnonzero(number == month)).load()
        totals.append(some.sum("time", dtype=np.float64))
        counts.append(some.count("time"))
    count = xr.concat(counts, dim="month").astype(np.float64)
    return xr.concat(totals, dim="month"), count.where(count > 0)


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
    names = [n for n in drivers.data_vars if n not in (*MARKS, "source_status")]
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
