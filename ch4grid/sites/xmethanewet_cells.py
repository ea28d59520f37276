"""Simulated cells of X-MethaneWet, TEM-MDM (Hugging Face ymsun99/X-MethaneWet), as samples.

Files are NetCDF in the layout of the data card: variables (year, month 12, day 31, lat 360, lon 720), or without day,
or without time; untested on the published files. Days after the end of a month are padding. Vapour pressure and the
annual concentrations of the card have no word in the vocabulary and are not read.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ch4grid.ecosystems import wetland_class
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.sites.clusters import clusters
from ch4grid.sites.stations import MISSING
from ch4grid.vocabulary import DYNAMIC, ECOSYSTEMS, FLUX_UNITS, VARIABLES, Gas, months

Floats = NDArray[np.float64]

TIME = ("year", "month", "day")
SPACE = ("lat", "lon")


class Native(BaseModel):
    """A variable of the simulation.

    Args:
        name: Its name in the files.
        factor: What its values are multiplied by to give our units.
        offset: What is added then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    factor: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Wanted:
    """What is read of a simulation.

    Args:
        label: The simulated flux, to kg m-2 s-1.
        variables: Vocabulary name to a driver or a static.
        cells: Largest number of cells; they are drawn from those that have a label.
        seed: Seed of the draw.
    """

    label: Native
    variables: Mapping[str, Native]
    cells: int
    seed: int


