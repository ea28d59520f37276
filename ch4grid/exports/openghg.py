"""OpenGHG: fluxes in its own format for inversions of towers, one file a year.

Contract: see `CONTRACT`, which `ch4grid export --for openghg --describe` prints.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ch4grid.cube.layout import TIME
from ch4grid.exports import provenance
from ch4grid.exports.closure import departure
from ch4grid.exports.contract import Contract
from ch4grid.exports.export import Export, Piece
from ch4grid.exports.netcdf import Part, Variable, whole, write
from ch4grid.exports.request import Request
from ch4grid.exports.source import Source, days, seconds

DIMS = ("time", "lat", "lon")
DOMAIN = "GLOBAL"
UNITS = "mol/m2/s"
KG_PER_GRAM = 1e-3

CONTRACT = Contract(
    purpose="OpenGHG and openghg_inversions: standardise_flux(filepath, species, source, domain).",
    files="SPECIES-SOURCE_GLOBAL_YYYY.nc, one a year; SOURCE is PRODUCT-VERSION-SCENARIO[-CHOICE].",
    variables="flux (time, lat, lon) float32, and nothing else that has values.",
    units="mol/m2/s, per area of the grid cell, positive upward; molar mass 16.0425 g mol-1 for methane.",
    time="int32 `days since 1970-01-01`, first days of the months, the period in the attribute `period`; no "
    "dimension is unlimited.",
    grid="That of the product: lat ascending, lon from -180, centres. OpenGHG lays it on the domain of a footprint"
    " itself.",
    missing="0, so that the sum over a footprint is not lost to ocean cells.",
    law="Sum over cells of flux x molar mass x WGS84 area x seconds of the month is the product's budget of the "
    "classes to 1e-6 of the gross flux; times molar mass, a flux is the product's to 1.2e-7.",
    consumer="standardise_flux(filepath=FILE, species='ch4', source=SOURCE, domain='GLOBAL', store=STORE).",
    checked="By OpenGHG's own Flux.validate_data, parse_openghg and standardise_flux (0.19).",
)


class OpenGHG(Export):
    """Fluxes in the format of OpenGHG."""

    name = "openghg"
    contract = CONTRACT
    takes = frozenset({"ecosystems", "member"})

    def reads(self, source: Source, request: Request) -> tuple[str, ...]:
        """Variables of the product that are read."""
        flux = source.gas.flux
        mean = (flux, f"{flux}_density", "ecosystem_fraction")
        fields = mean if request.member is None else (f"{flux}_member",)
        return (*fields, "cell_area", f"{source.gas.name}_budget", "time")

    def pieces(self, source: Source, request: Request) -> Iterator[Piece]:
        """One file a year."""
        named = _source_name(source, request)
        for year in request.years:
            name = f"{source.gas.name}-{named}_{DOMAIN}_{year}.nc"
            yield Piece(name, (year,), _maker(source, request, year))


def _source_name(source: Source, request: Request) -> str:
    return "-".join(p for p in (source.stem, request.label) if p).replace("_", "-")


def _maker(source: Source, request: Request, year: int) -> Callable[[Path], float]:
    grid, gas = source.grid, source.gas
    kg_per_mol = gas.molar_mass * KG_PER_GRAM

    def parts() -> Iterator[Part]:
        for rows in source.stripes():
            flux = np.nan_to_num(source.flux(year, request, rows).astype(np.float64))
            yield (slice(None), rows), flux / kg_per_mol

    def make(path: Path) -> float:
        flux = {
            "long_name": f"upward flux of {gas.long_name} per area of the grid cell",
            "units": UNITS,
            "molar_mass": gas.molar_mass,
        }
        variables = _coordinates(source, year) | {"flux": Variable(DIMS, "f4", parts, flux)}
        told = provenance.attributes(source, (year,), "openghg", request)
        told |= {
            "Conventions": "CF-1.11",
            "species": gas.name,
            "domain": DOMAIN,
            "period": "1 month",
            "prior_file_1": told["id"],
            "prior_file_1_version": told["product_version"],
            "prior_file_1_reference": told["citation"],
        }
        write(path, {"time": 12, "lat": grid.shape[0], "lon": grid.shape[1]}, variables, told)
        expected = source.budget(year, request)
        return departure(path, ("flux",), grid.cell_area, seconds(year), expected, kg=kg_per_mol)

    return make


def _coordinates(source: Source, year: int) -> dict[str, Variable]:
    grid = source.grid
    time = {k: v for k, v in TIME.items() if k != "bounds"}
    found = {"time": Variable(("time",), "i4", whole(days(year)[:, 0]), time)}
    for short, name in (("lat", "latitude"), ("lon", "longitude")):
        attrs = {str(k): v for k, v in grid.coords[name].attrs.items() if k != "bounds"}
        found[short] = Variable((short,), "f8", whole(grid.coords[name].values), attrs)
    return found
