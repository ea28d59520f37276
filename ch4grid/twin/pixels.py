"""Cells refined to pixels: each cell of the twin is a block of 5 x 5 pixels whose mean is the cell.

Simulating 26 million pixels would cost minutes a month. What a reader of fine files has to get right, their number,
packing, quality and coasts, needs no physics below the cell: a pixel is its cell plus a fixed pattern without a mean.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ch4grid.twin.hdf import Layer, Mask, evi_layers, lst_layers
from ch4grid.twin.planet import View

Float32 = NDArray[np.float32]

# Pixels along the side of a cell: 0.05 degree pixels of a 0.25 degree cell.
SIDE = 5
# Rank of each pixel of a block, each of 0 to 24 once: the lowest are land first.
RANK = np.array(
    [[5 * ((i + 2 * j) % SIDE) + (2 * i + j) % SIDE for j in range(SIDE)] for i in range(SIDE)]
)
# Spread of the pixels of a block about its mean: greenness [1] and temperature [K].
TEXTURE = {"evi": 0.02, "lst_day": 1.0, "lst_night": 0.6}
PRODUCTS = {"MOD13C2": ("evi",), "MOD11C3": ("lst_day", "lst_night")}
# Of 256 draws, those without a retrieval and those whose retrieval is spoilt by cloud.
LOST, CLOUDY = 10, 10
# Stands where the archive has the date of production, which says nothing about the twin.
PRODUCED = "2025001000000"


def refined(cells: NDArray[Any], side: int = SIDE) -> NDArray[Any]:
    """Every cell (n, m) as a block of equal pixels (side n, side m)."""
    return np.repeat(np.repeat(cells, side, axis=0), side, axis=1)


def ranks(shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Rank of every pixel in its block, for cells of this shape."""
    return np.tile(RANK.astype(np.uint8), shape)


def textured(name: str, cells: NDArray[np.floating[Any]]) -> Float32:
    """Pixels of a driver: the cell plus the fixed pattern, whose mean over a block is zero."""
    pattern = ((RANK - (SIDE**2 - 1) / 2) * TEXTURE[name] / SIDE**2).astype(np.float32)
    pixels: Float32 = refined(cells.astype(np.float32))
    pixels += np.tile(pattern, cells.shape)
    return pixels


def sea(land: NDArray[np.float64]) -> Mask:
    """Pixels at sea: as many of a block as its cell has, so that the land keeps its area to a 25th of a cell."""
    count = np.rint(land * SIDE**2).astype(np.uint8)
    return np.asarray(ranks(land.shape) >= refined(count))


def percentages(
    fractions: Mapping[int, NDArray[np.float64]],
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Class and its percent of every pixel, from disjoint fractions (n, m) [1] of cells by class.

    Whole percents cannot hold a class of 0.3 %, so that it takes 1 % of some pixels of the block: the mean over the
    block is right to 0.04 %, and no pixel has more than 100 % of all classes.
    """
    shape = next(iter(fractions.values())).shape
    below = np.zeros(shape, np.float64)
    shift = (ranks(shape).astype(np.float32) + np.float32(0.5)) / np.float32(SIDE**2)
    taken = np.zeros(shift.shape, np.uint8)
    for number, fraction in fractions.items():
        below = below + fraction * 100
        total = np.floor(refined(below.astype(np.float32)) + shift).astype(np.uint8)
        yield number, total - taken
        taken = total


def granule(
    product: str, view: View, water: Mask, step: int, seed: tuple[int, ...]
) -> dict[str, Layer]:
    """Layers of a granule, on pixels.

    Args:
        product: MOD13C2 or MOD11C3.
        view: The planet on its cells, north to south.
        water: Pixels at sea.
        step: Simulation step of the month.
        seed: Seed of what clouds hide in the month.
    """
    made = [
        (
            textured(name, view.driver(name, np.array([step]))[0]),
            *_hidden(water, (*seed, tuple(TEXTURE).index(name))),
        )
        for name in PRODUCTS[product]
    ]
    if product == "MOD13C2":
        return evi_layers(*made[0])
    return lst_layers("Day", *made[0]) | lst_layers("Night", *made[1])


def granule_name(product: str, month: str) -> str:
    """File name of a granule of a month, `2003-05`, as the archive writes it."""
    day = np.datetime64(month, "D") - np.datetime64(month[:4], "D")
    return f"{product}.A{month[:4]}{int(day.astype(int)) + 1:03d}.061.{PRODUCED}.hdf"


def _hidden(water: Mask, seed: tuple[int, ...]) -> tuple[Mask, Mask]:
    """Pixels without a value and with one spoilt by cloud."""
    draw = np.random.default_rng(seed).integers(0, 256, water.shape, dtype=np.uint8)
    lost = (draw < LOST) | water
    return lost, ~lost & (draw >= 256 - CLOUDY)
