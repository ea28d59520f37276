"""Shares of cells: laws over any polygon, closed forms on WGS84, geodesic areas of countries."""

import itertools

import natural_earth
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod
from real_files import real

from ch4grid.grid import Grid, zone_area
from ch4grid.regions import region_share

GRID = Grid(7.5)
CORNERS = st.lists(st.tuples(st.floats(0.05, 0.95), st.floats(0.2, 1.0)), min_size=3, max_size=9)


def box(west: float, south: float, east: float, north: float) -> dict:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def ring(corners, centre, size) -> list[list[float]]:
    """A star-shaped ring: gaps between its corners as shares of the circle, and their distances."""
    gaps = np.cumsum([g for g, _ in corners])
    angle = 2 * np.pi * gaps / gaps[-1]
    reach = np.array([r for _, r in corners])
    x = centre[0] + size[0] * reach * np.cos(angle)
    y = centre[1] + size[1] * reach * np.sin(angle)
    found = np.stack([x, y], axis=1).tolist()
    return [*found, found[0]]


def share(geometry, grid: Grid = GRID) -> np.ndarray:
    return region_share(geometry, grid).values


def area(geometry, grid: Grid = GRID) -> float:
    return float((share(geometry, grid) * grid.cell_area).sum())


@st.composite
def star(draw) -> list[list[float]]:
    # three directions at least, so that the ring goes round its centre
    corners = draw(CORNERS)
    centre = draw(st.tuples(st.floats(-180, 180), st.floats(-45, 45)))
    size = draw(st.tuples(st.floats(1, 60), st.floats(1, 44)))
    return ring([(max(g, 0.3), r) for g, r in corners], centre, size)


@given(star(), st.booleans())
def test_shares_lie_in_the_unit_interval_whichever_way_a_ring_runs(corners, backwards):
    told = share({"type": "Polygon", "coordinates": [corners[::-1] if backwards else corners]})
    assert told.min() >= 0
    assert told.max() <= 1
    np.testing.assert_allclose(
        told, share({"type": "Polygon", "coordinates": [corners]}), atol=1e-9
    )


@given(star())
def test_a_region_and_what_is_left_of_the_globe_make_the_globe(corners):
    whole = box(-180, -90, 180, 90)["coordinates"][0]
    # the hole may reach over the antimeridian, where the outer ring ends: it counts by its area
    rest = share({"type": "Polygon", "coordinates": [whole]}) - share(
        {"type": "Polygon", "coordinates": [corners]}
    )
    if min(p[0] for p in corners) > -180 and max(p[0] for p in corners) < 180:
        hollow = share({"type": "Polygon", "coordinates": [whole, corners]})
        np.testing.assert_allclose(hollow, rest, atol=1e-9)
    assert rest.min() >= -1e-12


