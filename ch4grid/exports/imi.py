"""The Integrated Methane Inversion: a prior of wetland emissions on a grid of GEOS-Chem, with its standard deviation.

Contract: see `CONTRACT`, which `ch4grid export --for imi --describe` prints.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ch4grid.exports import coards, hemco, provenance
from ch4grid.exports.closure import departure
from ch4grid.exports.contract import Contract
from ch4grid.exports.export import Export, Piece
from ch4grid.exports.geoschem import configuration
from ch4grid.exports.grids import GRIDS, ModelGrid
from ch4grid.exports.netcdf import Part, Variable, write
from ch4grid.exports.request import Request
from ch4grid.exports.sectors import WETLANDS
from ch4grid.exports.source import Source, seconds
from ch4grid.regridding import Cells
from ch4grid.regridding.fields import separable_means
from ch4grid.regridding.weights import Separable, conservative_weights

Float = NDArray[np.float64]

EMISSION = "emis_ch4"
ERROR = "emis_ch4_standard_deviation"
# Target rows whose standard deviation is made at a time: some 100 MB at 0.25 degrees with ten members.
ROWS = 60

CONTRACT = Contract(
    purpose="The Integrated Methane Inversion (IMI 2), which makes its prior with HEMCO standalone.",
    files="PRODUCT_VERSION_SCENARIO_imi_GRID[_CHOICE]_YYYY.nc, one a year, and ..._HEMCO_Config.rc, the line that "
    "reads them; the layout is that of the IMI's wetland fields (LPJ_MERRA2_$YYYY_0.5x0.5.nc, variable "
    "emis_ch4).",
    variables="emis_ch4 (time, lat, lon) float32, the sum of the classes, by default the wetland ones (category 10); "
    "emis_ch4_standard_deviation (time, lat, lon) float32, left out for a member; AREA (lat, lon) float64.",
    units="kg/m2/s of CH4 per area of the grid cell, positive upward; AREA in m2.",
    time="float64 `hours since YYYY-01-01 00:00:00`, standard calendar, first days of the months; no dimension is "
    "unlimited.",
    grid="--grid 0.25x0.3125, 0.5x0.625, 2x2.5 or 4x5 (default 2x2.5) of GEOS-Chem, half cells at the poles, lon "
    "from -180; conservative, and each cell keeps its mass on GEOS-Chem's sphere (radius 6371.0072 km), on "
    "which AREA is.",
    missing="0, no _FillValue and no NaN.",
    law="Sum over cells of emis_ch4 x AREA x seconds of the month is the product's budget of the classes to 1e-6 "
    "of the gross flux.",
    consumer="Adds the line to the HEMCO_Config.rc of its template run directory, switches off JPL_WETCHARTS and "
    "LPJ_MERRA2, and takes prior errors from the standard deviation: relative to the prior it is what the "
    "IMI's PriorError is for every element of the state.",
    checked="Against the wetland section of the IMI's own HEMCO_Config.rc, by the check of COARDS and by gcpy 1.8; not "
    "by a run of the IMI.",
)


class IMI(Export):
    """A prior for the Integrated Methane Inversion."""

    name = "imi"
    contract = CONTRACT
    takes = frozenset({"ecosystems", "member", "grid"})
    grids = ("2x2.5", *(n for n in GRIDS if n != "2x2.5"))
    gases = ("ch4",)

    def classes(self, source: Source) -> tuple[str, ...]:
        """The wetland classes: what the sector holds whose place the prior takes."""
        found = tuple(e for e in source.ecosystems if e in WETLANDS)
        return found or source.ecosystems

    def reads(self, source: Source, request: Request) -> tuple[str, ...]:
        """Variables of the product that are read."""
        flux = source.gas.flux
        mean = (flux, f"{flux}_density", "ecosystem_fraction", f"{flux}_standard_error")
        there = mean if request.member is None else ()
        return (*there, f"{flux}_member", "cell_area", f"{source.gas.name}_budget", "time")

    def pieces(self, source: Source, request: Request) -> Iterator[Piece]:
        """One file a year, then the line of HEMCO_Config.rc."""
        base = "_".join(p for p in (source.stem, self.name, request.grid, request.label) if p)
        for year in request.years:
            yield Piece(f"{base}_{year}.nc", (year,), _maker(source, request, year))
        entry = hemco.entry_of_sum(EMISSION, request.ecosystems)
        yield configuration(source, request, self.name, base, [entry])


def _maker(source: Source, request: Request, year: int) -> Callable[[Path], float]:
    grid = GRIDS[request.grid]

    def make(path: Path) -> float:
        weights = conservative_weights(Cells.of_grid(source.grid), grid.cells, "wgs84")
        variables = coards.axes(year, grid.latitude, grid.longitude)
        variables[EMISSION] = _emission(source, request, year, weights)
        if request.member is None:
            variables[ERROR] = _error(source, request, year, weights)
        variables["AREA"] = coards.area(
            grid.area, "area of the grid cell on a sphere of radius 6371.0072 km"
        )
        sizes = {"time": 12, "lat": grid.latitude.size, "lon": grid.longitude.size}
        told = provenance.attributes(source, (year,), "imi", request)
        write(path, sizes, variables, {"Conventions": "COARDS", "grid": grid.name} | told)
        coards.check(path)
        expected = source.budget(year, request)
        return departure(path, (EMISSION,), grid.area, seconds(year), expected)

    return make


def regridded(fields: NDArray[np.floating[Any]], weights: Separable, grid: ModelGrid) -> Float:
    """Flux on a grid of GEOS-Chem (month, lat, lon) whose mass in every cell is that of the fields.

    Args:
        fields: Flux on the grid of the product (month, latitude, longitude), without missing values.
        weights: Conservative weights on WGS84.
        grid: The grid of GEOS-Chem, whose areas are those of a sphere.
    """
    # float64, so that the only rounding is that of the file
    means, _ = separable_means(fields.astype(np.float64), weights)
    return np.asarray(means * grid.flattening)


def deviation(
    members: Float, excess: Float, rows: csr_array, columns: csr_array
) -> NDArray[np.float64]:
    """Standard deviation of a regridded flux (month, lat, lon).

    Members are regridded one by one and their spread is taken of the results, so that errors that cells share do not
    cancel. What the standard error of a cell has beyond the spread of its members is its own and is added with squared
    weights.

    Args:
        members: Flux by member (member, month, latitude, longitude).
        excess: Variance that a cell has beyond the spread of its members (month, latitude, longitude).
        rows: Weights (lat, latitude).
        columns: Weights (lon, longitude).
    """
    between = np.stack([_both(rows, m, columns) for m in members]).var(axis=0, ddof=1)
    return np.asarray(np.sqrt(between + _both(rows.power(2), excess, columns.power(2))))


def _emission(source: Source, request: Request, year: int, weights: Separable) -> Variable:
    def parts() -> Iterator[Part]:
        stacked = [source.flux(year, request, rows) for rows in source.stripes()]
        flux = np.nan_to_num(np.concatenate(stacked, axis=1), nan=0.0)
        for month in range(flux.shape[0]):
            yield month, regridded(flux[month : month + 1], weights, GRIDS[request.grid])[0]

    long_name = f"upward flux of {source.gas.long_name} per area of the grid cell"
    return Variable(coards.DIMS, "f4", parts, {"long_name": long_name, "units": coards.UNITS})


def _error(source: Source, request: Request, year: int, weights: Separable) -> Variable:
    grid = GRIDS[request.grid]
    matrix, columns = weights.rows.matrix, weights.columns.matrix

    def parts() -> Iterator[Part]:
        for first in range(0, grid.latitude.size, ROWS):
            rows = slice(first, min(first + ROWS, grid.latitude.size))
            there = np.unique(matrix[rows].indices)
            near = slice(int(there[0]), int(there[-1]) + 1)
            members, excess = _spreads(source, request, year, near)
            found = deviation(members, excess, matrix[rows][:, near], columns)
            yield (slice(None), rows), found * grid.flattening[rows]

    comment = (
        "spread of the members regridded one by one, and what the standard error of a cell has beyond it, independent "
        "from cell to cell"
    )
    if request.ecosystems != source.ecosystems:
        comment += "; both times the share of the classes in the gross flux of the cell"
    attrs = {
        "long_name": f"standard deviation of the flux of {source.gas.long_name} per area of the grid cell",
        "units": coards.UNITS,
        "comment": comment,
    }
    return Variable(coards.DIMS, "f4", parts, attrs)


def _spreads(source: Source, request: Request, year: int, rows: slice) -> tuple[Float, Float]:
    """Members (member, month, lat, lon) [kg m-2 s-1] and the variance that cells have beyond their spread."""
    name = source.gas.flux
    share = np.nan_to_num(source.share(year, request.ecosystems, rows))
    members = np.nan_to_num(source.read(f"{name}_member", year, rows).astype(np.float64)) * share
    error = np.nan_to_num(source.read(f"{name}_standard_error", year, rows).astype(np.float64))
    excess = (error * share) ** 2 - members.var(axis=0, ddof=1)
    return members, np.maximum(excess, 0.0)


def _both(rows: csr_array, fields: Float, columns: csr_array) -> Float:
    """Weights of both axes applied to fields (month, lat, lon)."""
    return np.stack([np.asarray((rows @ f) @ columns.T) for f in fields])
