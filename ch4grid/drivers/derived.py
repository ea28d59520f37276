"""Variables made from others, each with its source: humidity, wind speed, standard pressure.

All are functions of the state at one time. Where hourly or daily values are at hand they are applied to those and then
averaged; from monthly means they describe the mean state instead, and each function says by how much that differs.
"""

import numpy as np
import xarray as xr

# International Standard Atmosphere (ISO 2533:1975): sea-level pressure [Pa] and temperature [K], lapse rate [K m-1],
# gravity [m s-2], gas constant of dry air [J kg-1 K-1].
STANDARD_PRESSURE = 101325.0
STANDARD_TEMPERATURE = 288.15
LAPSE_RATE = 0.0065
GRAVITY = 9.80665
DRY_AIR = 287.05287


def saturation_pressure(temperature: xr.DataArray) -> xr.DataArray:
    """Saturation vapour pressure over water [Pa] at a temperature [K].

    Source: Buck (1981), J. Appl. Meteorol. 20, 1527-1532, eq. 8 with the coefficients ew1 and no enhancement
    factor; 0.2 % between -20 and 50 degC.
    """
    celsius = temperature.astype(np.float64) - 273.15
    pressure: xr.DataArray = 611.21 * xr.ufuncs.exp(17.502 * celsius / (celsius + 240.97))
    return pressure


def vapour_pressure_deficit(temperature: xr.DataArray, dewpoint: xr.DataArray) -> xr.DataArray:
    """Vapour pressure deficit [Pa] from air and dew-point temperature [K]; packing noise below zero is zero.

    From monthly means it is the deficit of the mean state, some 5 to 20 % below the mean deficit: the saturation
    pressure is convex and the daily cycle of temperature is averaged out.
    """
    deficit = saturation_pressure(temperature) - saturation_pressure(dewpoint)
    return deficit.clip(min=0.0)


def relative_humidity(temperature: xr.DataArray, dewpoint: xr.DataArray) -> xr.DataArray:
    """Relative humidity over water [1] from air and dew-point temperature [K] (WMO-No. 8, part I, 4.1.2).

    From monthly means it is that of the mean state, a few hundredths off the mean humidity. Packing noise above
    saturation is saturation.
    """
    ratio = saturation_pressure(dewpoint) / saturation_pressure(temperature)
    return ratio.clip(max=1.0)


def wind_speed(eastward: xr.DataArray, northward: xr.DataArray) -> xr.DataArray:
    """Wind speed [m s-1] from its components [m s-1].

    The speed of mean components is below the mean speed wherever the wind turns within the month; a file with the
    speed itself (`si10`) is to be preferred.
    """
    speed: xr.DataArray = (
        eastward.astype(np.float64) ** 2 + northward.astype(np.float64) ** 2
    ) ** 0.5
    return speed


def standard_pressure(geopotential: xr.DataArray) -> xr.DataArray:
    """Pressure of the standard atmosphere [Pa] at a surface geopotential [m2 s-2], below 11 km.

    Source: ISO 2533:1975, p = p0 (1 - L H / T0)^(g / (R L)) with the geopotential height H.
    """
    height = geopotential.astype(np.float64) / GRAVITY
    base = 1.0 - LAPSE_RATE * height / STANDARD_TEMPERATURE
    pressure: xr.DataArray = STANDARD_PRESSURE * base ** (GRAVITY / (DRY_AIR * LAPSE_RATE))
    return pressure


def period_mean(monthly: xr.DataArray) -> xr.DataArray:
    """Mean over months weighted by their true length (latitude, longitude); missing where a month is."""
    days = monthly["time"].dt.days_in_month.astype(np.float64)
    mean: xr.DataArray = (monthly.astype(np.float64) * days).sum("time", skipna=False) / days.sum()
    return mean
