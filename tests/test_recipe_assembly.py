"""What a recipe's stages are given: kept once, found again, made anew when an input changed."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from planted_recipe import GRID, recipe, write_drivers, write_inputs

from ch4grid.assembly import Assembly
from ch4grid.drivers.kept import keep
from ch4grid.errors import InputError, RecipeError
from ch4grid.grid import great_circle_km
from ch4grid.stores import Workspace
from ch4grid.testing import CLIMATE
from ch4grid.vocabulary import ECOSYSTEMS, GASES


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that tests only add to."""
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return write_inputs(tmp_path)


def written(workspace: Workspace) -> dict[str, int]:
    """Objects of drivers below the cache with the times at which they were written."""
    cache = workspace.cache / "drivers"
    return {
        p.relative_to(cache).as_posix(): p.stat().st_mtime_ns
        for p in cache.rglob("*")
        if p.is_file() and "/c/" in p.as_posix()
    }


def test_driver_months_are_kept_and_found_again(workspace: Workspace) -> None:
    store = Assembly(recipe(), workspace).update(1999, 2001)
    before = written(workspace)
    assert Assembly(recipe(), workspace).update(1999, 2001) == store
    assert written(workspace) == before


def test_a_changed_input_file_changes_its_own_year_alone(workspace: Workspace) -> None:
    store = Assembly(recipe(), workspace).update(1999, 2001)
    before = written(workspace)
    with xr.open_zarr(store, consolidated=False) as ds:
        first = ds["tas"].sel(time="2000").values
    write_drivers(workspace.data, 2000, warmer=1.0)
    assembly = Assembly(recipe(), workspace)
    assert assembly.update(1999, 2001) == store
    after = written(workspace)
    touched = {k for k in after if before.get(k) != after[k]}
    # the cube begins with the spin-up of the recipe, 1999, so 2000 is months 12 to 23
    assert touched == {f"{store.name}/tas/c/{i}/0/0" for i in range(12, 24)}
    with xr.open_zarr(store, consolidated=False) as ds:
        np.testing.assert_allclose(ds["tas"].sel(time="2000").values - first, 1.0, atol=1e-3)
    cells = GRID.shape[0] * GRID.shape[1]
    told = assembly.revised()
    assert told[0] == f"drivers of 2000-01 revised in {cells} cells (tas {cells})"
    assert len(told) == 13
    listed = pd.read_csv(told[-1].partition(": ")[2])
    assert len(listed) == cells
    assert set(listed["last_month"].str[:7]) == {"2002-08"}


def test_another_grid_source_or_policy_is_another_cube(shared: Workspace) -> None:
    (drivers,) = recipe().model_dump(mode="json")["drivers"]
    fewer = drivers | {"variables": {n: n for n in ("tas", "pr")}}
    stores = {
        Assembly(r, shared).update(2001, 2001)
        for r in (
            recipe(),
            recipe(grid={"resolution": 45.0}),
            recipe(drivers=[fewer]),
            recipe(gaps="flag"),
        )
    }
    assert len(stores) == 4


def test_doubts_are_what_is_not_final(workspace: Workspace) -> None:
    assert Assembly(recipe(), workspace).doubts(2001) == []
    (workspace.data / "drivers-2000.nc").unlink()
    told = Assembly(recipe(gaps="flag"), workspace).doubts(2001)
    assert any("tas" in line and "2000-01 to 2000-12 missing" in line for line in told)


def test_the_inputs_of_a_year_count_spin_up_and_areas_and_name_no_folder(shared: Workspace) -> None:
    inputs = Assembly(recipe(), shared).inputs(2001)
    assert sorted(inputs) == ["areas.nc", *(f"drivers-{y}.nc" for y in (1999, 2000, 2001))]
    assert str(shared.data) not in json.dumps(inputs)
    # what does not change is taken from the first file that holds it
    assert sorted(Assembly(recipe(spin_up=0), shared).inputs(2001)) == [
        "areas.nc",
        "drivers-1999.nc",
        "drivers-2001.nc",
    ]


def test_a_missing_year_is_named(shared: Workspace) -> None:
    with pytest.raises(InputError, match=r"1998-01 to 1998-12 missing"):
        Assembly(recipe(), shared).inputs(2000)


def test_drivers_are_those_of_the_files_in_order_of_time(shared: Workspace) -> None:
    cube = Assembly(recipe(), shared).drivers(2000, 2001)
    assert cube.sizes["time"] == 24
    for year in (2000, 2001):
        with xr.open_dataset(shared.data / f"drivers-{year}.nc") as native:
            np.testing.assert_allclose(cube["tas"].sel(time=str(year)), native["tas"], rtol=1e-6)


def test_class_areas_never_exceed_the_land(shared: Workspace) -> None:
    areas = xr.open_zarr(Assembly(recipe(), shared).areas(2001), consolidated=False)
    excess = areas["ecosystem_fraction"].sum("ecosystem") - areas["land_fraction"]
    assert float(excess.max()) < 1e-6
    assert float(areas["ecosystem_fraction"].sel(ecosystem="rice-paddy").max()) == pytest.approx(
        0.1
    )


