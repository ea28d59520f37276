"""Regions that a recipe adds: in the table of the product, in its version, and nowhere else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from planted_recipe import GRID, publish, recipe, write_inputs

import ch4grid
from ch4grid import cube
from ch4grid.errors import RecipeError
from ch4grid.planning import plan
from ch4grid.regions import region_share
from ch4grid.stores import Workspace

WEST = {"type": "Polygon", "coordinates": [[[-170, -20], [-95, -20], [-95, 55], [-170, -20]]]}
EAST = {
    "type": "Polygon",
    "coordinates": [[[-95, -20], [40, -20], [40, 55], [-95, 55], [-95, -20]]],
}
KEY = {"regions": [{"path": "lands.geojson", "name": "CODE"}]}


def write_lands(folder: Path, *, west: str = "WST") -> None:
    features = [
        {"type": "Feature", "properties": {"CODE": code}, "geometry": geometry}
        for code, geometry in ((west, WEST), ("EST", EAST))
    ]
    told = {"type": "FeatureCollection", "features": features}
    (folder / "lands.geojson").write_text(json.dumps(told))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    workspace = write_inputs(folder)
    write_lands(folder)
    publish(workspace, KEY)
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(made, tmp_path / "made")
    return Workspace(data=tmp_path / "made", output=tmp_path / "made" / "products")


def store(workspace: Workspace) -> Path:
    return workspace.output / "planted" / "v1" / "historical.zarr"


def test_regions_of_a_recipe_are_rows_of_the_table_with_members(copy: Workspace) -> None:
    ds = ch4grid.open(store(copy)).load()
    names = ["globe", "southern-extratropics", "tropics", "northern-extratropics", "WST", "EST"]
    assert list(ds["region"].values) == names
    for name, geometry in (("WST", WEST), ("EST", EAST)):
        expected = region_share(geometry, GRID)
        np.testing.assert_array_equal(ds["region_fraction"].sel(region=name), expected)
        drawn = ch4grid.budget(ds, region=geometry, years=2001)
        for got, wanted in zip(ch4grid.budget(ds, region=name, years=2001), drawn, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-9)
    assert float(ds["ch4_budget"].sel(region="WST").sum()) != 0
    assert cube.verify(store(copy)) == []


def test_a_table_of_the_page_holds_every_region(copy: Workspace) -> None:
    tables = list(copy.output.rglob("*-budget.csv"))
    assert tables
    assert ",WST," in tables[0].read_text()


def test_the_same_regions_are_the_same_product_and_others_another(copy: Workspace) -> None:
    asked = recipe(**KEY)
    assert plan(asked, copy).complete
    bare = plan(recipe(), copy)
    assert (bare.version, bare.version_reason[:7]) == (2, "regions")
    write_lands(copy.data, west="WEST")
    changed = plan(asked, copy)
    assert (changed.version, changed.previous) == (2, 1)
    assert "regions changed since v1" in changed.version_reason


def test_a_recipe_without_regions_tells_nothing_of_them(copy: Workspace) -> None:
    assert "regions" not in recipe().resolved()
    assert "regions" not in plan(recipe(), copy).parts
    assert recipe(**KEY).resolved()["regions"] == KEY["regions"]
    with xr.open_zarr(store(copy)) as ds:
        assert "lands.geojson" in ds.attrs["ch4grid_recipe"]


def test_a_plan_names_a_missing_file_and_counts_memory(copy: Workspace) -> None:
    fine = {"grid": {"resolution": 0.5}}
    more = plan(recipe(**KEY, **fine), copy).peak_memory
    assert more >= plan(recipe(**fine), copy).peak_memory
    (copy.data / "lands.geojson").unlink()
    found = plan(recipe(**KEY), copy)
    assert "the file of the regions is missing" in " ".join(found.missing)


def test_two_regions_of_one_name_are_refused(copy: Workspace) -> None:
    write_lands(copy.data, west="tropics")
    with pytest.raises(RecipeError, match=r"two regions of the product have one name.*tropics"):
        plan(recipe(**KEY), copy)
    with pytest.raises(RecipeError, match="EST"):
        plan(recipe(regions=KEY["regions"] * 2), copy)


@pytest.mark.parametrize("line", [{"path": "a.geojson"}, {"path": "a", "name": "b", "crs": 1}])
def test_a_line_that_is_not_understood_is_refused(line: dict) -> None:
    with pytest.raises(ValueError, match="regions"):
        recipe(regions=[line])
