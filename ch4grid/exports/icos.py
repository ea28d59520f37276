"""ICOS Carbon Portal: a gridded flux in the manner of X-BASE, one file a year.

Contract: see `CONTRACT`, which `ch4grid export --for icos --describe` prints.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from ch4grid.cube.layout import TIME
from ch4grid.exports import provenance
from ch4grid.exports.closure import departure
from ch4grid.exports.contract import Contract
from ch4grid.exports.export import Export, Piece
from ch4grid.exports.netcdf import Part, Variable, whole, write
from ch4grid.exports.request import Request
from ch4grid.exports.source import Source, days, seconds
from ch4grid.vocabulary import FLUX_UNITS

DIMS = ("time", "lat", "lon")
NAN = float("nan")
CONVENTIONS = "CF-1.11, ACDD-1.3"

CONTRACT = Contract(
    purpose="The ICOS Carbon Portal and who works with its gridded fluxes, such as X-BASE of FLUXCOM-X.",
    files="GAS[-CHOICE]_YYYY_RRR_monthly.nc, one a year, RRR hundredths of a degree, as X-BASE "
    "(NEE_2001_050_monthly.nc).",
    variables="GAS (time, lat, lon) float32, named CH4 for methane; GAS_standard_error (time, lat, lon) float32, left "
    "out for a member; land_fraction float32 and cell_area float64 (lat, lon); time_bnds, lat_bnds, lon_bnds.",
    units="kg m-2 s-1 of the gas (X-BASE has gC m-2 d-1), per area of the grid cell, positive upward.",
    time="int32 `days since 1970-01-01`, first days of the months, with time_bnds; no dimension is unlimited.",
    grid="That of the product: lat ascending, lon from -180, centres; cell_area exact on WGS84.",
    missing="_FillValue NaN.",
    law="Sum over cells of GAS x cell_area x seconds of the month is the product's budget of the classes to 1e-6 "
    "of the gross flux; GAS of all classes is the product's flux bit for bit.",
    consumer="Previews and subsets it by variable; multiplies by cell_area, not by land_fraction, for totals.",
    checked="By compliance-checker, test cf:1.11, and by xarray; not by an upload to the Carbon Portal.",
)


class Icos(Export):
    """A gridded flux in the manner of X-BASE."""

    name = "icos"
    contract = CONTRACT
    takes = frozenset({"ecosystems", "member"})

    def reads(self, source: Source, request: Request) -> tuple[str, ...]:
        """Variables of the product that are read."""
        flux = source.gas.flux
        mean = (flux, f"{flux}_standard_error", f"{flux}_density", "ecosystem_fraction")
        fields = mean if request.member is None else (f"{flux}_member",)
        return (*fields, "cell_area", "land_fraction", f"{source.gas.name}_budget", "time")

    def pieces(self, source: Source, request: Request) -> Iterator[Piece]:
        """One file a year."""
        start = "-".join(p for p in (source.gas.formula, request.label) if p)
        hundredths = round(source.grid.resolution * 100)
        for year in request.years:
            name = f"{start}_{year}_{hundredths:03d}_monthly.nc"
            yield Piece(name, (year,), _maker(source, request, year))


def _maker(source: Source, request: Request, year: int) -> Callable[[Path], float]:
    grid, name = source.grid, source.gas.formula

    def make(path: Path) -> float:
        sizes = {"time": 12, "bnds": 2, "lat": grid.shape[0], "lon": grid.shape[1]}
        variables = _coordinates(source, year) | {name: _flux(source, request, year)}
        if request.member is None:
            variables[f"{name}_standard_error"] = _error(source, request, year)
        told = provenance.attributes(source, (year,), "icos", request)
        covered = provenance.coverage((year,), f"{grid.resolution:g} degree")
        write(path, sizes, variables, {"Conventions": CONVENTIONS} | told | covered)
        expected = source.budget(year, request)
        return departure(path, (name,), grid.cell_area, seconds(year), expected)

    return make


def _coordinates(source: Source, year: int) -> dict[str, Variable]:
    grid, edges = source.grid, days(year)
    found = {
        "time": Variable(("time",), "i4", whole(edges[:, 0]), TIME),
        "time_bnds": Variable(("time", "bnds"), "i4", whole(edges)),
    }
    bounds = {"lat": grid.latitude_bounds, "lon": grid.longitude_bounds}
    for short, name in (("lat", "latitude"), ("lon", "longitude")):
        attrs = {str(k): v for k, v in grid.coords[name].attrs.items()} | {
            "bounds": f"{short}_bnds"
        }
        found[short] = Variable((short,), "f8", whole(grid.coords[name].values), attrs)
        found[f"{short}_bnds"] = Variable((short, "bnds"), "f8", whole(bounds[short]))
    land = {
        "standard_name": "land_area_fraction",
        "long_name": "land area fraction",
        "units": "1",
        "cell_methods": "area: mean",
    }
    area = {"standard_name": "cell_area", "long_name": "area of the cell on WGS84", "units": "m2"}
    found["land_fraction"] = Variable(
        DIMS[1:], "f4", whole(source.ds["land_fraction"].values), land, NAN
    )
    found["cell_area"] = Variable(DIMS[1:], "f8", whole(grid.cell_area), area)
    return found


def _flux(source: Source, request: Request, year: int) -> Variable:
    def parts() -> Iterator[Part]:
        for rows in source.stripes():
            yield (slice(None), rows), source.flux(year, request, rows)

    attrs = _attrs(f"upward flux of {source.gas.long_name} per area of the grid cell")
    beside = f"{source.gas.formula}_standard_error"
    attrs |= {"ancillary_variables": beside} if request.member is None else {}
    return Variable(DIMS, "f4", parts, attrs, NAN)


def _error(source: Source, request: Request, year: int) -> Variable:
    def parts() -> Iterator[Part]:
        for rows in source.stripes():
            error = source.read(f"{source.gas.flux}_standard_error", year, rows)
            share = source.share(year, request.ecosystems, rows)
            yield (slice(None), rows), error if isinstance(share, float) else error * share

    attrs = _attrs(f"standard error of the flux of {source.gas.long_name}, of one cell and month")
    if request.ecosystems != source.ecosystems:
        attrs["comment"] = (
            "that of all classes times the share of the chosen ones in the gross flux"
        )
    return Variable(DIMS, "f4", parts, attrs, NAN)


def _attrs(long_name: str) -> dict[str, str]:
    return {
        "long_name": long_name,
        "units": FLUX_UNITS,
        "cell_methods": "time: mean area: mean",
        "cell_measures": "area: cell_area",
    }