@given(star(), st.integers(-48, 48))
def test_turning_a_region_by_whole_cells_turns_its_shares(corners, cells):
    turned = [[x + 7.5 * cells, y] for x, y in corners]
    if max(abs(x) for x, _ in turned) > 540:
        return
    found = share({"type": "Polygon", "coordinates": [turned]})
    expected = np.roll(share({"type": "Polygon", "coordinates": [corners]}), cells, axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@given(star(), st.floats(-170, 170))
def test_halves_of_a_region_add_up_to_it(corners, angle):
    """Cut from a corner to another: the halves share an edge that is in no grid."""
    if len(corners) < 5:
        return
    ring_ = corners[:-1]
    half = len(ring_) // 2
    centre = np.mean(ring_, axis=0).tolist()
    first, second = (
        [*ring_[: half + 1], centre, ring_[0]],
        [*ring_[half:], ring_[0], centre, ring_[half]],
    )
    parts = []
    for part in (first, second):
        try:
            parts.append(share({"type": "Polygon", "coordinates": [part]}))
        except ValueError:
            return  # the cut crosses the ring
    np.testing.assert_allclose(
        sum(parts), share({"type": "Polygon", "coordinates": [corners]}), atol=2e-9
    )


@given(
    st.lists(st.floats(-179, 179), min_size=1, max_size=6, unique=True),
    st.lists(st.floats(-89, 89), min_size=1, max_size=6, unique=True),
)
def test_boxes_that_tile_the_globe_have_shares_that_add_up_to_one(meridians, parallels):
    x, y = [-180, *sorted(meridians), 180], [-90, *sorted(parallels), 90]
    total = np.zeros(GRID.shape)
    for west, east in itertools.pairwise(x):
        for south, north in itertools.pairwise(y):
            middle = (west + east) / 2
            cut = [west, middle, east] if east - west > 180 else [west, east]
            for a, b in itertools.pairwise(cut):
                try:
                    total += share(box(a, south, b, north))
                except ValueError:
                    assert (b - a) * (north - south) < 1e-6  # smaller than rounding
    np.testing.assert_allclose(total, 1.0, atol=1e-7)


@given(st.floats(-400, 300), st.floats(-89, 80), st.floats(0.5, 170), st.floats(0.5, 30))
@pytest.mark.parametrize("resolution", [0.9, 7.5, 45.0])
def test_a_box_has_the_closed_form_area(resolution, west, south, width, height):
    north = min(south + height, 90.0)
    west = min(west, 530 - width)
    expected = zone_area(np.array([[south, north]]))[0] * width / 360
    assert area(box(west, south, west + width, north), Grid(resolution)) == pytest.approx(
        expected, rel=1e-7
    )


@pytest.mark.parametrize("pole", [90.0, -90.0])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_ring_round_a_pole_encloses_its_cap(pole, backwards):
    corners = [[float(x), np.sign(pole) * 61.3] for x in range(-180, 180, 10)]
    corners.append(corners[0])
    corners = corners[::-1] if backwards else corners
    expected = zone_area(np.array([sorted([np.sign(pole) * 61.3, pole])]))[0]
    found = area({"type": "Polygon", "coordinates": [corners]})
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_antimeridian_may_be_cut_crossed_or_passed():
    cut = {
        "type": "MultiPolygon",
        "coordinates": [
            box(175, -20, 180, 11)["coordinates"],
            box(-180, -20, -172, 11)["coordinates"],
        ],
    }
    crossed = {
        "type": "Polygon",
        "coordinates": [[[175, -20], [-172, -20], [-172, 11], [175, 11], [175, -20]]],
    }
    for other in (crossed, box(175, -20, 188, 11), box(-185, -20, -172, 11)):
        np.testing.assert_allclose(share(other), share(cut), atol=1e-9)
    assert area(cut) == pytest.approx(zone_area(np.array([[-20.0, 11]]))[0] * 13 / 360, rel=1e-9)


def test_a_wedge_to_the_pole_across_the_antimeridian():
    wedge = [[170, -60], [-170, -60], [-170, -90], [170, -90], [170, -60]]
    expected = zone_area(np.array([[-90.0, -60]]))[0] * 20 / 360
    assert area({"type": "Polygon", "coordinates": [wedge]}) == pytest.approx(expected, rel=1e-9)


def test_the_share_of_one_cell_is_the_ratio_of_closed_forms():
    grid = Grid(10.0)
    told = share(box(-176, 13, -171, 17), grid)
    expected = zone_area(np.array([[13.0, 17.0]]))[0] / zone_area(np.array([[10.0, 20.0]]))[0] / 2
    assert told[10, 0] == pytest.approx(expected, rel=1e-12)
    assert np.count_nonzero(told) == 1


@pytest.fixture(scope="module")
def countries() -> list[dict]:
    return natural_earth.features(real("masks/naturalearth_lowres.shp").parent)


def geodesic(geometry: dict) -> float:
    """Area by pyproj [m2] of rings whose edges are cut short, so that geodesics follow them."""
    wgs84, total = Geod(ellps="WGS84"), 0.0
    for polygon in geometry["coordinates"]:
        for number, corners in enumerate(polygon):
            points = np.array(corners)
            steps = np.maximum(np.ceil(np.abs(np.diff(points, axis=0)).max(axis=1) / 0.02), 1)
            places = np.concatenate([np.arange(n) / n + k for k, n in enumerate(steps.astype(int))])
            x, y = (np.interp(places, np.arange(len(points)), points[:, d]) for d in (0, 1))
            size = abs(wgs84.polygon_area_perimeter(x, y)[0])
            total += size if number == 0 else -size
    return total


def test_countries_have_their_geodesic_area(countries):
    checked = [c for c in countries if c["properties"]["name"] != "Antarctica"]
    assert len(checked) > 150
    for country in checked:
        expected = geodesic(country["geometry"])
        name = country["properties"]["name"]
        assert area(country, Grid(1.0)) == pytest.approx(expected, rel=2e-6), name


def test_countries_and_the_rest_make_the_globe(countries):
    grid = Grid(2.0)
    each = sum(area(c, grid) for c in countries)
    together = sum(share(c, grid) for c in countries)
    assert together.max() < 1 + 1e-6
    rest = 1 - together
    assert (rest * grid.cell_area).sum() + each == pytest.approx(grid.cell_area.sum(), rel=1e-12)
    assert 0.28 < each / grid.cell_area.sum() < 0.30
    whole = region_share({"type": "FeatureCollection", "features": countries}, grid)
    np.testing.assert_allclose(whole, np.clip(together, 0, 1), atol=1e-6)
