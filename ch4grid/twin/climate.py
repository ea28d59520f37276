"""The twin's climate: what each driver is at a place in a month, from its mean, its seasonal cycle and its anomaly.

A driver is `x = f(mean + amplitude cos(2 pi (month - peak) / 12) + spread anomaly)` with f the identity, the
exponential or a saturating soil; mean, amplitude and spread follow latitude, height and the distance from the sea.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ch4grid.twin.surface import GREENNESS, RAIN, WIND, Surface
from ch4grid.vocabulary import SECONDS_PER_DAY

Float = NDArray[np.float64]
Form = Literal["identity", "log", "soil"]

# ERA5's top soil layer: 0.07 m of soil; water contents at the wilting point and between it and saturation [m3 m-3].
SOIL_DEPTH = 0.07
WATER_DENSITY = 1000.0
DRY_SOIL = 0.05
PORE_SPACE = 0.40

LAPSE_RATE = 0.0065
MELTING = 273.15
SEA_LEVEL_PRESSURE = 101325.0
SCALE_HEIGHT = 8000.0


@dataclass(frozen=True, eq=False)
class Cycle:
    """The climate of one driver on a lattice, in the space where its causes act.

    Args:
        form: How that space maps to the driver's units: `identity`, `log`, or `soil` for the logit of saturation.
        mean: Annual mean (n, m).
        amplitude: Half the seasonal range (n, m); negative where the peak falls into the southern summer.
        peak: Month of the northern peak, 1 to 12.
        spread: Standard deviation of the anomalies (n, m).
    """

    form: Form
    mean: Float
    amplitude: Float
    peak: Float
    spread: Float

    def at(self, month: NDArray[np.int64], anomaly: Float | float = 0.0) -> Float:
        """Values (t, n, m) in the driver's units at calendar months (t), with anomalies (t, n, m)."""
        angle = 2 * np.pi * (np.asarray(month)[:, None, None] - self.peak) / 12
        return self.to_units(self.mean + self.amplitude * np.cos(angle) + self.spread * anomaly)

    def to_units(self, inner: Float) -> Float:
        """From the space where causes act to the driver's units."""
        if self.form == "identity":
            return inner
        if self.form == "log":
            return np.exp(inner)
        return (DRY_SOIL + PORE_SPACE / (1 + np.exp(-inner))) * SOIL_DEPTH * WATER_DENSITY

    def from_units(self, value: Float) -> Float:
        """From the driver's units to the space where causes act."""
        if self.form == "identity":
            return value
        if self.form == "log":
            return np.log(value)
        saturation = (value / (SOIL_DEPTH * WATER_DENSITY) - DRY_SOIL) / PORE_SPACE
        return np.log(saturation) - np.log1p(-saturation)


