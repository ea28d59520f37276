"""Colour scales for fluxes and their uncertainty: readable without colour vision, with zero at a fixed colour.

A scale turns values in display units into positions 0 to 1 and positions into colours, and knows the ticks of its
legend. Flux is shown on an asinh axis, linear near zero and logarithmic for large values, because it spans decades and
has a sign. Numbers that stand for categories have a colour each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ch4grid.pages.figures import tick

Values = NDArray[np.floating]

# kg m-2 s-1 to mg m-2 day-1.
MG_PER_DAY = 86400.0 * 1e6

# Sinks run from dark to pale blue, sources from cream through orange to dark purple: lightness alone tells them apart
# from zero, and blue against orange is safe in the common colour vision deficiencies.
SINK = ("#1f6fae", "#6fb1d9", "#bcdcea", "#f6f3e6")
SOURCE = ("#f6f3e6", "#fde0a0", "#f9b04c", "#e5703a", "#b73a54", "#7a1f6b", "#3a0f53")
SPREAD = ("#f6f3e6", "#d9e3b5", "#9fcfb0", "#5fb0b3", "#3a86ad", "#33589a", "#2a2a6b")

# Of categories, in their order: told apart in the common colour vision deficiencies (Okabe and Ito, 2008).
CATEGORIES = (
    "#56b4e9",
    "#f0e442",
    "#e69f00",
    "#d55e00",
    "#cc79a7",
    "#009e73",
    "#0072b2",
    "#000000",
)

STEPS = 240
# The upper end is this many times the width of the linear part: two decades and a half of fluxes can be told apart.
LINEAR = 200
# Smallest distance between two ticks of a legend, as a share of its length.
APART = 0.065


@dataclass(frozen=True)
class Scale:
    """An asinh colour scale.

    Args:
        low: Value at the lower end; negative only where there are sinks.
        high: Value at the upper end.
        linear: Width of the nearly linear part around zero.
        units: Display units.
        colours: Colours of positive values, from zero.
    """

    low: float
    high: float
    linear: float
    units: str
    colours: tuple[str, ...] = SOURCE

    def position(self, values: Values) -> Values:
        """Positions in [0, 1]; values beyond the ends sit on them, NaN stays."""
        ends = np.arcsinh(np.array([self.low, self.high]) / self.linear)
        place = (np.arcsinh(values / self.linear) - ends[0]) / (ends[1] - ends[0])
        return np.asarray(np.clip(place, 0, 1))

    @cached_property
    def palette(self) -> NDArray[np.uint8]:
        """Colours of `STEPS` equal positions (step, rgb)."""
        zero = float(self.position(np.zeros(1))[0])
        sinks = [zero * i / (len(SINK) - 1) for i in range(len(SINK))]
        sources = [
            zero + (1 - zero) * i / (len(self.colours) - 1) for i in range(len(self.colours))
        ]
        places = np.array([*sinks[:-1], *sources]) if zero > 0 else np.array(sources)
        colours = [*SINK[:-1], *self.colours] if zero > 0 else list(self.colours)
        rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours], dtype=float)
        at = (np.arange(STEPS) + 0.5) / STEPS
        return (
            np.stack([np.interp(at, places, rgb[:, k]) for k in range(3)], 1)
            .round()
            .astype(np.uint8)
        )

    def steps(self, values: Values) -> NDArray[np.uint8]:
        """Palette index of every value; `STEPS` for NaN."""
        position = self.position(values)
        index = np.minimum(np.nan_to_num(position, nan=0.0) * STEPS, STEPS - 1).astype(np.uint8)
        return np.where(np.isfinite(position), index, np.uint8(STEPS))

    @cached_property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Position and label of the legend's ticks, never on top of each other, the ends and zero first."""
        decades = [m * 10.0**e for e in range(-6, 7) for m in (1, 2, 5)]
        inner = [v for v in decades[::-1] if v < self.high] + [-v for v in decades if -v > self.low]
        chosen: list[float] = []
        for value in [0.0, self.high, *([self.low] if self.low < 0 else []), *inner]:
            place = float(self.position(np.array([value]))[0])
            if all(abs(place - float(self.position(np.array([c]))[0])) > APART for c in chosen):
                chosen.append(value)
        return tuple((float(self.position(np.array([v]))[0]), tick(v)) for v in sorted(chosen))

    @cached_property
    def css(self) -> str:
        """The scale as a CSS gradient from left to right."""
        picks = self.palette[:: STEPS // 24]
        return f"linear-gradient(to right, {', '.join('#' + bytes(c).hex() for c in picks)})"


@dataclass(frozen=True)
class Categories:
    """Numbers that stand for something.

    Args:
        names: What every number means; at most as many as there are `CATEGORIES`.
    """

    names: Mapping[int, str]

    @property
    def colours(self) -> dict[int, str]:
        """The colour of every number."""
        return dict(zip(self.names, CATEGORIES, strict=False))


def flux_scale(values: Values, formula: str = "CH4") -> Scale:
    """Scale for fluxes [mg m-2 day-1] from sinks through zero to the 99.5th percentile."""
    finite = values[np.isfinite(values)]
    high = _rounded(float(np.percentile(finite, 99.5))) if finite.size else 1.0
    lowest = float(np.percentile(finite, 0.5)) if finite.size else 0.0
    low = -_rounded(-lowest) if lowest < -high / 1e4 else 0.0
    return Scale(low, high, high / LINEAR, f"mg {formula} m⁻² day⁻¹")


def spread_scale(values: Values, formula: str = "CH4") -> Scale:
    """Scale for standard errors [mg m-2 day-1] from zero to the 99.5th percentile."""
    finite = values[np.isfinite(values)]
    high = _rounded(float(np.percentile(finite, 99.5))) if finite.size else 1.0
    return Scale(0.0, high, high / LINEAR, f"mg {formula} m⁻² day⁻¹", SPREAD)


def _rounded(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten at or above a positive value; 1 for anything else."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= value * (1 - 1e-9)))
