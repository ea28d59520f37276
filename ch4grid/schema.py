"""Checks of the four wires SITES, DRIVERS, FLUX and BUDGET: each returns its Dataset or names what is wrong.

A stage calls the check of what it hands on, so a defect is reported by the stage that made it.
"""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.errors import InputError
from ch4grid.vocabulary import BUDGET_UNITS, ECOSYSTEMS, FLUX_UNITS, VARIABLES, Gas

Dims = tuple[str, ...]


def check_sites(sites: xr.Dataset, gas: Gas) -> xr.Dataset:
    """SITES: measured flux (site, time) [kg m-2 s-1] with coverage [1], tower drivers, coordinates per site.

    Raises:
        InputError: A variable, dimension, unit or coordinate is not as the wire says.
    """
    where = "SITES"
    _require(sites, {gas.flux: ("site", "time"), f"{gas.flux}_coverage": ("site", "time")}, where)
    _require(
        sites, dict.fromkeys(("latitude", "longitude", "ecosystem", "cluster"), ("site",)), where
    )
    _units(sites, {gas.flux: FLUX_UNITS, f"{gas.flux}_coverage": "1"}, where)
    _units(
        sites, {str(n): VARIABLES[str(n)].units for n in sites.data_vars if n in VARIABLES}, where
    )
    _time(sites, where)
    _unique(sites, "site", where)
    unknown = sorted(set(sites["ecosystem"].values.tolist()) - set(ECOSYSTEMS))
    if unknown:
        raise InputError("unknown ecosystem class", where=where, expected=ECOSYSTEMS, found=unknown)
    if sites.attrs.get("step") not in ("month", "week"):
        raise InputError(
            "attribute 'step' is wrong",
            where=where,
            expected="month or week",
            found=sites.attrs.get("step"),
        )
    return sites


def check_drivers(drivers: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """DRIVERS: vocabulary variables on the product grid, with `driver_status` and `valid_fraction` per cell-month.

    Raises:
        InputError: A variable, dimension, unit, coordinate order or value range is not as the wire says.
    """
    where = "DRIVERS"
    cube = ("time", "latitude", "longitude")
    present = [n for n in names if n in drivers]
    _require(drivers, {"driver_status": cube, "valid_fraction": cube}, where)
    missing = sorted(set(names) - set(present))
    if missing:
        raise InputError(
            "predictors are missing",
            where=where,
            expected=list(names),
            found=f"no {', '.join(missing)}",
        )
    for name in present:
        _require(drivers, {name: cube if "time" in drivers[name].dims else cube[1:]}, where)
        check_range(drivers[name], where)
    _units(drivers, {n: VARIABLES[n].units for n in present if n in VARIABLES}, where)
    _time(drivers, where)
    _ascending(drivers, ("latitude", "longitude"), where)
    return drivers


def check_range(values: xr.DataArray, where: str) -> None:
    """Refuse a vocabulary variable whose values lie outside its plausible range: the mark of a wrong unit.

    Raises:
        InputError: The smallest or largest value is out of range; the message carries both.
    """
    variable = VARIABLES.get(str(values.name))
    if variable is None or not values.size:
        return
    low, high = float(values.min(skipna=True)), float(values.max(skipna=True))
    if low < variable.valid_range[0] or high > variable.valid_range[1]:
        raise InputError(
            f"variable {variable.name!r} holds values that {variable.long_name} cannot have",
            where=where,
            expected=f"{variable.valid_range[0]:g} to {variable.valid_range[1]:g} {variable.units}",
            found=f"{low:.6g} to {high:.6g}",
            fix="Check the units of the file and the mapping in the recipe",
        )


def check_flux(flux: xr.Dataset, gas: Gas) -> xr.Dataset:
    """FLUX: density per area of the class (member, ecosystem, time, latitude, longitude) [kg m-2 s-1].

    Raises:
        InputError: A variable, dimension, unit or coordinate is not as the wire says.
    """
    where = "FLUX"
    block = ("ecosystem", "time", "latitude", "longitude")
    density = f"{gas.flux}_density"
    _require(flux, {density: ("member", *block)}, where)
    _require(
        flux, {f"{density}_variance": block, f"{density}_quantile": ("quantile", *block)}, where
    )
    _require(flux, dict.fromkeys(("dissimilarity_index", "quality_flag"), block[1:]), where)
    _require(flux, {"ecosystem_fraction": block}, where)
    _units(flux, {density: FLUX_UNITS, f"{density}_quantile": FLUX_UNITS}, where)
    _time(flux, where)
    _ascending(flux, ("latitude", "longitude"), where)
    return flux


def check_budget(budget: xr.DataArray) -> xr.DataArray:
    """BUDGET: mass per month (member, time, ecosystem, region) [Tg].

    Raises:
        InputError: A dimension or the unit is not as the wire says.
    """
    where = "BUDGET"
    if budget.dims != ("member", "time", "ecosystem", "region"):
        raise InputError(
            "wrong dimensions",
            where=where,
            expected="member, time, ecosystem, region",
            found=budget.dims,
        )
    _units(budget.to_dataset(name="budget"), {"budget": BUDGET_UNITS}, where)
    return budget


def _require(ds: xr.Dataset, dims: Mapping[str, Dims], where: str) -> None:
    for name, expected in dims.items():
        if name not in ds.variables:
            raise InputError(
                f"variable {name!r} is missing",
                where=where,
                expected=name,
                found=sorted(map(str, ds.variables)),
            )
        if ds[name].dims != expected:
            raise InputError(
                f"variable {name!r} has wrong dimensions",
                where=where,
                expected=expected,
                found=ds[name].dims,
            )


def _units(ds: xr.Dataset, units: Mapping[str, str], where: str) -> None:
    for name, expected in units.items():
        found = ds[name].attrs.get("units")
        if found != expected:
            raise InputError(
                f"variable {name!r} has wrong units", where=where, expected=expected, found=found
            )


def _time(ds: xr.Dataset, where: str) -> None:
    if "time" not in ds.dims:
        return
    time = pd.DatetimeIndex(ds["time"].values)
    if not (time.is_monotonic_increasing and time.is_unique):
        raise InputError("time is not strictly increasing", where=where, found=f"{len(time)} steps")
    if ds.attrs.get("step", "month") == "month" and bool((time.day != 1).any()):
        raise InputError(
            "months are not labelled by their first day",
            where=where,
            found=str(time[time.day != 1][0]),
        )


def _unique(ds: xr.Dataset, dim: Hashable, where: str) -> None:
    values, counts = np.unique(ds[dim].values.astype(str), return_counts=True)
    if (counts > 1).any():
        raise InputError(f"{dim} is not unique", where=where, found=values[counts > 1].tolist())


def _ascending(ds: xr.Dataset, names: Sequence[str], where: str) -> None:
    for name in names:
        if not bool((np.diff(ds[name].values) > 0).all()):
            raise InputError(
                f"{name} is not ascending",
                where=where,
                expected="south to north, west to east",
                found=ds[name].values[:2],
            )
