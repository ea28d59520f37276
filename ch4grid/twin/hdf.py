"""The twin's HDF4 files: MODIS monthly climate modelling grids with packed integers, fill values and quality layers."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ch4grid.twin.planet import View

Float = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Layer = tuple[NDArray[Any], dict[str, Any]]

EVI_SCALE, EVI_FILL = 10000, -3000
LST_SCALE, LST_FILL = 0.02, 0
# Shares of land pixels without a retrieval and with one that its quality flag disowns.
PIXELS_MISSING, PIXELS_CLOUDY = 0.04, 0.04
# MOD13C2 reliability: good, cloudy, no data. MOD11C3 quality: good; error above 3 K; not produced.
GOOD, CLOUDY, NO_DATA = 0, 3, -1
QC_GOOD, QC_POOR, QC_ABSENT = 0b00000000, 0b11000001, 0b00000010
# Length that paths are filled up to with slashes [characters]; longer paths than this are rare.
PATH_LENGTH = 900


def retrievals(view: View, seed: list[int], count: int) -> tuple[Mask, Mask]:
    """Pixels (count, n, m) without a value, at sea or lost, and pixels with a value spoilt by cloud."""
    draw = np.random.default_rng(seed).random((count, *view.lattice.shape))
    lost = (draw < PIXELS_MISSING) | (view.lattice.land <= 0)
    return lost, ~lost & (draw > 1 - PIXELS_CLOUDY)


def evi_layers(evi: Float, lost: Mask, cloudy: Mask) -> dict[str, Layer]:
    """MOD13C2 layers: the index (n, m) packed, too low under cloud, and its reliability."""
    value = np.where(cloudy, 0.3 * evi, evi)
    packed = np.where(lost, EVI_FILL, np.rint(value * EVI_SCALE)).astype(np.int16)
    reliability = _coded(lost, cloudy, (GOOD, CLOUDY, NO_DATA), np.int8)
    return {
        "CMG 0.05 Deg Monthly EVI": (
            packed,
            {
                "long_name": "CMG 0.05 Deg Monthly EVI",
                "units": "EVI",
                "valid_range": [-2000, 10000],
                "_FillValue": EVI_FILL,
                "scale_factor": float(EVI_SCALE),
                "add_offset": 0.0,
            },
        ),
        "CMG 0.05 Deg Monthly pixel reliability": (
            reliability,
            {
                "long_name": "CMG 0.05 Deg Monthly pixel reliability",
                "units": "rank",
                "valid_range": [0, 4],
                "_FillValue": NO_DATA,
            },
        ),
    }


def lst_layers(part: str, lst: Float, lost: Mask, cloudy: Mask) -> dict[str, Layer]:
    """MOD11C3 layers of `Day` or `Night`: the temperature (n, m) [K] packed, too low under cloud, and its quality."""
    value = np.where(cloudy, lst - 12.0, lst)
    packed = np.where(lost, LST_FILL, np.rint(value / LST_SCALE)).astype(np.uint16)
    quality = _coded(lost, cloudy, (QC_GOOD, QC_POOR, QC_ABSENT), np.uint8)
    return {
        f"LST_{part}_CMG": (
            packed,
            {
                "long_name": f"Monthly {part.lower()}time 3min CMG Land-surface Temperature",
                "units": "K",
                "valid_range": [7500, 65535],
                "_FillValue": LST_FILL,
                "scale_factor": LST_SCALE,
                "add_offset": 0.0,
            },
        ),
        f"QC_{part}": (
            quality,
            {
                "long_name": f"Quality control for {part.lower()} LST and emissivity",
                "units": "none",
            },
        ),
    }


def _coded(
    lost: Mask, cloudy: Mask, codes: tuple[int, int, int], kind: type[np.integer[Any]]
) -> NDArray[Any]:
    """Quality codes of good, cloudy and lost pixels."""
    return np.select([lost, cloudy], [kind(codes[2]), kind(codes[1])], kind(codes[0]))


def write_hdf4(path: Path, layers: dict[str, Layer]) -> None:
    """Write layers to an HDF4 file, deflated; the same layers give the same bytes wherever the file lies.

    The library keeps the path it was given inside the file, so it is given one of constant length, overwritten after.

    Raises:
        OSError: The library cannot write the file.
    """
    from pyhdf.error import HDF4Error

    path.unlink(missing_ok=True)
    folder, name = str(path.absolute().parent), path.name
    padded = folder + "/" * max(PATH_LENGTH - len(folder) - len(name), 1) + name
    try:
        _write(padded, layers)
    except HDF4Error as error:
        raise OSError(str(error)) from error
    content = path.read_bytes()
    path.write_bytes(content.replace(padded.encode(), b"/" * len(padded.encode())))


def _write(path: str, layers: dict[str, Layer]) -> None:
    from pyhdf.SD import SD, SDC

    kinds = {
        np.dtype(np.int16): SDC.INT16,
        np.dtype(np.uint16): SDC.UINT16,
        np.dtype(np.int8): SDC.INT8,
        np.dtype(np.uint8): SDC.UINT8,
    }
    file = SD(path, SDC.WRITE | SDC.CREATE)
    for name, (values, attributes) in layers.items():
        kind = kinds[values.dtype]
        layer = file.create(name, kind, values.shape)
        layer.setcompress(SDC.COMP_DEFLATE, 1)
        for key, value in attributes.items():
            layer.attr(key).set(_attribute_kind(value, kind), value)
        layer[:] = np.ascontiguousarray(values)
        layer.endaccess()
    file.end()


def _attribute_kind(value: Any, kind: int) -> int:
    from pyhdf.SD import SDC

    if isinstance(value, str):
        return int(SDC.CHAR8)
    return int(SDC.FLOAT64) if isinstance(value, float) else kind
