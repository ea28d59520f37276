"""Quality layers of MODIS land products: which codes are good enough to enter a mean.

Codes are 8 bits wide, so each rule is one table of 256 answers, made from the bit fields of the user guides, and a
layer is judged by one look-up per pixel.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# How a product codes quality: rank of the vegetation index, bits of the surface temperature, bits of leaf area and
# production, and products whose poor inputs were replaced before, where only the fill of the value counts.
Kind = Literal["reliability", "lst_bits", "fpar_bits", "filled"]

CODES = np.arange(256)


def bits(codes: NDArray[Any], first: int, last: int) -> NDArray[Any]:
    """The number in bits `first` to `last`, both included, counted from the least significant."""
    field: NDArray[Any] = (codes >> first) & ((1 << (last - first + 1)) - 1)
    return field


def accepted(kind: Kind, reliability: tuple[int, ...] = (0, 1, 2)) -> NDArray[np.bool_]:
    """For each of the codes 0 to 255 whether a pixel may enter a mean.

    `reliability` (MOD13 user guide, table 5): the ranks given; a rank of -1, no data, is code 255.
    `lst_bits` (MOD11 user guide, table 13): bits 0 and 1 say produced (2 and 3: not), bits 6 and 7 an average error of
    the temperature of at most 3 K (3: above).
    `fpar_bits` (MOD15 user guide, table 5; MOD17 keeps them): bit 2 detectors fine, bits 3 and 4 not under significant
    cloud (1), bits 5 to 7 from the main algorithm, saturated or not (0, 1; 2 and 3 are the back-up, 4 nothing).
    `filled`: all; the gap-filled products replaced what these bits tell of.
    """
    if kind == "reliability":
        return np.asarray(np.isin(CODES, reliability))
    if kind == "lst_bits":
        return np.asarray((bits(CODES, 0, 1) <= 1) & (bits(CODES, 6, 7) < 3))
    if kind == "fpar_bits":
        clear = bits(CODES, 3, 4) != 1
        return np.asarray((bits(CODES, 2, 2) == 0) & clear & (bits(CODES, 5, 7) <= 1))
    return np.ones(256, np.bool_)


def good(
    quality: NDArray[Any], kind: Kind, reliability: tuple[int, ...] = (0, 1, 2)
) -> NDArray[np.bool_]:
    """Pixels that may enter a mean, of a quality layer of 8-bit integers of either sign."""
    return np.asarray(accepted(kind, reliability)[quality.astype(np.uint8, copy=False)])
