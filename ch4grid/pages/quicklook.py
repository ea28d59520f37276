"""Pictures of a year for the catalog: twelve small maps, and a bare map that viewers lay over theirs."""

import calendar
import io

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.pages.colour import flux_scale
from ch4grid.pages.maps import display, map_png

COLUMNS = 3
# Size of the picture [inch] at 100 pixels per inch.
SIZE = (9.6, 6.8)
OCEAN = (216, 216, 216)


def quicklook_png(flux: xr.DataArray, *, formula: str = "CH4", title: str = "") -> bytes:
    """A 960 x 680 pixel picture of the months of a year as small maps; same values, same bytes.

    Args:
        flux: Flux per cell area (time, latitude, longitude) [kg m-2 s-1], twelve months.
        formula: Formula of the gas, for the colours.
        title: One short line above the maps.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values = display(flux.transpose("time", ...))
    scale = flux_scale(values, formula)
    palette = np.vstack([scale.palette, [OCEAN]]).astype(np.uint8)
    figure = Figure(figsize=SIZE, dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.5, 0.965, title, ha="center", fontsize=11)
    axes = figure.add_axes((0.01, 0.09, 0.98, 0.86))
    picture, places = _mosaic(palette[scale.steps(values)])
    axes.imshow(picture, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    for (row, column), month in zip(places, flux["time"].dt.month.values.tolist(), strict=True):
        axes.text(column, row, calendar.month_name[month], fontsize=8, ha="center", va="bottom")
    bar = figure.add_axes((0.2, 0.05, 0.5, 0.02))
    bar.imshow(scale.palette[None, :, :], extent=(0, 1, 0, 1), aspect="auto")
    bar.set_yticks([])
    ticks, labels = zip(*scale.ticks, strict=True)
    bar.set_xticks(ticks, labels, fontsize=7)
    figure.text(0.72, 0.045, scale.units, fontsize=8)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _mosaic(fields: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], list[tuple[float, float]]]:
    """Fields (time, latitude, longitude, rgb), south to north, side by side on white, north up.

    Also row and column where the title of each stands. One image is drawn several times as fast as twelve axes.
    """
    count, rows, columns, _ = fields.shape
    gap, head = max(1, columns // 50), max(1, rows // 5)
    lines = -(-count // COLUMNS)
    shape = (lines * (rows + head), COLUMNS * (columns + gap) - gap, 3)
    picture = np.full(shape, 255, dtype=np.uint8)
    places = []
    for i, field in enumerate(fields):
        top, left = i // COLUMNS * (rows + head) + head, i % COLUMNS * (columns + gap)
        picture[top : top + rows, left : left + columns] = field[::-1]
        places.append((top - 0.5 - rows / 50, left + columns / 2))
    return picture, places


def overview_png(flux: xr.DataArray, *, formula: str = "CH4") -> bytes:
    """A bare palette PNG of a flux over the whole globe in plate carree, as viewers lay it over a map by its box.

    Args:
        flux: Flux per cell area (latitude, longitude) [kg m-2 s-1], such as the mean of a year.
        formula: Formula of the gas, for the colours.
    """
    values = display(flux)
    south = np.full((flux.sizes["latitude"] - len(values), values.shape[1]), np.nan)
    return map_png(np.vstack([south, values]), flux_scale(values, formula))
