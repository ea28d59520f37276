"""`Twin`: a synthetic Earth whose causes are known, seen month by month on any lattice.

Two twins with the same settings are the same planet, whichever years or lattices are looked at; `truth` is the flux
that a product should find, `drivers` is what it is given.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import sha256_json
from ch4grid.twin.anomalies import simulate, simulate_unexplained
from ch4grid.twin.causes import DRIVERS, lasting_response
from ch4grid.twin.climate import Climate, vapour_pressure_deficit
from ch4grid.twin.flux import density, transformed_flux
from ch4grid.twin.lattice import Lattice
from ch4grid.twin.pulse import pulsed_flux
from ch4grid.twin.surface import Surface
from ch4grid.vocabulary import (
    ECOSYSTEMS,
    FLUX_UNITS,
    GASES,
    KG_PER_TG,
    VARIABLES,
    months,
    seconds_in_month,
)

Float = NDArray[np.float64]

# Changes whenever the same settings give another planet or other files, so that old files are not taken for new ones.
EDITION = 1
# Drivers that an intervention can add to in their own units; the others are changed by a share of themselves.
ADDITIVE = ("tas", "ps", "tsl", "evi", "lst_day", "lst_night")
RELATIVE = ("pr", "sfcWind", "rsds")


class Twin(BaseModel):
    """A planet.

    Args:
        seed: Seed of everything random.
        resolution: Size of its native cells [degrees]; must divide 180.
        towers: Number of flux towers.
        first_year: First simulated year.
        last_year: Last simulated year.
        intervention: Lasting changes by driver: an addition in the driver's units for temperatures, pressure and
            greenness, a share (0.1 is +10 %) for rain, wind and radiation. Level and climate that the flux refers
            to stay those of the untouched planet.
        propagate: Whether the consequences of an intervention for other drivers follow, or only the named ones change.
        urban_reversal: Whether effects of temperature and wind on methane change sign along the urban gradient.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: int = Field(default=1, ge=0)
    resolution: float = Field(default=2.0, gt=0)
    towers: int = Field(default=40, ge=14)
    first_year: int = 1999
    last_year: int = 2008
    intervention: dict[str, float] = Field(default_factory=dict)
    propagate: bool = True
    urban_reversal: bool = True

    @field_validator("resolution")
    @classmethod
    def _closes(cls, value: float) -> float:
        Grid(value)
        return value

    @model_validator(mode="after")
    def _ordered(self) -> "Twin":
        unknown = sorted(set(self.intervention) - set(ADDITIVE + RELATIVE))
        if self.last_year < self.first_year or unknown:
            raise ValueError(
                f"the years must be in order ({self.first_year} to {self.last_year}) and interventions among "
                f"{', '.join(ADDITIVE + RELATIVE)}; found {', '.join(unknown) or 'none unknown'}"
            )
        return self

    @property
    def key(self) -> str:
        """Name of the planet's folder: its seed, resolution and a digest of all settings."""
        digest = sha256_json({"edition": EDITION} | self.model_dump(mode="json"))[:8]
        return f"seed{self.seed}-{self.resolution:g}deg-{digest}"

    @property
    def cells(self) -> Lattice:
        """The native cells."""
        return Lattice.cells(self.resolution)

    def view(self, lattice: Lattice) -> "View":
        """The planet on a lattice."""
        return View(self, lattice)

    @property
    def native(self) -> "View":
        """The planet on its native cells, made anew: keep it while it is used, it remembers surface and climate."""
        return self.view(self.cells)

    @property
    def surface(self) -> Surface:
        """The surface of the native cells."""
        return self.native.surface

    def drivers(self, first_year: int, last_year: int) -> xr.Dataset:
        """All drivers (time, latitude, longitude), in our names and units, on the native cells; exact, no gaps."""
        time = months(first_year, last_year)
        at, native = self.steps(time), self.native
        values = {name: native.driver(name, at) for name in DRIVERS}
        return self._dataset(values, time)

    def statics(self) -> xr.Dataset:
        """Elevation, soil carbon and area layers on the native cells; `wetland_fraction` is (month, ...)."""
        surface = self.surface
        values = surface.layers | {
            "elevation": surface.elevation,
            "soil_organic_carbon": surface.soil_organic_carbon,
        }
        data = {
            n: (
                ("month", "latitude", "longitude")[3 - v.ndim :],
                v.astype(np.float32),
                VARIABLES[n].attrs,
            )
            for n, v in values.items()
        }
        coords = Grid(self.resolution).coords | {"month": np.arange(1, 13)}
        return xr.Dataset(data, coords=coords)

    def truth(self, year: int, gas: str = "ch4") -> xr.Dataset:
        """The true flux of a year on the native cells.

        Args:
            year: A simulated year.
            gas: Name of the gas.

        Returns:
            For methane, `ch4_flux_density` (ecosystem, time, latitude, longitude) and `ch4_flux` (time, latitude,
            longitude) [kg m-2 s-1]; `ecosystem_fraction` (ecosystem, time, latitude, longitude) [1], `cell_area` [m2].
            The density is NaN where the class is absent, the flux where there is no land.
        """
        time = months(year, year)
        native = self.native
        fraction = native.surface.fractions
        block = np.stack([native.density(name, self.steps(time), gas) for name in ECOSYSTEMS])
        land = native.lattice.land > 0
        flux = np.where(land, (block * fraction).sum(axis=0), np.nan)
        dims = ("ecosystem", "time", "latitude", "longitude")
        grid = Grid(self.resolution)
        units, name = {"units": FLUX_UNITS}, GASES[gas].flux
        return xr.Dataset(
            {
                f"{name}_density": (dims, np.where(fraction > 0, block, np.nan), units),
                name: (dims[1:], flux, units),
                "ecosystem_fraction": (dims, fraction, {"units": "1"}),
                "cell_area": (dims[2:], grid.cell_area, {"units": "m2"}),
            },
            coords=grid.coords | {"time": time, "ecosystem": list(ECOSYSTEMS)},
        )

    def true_totals(self, year: int, gas: str = "ch4") -> dict[str, float]:
        """True emission of each class in a year [Tg of the gas]."""
        truth, name = self.truth(year, gas), GASES[gas].flux
        seconds = xr.DataArray(seconds_in_month(months(year, year)), dims="time")
        mass = truth[f"{name}_density"] * truth["ecosystem_fraction"] * truth["cell_area"] * seconds
        total = mass.sum(("time", "latitude", "longitude")) / KG_PER_TG
        return {str(name): float(total.sel(ecosystem=name)) for name in ECOSYSTEMS}

    def true_total(self, year: int, gas: str = "ch4") -> float:
        """True emission of all classes in a year [Tg of the gas]."""
        return sum(self.true_totals(year, gas).values())

    def steps(self, time: pd.DatetimeIndex) -> NDArray[np.int64]:
        """Positions (t) of months in the simulation.

        Raises:
            InputError: A month lies outside the simulated years.
        """
        first, last = int(time.year.min()), int(time.year.max())
        if first < self.first_year or last > self.last_year:
            raise InputError(
                "the twin has no such year",
                where="twin",
                expected=f"years within {self.first_year} to {self.last_year}",
                found=f"{first} to {last}",
                fix="Choose a period within the simulated years",
            )
        return np.asarray((time.year - self.first_year + 1) * 12 + time.month - 1, dtype=np.int64)

    def _dataset(self, values: Mapping[str, Float], time: pd.DatetimeIndex) -> xr.Dataset:
        dims = ("time", "latitude", "longitude")
        data = {n: (dims, v.astype(np.float32), VARIABLES[n].attrs) for n, v in values.items()}
        return xr.Dataset(data, coords=Grid(self.resolution).coords | {"time": time})


