"""CF NetCDF: everything of a product but the fields of single members, for any program that reads NetCDF.

Contract: see `CONTRACT`, which `ch4grid export --for cf-netcdf --describe` prints.
"""

from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ch4grid.exports import provenance
from ch4grid.exports.closure import departure
from ch4grid.exports.contract import Contract
from ch4grid.exports.export import Export, Piece
from ch4grid.exports.netcdf import Part, Variable, labels, whole, write
from ch4grid.exports.request import Request
from ch4grid.exports.source import Source, days, seconds
from ch4grid.vocabulary import NEVER_WRITTEN

CELL = ("time", "latitude", "longitude")
# 255 as the signed byte of the classic model.
FLAG_FILL = NEVER_WRITTEN - 256
CONVENTIONS = "CF-1.11, ACDD-1.3"
NAN = float("nan")

CONTRACT = Contract(
    purpose="Anything that reads NetCDF and not Zarr: Panoply, ncview, CDO, NCO, R, MATLAB, archives.",
    files="PRODUCT_VERSION_SCENARIO_YYYY.nc, one a year.",
    variables="GAS_flux, GAS_flux_standard_error, dissimilarity_index float32 and quality_flag int8 (time, latitude, "
    "longitude); GAS_flux_quantile (quantile, time, latitude, longitude) float32; GAS_flux_density and "
    "ecosystem_fraction (ecosystem, time, latitude, longitude) float32; GAS_budget (member, ecosystem, "
    "region, time) float64; cell_area float64, land_fraction; bounds of time, latitude, longitude; crs; "
    "ecosystem_name, region_name.",
    units="kg m-2 s-1 of the gas; GAS_flux per area of the cell, GAS_flux_density per area of the class; Tg per "
    "month.",
    time="int32 `days since 1970-01-01`, first days of the months, with time_bnds; no dimension is unlimited.",
    grid="That of the product: latitude ascending, longitude from -180, centres, exact WGS84 areas in cell_area.",
    missing="_FillValue NaN; quality_flag says why.",
    law="All values are the product's bit for bit; sum over cells of GAS_flux x cell_area x seconds of the month "
    "is GAS_budget to 1e-6 of the gross flux.",
    consumer="Opens it: xr.open_dataset(file), or xr.open_mfdataset of several years.",
    checked="By compliance-checker, tests cf:1.11 and acdd:1.3.",
)


class CfNetcdf(Export):
    """Everything of a product but single members, one NetCDF-4 file a year."""

    name = "cf-netcdf"
    contract = CONTRACT

    def reads(self, source: Source, request: Request) -> tuple[str, ...]:
        """Variables of the product that are read."""
        left = {f"{source.gas.flux}_member", "region_fraction"}
        return tuple(str(n) for n in source.ds.variables if n not in left)

    def pieces(self, source: Source, request: Request) -> Iterator[Piece]:
        """One file a year."""
        for year in request.years:
            yield Piece(f"{source.stem}_{year}.nc", (year,), _maker(source, request, year))


def _maker(source: Source, request: Request, year: int) -> Callable[[Path], float]:
    flux, grid = source.gas.flux, source.grid

    def make(path: Path) -> float:
        sizes = {d: int(source.ds.sizes[d]) for d in ("quantile", "member", "ecosystem", "region")}
        sizes |= {"time": 12, "bnds": 2, "latitude": grid.shape[0], "longitude": grid.shape[1]}
        variables = _coordinates(source, year)
        for dim, words in (("ecosystem", "ecosystem class"), ("region", "region of the budget")):
            names = [str(n) for n in source.ds[dim].values]
            sizes[f"{dim}_length"], variables[f"{dim}_name"] = labels(names, dim, words)
        variables |= _fields(source, year)
        told = provenance.attributes(source, (year,), "cf-netcdf", request)
        told |= {"Conventions": CONVENTIONS, "cdm_data_type": "Grid"}
        told |= {"standard_name_vocabulary": "CF Standard Name Table v93"}
        covered = provenance.coverage((year,), f"{grid.resolution:g} degree")
        write(path, sizes, variables, told | covered)
        expected = source.budget(year, request)
        return departure(path, (flux,), grid.cell_area, seconds(year), expected)

    return make