def test_normals_are_the_means_of_their_period_with_the_statics(shared: Workspace) -> None:
    assembly = Assembly(recipe(), shared)
    normals = xr.open_zarr(assembly.normals((2000, 2001)), consolidated=False)
    np.testing.assert_allclose(
        normals["tas_mean"], assembly.drivers(2000, 2001)["tas"].mean("time"), rtol=1e-6
    )
    assert float(normals["elevation"].max()) == 300
    assert assembly.normals((2000, 2001)) != assembly.normals((2000, 2002))


def test_a_sample_has_the_drivers_of_its_cell_and_its_own_flux(shared: Workspace) -> None:
    assembly = Assembly(recipe(), shared)
    samples, cube = assembly.samples(), assembly.drivers(1999, 2002)
    row, column = GRID.cell_of(samples["latitude"].values, samples["longitude"].values)
    for name in CLIMATE:
        np.testing.assert_array_equal(samples[name], cube[name].values[:, row, column].T)
    bog = samples["ch4_flux"].sel(site="AA-Bog", time="2001")
    np.testing.assert_allclose(bog, np.arange(1, 13) * GASES["ch4"].kg_per_nmol)
    codes = [ECOSYSTEMS[c] for c in samples["ecosystem"].values]
    assert codes == ["boreal-peatland", "boreal-peatland", "rice-paddy"]


def test_no_flux_before_the_training_period_is_a_target(shared: Workspace) -> None:
    samples = Assembly(recipe(), shared).samples()
    assert bool(samples["ch4_flux"].sel(time=slice("1999", "2000")).isnull().all())
    assert bool(samples["tas"].sel(time=slice("1999", "2000")).notnull().all())


def test_a_tower_that_measured_nothing_is_no_sample(shared: Workspace) -> None:
    assert "CC-Non" not in Assembly(recipe(), shared).samples()["site"].values


def test_statics_are_those_named_or_all(shared: Workspace) -> None:
    every = Assembly(recipe(), shared).static_names()
    assert {"elevation", "tas_mean", "tas_range", "pr_range"} <= set(every)
    named = recipe(training={"period": [2001, 2002], "statics": ["elevation"]})
    assert Assembly(named, shared).static_names() == ("elevation",)
    assert "tas_mean" not in Assembly(named, shared).samples()
    unknown = recipe(training={"period": [2001, 2002], "statics": ["height"]})
    with pytest.raises(RecipeError, match=r"training\.statics: unknown static.*Found height"):
        Assembly(unknown, shared).samples()


def test_a_held_out_cluster_leaves_samples_and_discovery_alike(shared: Workspace) -> None:
    assembly = Assembly(recipe(), shared)
    samples = assembly.samples()
    series = assembly.series(samples)
    number = {
        str(s): int(c) for s, c in zip(series["site"].values, series["cluster"].values, strict=True)
    }
    bogs = samples["cluster"].sel(site=["AA-Bog", "AA-Fen"]).values.tolist()
    assert [number["DD-Nea"]] * 2 == bogs
    known = set(samples["cluster"].values.tolist())
    assert {number["EE-Far"], number["FF-Far"]}.isdisjoint(known)
    assert number["EE-Far"] != number["FF-Far"]
    left = series.isel(site=(series["cluster"] != bogs[0]).values)
    assert left["site"].values.tolist() == ["EE-Far", "FF-Far"]


def test_without_towers_of_its_own_discovery_sees_the_samples(shared: Workspace) -> None:
    assembly = Assembly(recipe(discovery={}), shared)
    samples = assembly.samples()
    assert assembly.series(samples) is samples


def test_neighbour_distances_are_those_of_land_cells_to_the_nearest_sample(
    shared: Workspace,
) -> None:
    assembly = Assembly(recipe(), shared)
    samples = assembly.samples()
    found = assembly.neighbour_distances(samples)
    expected = [
        min(
            float(great_circle_km(lat, lon, a, b))
            for a, b in zip(samples["latitude"].values, samples["longitude"].values, strict=True)
        )
        for lat in GRID.latitude
        for lon in GRID.longitude[:8]
    ]
    np.testing.assert_allclose(found, expected)


def test_what_is_kept_is_whole_or_absent(tmp_path: Path) -> None:
    ds = xr.Dataset({"a": ("x", np.arange(3.0))})

    def fail() -> xr.Dataset:
        raise InputError("no such file")

    with pytest.raises(InputError):
        keep(tmp_path / "kept", fail)
    assert not (tmp_path / "kept").exists()
    (tmp_path / ".kept.partial").mkdir()
    (tmp_path / ".kept.partial" / "half").write_text("x")
    assert keep(tmp_path / "kept", lambda: ds) == tmp_path / "kept"
    xr.testing.assert_identical(xr.open_zarr(tmp_path / "kept", consolidated=False).load(), ds)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == ["kept"]


def test_of_two_runs_that_want_the_same_one_makes_it(tmp_path: Path) -> None:
    made = []

    def make() -> xr.Dataset:
        made.append(1)
        time.sleep(0.2)
        return xr.Dataset({"a": ("x", np.arange(3.0))})

    with ThreadPoolExecutor(3) as runs:
        found = list(runs.map(lambda _: keep(tmp_path / "kept", make), range(3)))
    assert found == [tmp_path / "kept"] * 3
    assert len(made) == 1
