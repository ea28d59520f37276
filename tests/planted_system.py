"""Seven drivers and a flux with three known parents at lag one, and the panels of careful and of careless preparation.

The system of methods 3.3: light, temperature, dryness, rain, soil water, plant growth and wind of a place; the flux
follows temperature, soil water and growth of the step before. Steps may be months, weeks or days.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ch4grid.causal import Discovery
from ch4grid.causal.discovery import gather
from ch4grid.causal.preparation import Panel
from ch4grid.causal.prior import POOL

Floats = NDArray[np.float64]

DRIVERS = ("rsds", "tas", "vpd", "pr", "mrsos", "npp", "sfcWind")
FLUX = "ch4_flux"
PARENTS = frozenset({"tas", "mrsos", "npp"})
# Effect of a parent on the flux per standard deviation of its innovation, and the memory of the flux.
EFFECT = 0.22
MEMORY = 0.3
# Amplitude of the season over the standard deviation of the innovation, and the share of the year it lags behind light.
SEASON = {"rsds": 4.0, "tas": 4.0, "vpd": 2.0, "pr": 1.0, "mrsos": 2.0, "npp": 3.0, "sfcWind": 1.0}
DELAY = {"tas": 0.08, "vpd": 0.05, "pr": 0.1, "mrsos": 0.45, "npp": 0.12, "sfcWind": 0.5}
FLUX_SEASON, FLUX_DELAY = 2.0, 0.14
# Spread of the means of places over the standard deviation of the innovation.
PLACE = 2.0
BURN = 30
QUICK = Discovery(bootstraps=3, driver_bootstraps=1)


def simulate(sites: int, steps: int, per_year: float, seed: int) -> Floats:
    """Values (site, time, variable), the flux last: anomalies, a season and the level of each place."""
    rng = np.random.default_rng([seed, sites, steps])
    z = rng.normal(size=(len(DRIVERS) + 1, sites, steps + BURN))
    x = dict(zip((*DRIVERS, FLUX), np.zeros_like(z), strict=True))
    e = dict(zip((*DRIVERS, FLUX), z, strict=True))
    for t in range(1, steps + BURN):
        now = {name: values[:, t - 1].copy() for name, values in x.items()}
        x["rsds"][:, t] = 0.2 * now["rsds"] + e["rsds"][:, t]
        x["sfcWind"][:, t] = 0.3 * now["sfcWind"] + e["sfcWind"][:, t]
        x["pr"][:, t] = 0.1 * now["pr"] + e["pr"][:, t]
        x["tas"][:, t] = 0.4 * now["tas"] + 0.4 * x["rsds"][:, t] + e["tas"][:, t]
        x["mrsos"][:, t] = 0.5 * now["mrsos"] + 0.4 * x["pr"][:, t] + e["mrsos"][:, t]
        x["vpd"][:, t] = 0.5 * x["tas"][:, t] - 0.3 * now["mrsos"] + e["vpd"][:, t]
        x["npp"][:, t] = (
            0.3 * now["npp"] + 0.3 * now["tas"] + 0.3 * x["rsds"][:, t] + e["npp"][:, t]
        )
        cause = sum(now[name] for name in sorted(PARENTS))
        x[FLUX][:, t] = MEMORY * now[FLUX] + EFFECT * cause + e[FLUX][:, t]
    clock = np.arange(steps) / per_year
    out = np.empty((sites, steps, len(DRIVERS) + 1))
    for v, name in enumerate((*DRIVERS, FLUX)):
        amplitude, delay = SEASON.get(name, FLUX_SEASON), DELAY.get(name, 0.0)
        delay = FLUX_DELAY if name == FLUX else delay
        season = amplitude * np.cos(2 * np.pi * (clock - delay))
        out[..., v] = x[name][:, BURN:] + season + PLACE * rng.normal(size=(sites, 1))
    return out


def prepared(
    values: Floats, per_year: float, *, centred: bool = True, season: bool = True
) -> Panel:
    """The panel of values (site, time, variable), with each step of preparation taken or left out.

    Args:
        values: What `simulate` gives.
        per_year: Steps per year.
        centred: Take out each site's own mean and give it its own unit; else one mean and unit for all.
        season: Take out trend and two annual harmonics.
    """
    sites, steps, variables = values.shape
    clock = np.arange(steps) / per_year
    waves = [f(2 * np.pi * k * clock) for k in (1, 2) for f in (np.cos, np.sin)]
    design = np.stack([clock, *waves], axis=1)
    design = design - design.mean(axis=0)
    left = values - values.mean(axis=1, keepdims=True)
    if season:
        flat = left.transpose(1, 0, 2).reshape(steps, -1)
        fitted = design @ np.linalg.lstsq(design, flat, rcond=None)[0]
        left = left - fitted.reshape(steps, sites, variables).transpose(1, 0, 2)
    axis: tuple[int, ...] = (1,)
    if not centred:
        left = left + values.mean(axis=1, keepdims=True)
        axis = (0, 1)
    left = (left - left.mean(axis=axis, keepdims=True)) / left.std(axis=axis, keepdims=True)
    return Panel(
        values=left,
        variables=(*DRIVERS, FLUX),
        sites=tuple(f"S{i:03d}" for i in range(sites)),
        ecosystems=("upland",) * sites,
        clusters=tuple(range(sites)),
        years=np.full(sites, steps / per_year),
        freedom=1.0 - (1 + season * design.shape[1]) / steps,
        step="month",
        untested={},
    )


def linked(panel: Panel, config: Discovery = QUICK, seed: int = 0) -> set[str]:
    """Drivers that PCMCI+ links to the flux at any lag in most replicates, all sites pooled."""
    evidence = gather(panel, ecosystems=(), config=config, seed=seed)
    assert evidence is not None
    frequency = evidence.into[POOL]
    return {name for i, name in enumerate(DRIVERS) if (frequency[i] > 0.5).any()}


def shares(found: Sequence[set[str]]) -> tuple[float, float]:
    """Share of the parents found and of the other drivers linked, over runs."""
    others = set(DRIVERS) - PARENTS
    hits = [len(f & PARENTS) / len(PARENTS) for f in found]
    false = [len(f & others) / len(others) for f in found]
    return float(np.mean(hits)), float(np.mean(false))