def _coordinates(source: Source, year: int) -> dict[str, Variable]:
    ds, edges = source.ds, days(year)
    calendar = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian"}
    time = calendar | {
        "standard_name": "time",
        "long_name": "first day of the month",
        "axis": "T",
        "bounds": "time_bnds",
        "units_metadata": "leap_seconds: none",
    }
    found = {
        "time": Variable(("time",), "i4", whole(edges[:, 0]), time),
        "time_bnds": Variable(("time", "bnds"), "i4", whole(edges), {}),
        "crs": Variable((), "i4", whole(0), dict(_plain(ds["crs"].attrs))),
    }
    for name in ("latitude", "longitude"):
        found[name] = Variable((name,), "f8", whole(ds[name].values), _plain(ds[name].attrs))
        found[f"{name}_bnds"] = Variable((name, "bnds"), "f8", whole(ds[f"{name}_bnds"].values), {})
    for name, kind in (("member", "i4"), ("quantile", "f8")):
        found[name] = Variable((name,), kind, whole(ds[name].values), _plain(ds[name].attrs))
    return found


def _fields(source: Source, year: int) -> dict[str, Variable]:
    """Variables with values, in the order of the product's contract."""
    flux, name = source.gas.flux, source.gas.name
    found = {
        n: _field(source, year, n)
        for n in (
            flux,
            f"{flux}_standard_error",
            f"{flux}_quantile",
            f"{flux}_density",
            "ecosystem_fraction",
            "dissimilarity_index",
            "quality_flag",
            "land_fraction",
        )
    }
    ds, table = source.ds, source.ds[f"{name}_budget"].isel(time=source.months(year))
    area = _plain(ds["cell_area"].attrs) | {"grid_mapping": "crs"}
    found["cell_area"] = Variable(CELL[1:], "f8", whole(ds["cell_area"].values), _uncircular(area))
    attrs = _plain(table.attrs) | {"coordinates": "ecosystem_name region_name"}
    # CF wants time to the right of what is no place
    dims = ("member", "ecosystem", "region", "time")
    found[f"{name}_budget"] = Variable(dims, "f8", whole(table.transpose(*dims).values), attrs, NAN)
    return found


def _field(source: Source, year: int, name: str) -> Variable:
    """A variable (..., latitude, longitude), read and written a stripe of one leading index at a time."""
    array = source.ds[name]
    dims = tuple(str(d) for d in array.dims)
    attrs = _plain(array.attrs)
    if dims[0] in ("ecosystem", "quantile"):
        attrs |= {"coordinates": "ecosystem_name"} if dims[0] == "ecosystem" else {}
    flag = array.dtype.kind == "u"
    if flag:
        attrs["flag_values"] = np.asarray(attrs["flag_values"], np.int8)

    def parts() -> Iterator[Part]:
        leading = array.sizes[dims[0]] if dims[0] in ("ecosystem", "quantile") else None
        for k in range(leading or 1):
            at: dict[str, int] = {} if leading is None else {dims[0]: k}
            for rows in source.stripes():
                values = source.read(name, year, rows, **at)
                values = values.view(np.int8) if flag else values
                place = (slice(None),) * (values.ndim - 2) + (rows,)
                yield ((k, *place) if leading is not None else place), values

    kind = "i1" if flag else "f4"
    return Variable(dims, kind, parts, attrs, FLAG_FILL if flag else NAN)


def _plain(attrs: dict[Hashable, Any]) -> dict[str, Any]:
    """Attributes that a NetCDF file can hold, fills left to the file."""
    return {str(k): v for k, v in attrs.items() if k != "_FillValue"}


def _uncircular(attrs: dict[str, Any]) -> dict[str, Any]:
    """Attributes of the areas themselves, which are not measured by themselves."""
    return {k: v for k, v in attrs.items() if k != "cell_measures"}
