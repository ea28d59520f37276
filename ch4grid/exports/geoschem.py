"""GEOS-Chem: emissions for HEMCO on the grid of the product, one file a year, and the lines that read them.

Contract: see `CONTRACT`, which `ch4grid export --for geoschem --describe` prints.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ch4grid.exports import coards, hemco, provenance
from ch4grid.exports.closure import departure
from ch4grid.exports.contract import Contract
from ch4grid.exports.export import Export, Piece
from ch4grid.exports.netcdf import Part, Variable, write
from ch4grid.exports.request import Request
from ch4grid.exports.source import Source, seconds
from ch4grid.stores import write_atomic

TOTAL = "emi_ch4"

CONTRACT = Contract(
    purpose="GEOS-Chem Classic, GCHP and any other model that reads emissions through HEMCO.",
    files="PRODUCT_VERSION_SCENARIO_geoschem[_CHOICE]_YYYY.nc, one a year, and ..._HEMCO_Config.rc, the lines that "
    "read them.",
    variables="emi_ch4 (time, lat, lon) float32, the sum of the classes; emi_ch4_CLASS (time, lat, lon) float32, one of"
    " each class, hyphens as underscores; AREA (lat, lon) float64. Use the sum or the classes, not both.",
    units="kg/m2/s of CH4 (not of C) per area of the grid cell, positive upward; AREA in m2.",
    time="float64 `hours since YYYY-01-01 00:00:00`, standard calendar, first days of the months, so the first is "
    "0; no dimension is unlimited.",
    grid="That of the product: lat ascending from -90, lon ascending from -180, centres. AREA is exact on WGS84; "
    "HEMCO multiplies with areas on a sphere, which makes a cell's mass 0.45 % larger at the equator and 0.9 "
    "% smaller at the poles; `--for imi` conserves the mass of every cell on that sphere.",
    missing="0: there is no _FillValue and no NaN, which HEMCO would carry into the model.",
    law="Sum over cells of emi_ch4 x AREA x seconds of the month is the product's budget of the classes to 1e-6 "
    "of the gross flux; emi_ch4 of all classes is the product's flux bit for bit.",
    consumer="Copies the files below $ROOT/CH4GRID, pastes the lines into the base emissions of HEMCO_Config.rc, sets "
    "`Negative values: 2`, and switches off the inventories of the same sectors.",
    checked="By an own check of COARDS on every file, and by gcpy 1.8 (format_hemco_data); not by a run of HEMCO.",
)


class GeosChem(Export):
    """Emissions for HEMCO on the grid of the product."""

    name = "geoschem"
    contract = CONTRACT
    takes = frozenset({"ecosystems", "member"})
    gases = ("ch4",)

    def reads(self, source: Source, request: Request) -> tuple[str, ...]:
        """Variables of the product that are read."""
        flux = source.gas.flux
        mean = (flux, f"{flux}_density", "ecosystem_fraction")
        members = (f"{flux}_member",) if request.member is not None else mean
        return (*members, "cell_area", f"{source.gas.name}_budget", "time", "latitude", "longitude")

    def pieces(self, source: Source, request: Request) -> Iterator[Piece]:
        """One file a year, then the lines of HEMCO_Config.rc."""
        base = "_".join(p for p in (source.stem, self.name, request.label) if p)
        for year in request.years:
            yield Piece(f"{base}_{year}.nc", (year,), _maker(source, request, year))
        if request.member is None:
            entries = [hemco.entry_of(n, variable_of(n)) for n in request.ecosystems]
        else:
            entries = [hemco.entry_of_sum(TOTAL, request.ecosystems)]
        yield configuration(source, request, self.name, base, entries)


def configuration(
    source: Source, request: Request, consumer: str, base: str, entries: Sequence[hemco.Entry]
) -> Piece:
    """The file with the lines of HEMCO_Config.rc."""
    told = provenance.attributes(source, request.years, consumer, request)
    notes = [
        f"{k}: {told[k]}"
        for k in ("citation", "license", "history", "source_store_sha256")
        if k in told
    ]

    def make(path: Path) -> None:
        write_atomic(path, hemco.config(request, f"{base}_$YYYY.nc", entries, notes))

    return Piece(f"{base}_HEMCO_Config.rc", request.years, make)


def variable_of(ecosystem: str) -> str:
    """Name of the variable of a class."""
    return f"{TOTAL}_{ecosystem.replace('-', '_')}"


def field(source: Source, year: int, request: Request, long_name: str) -> Variable:
    """The flux of a request (time, lat, lon) [kg/m2/s] with 0 where the product has no value."""

    def parts() -> Iterator[Part]:
        for rows in source.stripes():
            yield (slice(None), rows), np.nan_to_num(source.flux(year, request, rows), nan=0.0)

    return Variable(coards.DIMS, "f4", parts, {"long_name": long_name, "units": coards.UNITS})


def _maker(source: Source, request: Request, year: int) -> Callable[[Path], float]:
    grid = source.grid
    title = f"upward flux of {source.gas.long_name} per area of the grid cell"

    def make(path: Path) -> float:
        variables = coards.axes(year, grid.latitude, grid.longitude)
        variables[TOTAL] = field(source, year, request, f"{title}, sum of the classes")
        for name in request.ecosystems if request.member is None else ():
            one = Request((year,), (name,), selected=True)
            variables[variable_of(name)] = field(source, year, one, f"{title}, {name}")
        variables["AREA"] = coards.area(grid.cell_area, "area of the grid cell on WGS84")
        told = provenance.attributes(source, (year,), "geoschem", request)
        sizes = {"time": 12, "lat": grid.shape[0], "lon": grid.shape[1]}
        write(path, sizes, variables, {"Conventions": "COARDS"} | told)
        coards.check(path)
        return _proof(path, source, request, year)

    return make


def _proof(path: Path, source: Source, request: Request, year: int) -> float:
    """Both the sum and every class against the budget."""
    pairs = [((TOTAL,), request)]
    if request.member is None:
        pairs += [
            ((variable_of(n),), Request((year,), (n,), selected=True)) for n in request.ecosystems
        ]
    found = [
        departure(path, names, source.grid.cell_area, seconds(year), source.budget(year, asked))
        for names, asked in pairs
    ]
    return max(found)
