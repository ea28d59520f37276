"""A new version after a late correction of one month: regions in which no value changed are copied, not computed."""

import shutil
from pathlib import Path

import numpy as np
import planted_product as planted
import pytest
import xarray as xr
from planted_model import fitted

from ch4grid import cube, ledger
from ch4grid.errors import RunError
from ch4grid.grid import Grid
from ch4grid.planning import plan
from ch4grid.planning.tasks import COPY, PREDICT
from ch4grid.recipe import Recipe
from ch4grid.running import Outcome, run
from ch4grid.stores import Workspace, product_store
from ch4grid.vocabulary import DYNAMIC, months

# twelve degrees are one write region, one degree are two: west and east of Greenwich, with a few cells of land in each
COARSE, FINE = 12.0, 1.0
LEVELS = {"tas": 280.0, "pr": 3e-5, "ps": 1e5, "mrsos": 25.0}
YEARS = (2001, 2002, 2003)


def eastern(grid: Grid) -> tuple[int, int]:
    """Row and column of the cell that changes."""
    rows, columns = grid.shape
    return rows * 2 // 3, columns * 2 // 3


def plane(grid: Grid, inside: float) -> np.ndarray:
    """A few cells in the west and in the east, zero elsewhere."""
    values = np.zeros(grid.shape, dtype=np.float32)
    row, column = eastern(grid)
    for start in (column - grid.shape[1] // 2, column):
        values[row : row + 2, start : start + 3] = inside
    return values


def coordinates(grid: Grid) -> dict[str, np.ndarray]:
    return {"latitude": grid.latitude, "longitude": grid.longitude}


def write_year(folder: Path, grid: Grid, year: int, change: float = 0.0) -> None:
    """Drivers with a season; `change` moves the temperature of June in one eastern cell."""
    time = months(year, year)
    season = np.cos(2 * np.pi * (time.month.values - 7) / 12) + 0.1 * (year - 2001)
    cell = np.zeros((12, *grid.shape))
    cell[(5, *eastern(grid))] = change
    data = {
        name: (
            ("time", "latitude", "longitude"),
            (
                level * (1 + 0.05 * season[:, None, None] + plane(grid, 0.01))
                + (cell if name == "tas" else 0)
            ).astype("f4"),
            {"units": DYNAMIC[name].units},
        )
        for name, level in LEVELS.items()
    }
    ds = xr.Dataset(data, coordinates(grid) | {"time": time})
    ds.to_netcdf(folder / f"{year}.nc", encoding={n: {"zlib": True} for n in data})


def published(folder: Path, resolution: float) -> Workspace:
    """A workspace in which two years were published as v1."""
    grid = Grid(resolution)
    (folder / "drivers").mkdir(parents=True)
    for year in YEARS:
        write_year(folder / "drivers", grid, year)
    fixed = {
        "elevation": plane(grid, 200.0),
        "land_fraction": plane(grid, 1.0),
        "wetland_fraction": plane(grid, 0.4),
    }
    units = {"elevation": "m"}
    xr.Dataset(
        {n: (("latitude", "longitude"), v, {"units": units.get(n, "1")}) for n, v in fixed.items()},
        coordinates(grid),
    ).to_netcdf(folder / "surface.nc")
    fitted().save(folder / "model")
    workspace = Workspace(folder, folder / "products")
    made(workspace, resolution)
    return workspace


def recipe(resolution: float) -> Recipe:
    """At one degree the climate of the cells rests on both years, at twelve on the first alone."""
    surface = {"source": "gridded", "path": "surface.nc"}
    names = {name: name for name in LEVELS}
    return Recipe.model_validate(
        {
            "product": "late",
            "title": "Late corrections",
            "period": [2002, 2003],
            "grid": {"resolution": resolution},
            "drivers": [
                {"source": "gridded", "path": "drivers/*.nc", "variables": names},
                surface | {"variables": {"elevation": "elevation"}},
            ],
            "ecosystems": {
                "areas": [
                    surface | {"variables": {n: n for n in ("land_fraction", "wetland_fraction")}}
                ]
            },
            "sites": [],
            "training": {"period": [2002, 2003 if resolution == FINE else 2002]},
            "spin_up": 1,
            "model": {"checkpoint": "model"},
        }
    )


def made(workspace: Workspace, resolution: float) -> Outcome:
    return run(recipe(resolution), workspace, cluster="local:1")


def store_of(workspace: Workspace, version: int) -> Path:
    return product_store(workspace.output, "late", version, "historical")


def counted(done: Outcome) -> dict[str, int]:
    """Regions by what was done of them."""
    return {r.stage: r.tasks for r in done.took if r.stage in (COPY, PREDICT)}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return published(tmp_path_factory.mktemp("late") / "data", COARSE)


def corrected(first: Workspace, folder: Path, resolution: float) -> Workspace:
    """A copy in which the temperature of one month in one eastern cell has changed."""
    shutil.copytree(first.data, folder)
    write_year(folder / "drivers", Grid(resolution), 2003, change=3.0)
    return Workspace(folder, folder / "products")


def check_that_only_changed_regions_are_computed(
    workspace: Workspace, resolution: float, expected: dict[str, int]
) -> None:
    """Make v2, compare its cells with v1, and its bytes with those of a version in which all was computed."""
    todo = plan(recipe(resolution), workspace)
    assert {(t.year, t.stage) for t in todo.tasks if t.tile} == {(2002, COPY), (2003, PREDICT)}
    assert any("a region in which no value changed is copied" in t.why for t in todo.tasks)
    assert counted(made(workspace, resolution)) == expected
    store = store_of(workspace, 2)
    assert cube.verify(store) == []
    found = planted.tree(store.parent)
    old, new = (xr.open_zarr(store_of(workspace, v), chunks=None) for v in (1, 2))
    changed = (old["ch4_flux"] != new["ch4_flux"]) & old["ch4_flux"].notnull()
    rows, columns = np.nonzero(changed.any("time").values)
    assert {*zip(rows, columns, strict=True)} == {eastern(Grid(resolution))}

    shutil.rmtree(store.parent)
    shutil.rmtree(store_of(workspace, 1).parent / "historical.records")
    assert counted(made(workspace, resolution)) == {PREDICT: sum(expected.values())}
    assert planted.tree(store.parent) == found


def test_an_unchanged_year_is_copied_and_the_result_is_that_of_a_full_rebuild(
    first: Workspace, tmp_path: Path
) -> None:
    workspace = corrected(first, tmp_path / "data", COARSE)
    check_that_only_changed_regions_are_computed(workspace, COARSE, {COPY: 1, PREDICT: 1})


@pytest.mark.slow
def test_an_unchanged_region_is_copied_and_one_whose_climate_changed_is_not(
    tmp_path: Path,
) -> None:
    workspace = corrected(published(tmp_path / "first", FINE), tmp_path / "data", FINE)
    check_that_only_changed_regions_are_computed(workspace, FINE, {COPY: 2, PREDICT: 2})


def test_nothing_damaged_is_copied_and_the_old_version_is_named(
    first: Workspace, tmp_path: Path
) -> None:
    workspace = corrected(first, tmp_path / "data", COARSE)
    old = store_of(workspace, 1)
    (key,) = {r.key for r in ledger.rows_of(old) if r.year == 2002 and r.variable == "ch4_flux"}
    content = bytearray((old / key).read_bytes())
    content[-1] ^= 1
    (old / key).write_bytes(content)
    (old.parent / "historical.records" / "2003" / "0-0.json").write_text("{")
    with pytest.raises(RunError, match=r"v1 cannot be compared.*ch4grid repair"):
        made(workspace, COARSE)
    assert cube.verify(store_of(workspace, 2)) == []
    shutil.copytree(store_of(first, 1), old, dirs_exist_ok=True)
    made(workspace, COARSE)
    assert (workspace.catalog / "products" / "late").is_dir()


def test_records_of_years_taken_back_go_with_them(first: Workspace, tmp_path: Path) -> None:
    shutil.copytree(first.data, tmp_path / "data")
    store = store_of(Workspace(tmp_path / "data", tmp_path / "data" / "products"), 1)
    records = store.parent / "historical.records"
    assert {p.name for p in records.iterdir()} == {"2002", "2003"}
    with cube.lock(store):
        cube.rollback(store, reason="a wrong map")
    assert {p.name for p in records.iterdir()} == {"2002"}
