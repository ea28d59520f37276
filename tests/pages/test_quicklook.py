"""Pictures of a year: the same bytes for the same values, and a bare map that lies where its box says."""

import io

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from synthetic_product import dataset

from ch4grid.pages import overview_png, quicklook_png
from ch4grid.publication import display_of


@pytest.fixture(scope="module")
def flux() -> xr.DataArray:
    return dataset(2001, 2001)["ch4_flux"]


def test_a_quicklook_has_the_same_bytes_for_the_same_values(flux: xr.DataArray) -> None:
    drawn = quicklook_png(flux, title="A year")
    assert drawn == quicklook_png(flux.copy(deep=True), title="A year")
    assert Image.open(io.BytesIO(drawn)).size == (960, 680)
    assert drawn != quicklook_png(flux * 2, title="A year")


def test_an_overview_covers_the_globe_cell_by_cell_from_north_to_south(flux: xr.DataArray) -> None:
    mean = flux.mean("time")
    image = Image.open(io.BytesIO(overview_png(mean))).convert("RGBA")
    assert image.size == (mean.sizes["longitude"], mean.sizes["latitude"])
    drawn = np.asarray(image)[::-1, :, 3] > 0
    expected = np.isfinite(mean.values) & (mean["latitude"].values > -60)[:, None]
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize(("low", "expected"), [(0.0, 0.0), (-1e-11, 0.0), (-5e-10, -1e-9)])
def test_colours_have_two_sides_where_sinks_matter(low: float, expected: float) -> None:
    values = np.linspace(low, 1e-9, 10000).reshape(1, 100, 100)
    display = display_of(xr.DataArray(values, dims=("time", "latitude", "longitude")))
    assert display is not None
    assert display.high == pytest.approx(9.8e-10, rel=0.02)
    assert np.sign(display.low) == np.sign(expected)


def test_a_map_of_nothing_has_no_colours(flux: xr.DataArray) -> None:
    assert display_of(flux * np.nan) is None
    assert display_of(flux * 0) is None
