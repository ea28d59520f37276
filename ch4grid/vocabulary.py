"""The words: variables with their units, gases as rows of a table, physical constants with their source.

Everything else in the package speaks of a variable by its name here; a native name or unit exists only inside the
source file that reads it. Standard names are those of the CF table v93; a variable without one has none.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Variable:
    """A gridded variable of the vocabulary: its name, units [UDUNITS] and plausible range in those units."""

    name: str
    units: str
    long_name: str
    valid_range: tuple[float, float]
    standard_name: str | None = None
    cell_methods: str = "time: mean area: mean"

    @property
    def attrs(self) -> dict[str, str]:
        """CF attributes of the variable."""
        attrs = {
            "units": self.units,
            "long_name": self.long_name,
            "cell_methods": self.cell_methods,
        }
        return attrs | ({"standard_name": self.standard_name} if self.standard_name else {})


def _static(
    name: str, units: str, long_name: str, valid: tuple[float, float], standard: str | None = None
) -> Variable:
    return Variable(name, units, long_name, valid, standard, cell_methods="area: mean")


def _fraction(name: str, long_name: str, standard: str | None = None) -> Variable:
    return _static(name, "1", long_name, (0.0, 1.0), standard)


# Predictors that change by month.
DYNAMIC: dict[str, Variable] = {
    v.name: v
    for v in (
        Variable("tas", "K", "air temperature at 2 m", (180.0, 335.0), "air_temperature"),
        Variable(
            "vpd",
            "Pa",
            "vapour pressure deficit at 2 m",
            (0.0, 12000.0),
            "water_vapor_saturation_deficit_in_air",
        ),
        Variable("hurs", "1", "relative humidity at 2 m", (0.0, 1.1), "relative_humidity"),
        Variable("pr", "kg m-2 s-1", "precipitation", (0.0, 0.01), "precipitation_flux"),
        Variable("ps", "Pa", "surface air pressure", (40000.0, 110000.0), "surface_air_pressure"),
        Variable(
            "psa", "Pa", "surface air pressure less its mean of the period", (-15000.0, 15000.0)
        ),
        Variable("sfcWind", "m s-1", "wind speed at 10 m", (0.0, 60.0), "wind_speed"),
        Variable(
            "rsds",
            "W m-2",
            "downwelling shortwave radiation",
            (0.0, 600.0),
            "surface_downwelling_shortwave_flux_in_air",
        ),
        Variable("tsl", "K", "soil temperature, 0 to 7 cm", (180.0, 345.0), "soil_temperature"),
        Variable(
            "mrsos",
            "kg m-2",
            "water in the soil layer 0 to 7 cm",
            (0.0, 70.0),
            "mass_content_of_water_in_soil_layer",
        ),
        Variable("snw", "kg m-2", "snow amount", (0.0, 20000.0), "surface_snow_amount"),
        Variable("dtr", "K", "diurnal temperature range", (0.0, 60.0)),
        Variable("evi", "1", "enhanced vegetation index", (-0.3, 1.1)),
        Variable(
            "ndvi",
            "1",
            "normalized difference vegetation index",
            (-0.3, 1.1),
            "normalized_difference_vegetation_index",
        ),
        Variable(
            "lst_day", "K", "land surface temperature by day", (180.0, 360.0), "surface_temperature"
        ),
        Variable(
            "lst_night",
            "K",
            "land surface temperature by night",
            (180.0, 345.0),
            "surface_temperature",
        ),
        Variable("lai", "1", "leaf area index", (0.0, 12.0), "leaf_area_index"),
        Variable("lswi", "1", "land surface water index", (-1.5, 1.5)),
        Variable("snc", "1", "snow area fraction", (0.0, 1.0), "surface_snow_area_fraction"),
        Variable(
            "gpp",
            "kg m-2 s-1",
            "gross primary production of carbon",
            (-1e-7, 2e-6),
            "gross_primary_productivity_of_biomass_expressed_as_carbon",
        ),
        Variable(
            "npp",
            "kg m-2 s-1",
            "net primary production of carbon",
            (-1e-6, 1e-6),
            "net_primary_productivity_of_biomass_expressed_as_carbon",
        ),
    )
}

# Predictors and areas that do not.
STATIC: dict[str, Variable] = {
    v.name: v
    for v in (
        _static("elevation", "m", "surface altitude", (-500.0, 9000.0), "surface_altitude"),
        _static("soil_organic_carbon", "1", "soil organic carbon mass fraction", (0.0, 0.6)),
        _static("soil_ph", "1", "soil pH in water", (2.0, 11.0)),
        _static("soil_clay", "1", "clay mass fraction of the soil", (0.0, 1.0)),
        _static(
            "soil_water_capacity", "mm", "total available water capacity of the soil", (0.0, 2000.0)
        ),
        _fraction("land_fraction", "land area fraction", "land_area_fraction"),
        _fraction("open_water_fraction", "lake, river and reservoir area fraction"),
        _fraction("rice_fraction", "rice paddy area fraction"),
        _fraction("coastal_fraction", "mangrove and tidal marsh area fraction"),
        _fraction("wetland_fraction", "freshwater wetland area fraction", "wetland_area_fraction"),
        _fraction("urban_fraction", "built-up area fraction"),
        _fraction("crop_fraction", "cropland area fraction"),
        _fraction("peat_fraction", "peatland area fraction"),
        _fraction("forest_fraction", "forest area fraction"),
        _fraction("shrub_fraction", "shrubland area fraction"),
        _fraction("grass_fraction", "grassland and savanna area fraction"),
        _fraction("permanent_wetland_fraction", "permanent wetland area fraction of land cover"),
        _fraction("ice_fraction", "snow and ice area fraction"),
        _fraction("barren_fraction", "barren area fraction"),
        _fraction("brown_moss", "presence of brown moss around a tower"),
        _fraction("sphagnum", "presence of Sphagnum moss around a tower"),
        _fraction("aerenchymatous", "presence of aerenchymatous plants around a tower"),
        _fraction("ericaceous_shrub", "presence of ericaceous shrubs around a tower"),
        _fraction("trees", "presence of trees around a tower"),
        _static("tas_mean", "K", "mean air temperature at 2 m", (180.0, 335.0), "air_temperature"),
        _static("pr_mean", "kg m-2 s-1", "mean precipitation", (0.0, 0.01), "precipitation_flux"),
    )
}

VARIABLES: dict[str, Variable] = DYNAMIC | STATIC

# Ecosystem classes, disjoint; the scheme in ch4grid.ecosystems says what each one is made of.
ECOSYSTEMS = (
    "tropical-floodplain",
    "boreal-peatland",
    "temperate-wetland",
    "rice-paddy",
    "coastal",
    "urban",
    "upland",
)

# Area layers that a scheme of ecosystem classes is made from, in order of precedence (methods 14, item 8).
AREA_LAYERS = (
    "open_water_fraction",
    "rice_fraction",
    "coastal_fraction",
    "wetland_fraction",
    "urban_fraction",
)


@dataclass(frozen=True)
class Gas:
    """A gas as data: everything that the code needs to know to treat one gas like another.

    Args:
        name: Name in variables and recipes.
        formula: Chemical formula.
        molar_mass: Molar mass [g mol-1].
        tower_column: Column of tower files that measures it.
        tower_unit: One unit of that column [nmol m-2 s-1].
        long_name: Name in texts.
        asinh_scale: c of the target transform y* = asinh(flux / c) [nmol m-2 s-1]: linear below it, logarithmic
            above, sign kept. It lies where measured months turn from noise into signal.
        process: "continuous", or "pulse" for a flux that is near zero in most months and large in a few.
    """

    name: str
    formula: str
    molar_mass: float
    tower_column: str
    tower_unit: float
    long_name: str
    asinh_scale: float
    process: Literal["continuous", "pulse"] = "continuous"

    @property
    def flux(self) -> str:
        """Name of the flux variable, e.g. `ch4_flux`."""
        return f"{self.name}_flux"

    @property
    def kg_per_nmol(self) -> float:
        """Mass of one nmol of the gas [kg]."""
        return self.molar_mass * 1e-12


# Scales: a wetland emits some 50 nmol of methane and an upland takes up 1; net ecosystem exchange of a month is some
# micromoles either way, its random error some tenths; nitrous oxide seeps at 0.05 nmol and pulses at 1 to 20.
GASES: dict[str, Gas] = {
    g.name: g
    for g in (
        Gas("ch4", "CH4", 16.0425, "FCH4", 1.0, "methane", 10.0),
        Gas("co2", "CO2", 44.0095, "NEE", 1000.0, "carbon dioxide", 1000.0),
        Gas("n2o", "N2O", 44.0128, "FN2O", 1.0, "nitrous oxide", 0.1, "pulse"),
    )
}

FLUX_UNITS = "kg m-2 s-1"
BUDGET_UNITS = "Tg"
KG_PER_TG = 1e9
SECONDS_PER_DAY = 86400.0

# quality_flag: one meaning per cell-month. Where several apply, the first of these holds: ocean, no_ecosystem,
# intervention_outside_training (why a scenario has no flux), driver_missing (why there is no flux, or part of the
# drivers), outside_applicability, driver_filled (also an area that follows the rule for years beyond its series),
# driver_preliminary.
QUALITY_FLAGS: dict[str, int] = {
    "valid": 0,
    "ocean": 1,
    "no_ecosystem": 2,
    "driver_filled": 3,
    "driver_missing": 4,
    "outside_applicability": 5,
    "driver_preliminary": 6,
    "intervention_outside_training": 7,
}
# The same in the words of people.
QUALITY_WORDS: dict[str, str] = {
    "valid": "estimated from complete drivers",
    "ocean": "no land in the cell",
    "no_ecosystem": "land, but none of the classes, for instance ice or open water",
    "driver_filled": "a driver stands on part of the cell or on its mean year, or an area on the rule for later years",
    "driver_preliminary": "estimated from preliminary drivers, to be replaced by final ones",
    "intervention_outside_training": "no estimate: the scenario's drivers leave what the towers have seen",
    "driver_missing": "estimated without a driver that is missing; no estimate where none is left",
    "outside_applicability": "estimated, but unlike anything the towers have seen: use with caution",
}
# Meanings that only a scenario other than history needs; other products do not list them.
SCENARIO_FLAGS = ("intervention_outside_training",)
NEVER_WRITTEN = 255

EPOCH = np.datetime64("1970-01-01", "D")


def months(first_year: int, last_year: int) -> pd.DatetimeIndex:
    """First days of all months from January of `first_year` to December of `last_year`."""
    return pd.date_range(f"{first_year}-01-01", f"{last_year}-12-01", freq="MS", unit="s")


def seconds_in_month(time: pd.DatetimeIndex) -> np.ndarray:
    """True lengths of the months that start at `time` [s], leap days included."""
    return np.asarray(time.days_in_month, dtype=np.float64) * SECONDS_PER_DAY
