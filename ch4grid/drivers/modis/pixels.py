"""Compiled loops over the pixels of sinusoidal tiles; import this module where it is needed, it takes a second.

Bounds are checked by the callers; sums over cells are float64, sums over time per pixel float32.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ch4grid.regridding.kernels import compiled

Float = NDArray[np.float64]
Pixels = NDArray[np.float32]

# Strips of a row of pixels for every pixel that a meridian crosses within it.
STRIPS = 4


@compiled
def add_pixels(
    total: Pixels,
    span: Pixels,
    stored: NDArray[Any],
    good: NDArray[np.bool_],
    packing: tuple[float, float, float, float, float],
    weight: float,
) -> None:
    """Add the valid pixels of a field to sums over time; changes `total` and `span`.

    Args:
        total: Value times days (row, column).
        span: Days (row, column).
        stored: Numbers as stored (row, column).
        good: Accepted pixels (row, column); of another shape if all are.
        packing: Factor, offset, lowest and highest valid stored number, fill.
        weight: Days that the field stands for.
    """
    factor, offset, low, high, fill = packing
    rows, columns = stored.shape
    judged = good.shape[0] == rows and good.shape[1] == columns
    for r in range(rows):
        for c in range(columns):
            number = float(stored[r, c])
            if low <= number <= high and number != fill and (not judged or good[r, c]):
                total[r, c] += weight * (number - offset) * factor
                span[r, c] += weight


@compiled
def _add_strip(
    total: Float,
    area: Float,
    values: Float,
    counts: Float,
    parallel: float,
    axis: tuple[float, float],
    pixel: float,
    resolution: float,
) -> None:
    """Add a strip of a row of pixels, given by running sums, to a row of cells.

    A degree of longitude is `parallel` metres long on the strip, of which a pixel has an area of `pixel`.
    """
    left, width = axis
    columns = values.size - 1
    west = max(int(np.floor((left / parallel + 180.0) / resolution)), 0)
    reach = (left + columns * width) / parallel
    east = min(int(np.ceil((reach + 180.0) / resolution)), total.size)
    for j in range(west, east):
        a = max((parallel * (-180.0 + j * resolution) - left) / width, 0.0)
        b = min((parallel * (-180.0 + (j + 1) * resolution) - left) / width, float(columns))
        if b <= a:
            continue
        i = min(int(a), columns - 1)
        k = min(int(b), columns - 1)
        value = values[k] - values[i]
        value += (b - k) * (values[k + 1] - values[k]) - (a - i) * (values[i + 1] - values[i])
        count = counts[k] - counts[i]
        count += (b - k) * (counts[k + 1] - counts[k]) - (a - i) * (counts[i + 1] - counts[i])
        if count > 0.0:
            total[j] += value * pixel
            area[j] += count * pixel


@compiled
def add_cells(
    total: Float,
    area: Float,
    days: Pixels,
    span: Pixels,
    place: tuple[float, float, float, float, float],
    resolution: float,
) -> None:
    """Add the means over time of pixels to area sums per cell; changes `total` and `area`.

    Args:
        total: Value times area (latitude, longitude).
        area: Area [m2] (latitude, longitude).
        days: Value times days (row, column).
        span: Days (row, column); pixels without any take no part.
        place: Western and northern edge, width and height of a pixel, radius of the sphere [m].
        resolution: Size of a cell [degrees].
    """
    left, top, width, height, radius = place
    rows, columns = days.shape
    n_south = total.shape[0]
    degree = np.pi / 180.0
    pixel = width * height
    reach = max(abs(left), abs(left + columns * width))
    values = np.zeros(columns + 1)
    counts = np.zeros(columns + 1)
    for r in range(rows):
        # running sums along the row: what lies between two meridians is the difference of two of them
        for c in range(columns):
            held = span[r, c] > 0.0
            values[c + 1] = values[c] + (days[r, c] / span[r, c] if held else 0.0)
            counts[c + 1] = counts[c] + (1.0 if held else 0.0)
        if counts[columns] == 0.0:
            continue
        north = (top - r * height) / radius / degree
        south = (top - (r + 1) * height) / radius / degree
        first = max(int(np.floor((south + 90.0) / resolution + 1e-9)), 0)
        last = min(int(np.ceil((north + 90.0) / resolution - 1e-9)), n_south)
        for t in range(first, last):
            # the part of the pixel row within this row of cells: all of it where rows nest
            low = max(south, -90.0 + t * resolution)
            high = min(north, -90.0 + (t + 1) * resolution)
            share = (high - low) / (north - south)
            if share <= 0.0:
                continue
            if share > 1.0 - 1e-6:
                share = 1.0
            # meridians cross a row aslant, by so many pixels far from the central one; strips follow them
            middle = 0.5 * (low + high)
            away = min(reach / (radius * np.cos(middle * degree)), np.pi)
            slant = away * abs(np.sin(middle * degree)) * height / width
            strips = 1 + int(STRIPS * slant)
            for strip in range(strips):
                _add_strip(
                    total[t],
                    area[t],
                    values,
                    counts,
                    radius
                    * np.cos((low + (high - low) * (strip + 0.5) / strips) * degree)
                    * degree,
                    (left, width),
                    share * pixel / strips,
                    resolution,
                )
