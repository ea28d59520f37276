"""The map of a plan: valid GeoJSON whose polygons cover the globe exactly once."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from planted_recipe import recipe, write_inputs

from ch4grid.grid import Grid
from ch4grid.planning import plan
from ch4grid.planning.tasks import PREDICT
from ch4grid.planning.tilemap import tile_map


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, object]:
    fresh = write_inputs(tmp_path_factory.mktemp("fresh"))
    found = plan(recipe(period=[2001, 2002], grid={"resolution": 0.4}), fresh)
    return tile_map(found, Grid(0.4)), found


def ring(feature: dict) -> list[list[float]]:
    (only,) = feature["geometry"]["coordinates"]
    return only


def test_the_document_is_geojson(drawn: tuple) -> None:
    told, _ = drawn
    assert told["type"] == "FeatureCollection"
    assert "crs" not in told  # RFC 7946, 4: longitude and latitude on WGS84, nothing else
    for feature in told["features"]:
        assert feature["type"] == "Feature"
        assert feature["geometry"]["type"] == "Polygon"
        corners = ring(feature)
        assert len(corners) >= 4
        assert corners[0] == corners[-1]
        assert all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in corners)
        pairs = pairwise(corners)
        assert sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs) > 0  # counterclockwise
        west, south, east, north = feature["bbox"]
        assert (west, south) == tuple(corners[0])
        assert (east, north) == tuple(corners[2])


def test_the_polygons_cover_the_globe_exactly_once(drawn: tuple) -> None:
    told, _ = drawn
    grid = Grid(0.4)
    count = np.zeros(grid.shape, int)
    for feature in told["features"]:
        west, south, east, north = feature["bbox"]
        rows = (grid.latitude > south) & (grid.latitude < north)
        columns = (grid.longitude > west) & (grid.longitude < east)
        count[np.ix_(rows, columns)] += 1
    assert (count == 1).all()
    assert len(told["features"]) == len(grid.tiles()) > 10
    boxes = np.array([f["bbox"] for f in told["features"]])
    area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum()
    assert area == pytest.approx(360 * 180)


def test_the_properties_are_those_of_the_tasks(drawn: tuple) -> None:
    told, found = drawn
    mine = [t for t in found.tasks if t.stage == PREDICT]
    properties = [f["properties"] for f in told["features"]]
    assert sum(p["bytes"] for p in properties) == sum(t.bytes for t in mine)
    assert sum(p["seconds"] for p in properties) == pytest.approx(sum(t.seconds for t in mine))
    assert all(p["years"] == [2001, 2002] and p["action"] == "new" for p in properties)
    assert all(p["pairs"] > 0 and p["peak_memory"] > 0 for p in properties)


def test_the_recipe_of_a_fixture_can_be_planned_twice(tmp_path: Path) -> None:
    fresh = write_inputs(tmp_path)
    told = recipe(grid={"resolution": 0.4})
    grid = Grid(0.4)
    assert tile_map(plan(told, fresh), grid) == tile_map(plan(told, fresh), grid)
