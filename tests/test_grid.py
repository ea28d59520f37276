import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ch4grid.errors import RecipeError
from ch4grid.grid import WGS84_A, WGS84_F, Grid, zone_area

RESOLUTIONS = st.sampled_from([0.5, 1.0, 2.0, 2.5, 4.0, 10.0])
# Surface of the WGS84 ellipsoid [m2] (NGA, TR8350.2: authalic radius 6371007.1809 m).
WGS84_SURFACE = 4 * np.pi * 6371007.1809**2


@given(RESOLUTIONS)
def test_cell_areas_add_up_to_the_surface_of_the_ellipsoid(resolution: float) -> None:
    assert Grid(resolution).cell_area.sum() == pytest.approx(WGS84_SURFACE, rel=1e-9)


@given(st.floats(-89.0, 88.0), st.floats(0.01, 1.0))
def test_zone_area_agrees_with_numerical_integration(south: float, width: float) -> None:
    latitude = np.deg2rad(np.linspace(south, south + width, 2001))
    e2 = WGS84_F * (2 - WGS84_F)
    meridian = WGS84_A * (1 - e2) / (1 - e2 * np.sin(latitude) ** 2) ** 1.5
    parallel = 2 * np.pi * WGS84_A * np.cos(latitude) / np.sqrt(1 - e2 * np.sin(latitude) ** 2)
    expected = np.trapezoid(meridian * parallel, latitude)
    assert zone_area(np.array([[south, south + width]]))[0] == pytest.approx(expected, rel=1e-6)


@given(RESOLUTIONS, st.floats(-90, 90), st.floats(-720, 720))
def test_a_point_lies_in_its_cell(resolution: float, latitude: float, longitude: float) -> None:
    grid = Grid(resolution)
    row, column = grid.cell_of(np.array([latitude]), np.array([longitude]))
    south, north = grid.latitude_bounds[row[0]]
    west, east = grid.longitude_bounds[column[0]]
    wrapped = (longitude + 180.0) % 360.0 - 180.0
    assert south - 1e-9 <= latitude <= north + 1e-9
    assert west - 1e-9 <= wrapped <= east + 1e-9


@given(RESOLUTIONS, st.integers(7, 200))
def test_tiles_cover_every_cell_once(resolution: float, size: int) -> None:
    grid = Grid(resolution)
    covered = np.zeros(grid.shape, dtype=int)
    for tile in grid.tiles(size):
        covered[tile] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("resolution", [0.0, -1.0, 0.7])
def test_a_grid_that_does_not_close_is_refused_with_its_value(resolution: float) -> None:
    with pytest.raises(RecipeError, match=rf"divides 180.*Found {resolution}"):
        Grid(resolution)
