"""Units of files to units of the vocabulary: one explicit table, so that a unit nobody thought of is refused.

Spellings are brought to one form first (`m**3 m**-3`, `m3/m3` and `m^3 m^-3` are one unit); a unit that means a mass
per month is converted with the true length of each month.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.errors import InputError
from ch4grid.vocabulary import SECONDS_PER_DAY, Variable, seconds_in_month

# Thickness of the uppermost soil layer of ERA5 [m] and density of water [kg m-3] (IFS documentation CY41R2, part IV).
TOP_LAYER = 0.07
WATER_DENSITY = 1000.0


@dataclass(frozen=True)
class Linear:
    """value in vocabulary units = scale x value of the file + offset, divided by the month's seconds if per month."""

    scale: float = 1.0
    offset: float = 0.0
    per_month: bool = False


# Vocabulary units to the units a file may have for them.
TABLE: dict[str, dict[str, Linear]] = {
    "K": {"K": Linear(), "degC": Linear(offset=273.15)},
    "Pa": {"Pa": Linear(), "hPa": Linear(100.0), "kPa": Linear(1000.0)},
    "kg m-2 s-1": {
        "kg m-2 s-1": Linear(),
        "kg m-2 day-1": Linear(1.0 / SECONDS_PER_DAY),
        "kg m-2 month-1": Linear(per_month=True),
        "mm s-1": Linear(),
        "mm day-1": Linear(1.0 / SECONDS_PER_DAY),
        "mm month-1": Linear(per_month=True),
        "m s-1": Linear(WATER_DENSITY),
        "m day-1": Linear(WATER_DENSITY / SECONDS_PER_DAY),
        "m month-1": Linear(WATER_DENSITY, per_month=True),
        "gC m-2 day-1": Linear(1e-3 / SECONDS_PER_DAY),
        "gC m-2 month-1": Linear(1e-3, per_month=True),
        "kgC m-2 s-1": Linear(),
    },
    "W m-2": {
        "W m-2": Linear(),
        "J m-2 day-1": Linear(1.0 / SECONDS_PER_DAY),
        "MJ m-2 day-1": Linear(1e6 / SECONDS_PER_DAY),
        "J m-2 s-1": Linear(),
    },
    "m s-1": {"m s-1": Linear(), "km h-1": Linear(1.0 / 3.6)},
    "kg m-2": {"kg m-2": Linear(), "mm": Linear(), "m": Linear(WATER_DENSITY)},
    "m": {"m": Linear(), "km": Linear(1000.0)},
    "mm": {"mm": Linear(), "cm": Linear(10.0), "m": Linear(1000.0), "kg m-2": Linear()},
    "1": {
        "1": Linear(),
        "%": Linear(0.01),
        "m2 m-2": Linear(),
        "kg kg-1": Linear(),
        "g kg-1": Linear(1e-3),
    },
}

# Units that only make sense for one variable.
SPECIAL: dict[str, dict[str, Linear]] = {
    # volumetric water of the uppermost layer to its mass per area
    "mrsos": {"m3 m-3": Linear(WATER_DENSITY * TOP_LAYER), "%": Linear(0.7)},
    "dtr": {"K": Linear(), "degC": Linear()},
}

SPELLINGS = {
    "": "1",
    "C": "degC",
    "celsius": "degC",
    "degree_celsius": "degC",
    "degrees_celsius": "degC",
    "degrees C": "degC",
    "deg_C": "degC",
    "kelvin": "K",
    "degK": "K",
    "mbar": "hPa",
    "millibar": "hPa",
    "percent": "%",
    "fraction": "1",
    "dimensionless": "1",
    "unitless": "1",
    "m of water equivalent": "m",
    "0 - 1": "1",
}


def normalised(units: str) -> str:
    """One spelling of a unit: exponents without signs of power, no slashes, `day` and `month` in full."""
    plain = re.sub(r"\s+", " ", units.strip())
    plain = re.sub(r"^\((.*)\)$", r"\1", plain)
    plain = re.sub(r"\s*\(.*\)$", "", plain)
    if plain in SPELLINGS or plain.lower() in SPELLINGS:
        return SPELLINGS.get(plain, SPELLINGS.get(plain.lower(), plain))
    plain = plain.replace("**", "").replace("^", "")
    numerator, *below = plain.split("/")
    parts = numerator.split() + [_inverse(unit) for term in below for unit in term.split()]
    words = {"d-1": "day-1", "days-1": "day-1", "mon-1": "month-1", "sec-1": "s-1", "hr-1": "h-1"}
    text = " ".join(words.get(p, p) for p in parts)
    return text.replace("g C ", "gC ").replace("m3 m-3 ", "m3 m-3")


def _inverse(unit: str) -> str:
    match = re.fullmatch(r"([A-Za-z%]+)(\d*)", unit)
    return f"{match[1]}-{match[2] or 1}" if match else unit


def convert(values: xr.DataArray, variable: Variable, units: str, where: object) -> xr.DataArray:
    """The values in vocabulary units, float32, named and with the attributes of the variable.

    Args:
        values: Values of a file; with a dimension `time` if the unit is per month.
        variable: What they are.
        units: Their units as the file or the recipe states them.
        where: File or recipe key for the message.

    Raises:
        InputError: No conversion is known; the message carries both units.
    """
    known = TABLE.get(variable.units, {}) | SPECIAL.get(variable.name, {})
    rule = known.get(normalised(units))
    if rule is None or (rule.per_month and "time" not in values.dims):
        raise InputError(
            f"variable {variable.name!r} has units that cannot be converted to {variable.units!r}",
            where=where,
            expected=f"one of {', '.join(sorted(known))}",
            found=repr(units),
            fix="Correct the units attribute of the file, or give units (and scale) in the recipe",
        )
    out = values.astype(np.float64) * rule.scale + rule.offset
    if rule.per_month:
        seconds = seconds_in_month(pd.DatetimeIndex(values["time"].values))
        out = out / xr.DataArray(seconds, dims="time")
    return named(out, variable)


def named(values: xr.DataArray, variable: Variable) -> xr.DataArray:
    """The values as the vocabulary's variable, float32, packing noise beyond its range put on the bound.

    Packed files miss physical bounds by about a packing step: a precipitation of -1e-12, an albedo of 1.0001.
    """
    low, high = variable.valid_range
    noise = 1e-3 * (high - low)
    clipped = values.clip(low, high)
    out = clipped.where(abs(clipped - values) < noise, values).astype(np.float32)
    return out.rename(variable.name).assign_attrs(variable.attrs)
