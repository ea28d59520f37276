"""Pictures of a year for the catalog: twelve small maps, and a bare map that viewers lay over theirs."""

import calendar
import io

import numpy as np
import xarray as xr

from ch4grid.pages.colour import flux_scale
from ch4grid.pages.maps import SOUTH, display, map_png

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
    axes = figure.subplots(-(-len(values) // COLUMNS), COLUMNS, squeeze=False).ravel()
    figure.subplots_adjust(left=0.01, right=0.99, top=0.92, bottom=0.1, wspace=0.03, hspace=0.22)
    months = flux["time"].dt.month.values.tolist()
    for place, month, field in zip(axes, months, values, strict=False):
        place.imshow(
            palette[scale.steps(field)],
            extent=(-180, 180, SOUTH, 90),
            origin="lower",
            interpolation="nearest",
            aspect="auto",
        )
        place.set_title(calendar.month_name[month], fontsize=8, pad=2)
    for place in axes:
        place.set_axis_off()
    bar = figure.add_axes((0.2, 0.05, 0.5, 0.02))
    bar.imshow(scale.palette[None, :, :], extent=(0, 1, 0, 1), aspect="auto")
    bar.set_yticks([])
    places, labels = zip(*scale.ticks, strict=True)
    bar.set_xticks(places, labels, fontsize=7)
    figure.text(0.72, 0.045, scale.units, fontsize=8)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def overview_png(flux: xr.DataArray, *, formula: str = "CH4") -> bytes:
    """A bare palette PNG of a flux over the whole globe in plate carree, as viewers lay it over a map by its box.

    Args:
        flux: Flux per cell area (latitude, longitude) [kg m-2 s-1], such as the mean of a year.
        formula: Formula of the gas, for the colours.
    """
    values = display(flux)
    south = np.full((flux.sizes["latitude"] - len(values), values.shape[1]), np.nan)
    return map_png(np.vstack([south, values]), flux_scale(values, formula))