@dataclass(frozen=True, eq=False)
class Climate:
    """The mean climate of a surface: one `Cycle` per driver and one for the dewpoint depression."""

    surface: Surface

    @property
    def cycles(self) -> Mapping[str, Cycle]:
        """Cycles by driver name; `vpd` is that of the dewpoint depression [K], see `vapour_pressure_deficit`."""
        return self._energy | self._water | self._wind | self._vegetation

    @cached_property
    def _place(self) -> tuple[Float, Float, Float]:
        lattice = self.surface.lattice
        full = np.broadcast_to(lattice.parallel, lattice.shape)
        return full, np.tanh(full / 8), np.abs(np.sin(np.deg2rad(full)))

    @cached_property
    def _energy(self) -> dict[str, Cycle]:
        degrees, side, tilt = self._place
        inland = self.surface.continentality
        mean = MELTING + 28.0 - 45.0 * tilt**2.5 - LAPSE_RATE * self.surface.elevation
        swing = side * (0.8 + (3.0 + 13.0 * inland) * tilt**1.3)
        soil = side * np.minimum(np.abs(swing) * 0.7, 8.0)
        radiation = 85.0 + 130.0 * np.cos(np.deg2rad(degrees)) ** 2
        course = side * np.minimum(1.05 * tilt**0.9, 1.3)
        ones = np.ones_like(mean)
        return {
            "tas": Cycle("identity", mean, swing, 7.0 * ones, 1.1 + 1.1 * tilt),
            "tsl": Cycle("identity", mean + 1.5, soil, 7.5 * ones, 0.8 + 0.8 * tilt),
            "rsds": Cycle("log", np.log(radiation), course, 6.3 * ones, 0.09 * ones),
            "lst_day": Cycle("identity", mean + 5.0, swing * 1.15, 6.8 * ones, 1.8 * ones),
            "lst_night": Cycle("identity", mean - 5.0, swing * 0.9, 7.1 * ones, 1.6 * ones),
        }

    @cached_property
    def _rain(self) -> Float:
        degrees, _, _ = self._place
        belts = 5.5 * np.exp(-((degrees / 12) ** 2)) + 2.2 * np.exp(
            -(((np.abs(degrees) - 47) / 15) ** 2)
        )
        rain: Float = (0.4 + belts) * np.exp(0.3 * self.surface.random[RAIN])
        return rain

    @cached_property
    def _water(self) -> dict[str, Cycle]:
        degrees, side, tilt = self._place
        tropics = np.exp(-((degrees / 22) ** 2))
        inland = self.surface.continentality
        rain = np.log(self._rain / SECONDS_PER_DAY)
        season = side * (0.9 * tropics + 0.2 * inland * (1 - tropics))
        wet = np.log(self._rain / 1.8) * 0.8
        moist = side * (0.7 * tropics - 0.35 * inland * (1 - tropics))
        dry = np.log(2.0 + 12.0 * np.exp(-self._rain / 1.5) * np.cos(np.deg2rad(degrees)))
        ones = np.ones_like(rain)
        return {
            "pr": Cycle("log", rain, season, 7.5 * ones, 0.35 * ones),
            "mrsos": Cycle("soil", wet, moist, 8.3 * ones, 0.45 * ones),
            "vpd": Cycle("log", dry, 0.25 * side * tilt - 0.2 * season, 7.0 * ones, 0.20 * ones),
        }

    @cached_property
    def _wind(self) -> dict[str, Cycle]:
        _, side, tilt = self._place
        surface = self.surface
        speed = np.log(3.0 + 3.5 * (1 - surface.lattice.land)) + 0.12 * surface.random[WIND]
        height = SEA_LEVEL_PRESSURE * np.exp(-surface.elevation / SCALE_HEIGHT)
        ones = np.ones_like(speed)
        inland = surface.continentality
        return {
            "sfcWind": Cycle("log", speed, -0.12 * side * tilt, 7.0 * ones, 0.15 * ones),
            "ps": Cycle("identity", height, -250.0 * side * inland, 7.0 * ones, 150 + 250 * tilt),
        }

    @cached_property
    def _vegetation(self) -> dict[str, Cycle]:
        degrees, side, tilt = self._place
        warm = 1 / (1 + np.exp(-(self._energy["tas"].mean - 270.0) / 4))
        damp = 1 - np.exp(-self._rain / 1.6)
        mean = 0.06 + 0.36 * warm * damp + 0.03 * self.surface.random[GREENNESS] * warm
        season = side * warm * (0.13 * np.clip(tilt * 1.4, 0, 1) + 0.03)
        ones = np.ones_like(mean)
        frozen = np.abs(degrees) > 80
        spread = np.where(frozen, 0.004, 0.03)
        return {"evi": Cycle("identity", mean, season, 7.6 * ones, spread)}


def vapour_pressure_deficit(temperature: Float, depression: Float) -> Float:
    """Vapour pressure deficit [Pa] of air at `temperature` [K] with a dewpoint lower by `depression` [K]."""
    return saturation_pressure(temperature) - saturation_pressure(temperature - depression)


def saturation_pressure(temperature: Float) -> Float:
    """Saturation vapour pressure over water [Pa] at a temperature [K].

    Source: Alduchov and Eskridge (1996), Journal of Applied Meteorology 35, 601-609, eq. 21.
    """
    celsius = np.asarray(temperature) - MELTING
    pressure: Float = 610.94 * np.exp(17.625 * celsius / (celsius + 243.04))
    return pressure