class Simulation:
    """Open files of the simulation, each variable found by its name in the order of the files.

    Args:
        paths: The files.
        grid: The grid that all are on.

    Raises:
        InputError: A file is on another grid or on one of another orientation.
    """

    def __init__(self, paths: Sequence[Path], grid: Grid) -> None:
        self.grid = grid
        with ExitStack() as stack:
            self.files = [
                stack.enter_context(xr.open_dataset(p, engine="netcdf4", decode_times=False))
                for p in paths
            ]
            for path, file in zip(paths, self.files, strict=True):
                _check_grid(file, grid, path)
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def parts(self, name: str) -> list[xr.DataArray]:
        """The variable in each file that has it, dims in one order."""
        found = [f[name] for f in self.files if name in f]
        if not found:
            held = sorted({str(n) for f in self.files for n in f.data_vars})
            raise InputError(
                f"variable {name!r} is missing", where="simulation", expected=name, found=held
            )
        for part in found:
            if not set(SPACE) <= set(part.dims) <= {*TIME, *SPACE}:
                raise InputError(
                    f"variable {name!r} has wrong dimensions",
                    where="simulation",
                    expected="(year, month, day, lat, lon), (year, month, lat, lon) or (lat, lon)",
                    found=part.dims,
                )
        return [p.transpose(*(d for d in (*TIME, *SPACE) if d in p.dims)) for p in found]

    def labelled(self, name: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the cells that have a value on the first day."""
        part = self.parts(name)[0]
        first = part.isel({d: 0 for d in TIME if d in part.dims}).values
        rows, columns = np.nonzero(_known(first))
        return rows, columns

    def monthly(
        self, native: Native, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> dict[int, Floats]:
        """Year to the monthly means (cells, 12) of a variable, read year by year."""
        years: dict[int, Floats] = {}
        for part in self.parts(native.name):
            for i, year in enumerate(part["year"].values.astype(int).tolist()):
                if year in years:
                    raise InputError(f"year {year} of {native.name!r} stands twice", where="files")
                values = part.isel(year=i).values[..., rows, columns]
                means = _month_means(values, year) if "day" in part.dims else values
                known = np.where(_known(means), means, np.nan)
                years[year] = known.T.astype(np.float64) * native.factor + native.offset
        return years


def simulated_samples(simulation: Simulation, wanted: Wanted, gas: Gas) -> xr.Dataset:
    """Samples of the cells drawn, over the years that all variables have.

    Raises:
        InputError: A variable is missing or has wrong dimensions, or the years have a gap.
    """
    rows, columns = simulation.labelled(wanted.label.name)
    index = np.random.default_rng(wanted.seed).permutation(len(rows))[: wanted.cells]
    rows, columns = rows[np.sort(index)], columns[np.sort(index)]
    moving = {n: v for n, v in wanted.variables.items() if n in DYNAMIC}
    series = {n: simulation.monthly(v, rows, columns) for n, v in moving.items()}
    series[gas.flux] = simulation.monthly(wanted.label, rows, columns)
    years = _common_years(series)
    out = _places(simulation.grid, rows, columns, years)
    for name, by_year in series.items():
        attrs = VARIABLES[name].attrs if name in VARIABLES else {"units": FLUX_UNITS}
        values = np.concatenate([by_year[y] for y in years], axis=1)
        out[name] = (("site", "time"), values, attrs)
        if name in moving:
            out[f"{name}_mean"] = out[name].mean("time")
    out[f"{gas.flux}_coverage"] = out[gas.flux].notnull().astype(np.float64)
    for name in (n for n in wanted.variables if n not in DYNAMIC):
        native = wanted.variables[name]
        values = _static(simulation, native.name)[rows, columns]
        out[name] = ("site", values * native.factor + native.offset, VARIABLES[name].attrs)
    return out


def _places(
    grid: Grid, rows: NDArray[np.intp], columns: NDArray[np.intp], years: Sequence[int]
) -> xr.Dataset:
    """Coordinates of the cells; each is the freshwater wetland of its latitude."""
    latitude, longitude = grid.latitude[rows], grid.longitude[columns]
    return xr.Dataset(
        coords={
            "site": [f"TEM-{r:03d}-{c:03d}" for r, c in zip(rows, columns, strict=True)],
            "time": months(years[0], years[-1]),
            "latitude": ("site", latitude),
            "longitude": ("site", longitude),
            "ecosystem": ("site", [ECOSYSTEMS.index(n) for n in wetland_class(latitude)]),
            "cluster": ("site", clusters(latitude, longitude)),
        },
        attrs={"step": "month"},
    )


def _common_years(series: Mapping[str, Mapping[int, Floats]]) -> list[int]:
    years = sorted(set.intersection(*(set(s) for s in series.values())))
    if not years or years[-1] - years[0] + 1 != len(years):
        raise InputError(
            "the simulated variables share no unbroken series of years",
            where="simulation",
            expected="consecutive years",
            found=years,
        )
    return years


def _static(simulation: Simulation, name: str) -> Floats:
    """A variable (lat, lon)."""
    part = simulation.parts(name)[0]
    if part.dims != SPACE:
        raise InputError(
            f"variable {name!r} is no static", where="simulation", expected=SPACE, found=part.dims
        )
    values = part.values.astype(np.float64)
    return np.where(_known(values), values, np.nan)


def _month_means(values: NDArray[Any], year: int) -> Floats:
    """Means (12, cells) of days (12, 31, cells) that the month has; what stands after its end is padding."""
    days = months(year, year).days_in_month.to_numpy()
    there = np.arange(values.shape[1]) < days[:, None]
    good = _known(values) & there[..., None]
    count = good.sum(axis=1)
    total = np.where(good, values, 0.0).sum(axis=1, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _known(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(values) & (values > MISSING))


def _check_grid(file: xr.Dataset, grid: Grid, path: Path) -> None:
    """Refuse a file whose axes are not the centres of the cells, south to north and west to east."""
    for name, centres in (("lat", grid.latitude), ("lon", grid.longitude)):
        if name not in file.coords or file[name].shape != centres.shape:
            raise InputError(
                f"{name} is missing or has another length",
                where=path,
                expected=f"{len(centres)} cell centres",
                found=dict(file.sizes),
            )
        if not np.allclose(file[name].values, centres, atol=1e-3):
            raise InputError(
                f"{name} does not hold the centres of the cells in ascending order",
                where=path,
                expected=f"{centres[0]:g}, {centres[1]:g} to {centres[-1]:g}",
                found=file[name].values[[0, 1, -1]].tolist(),
                fix="Sort the file from south to north and from 180 degrees west eastwards",
            )
