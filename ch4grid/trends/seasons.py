"""Seasonal signatures: the mean year of every class and region, its amplitude and peak, and how they changed.

In goes a product with its budget by member, out comes a Dataset (ecosystem, region) with intervals over members and
over years drawn anew in blocks.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.trends.totals import BLOCK, DIMS, LEVEL, bounds_of, class_budget
from ch4grid.trends.years import caution, decades, label
from ch4grid.vocabulary import BUDGET_UNITS

Floats = NDArray[np.float64]

MONTHS = 12


def seasons(
    product: xr.Dataset,
    *,
    gas: str = "ch4",
    record: tuple[int, int] | None = None,
    draws: int = 300,
    seed: int = 0,
) -> xr.Dataset:
    """The mean year of the budget of every class and region.

    Args:
        product: Product with `<gas>_budget` (member, time, ecosystem, region) [Tg per month].
        gas: Name of the gas.
        record: First and last year of the tower record; None when unknown.
        draws: Draws of years per member.
        seed: Seed of the draws.

    Returns:
        `cycle` and bounds (month, ecosystem, region) [Tg]; `amplitude` (highest less lowest month) and bounds [Tg];
        `peak_month` (1 to 12); `phase`, the time of the peak of the first annual harmonic [months after the middle of
        January], and bounds; `amplitude_change` and `phase_change` with bounds, last less first decade, NaN with fewer
        than two. A class without any flux has no peak: its month is 0 and its phase NaN.

    Raises:
        InputError: The product has no budget or no complete year.
    """
    monthly, years, rows = class_budget(product, gas)
    values = monthly.values[..., rows]
    rng = np.random.default_rng([seed, len(years), MONTHS])
    cycles = _drawn_cycles(values, np.arange(len(years)), draws, rng)
    mean = values.mean(axis=(0, 3))
    shape = mean.shape[:2]
    mass = {"units": BUDGET_UNITS}
    month = {"units": "month"}
    out = xr.Dataset(coords={"month": np.arange(1, MONTHS + 1)} | {n: monthly[n] for n in DIMS})
    lower, upper = _interval(cycles)
    for name, cycle in (("cycle", mean), ("cycle_lower", lower), ("cycle_upper", upper)):
        out[name] = (*DIMS, "month"), cycle, mass
    flat = _amplitude(mean) <= 0
    peak = np.where(flat, 0, mean.argmax(axis=-1) + 1).astype(np.int8)
    out["peak_month"] = DIMS, peak, {"units": "1", "comment": "0 where there is no season"}
    out["amplitude"] = DIMS, _amplitude(mean), mass
    out["phase"] = DIMS, _phase(mean), month
    lower, upper = _interval(_amplitude(cycles))
    out["amplitude_lower"], out["amplitude_upper"] = (DIMS, lower, mass), (DIMS, upper, mass)
    about = _phase(mean)
    lower, upper = _interval(_turned(_phase(cycles) - about))
    out["phase_lower"] = DIMS, about + lower, month
    out["phase_upper"] = DIMS, about + upper, month
    for name, (change, low, high) in _changes(values, years, draws, rng, shape).items():
        units = mass if name.startswith("amplitude") else month
        out[name] = DIMS, change, units
        out[f"{name}_lower"], out[f"{name}_upper"] = (DIMS, low, units), (DIMS, high, units)
    return out.assign_attrs(
        label=label(years, record),
        caution=caution(years, record),
        first_year=int(years[0]),
        last_year=int(years[-1]),
        level=LEVEL,
        gas=gas,
    )


def _drawn_cycles(
    values: Floats, part: NDArray[np.intp], draws: int, rng: np.random.Generator
) -> Floats:
    """Mean years (draw, ecosystem, region, month) of every member over years drawn in blocks."""
    count = len(part)
    block = min(BLOCK, count)
    starts = rng.integers(0, count - block + 1, size=(draws, -(-count // block)))
    picks = (starts[:, :, None] + np.arange(block)).reshape(draws, -1)[:, :count]
    weight = np.stack([np.bincount(pick, minlength=count) / count for pick in picks])
    drawn = np.einsum("dy,mecyk->dmeck", weight, values[..., part, :])
    return np.asarray(drawn, dtype=np.float64).reshape(-1, *drawn.shape[2:])


def _interval(drawn: Floats) -> tuple[Floats, Floats]:
    """Bounds at LEVEL over draws (draw, ...)."""
    flat = drawn.reshape(len(drawn), -1)
    lower, upper = bounds_of(flat)
    return lower.reshape(drawn.shape[1:]), upper.reshape(drawn.shape[1:])


def _amplitude(cycle: Floats) -> Floats:
    """Highest less lowest month of cycles (..., month)."""
    return np.asarray(cycle.max(axis=-1) - cycle.min(axis=-1), dtype=np.float64)


def _phase(cycle: Floats) -> Floats:
    """Time of the peak of the first harmonic (...) in [0, 12), NaN without a season."""
    angle = 2 * np.pi * np.arange(MONTHS) / MONTHS
    wave = cycle @ np.exp(1j * angle)
    size = np.abs(wave)
    phase = (np.angle(wave) * MONTHS / (2 * np.pi)) % MONTHS
    return np.where(size > 1e-12 * np.abs(cycle).sum(axis=-1), phase, np.nan)


def _turned(months: Floats) -> Floats:
    """Differences of phases in [-6, 6)."""
    return np.asarray((months + MONTHS / 2) % MONTHS - MONTHS / 2, dtype=np.float64)


def _changes(
    values: Floats,
    years: NDArray[np.int64],
    draws: int,
    rng: np.random.Generator,
    shape: tuple[int, ...],
) -> dict[str, tuple[Floats, Floats, Floats]]:
    """Change of amplitude and phase from the first to the last decade, with bounds."""
    parts = decades(years)
    if not parts:
        nothing = np.full(shape, np.nan)
        return dict.fromkeys(("amplitude_change", "phase_change"), (nothing, nothing, nothing))
    first, last = parts[0], parts[-1]
    means = [values[..., part, :].mean(axis=(0, 3)) for part in (first, last)]
    drawn = [_drawn_cycles(values, part, draws, rng) for part in (first, last)]
    amplitude = _amplitude(means[1]) - _amplitude(means[0])
    bounds = _interval(_amplitude(drawn[1]) - _amplitude(drawn[0]))
    turn = _turned(_phase(means[1]) - _phase(means[0]))
    # about the change itself, so that a wrap at half a year does not widen the interval
    about = _interval(_turned(_phase(drawn[1]) - _phase(drawn[0]) - turn))
    return {
        "amplitude_change": (amplitude, *bounds),
        "phase_change": (turn, turn + about[0], turn + about[1]),
    }
