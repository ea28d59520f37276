"""From tower series to the panel that discovery tests: what is left of each variable once place and season are gone.

In goes a Dataset in the shape of SITES, out comes a `Panel` of standardised anomalies per site. Offsets between sites
and the shared seasonal cycle would both appear as links (methods 3.2: 29 % false links with the season left in).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal.anomalies import design_matrix, floats, target, transformed
from ch4grid.errors import InputError
from ch4grid.vocabulary import ECOSYSTEMS

Floats = NDArray[np.float64]

STEPS_PER_YEAR = {"month": 12, "week": 52}

# An anomaly beyond six standard deviations is an artefact of the sensor or of the fit, and would steer a correlation.
MAX_ANOMALY = 6.0
# Share of a variable's variance that may be left around its mean year before it counts as a climatology.
CLIMATOLOGY_TOLERANCE = 1e-6
# The seasonal standard deviation is kept above this share of its mean, so that a calm season is not blown up.
MIN_RELATIVE_SCALE = 0.3
# Deficit = saturation pressure at the temperature x (1 - relative humidity): three names for two numbers.
HUMIDITY = ("tas", "vpd", "hurs")
FREEZING = 273.15


@dataclass(frozen=True, eq=False)
class Panel:
    """Standardised anomalies per site, NaN where not measured.

    Args:
        values: Anomalies (site, time, variable) [1]; the flux is the last variable.
        variables: Names of the variables.
        sites: Names of the sites that are long enough.
        ecosystems: Class name of each site.
        clusters: Cluster of each site.
        years: Measured flux per site in years.
        freedom: Share of the degrees of freedom that the removed cycle and trend left over.
        step: "month" or "week".
        untested: Drivers left out, each with its reason.
    """

    values: Floats
    variables: tuple[str, ...]
    sites: tuple[str, ...]
    ecosystems: tuple[str, ...]
    clusters: tuple[int, ...]
    years: Floats
    freedom: float
    step: str
    untested: dict[str, str]

    def of_class(self, ecosystem: str) -> NDArray[np.intp]:
        """Indices of the sites of one class."""
        return np.flatnonzero(np.asarray(self.ecosystems, dtype=str) == ecosystem)


def prepare(
    series: xr.Dataset,
    *,
    flux: str,
    drivers: Sequence[str],
    step: str,
    harmonics: int,
    min_coverage: float,
    min_years: float,
    regime: str = "all",
) -> Panel:
    """The panel of a series: asinh flux and drivers without place, trend and season, in units of their own spread.

    Args:
        series: `flux` and drivers (site, time), coordinates ecosystem and cluster (site); months or weeks.
        flux: Name of the flux variable [kg m-2 s-1].
        drivers: Names of the drivers wanted.
        step: Expected step of the series, "month" or "week".
        harmonics: Number of annual harmonics removed.
        min_coverage: Steps whose measured share is below this are dropped [1].
        min_years: Sites with less measured flux than this are left out [years].
        regime: "all", or only fluxes of the "growing" or of the "frozen" season, see `in_regime`.

    Pressure enters as its departure from the site's own mean year like every other driver, so that elevation, which
    differs between sites, cannot link it to the flux (methods 2.2). Of temperature, vapour pressure deficit and
    relative humidity any two determine the third, so that beside the first two the last is not tested.

    Raises:
        InputError: The flux is absent or has no known gas, or the series has another step.
    """
    found = series.attrs.get("step", "month")
    if found != step:
        raise InputError(
            "the series has another step than discovery asks for",
            where="discovery",
            expected=step,
            found=found,
            fix="Set discovery.step to the step of the tower source",
        )
    measured = target(series, flux, min_coverage)
    if regime != "all":
        measured = np.where(in_regime(series, regime), measured, np.nan)
    years = np.isfinite(measured).sum(axis=1) / STEPS_PER_YEAR[step]
    kept = np.flatnonzero(years >= min_years)
    calendar = pd.DatetimeIndex(series["time"].values)
    untested = {name: _why_untested(series, name, kept, calendar) for name in drivers}
    if not any(untested.get(name, "not asked for") for name in HUMIDITY):
        untested[HUMIDITY[-1]] = f"follows from {HUMIDITY[0]} and {HUMIDITY[1]}"
    tested = [name for name in drivers if not untested[name]]
    columns = [transformed(series, name) for name in tested] + [measured]
    raw = np.stack([column[kept] for column in columns], axis=-1)
    design = design_matrix(calendar, harmonics)
    return Panel(
        values=_anomalies(raw, design),
        variables=(*tested, flux),
        sites=tuple(str(name) for name in series["site"].values[kept]),
        ecosystems=tuple(_class_names(series)[kept].tolist()),
        clusters=tuple(int(c) for c in _clusters(series)[kept]),
        years=years[kept],
        freedom=_freedom(raw[..., -1], design.shape[1]),
        step=step,
        untested={name: reason for name, reason in untested.items() if reason},
    )


def in_regime(series: xr.Dataset, regime: str) -> NDArray[np.bool_]:
    """Steps (site, time) of the growing season, soil (else air) above 0 degC, or of the frozen rest.

    A step without a temperature belongs to neither.

    Raises:
        InputError: The series has neither soil nor air temperature.
    """
    name = next((n for n in ("tsl", "tas") if n in series), None)
    if name is None:
        raise InputError(
            "the growing season cannot be told",
            where="discovery.regime",
            expected="tsl or tas in the series",
            found=sorted(map(str, series.data_vars)),
            fix="Add a temperature to the drivers, or set discovery.regime to all",
        )
    temperature = floats(series, name)
    warm = temperature > FREEZING
    return warm if regime == "growing" else np.isfinite(temperature) & ~warm


def _class_names(series: xr.Dataset) -> NDArray[np.str_]:
    """Class of each site as a name; SITES hold names, training samples the index into the vocabulary."""
    classes = series["ecosystem"].values
    if np.issubdtype(classes.dtype, np.integer):
        classes = np.asarray(ECOSYSTEMS)[classes]
    return np.asarray(classes, dtype=str)


def _clusters(series: xr.Dataset) -> NDArray[np.int64]:
    """Cluster of each site; every site for itself where none is given."""
    given = (
        series["cluster"].values if "cluster" in series.variables else range(series.sizes["site"])
    )
    return np.asarray(given, dtype=np.int64)


def _why_untested(
    series: xr.Dataset, name: str, kept: NDArray[np.intp], calendar: pd.DatetimeIndex
) -> str:
    """Empty when a driver can be tested, else the reason why it cannot."""
    if name not in series:
        return "absent from the series"
    if set(series[name].dims) != {"site", "time"}:
        return "static"
    values = floats(series, name)[kept]
    if np.isfinite(values).sum() < STEPS_PER_YEAR["month"] * 2:
        return "hardly measured"
    monthly = series.attrs.get("step", "month") == "month"
    slot = calendar.month if monthly else calendar.day_of_year // 7
    frame = pd.DataFrame(values.T)
    left = frame - frame.groupby(np.asarray(slot)).transform("mean")
    total = frame - frame.mean()
    if np.nansum(left.to_numpy() ** 2) <= CLIMATOLOGY_TOLERANCE * np.nansum(total.to_numpy() ** 2):
        return "no variation around its mean year"
    return ""


def _freedom(target: Floats, parameters: int) -> float:
    """Share of the measured steps that a regression with so many parameters per site leaves free."""
    measured = int(np.isfinite(target).sum())
    return max(0.0, 1.0 - parameters * len(target) / measured) if measured else 0.0


def _anomalies(raw: Floats, design: Floats) -> Floats:
    """Residuals of (site, time, variable) about each site's own cycle, divided by their seasonal spread."""
    out = np.full(raw.shape, np.nan)
    for site in range(raw.shape[0]):
        for variable in range(raw.shape[2]):
            column = raw[site, :, variable]
            ok = np.isfinite(column)
            if ok.sum() >= 2 * design.shape[1]:
                out[site, ok, variable] = _standardised(column[ok], design[ok])
    return np.asarray(np.clip(out, -MAX_ANOMALY, MAX_ANOMALY), dtype=np.float64)


def _standardised(column: Floats, design: Floats) -> Floats:
    """One column without its regression on the design, with unit variance in every season."""
    anomaly = column - design @ np.linalg.lstsq(design, column, rcond=None)[0]
    if anomaly.std() <= np.sqrt(CLIMATOLOGY_TOLERANCE) * column.std():
        return np.full_like(anomaly, np.nan)
    # Heteroscedasticity breaks the calibration of partial correlation (Krich et al. 2020): the mean absolute anomaly
    # is itself fitted by one annual harmonic (columns 0, 2 and 3 of the design).
    wave = design[:, [0, *range(2, min(4, design.shape[1]))]]
    size = np.abs(anomaly)
    scale = wave @ np.linalg.lstsq(wave, size, rcond=None)[0]
    scaled = anomaly / np.maximum(scale, MIN_RELATIVE_SCALE * size.mean())
    return np.asarray((scaled - scaled.mean()) / scaled.std())
