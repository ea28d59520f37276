"""GeoJSON as users bring it: files, mappings and geometries; what is refused, and in which words."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.regions import RegionSet, region_share
from ch4grid.regions.crossings import crossing
from ch4grid.stores import Workspace

GRID = Grid(10.0)
SQUARE = [[0, 0], [20, 0], [20, 20], [0, 20], [0, 0]]
EAST = [[20, 0], [40, 0], [40, 20], [20, 20], [20, 0]]


def polygon(*rings: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def feature(ring: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": polygon(ring)}


def collection(*features: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features), **more}


TWO = collection(feature(SQUARE, code="W", name="West"), feature(EAST, code="E", name="East"))


class Drawn:
    """A geometry of another library."""

    __geo_interface__ = polygon(SQUARE)


def test_a_file_a_mapping_a_feature_and_an_object_are_one_region(tmp_path: Path) -> None:
    path = tmp_path / "square.geojson"
    path.write_text(json.dumps(polygon(SQUARE)))
    expected = region_share(polygon(SQUARE), GRID)
    assert expected.values.sum() == 4
    nested = {"type": "GeometryCollection", "geometries": [polygon(SQUARE)]}
    high = [[*p, 100.0] for p in SQUARE]
    for source in (path, str(path), feature(SQUARE), Drawn(), nested, polygon(high)):
        np.testing.assert_array_equal(region_share(source, GRID), expected)


def test_features_are_taken_together_or_by_name() -> None:
    both = region_share(TWO, GRID)
    west, east = (region_share(TWO, GRID, feature=n) for n in ("West", "E"))
    np.testing.assert_allclose(west + east, both)
    with pytest.raises(InputError, match=r"no such feature.*such as E, East, W, West.*Found North"):
        region_share(TWO, GRID, feature="North")


def test_a_hole_is_left_out() -> None:
    hole = [[5, 5], [15, 5], [15, 15], [5, 15], [5, 5]]
    for turned in (hole, hole[::-1]):
        told = region_share(polygon(SQUARE, turned), GRID).values
        assert 0.7 < told[9, 18] < 0.8
        assert told.max() < 0.8


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            polygon([[0, 0], [20, 20], [20, 0], [0, 20], [0, 0]]),
            r"cross each other.*longitude 10, latitude 10",
        ),
        (polygon(SQUARE[:-1]), "not closed"),
        (polygon(SQUARE[:3]), "four or more positions"),
        (
            polygon([*SQUARE[:2], [float("nan"), 3], *SQUARE[2:]]),
            "a ring of the geometry is invalid",
        ),
        (polygon([[0, 0], "north", [1, 1], [0, 0]]), "a ring of the geometry is invalid"),
        (polygon([[5e5, 0], [6e5, 0], [6e5, 4e6], [5e5, 0]]), "not in degrees.*EPSG:4326"),
        (polygon(SQUARE, EAST), "a hole lies outside"),
        (collection(feature(SQUARE), feature(SQUARE)), "parts of it overlap"),
        (polygon([[0, 0], [20, 0], [20, 0], [0, 0]]), "encloses no area"),
        (polygon(), "the geometry is empty"),
        ({"type": "MultiPolygon", "coordinates": []}, "the geometry is empty"),
        ({"type": "Point", "coordinates": [0, 0]}, "has no area.*Found Point"),
        (collection(), "the GeoJSON is empty"),
        ({"type": "Feature", "geometry": None, "properties": {}}, "the GeoJSON is empty"),
        ({"latitude": 3}, "this is not GeoJSON"),
        (
            collection(feature(SQUARE), crs={"properties": {"name": "EPSG:3857"}}),
            "another coordinate reference system",
        ),
        (polygon([[-100, 0], [100, 0], [100, 9], [-100, 9], [-100, 0]]), "either way round"),
        (
            polygon([*[[x, x / 10] for x in range(-180, 180, 10)], [-180, -18]]),
            "which pole it encloses is open",
        ),
    ],
)
def test_what_is_no_region_is_refused(source: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        region_share(source, GRID)


def test_wgs84_by_its_old_names_is_read() -> None:
    for name in ("urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:EPSG::4326", "EPSG:4326"):
        told = collection(feature(SQUARE), crs={"type": "name", "properties": {"name": name}})
        assert region_share(told, GRID).values.sum() == 4


def test_files_that_are_missing_or_no_json_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.geojson.*cannot be read"):
        region_share(tmp_path / "no.geojson", GRID)
    (tmp_path / "text.geojson").write_text("hello")
    with pytest.raises(InputError, match="is not GeoJSON"):
        region_share(tmp_path / "text.geojson", GRID)


def test_a_set_joins_features_of_one_name_and_leaves_out_the_nameless(tmp_path: Path) -> None:
    north = [[0, 20], [20, 20], [20, 40], [0, 40], [0, 20]]
    found = collection(
        feature(SQUARE, code="A"),
        feature(EAST, code=" "),
        feature(north, code="A"),
        feature(EAST, code="B"),
    )
    (tmp_path / "set.geojson").write_text(json.dumps(found))
    workspace = Workspace(data=tmp_path, output=tmp_path)
    regions = RegionSet(path="set.geojson", name="code")
    shares = regions.shares(workspace, GRID)
    assert regions.names(workspace) == list(shares["region"].values) == ["A", "B"]
    np.testing.assert_allclose(shares.sum(("latitude", "longitude")), [8, 4])
    with pytest.raises(
        InputError, match=r"no feature has the property 'iso'.*Expected one of code"
    ):
        RegionSet(path="set.geojson", name="iso").names(workspace)
    with pytest.raises(InputError, match="the file of the regions is missing"):
        RegionSet(path="other.geojson", name="iso").names(workspace)


@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_crossings_are_those_of_every_pair(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 10, (count, 2))
    end = start + rng.normal(0, 1.5, (count, 2))

    def cross(i: int, j: int) -> bool:
        matrix = np.stack([end[i] - start[i], start[j] - end[j]], axis=1)
        s, t = np.linalg.solve(matrix, start[j] - start[i])
        return bool(0 < s < 1 and 0 < t < 1)

    expected = any(cross(i, j) for i in range(count) for j in range(i))
    assert (crossing(start, end) is not None) == expected
