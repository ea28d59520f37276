"""Maps as PNG bytes: bare palette images for pages, and a thumbnail with its colour bar for the catalog.

Same values, same bytes: no date, software name or other metadata is written.
"""

import base64
import io
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.pages.colour import MG_PER_DAY, STEPS, Scale, flux_scale

# Widest image on a page [pixel]; finer grids are averaged, coarser ones enlarged by the browser.
WIDEST = 720
# Antarctica has no flux worth the space.
SOUTH = -60.0
# Width of a character below the colour bar of a thumbnail, as a share of the bar's length.
CHARACTER = 0.0175


def display(flux: xr.DataArray) -> NDArray[np.float64]:
    """A flux in kg m-2 s-1 as mg m-2 day-1 (..., latitude, longitude), south to north, without Antarctica."""
    cut = flux.sel(latitude=slice(SOUTH, 90))
    order = (*(d for d in cut.dims if d not in ("latitude", "longitude")), "latitude", "longitude")
    return np.asarray(cut.transpose(*order).values, dtype=np.float64) * MG_PER_DAY


def map_png(values: NDArray[np.float64], scale: Scale) -> bytes:
    """A palette PNG of a field (latitude, longitude), south to north; missing cells are transparent."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(scale.steps(_reduced(values))[::-1]))
    palette = np.vstack([scale.palette, np.zeros((256 - STEPS, 3), np.uint8)])
    image.putpalette(palette.tobytes())
    stream = io.BytesIO()
    image.save(stream, format="PNG", transparency=STEPS, optimize=True)
    return stream.getvalue()


def data_url(png: bytes) -> str:
    """The image as a `data:` URL."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def thumbnail_png(flux: xr.DataArray, *, formula: str = "CH4", title: str = "") -> bytes:
    """A 600 x 300 pixel map of a flux or its time mean, with a colour bar that carries the units.

    Args:
        flux: Flux per cell area ([time,] latitude, longitude) [kg m-2 s-1].
        formula: Formula of the gas, for the units.
        title: One short line above the map.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values = display(flux.mean("time") if "time" in flux.dims else flux)
    scale = flux_scale(values, formula)
    figure = Figure(figsize=(6, 3), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    rgba = np.dstack([np.vstack([scale.palette, [[216, 216, 216]]])[scale.steps(values)]]).astype(
        np.uint8
    )
    axes = figure.add_axes((0.02, 0.2, 0.96, 0.7))
    axes.imshow(
        rgba, extent=(-180, 180, SOUTH, 90), origin="lower", interpolation="nearest", aspect="auto"
    )
    axes.set_axis_off()
    axes.set_title(title, fontsize=10, pad=4)
    bar = figure.add_axes((0.05, 0.115, 0.68, 0.045))
    bar.imshow(scale.palette[None, :, :], extent=(0, 1, 0, 1), aspect="auto")
    bar.set_yticks([])
    places, labels = zip(*_legible(scale.ticks), strict=True)
    bar.set_xticks(places, labels, fontsize=8)
    bar.tick_params(length=2, pad=1)
    figure.text(
        0.985,
        0.115,
        scale.units.replace("⁻²", "$^{-2}$").replace("⁻¹", "$^{-1}$"),
        fontsize=8,
        ha="right",
    )
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _legible(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Ticks from left to right whose labels leave a character free between each other."""
    kept = [ticks[0]]
    for place, label in ticks[1:]:
        room = CHARACTER * (1 + (len(label) + len(kept[-1][1])) / 2)
        if place - kept[-1][0] >= room:
            kept.append((place, label))
    return kept


def _reduced(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of blocks of cells where the field is wider than `WIDEST`; a block of missing cells stays missing."""
    factor = -(-values.shape[1] // WIDEST)
    if factor == 1:
        return values
    rows, columns = values.shape[0] // factor * factor, values.shape[1] // factor * factor
    blocks = values[-rows:, :columns].reshape(rows // factor, factor, columns // factor, factor)
    count = np.isfinite(blocks).sum((1, 3))
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, np.nansum(blocks, axis=(1, 3)) / np.maximum(count, 1), np.nan)
