"""The twin's surface: continents, relief, soil, cities, and the area fractions of the ecosystem classes.

The continents are real; hills, wetlands, paddies and cities are Gaussian bumps near their real places, varied by the
seed. Area layers are disjoint by construction: each takes its share of what the layers before it have left of the land.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ch4grid.twin.anomalies import static_fields
from ch4grid.twin.lattice import SPACING, Bump, Lattice
from ch4grid.vocabulary import ECOSYSTEMS

Float = NDArray[np.float64]

MOUNTAINS = (
    Bump(33, 88, 4, 9, 4800),
    Bump(42, 76, 3, 6, 2600),
    Bump(-22, -67, 9, 2.5, 3600),
    Bump(0, -77, 6, 2.5, 2600),
    Bump(42, -110, 7, 6, 2000),
    Bump(60, -130, 5, 6, 1200),
    Bump(46, 10, 1.5, 4, 1500),
    Bump(9, 39, 4, 3, 2000),
    Bump(-3, 33, 8, 4, 1200),
    Bump(32, 55, 4, 6, 1500),
    Bump(48, 100, 5, 8, 1400),
    Bump(-29, 28, 3, 3, 1500),
    Bump(72, -40, 6, 9, 2500),
    Bump(-80, 80, 9, 50, 3000),
    Bump(-80, -100, 8, 30, 1600),
)

# Amazon, Pantanal, Congo, Sudd, Orinoco, Ganges delta, Indonesia, Okavango; West Siberia, Hudson Bay, Mackenzie, Lena,
# Fennoscandia, Alaska; Everglades, Prairies, Great Lakes, Pripyat, Danube, Amur, Parana, Murray, Ireland.
WETLANDS = (
    Bump(-4, -64, 4, 8, 0.39),
    Bump(-17, -57, 2.5, 2.5, 0.62),
    Bump(0, 18, 3, 4, 0.51),
    Bump(8, 30, 2, 2.5, 0.62),
    Bump(8, -68, 1.5, 3, 0.46),
    Bump(24, 89, 1.5, 2.5, 0.41),
    Bump(-1, 112, 4, 9, 0.32),
    Bump(-19, 23, 2, 2, 0.34),
    Bump(61, 74, 4, 8, 0.62),
    Bump(55, -86, 4, 8, 0.62),
    Bump(61, -118, 4, 8, 0.25),
    Bump(67, 130, 3, 20, 0.17),
    Bump(65, 26, 4, 7, 0.30),
    Bump(64, -156, 3, 8, 0.27),
    Bump(27, -81.5, 1.5, 1.5, 0.62),
    Bump(48, -100, 3, 5, 0.15),
    Bump(45.5, -89, 3, 5, 0.23),
    Bump(52, 27, 3, 6, 0.25),
    Bump(45.5, 28, 1.5, 2, 0.28),
    Bump(49, 132, 3, 5, 0.23),
    Bump(-31, -58.5, 3, 2, 0.32),
    Bump(-35, 144, 2, 3, 0.15),
    Bump(53, -8, 1.5, 2, 0.28),
)

PADDIES = (
    Bump(25.5, 84, 2.2, 5, 0.22),
    Bump(28.5, 114, 3.5, 4, 0.20),
    Bump(13.5, 102, 4, 3.5, 0.16),
    Bump(36, 138, 2.5, 2.5, 0.12),
    Bump(-7, 110, 1.5, 4, 0.18),
    Bump(45.2, 9.5, 1, 2, 0.10),
    Bump(34.5, -91, 1.5, 1.5, 0.12),
    Bump(39, -122, 1, 1, 0.12),
    Bump(15.5, 80.5, 2.5, 1.5, 0.15),
    Bump(-30, -53.5, 1.5, 1.5, 0.08),
)

# Large cities [degrees_north, degrees_east].
CITIES = (
    (35.7, 139.6),
    (28.6, 77.2),
    (31.2, 121.2),
    (-23.5, -46.8),
    (19.5, -99.1),
    (30.0, 31.2),
    (39.9, 116.2),
    (40.8, -74.4),
    (-34.8, -58.8),
    (41.1, 28.6),
    (22.8, 88.2),
    (6.8, 3.6),
    (23.0, 113.4),
    (34.1, -117.6),
    (55.7, 37.5),
    (48.9, 2.3),
    (51.6, -0.6),
    (41.8, -88.0),
    (51.8, 19.5),
    (51.5, 7.3),
    (-26.2, 28.0),
    (25.3, 67.4),
)
CITY_WIDTH = 0.9

# Rows of `static_fields`: what each smooth random field stands for.
RAIN, WIND, RELIEF, SOIL, WETNESS, GREENNESS, SITE = range(7)


@dataclass(frozen=True, eq=False)
class Surface:
    """What does not change from year to year, on one lattice.

    Args:
        seed: Seed of the planet.
        lattice: Where to look.
    """

    seed: int
    lattice: Lattice

    @cached_property
    def random(self) -> Float:
        """Smooth random fields of unit variance (field, n, m); see the names RAIN to SITE."""
        return self.lattice.spread(static_fields(self.seed))

    @cached_property
    def continentality(self) -> Float:
        """Land fraction of the wider surroundings (n, m) [1]."""
        return self.lattice.smooth(Lattice.cells(SPACING).land)

    @cached_property
    def elevation(self) -> Float:
        """Altitude (n, m) [m], 0 over sea."""
        rolling = 250.0 * np.exp(0.5 * self.random[RELIEF]) * self.continentality
        height: Float = (self.lattice.hills(MOUNTAINS) + rolling) * np.sqrt(self.lattice.land)
        return height

    @cached_property
    def soil_organic_carbon(self) -> Float:
        """Soil organic carbon mass fraction (n, m) [1], rich where wetlands are."""
        cold = 1 / (1 + np.exp(-(np.abs(self.lattice.parallel) - 52) / 5))
        base = 0.015 + 0.05 * cold + 0.25 * self._marsh
        fraction: Float = np.clip(base * np.exp(0.35 * self.random[SOIL]), 0.001, 0.55)
        return fraction * (self.lattice.land > 0)

    @cached_property
    def _marsh(self) -> Float:
        vary = 1.2 * np.exp(0.25 * self.random[WETNESS])
        damp = np.abs(self.lattice.parallel) < 72
        share: Float = np.clip((self.lattice.hills(WETLANDS) + 0.012) * vary * damp, 0, 0.75)
        return share

    @cached_property
    def layers(self) -> dict[str, Float]:
        """Area fractions (n, m) [1]; `wetland_fraction` is (month, n, m). Disjoint, sum at most the land fraction."""
        land = self.lattice.land
        coast = 4 * land * (1 - land)
        left = land.copy()
        layers = {"land_fraction": land}
        for name, share in (
            ("open_water_fraction", 0.012 * np.exp(0.6 * self.random[WETNESS])),
            ("rice_fraction", self.lattice.hills(PADDIES)),
            ("coastal_fraction", 0.02 * coast * (np.abs(self.lattice.parallel) < 60)),
        ):
            layers[name] = left * np.clip(share, 0, 0.5)
            left = left - layers[name]
        month = np.arange(1, 13)[:, None, None]
        layers["wetland_fraction"] = left * self._marsh * self._flood(month)
        dry = left - layers["wetland_fraction"].max(axis=0)
        layers["urban_fraction"] = dry * self._built
        return layers

    @property
    def _built(self) -> Float:
        heights = np.random.default_rng([self.seed, 77]).uniform(0.6, 1.2, len(CITIES))
        bumps = [
            Bump(lat, lon, CITY_WIDTH, CITY_WIDTH / np.cos(np.deg2rad(lat)), h)
            for (lat, lon), h in zip(CITIES, heights, strict=True)
        ]
        habitable = np.abs(self.lattice.parallel) < 65
        share: Float = np.clip(self.lattice.hills(bumps) + 0.001 * habitable, 0, 0.95)
        return share

    def _flood(self, month: NDArray[np.int64]) -> Float:
        """Seasonal course of wetland extent (month, n, m) [1]: least in the northern winter and before the rains."""
        parallel = self.lattice.parallel
        side = np.tanh(parallel / 8)
        tropics = np.exp(-((parallel / 22) ** 2))
        depth = 0.25 * tropics + 0.12 / (1 + np.exp(-(np.abs(parallel) - 50) / 4))
        peak = 7.3 + 1.7 * tropics
        course: Float = 1 - depth * (1 - side * np.cos(2 * np.pi * (month - peak) / 12)) * 0.8
        return np.broadcast_to(course, (12, *self.lattice.shape))

    @cached_property
    def fractions(self) -> Float:
        """Area fractions of the ecosystem classes (ecosystem, month, n, m) [1], precedence as in design section 3."""
        layers = self.layers
        wet = layers["wetland_fraction"]
        degrees = np.broadcast_to(self.lattice.parallel, self.lattice.shape)
        year = np.ones((12, 1, 1))
        fractions = {
            "tropical-floodplain": wet * (np.abs(degrees) < 30),
            "boreal-peatland": wet * (degrees >= 55),
            "temperate-wetland": wet * ((np.abs(degrees) >= 30) & (degrees < 55)),
            "rice-paddy": layers["rice_fraction"] * year,
            "coastal": layers["coastal_fraction"] * year,
            "urban": layers["urban_fraction"] * year,
        }
        fractions["upland"] = (
            self.lattice.land - layers["open_water_fraction"] - sum(fractions.values())
        ).clip(0)
        return np.stack([fractions[name] for name in ECOSYSTEMS])
