"""Temperature, vapour pressure deficit and relative humidity: two numbers under three names, looked at in all pairs.

Given two of them the third is determined, faithfulness fails and the signs of all three become arbitrary (methods 2.2).
So discovery takes two; whether an answer hangs on which two is seen by asking with every pair.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal.anomalies import floats
from ch4grid.causal.discovery import Mapper, gather, panel_of
from ch4grid.causal.preparation import FREEZING, HUMIDITY
from ch4grid.causal.settings import Discovery
from ch4grid.errors import InputError
from ch4grid.findings import Check, Finding

Floats = NDArray[np.float64]

PAIRS = (("tas", "vpd"), ("tas", "hurs"), ("vpd", "hurs"))
# What a sign should be if the two stand for one another: more humid is less deficit.
COLUMNS = {
    "ecosystem": "class; pool is all towers together",
    "driver": "driver",
    "pair": "which two of temperature, vapour pressure deficit and relative humidity were in the graph",
    "lag": "lag of the driver's most frequent link [steps]",
    "frequency": "share of block-bootstrap replicates that hold the link [1]",
    "strength": "partial correlation with the flux given the other parents [1]",
    "sign": "sign of the strength where the link was found in at least half of the replicates, else empty",
    "q": "false discovery rate of the link within its run [1]",
}
FOUND = 0.5


def saturation_pressure(temperature: Floats) -> Floats:
    """Saturation vapour pressure over water [Pa] at a temperature [K] (Magnus form, Alduchov and Eskridge 1996)."""
    celsius = temperature - FREEZING
    return np.asarray(610.94 * np.exp(17.625 * celsius / (celsius + 243.04)), dtype=np.float64)


def with_all_three(series: xr.Dataset) -> xr.Dataset:
    """A series with relative humidity [1] beside temperature [K] and vapour pressure deficit [Pa].

    Where it is absent it follows from the actual vapour pressure: hurs = (es(tas) - vpd) / es(tas).

    Raises:
        InputError: Temperature or vapour pressure deficit is absent.
    """
    absent = [name for name in HUMIDITY[:2] if name not in series]
    if absent:
        raise InputError(
            "temperature and vapour pressure deficit are needed to tell humidity",
            where="humidity pairs",
            expected="tas and vpd in the series",
            found=f"no {' and no '.join(absent)}",
        )
    if "hurs" in series:
        return series
    saturation = saturation_pressure(floats(series, "tas"))
    actual = np.maximum(saturation - floats(series, "vpd"), 0.0)
    return series.assign(hurs=(("site", "time"), actual / saturation, {"units": "1"}))


def stability_of_humidity(
    series: xr.Dataset,
    *,
    flux: str,
    drivers: Sequence[str],
    ecosystems: Sequence[str],
    config: Discovery,
    seed: int,
    mapper: Mapper = map,
) -> Finding:
    """Sign and frequency of temperature, deficit and humidity into the flux under each of the three possible pairs.

    Args:
        series: Flux and drivers (site, time), with tas and vpd.
        flux: Name of the flux variable.
        drivers: Other drivers of the graph; those of the triple are set by each pair.
        ecosystems: Classes to ask for.
        config: How causes are discovered; long sites are not looked at alone here.
        seed: Seed of the bootstrap.
        mapper: Runs jobs over strata and replicates.

    Raises:
        InputError: Temperature or vapour pressure deficit is absent.
    """
    series = with_all_three(series)
    others = [name for name in drivers if name not in HUMIDITY]
    quick = config.model_copy(update={"sites": False, "bounds": False})
    rows = []
    for pair in PAIRS:
        panel = panel_of(series, flux=flux, drivers=[*pair, *others], config=quick)
        evidence = gather(panel, ecosystems=ecosystems, config=quick, seed=seed, mapper=mapper)
        if evidence is None:
            continue
        for name, frequency in evidence.into.items():
            for driver in (d for d in pair if d in panel.variables):
                i = panel.variables.index(driver)
                lag = int(np.lexsort((-np.abs(evidence.strength[name][i]), -frequency[i]))[0])
                strength, f = float(evidence.strength[name][i, lag]), float(frequency[i, lag])
                sign = "" if f < FOUND else "+" if strength >= 0 else "-"
                q = float(evidence.q[name][i, lag])
                rows.append((name, driver, " + ".join(pair), lag, f, strength, sign, q))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    unstable = _unstable(table)
    return Finding(
        key="humidity-pairs",
        title="Temperature, vapour pressure deficit and relative humidity in pairs",
        question="Does the answer on temperature and humidity hang on which two of the three are in the graph?",
        data=f"{series.sizes['site']} towers, {quick.bootstraps} replicates per pair",
        answers=(_answer(table, unstable),),
        table=table,
        columns=COLUMNS,
        checks=(
            Check(
                "humidity pairs",
                None if table.empty else not unstable,
                f"expected the same sign or nothing under both pairs that hold a driver; differing: "
                f"{', '.join(unstable) or 'none'}",
            ),
        ),
        limits=(
            "Where a driver is found under one pair only, the pairs do not tell which of the three acts.",
            "Relative humidity that was made from temperature and deficit holds no information of its own.",
        ),
    )


def _unstable(table: pd.DataFrame) -> list[str]:
    """Class and driver whose sign, or being found at all, differs between pairs."""
    groups = table.groupby(["ecosystem", "driver"], sort=False)["sign"]
    return [f"{driver} ({ecosystem})" for (ecosystem, driver), g in groups if g.nunique() > 1]


def _answer(table: pd.DataFrame, unstable: Sequence[str]) -> str:
    found = table[table["sign"] != ""]
    if found.empty:
        return "None of the three is linked to the flux under any pair."
    steady = len(found[["ecosystem", "driver"]].drop_duplicates()) - len(unstable)
    return (
        f"{max(steady, 0)} links of the three keep presence and sign under every pair; {len(unstable)} do not"
        + (f" ({', '.join(unstable)})." if unstable else ".")
    )
