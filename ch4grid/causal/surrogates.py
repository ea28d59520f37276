"""Null series: towers whose flux cannot be caused by their drivers although each of the two looks as it did.

Three ways to cut what couples them. `phases` keeps the spectrum and the values of each flux, `years` deals the flux of
other years to a site, `shifted` deals it the drivers of other years. The last two keep the season and what neighbours
share, so they also see links that come from season left in or from towers that are not independent.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtri

from ch4grid.causal.anomalies import DAYS_PER_YEAR, design_matrix, floats
from ch4grid.errors import InputError
from ch4grid.vocabulary import GASES

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

KINDS = ("phases", "years", "shifted")
# A gap is filled with a run of the site's own memory; beyond this the run would hardly forget within a record.
LONGEST_MEMORY = 0.95


def surrogate(
    series: xr.Dataset,
    kind: str,
    *,
    flux: str,
    drivers: Sequence[str],
    harmonics: int,
    seed: int,
) -> xr.Dataset:
    """The series with its flux and its drivers uncoupled; places, seasons, gaps and all other variables as they were.

    Args:
        series: `flux` [kg m-2 s-1], its coverage [1] and drivers (site, time) by month or week.
        kind: One of `KINDS`.
        flux: Name of the flux variable.
        drivers: Names of the drivers; those without a time axis stay.
        harmonics: Annual harmonics of the season that `phases` keeps.
        seed: Seed of phases, orders and shifts.

    Returns:
        The null series. A site that measured in one year alone has no other to swap with: it loses its flux under
        `years` and its drivers under `shifted`, as does a step without a counterpart in a shorter year.

    Raises:
        InputError: The kind is unknown, or `years` or `shifted` was asked of less than two years.
    """
    random = np.random.default_rng([seed, KINDS.index(kind) if kind in KINDS else 0])
    if kind == "phases":
        return _with_random_phases(series, flux, harmonics, random)
    if kind == "years":
        return _with_years_dealt(series, flux, random)
    if kind == "shifted":
        return _with_drivers_shifted(series, flux, drivers, random)
    raise InputError(
        "unknown null control", where="surrogate", expected=f"one of {KINDS}", found=kind
    )


def _with_random_phases(
    series: xr.Dataset, flux: str, harmonics: int, random: np.random.Generator
) -> xr.Dataset:
    """Anomalies of the asinh flux replaced by a surrogate of the same spectrum and values; each site draws its own.

    Common phases would keep what neighbours share, but also turn every site's coupling by the same angle, which a pool
    of sites finds again; `years` and `shifted` are the controls for neighbours.
    """
    gas = next(g for g in GASES.values() if g.flux == flux)
    scale = gas.asinh_scale * gas.kg_per_nmol
    design = design_matrix(pd.DatetimeIndex(series["time"].values), harmonics)
    star = np.arcsinh(floats(series, flux) / scale)
    out = star.copy()
    for site, row in enumerate(star):
        ok = np.isfinite(row)
        if ok.sum() >= 2 * design.shape[1]:
            cycle = design[ok] @ np.linalg.lstsq(design[ok], row[ok], rcond=None)[0]
            out[site, ok] = cycle + phase_randomised(np.where(ok, row, np.nan), random, cycle)
    return _replaced(series, {flux: np.sinh(out) * scale})


def phase_randomised(
    values: Floats, random: np.random.Generator, cycle: Floats | float = 0.0
) -> Floats:
    """Amplitude-adjusted Fourier surrogate (measured,) of values (time,) less `cycle` (Theiler et al. 1992, Physica D).

    Gaps are filled by an autoregressive run between their ends, with the lag-one memory of the measured steps, and
    taken out again, so that they stay in place and hardly change the spectrum; the measured values are dealt by rank.
    """
    from scipy.stats import rankdata  # slow to import

    ok = np.isfinite(values)
    left = values[ok] - cycle
    scores = np.full(len(values), np.nan)
    scores[ok] = ndtri(rankdata(left, method="ordinal") / (len(left) + 1))
    spectrum = np.fft.rfft(_bridged(scores, random))
    turned = spectrum * np.exp(2j * np.pi * random.random(len(spectrum)))
    # the mean and, for an even length, the shortest wave must stay real
    turned[0] = spectrum[0]
    if len(values) % 2 == 0:
        turned[-1] = np.abs(spectrum[-1]) * random.choice([-1.0, 1.0])
    dealt = np.fft.irfft(turned, n=len(values))[ok]
    return np.asarray(np.sort(left)[rankdata(dealt, method="ordinal") - 1], dtype=np.float64)


def _bridged(scores: Floats, random: np.random.Generator) -> Floats:
    """Normal scores (time,) without gaps, gaps filled with the lag-one memory of the measured steps."""
    product = scores[1:] * scores[:-1]
    pairs = product[np.isfinite(product)]
    memory = pairs.mean() / np.nanmean(scores**2) if len(pairs) else 0.0
    memory = float(np.clip(memory, 0.0, LONGEST_MEMORY))
    out = np.empty_like(scores)
    last, gap = random.normal(), 0
    for step, score in enumerate(scores):
        run = memory * last + np.sqrt(1 - memory**2) * random.normal()
        if np.isfinite(score):
            # The run, had it gone on, missed the measured score by so much; each step takes its part of that, which
            # makes it a draw given both ends of the gap.
            k = np.arange(1, gap + 1)
            part = memory ** (gap + 1 - k) * (1 - memory ** (2 * k)) / (1 - memory ** (2 * gap + 2))
            out[step - gap : step] += part * (score - run)
        gap = 0 if np.isfinite(score) else gap + 1
        out[step] = last = score if np.isfinite(score) else run
    return out


def _with_years_dealt(series: xr.Dataset, flux: str, random: np.random.Generator) -> xr.Dataset:
    """Flux and coverage of whole years dealt to other years of the same site; no year stays where it was.

    Neighbours of a cluster follow one cyclic order of the years, each skipping the years that it did not measure.
    """
    years = _measured_years(series, flux)
    clusters = _clusters(series)
    last = max((max(own) for own in years if own), default=0)
    orders = {c: random.permutation(last + 1).tolist() for c in np.unique(clusters)}
    rings = [[y for y in orders[c] if y in own] for c, own in zip(clusters, years, strict=True)]
    names = [name for name in (flux, f"{flux}_coverage") if name in series]
    return _moved(series, names, rings, [1] * len(rings))


def _with_drivers_shifted(
    series: xr.Dataset, flux: str, drivers: Sequence[str], random: np.random.Generator
) -> xr.Dataset:
    """All drivers of a site moved by the same whole number of years, round the end of its flux record to its start.

    Neighbours of a cluster with equal records move together, so that what they share stays shared.
    """
    rings = [
        list(range(min(own), max(own) + 1)) if own else [] for own in _measured_years(series, flux)
    ]
    clusters = _clusters(series)
    drawn = {c: int(random.integers(2**31)) for c in np.unique(clusters)}
    steps = [1 + drawn[c] % max(1, len(ring) - 1) for c, ring in zip(clusters, rings, strict=True)]
    moving = [n for n in drivers if n in series and set(series[n].dims) == {"site", "time"}]
    return _moved(series, moving, rings, steps)


def _moved(
    series: xr.Dataset, names: Sequence[str], rings: Sequence[list[int]], steps: Sequence[int]
) -> xr.Dataset:
    """Each site's years dealt round its ring by a number of steps; NaN outside the ring and without a second year."""
    year, slot = _blocks(series)
    at = {(y, s): step for step, (y, s) in enumerate(zip(year, slot, strict=True))}
    source = np.full((len(rings), len(year)), -1)
    for site, (ring, step) in enumerate(zip(rings, steps, strict=True)):
        if len(ring) > 1:
            dealt = dict(zip(ring, ring[step:] + ring[:step], strict=True))
            source[site] = [
                at.get((dealt.get(y, -1), s), -1) for y, s in zip(year, slot, strict=True)
            ]
    values = {n: np.take_along_axis(floats(series, n), np.maximum(source, 0), 1) for n in names}
    return _replaced(series, {n: np.where(source >= 0, v, np.nan) for n, v in values.items()})