class View:
    """A planet on one lattice.

    Args:
        twin: The planet.
        lattice: Where to look.
    """

    def __init__(self, twin: Twin, lattice: Lattice) -> None:
        self.twin = twin
        self.lattice = lattice
        self.surface = Surface(twin.seed, lattice)
        self.climate = Climate(self.surface)

    def driver(self, name: str, steps: NDArray[np.int64]) -> Float:
        """Values (t, n, m) of a driver in its units at simulation steps (t)."""
        if name == "vpd":
            return vapour_pressure_deficit(self.driver("tas", steps), self.depression(steps))
        return self._value(name, steps)

    def depression(self, steps: NDArray[np.int64]) -> Float:
        """Dewpoint depression (t, n, m) [K] at simulation steps (t)."""
        return self._value("vpd", steps)

    def density(self, ecosystem: str, steps: NDArray[np.int64], gas: str = "ch4") -> Float:
        """True flux density (t, n, m) [kg m-2 s-1] of a gas and a class, also where the class is absent."""

        def value(name: str, lag: int) -> Float:
            return self.driver(name, steps - lag)

        row, number = GASES[gas], ECOSYSTEMS.index(ecosystem)
        if row.process == "pulse":
            luck = self._unexplained(gas, number, steps), self._unexplained(gas, -1 - number, steps)
            return pulsed_flux(ecosystem, self.climate, value, luck) * row.kg_per_nmol
        noise = (
            self._anomaly(len(DRIVERS) + number, steps)
            if gas == "ch4"
            else self._unexplained(gas, number, steps)
        )
        reversal = self.twin.urban_reversal
        found = transformed_flux(ecosystem, self.climate, value, noise, gas=gas, reversal=reversal)
        return density(found, gas)

    def _unexplained(self, gas: str, series: int, steps: NDArray[np.int64]) -> Float:
        twin = self.twin
        coefficients = _unexplained(twin.seed, gas, twin.first_year, twin.last_year)
        return self.lattice.spread(coefficients[steps, series])

    def _anomaly(self, series: int, steps: NDArray[np.int64]) -> Float:
        twin = self.twin
        coefficients = _coefficients(twin.seed, twin.first_year, twin.last_year)
        return self.lattice.spread(coefficients[steps, series])

    def _value(self, name: str, steps: NDArray[np.int64]) -> Float:
        cycle = self.climate.cycles[name]
        anomaly = self._anomaly(DRIVERS.index(name), steps) + self._forcing(name)
        value = cycle.at(steps % 12 + 1, anomaly)
        return np.clip(value, -0.05, 0.95) if name == "evi" else value

    def _forcing(self, name: str) -> Float:
        """Lasting anomaly (n, m) of a driver under the planet's intervention, in standard deviations."""
        changes = self.twin.intervention
        if not changes:
            return np.zeros(self.lattice.shape)
        if not self.twin.propagate:
            forced = self._forced(name, changes[name]) if name in changes else 0.0
            return np.broadcast_to(forced, self.lattice.shape)
        response = lasting_response(changes)[DRIVERS.index(name)]
        shifts = [response[DRIVERS.index(n)] * self._forced(n, s) for n, s in changes.items()]
        total: Float = np.sum(shifts, axis=0, dtype=np.float64)
        return total

    def _forced(self, name: str, size: float) -> Float:
        inner = size if name in ADDITIVE else np.log1p(size)
        return inner / self.climate.cycles[name].spread


@lru_cache(maxsize=2)
def _coefficients(seed: int, first_year: int, last_year: int) -> NDArray[np.float32]:
    # A pure function that costs a second; kept so that the views of a planet share one simulation.
    return simulate(seed, first_year, last_year)


@lru_cache(maxsize=2)
def _unexplained(seed: int, gas: str, first_year: int, last_year: int) -> NDArray[np.float32]:
    # Kept like the simulation of the drivers. A pulse needs two series per class: its luck and its size.
    series = len(ECOSYSTEMS) * (2 if GASES[gas].process == "pulse" else 1)
    return simulate_unexplained(seed, list(GASES).index(gas), series, first_year, last_year)