def _measured_years(series: xr.Dataset, flux: str) -> list[set[int]]:
    """Years since the start of the series in which each site measured its flux."""
    year = np.asarray(_blocks(series)[0])
    return [set(year[row].tolist()) for row in np.isfinite(floats(series, flux))]


def _blocks(series: xr.Dataset) -> tuple[list[int], list[int]]:
    """Year since the start of the series and step within that year of every step (time,).

    Raises:
        InputError: The series is shorter than two years.
    """
    per_year = _steps_per_year(series)
    step = np.arange(series.sizes["time"])
    year = np.floor((step + 0.5) / per_year).astype(np.int64)
    if not len(year) or year.max() < 1:
        raise InputError(
            "too short a series for a null control with other years",
            where="surrogate",
            expected="at least two years",
            found=f"{len(step)} steps",
            fix="Leave out the kinds 'years' and 'shifted'",
        )
    return year.tolist(), np.round(step - np.round(year * per_year)).astype(np.int64).tolist()


def _steps_per_year(series: xr.Dataset) -> float:
    return 12.0 if series.attrs.get("step", "month") == "month" else DAYS_PER_YEAR / 7


def _clusters(series: xr.Dataset) -> Integers:
    """Cluster of each site; every site for itself where none is given."""
    given = (
        series["cluster"].values if "cluster" in series.variables else range(series.sizes["site"])
    )
    return np.asarray(given, dtype=np.int64)


def _replaced(series: xr.Dataset, values: dict[str, Floats]) -> xr.Dataset:
    """The series with other values (site, time) of some variables."""
    return series.assign(
        {name: (("site", "time"), v, series[name].attrs) for name, v in values.items()}
    )
