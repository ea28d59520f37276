"""The river end to end on a very small twin: one run made once, then looked at from every side."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from ch4grid import catalog
from ch4grid.recipe import load
from ch4grid.running import Outcome, run, verify
from ch4grid.stores import Workspace

RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = {
    "product": "ch4-small",
    "period": [2001, 2001],
    "grid": {"resolution": 10.0},
    "training": {"period": [2001, 2002], "folds": 2, "fold_members": 2, "seed": 1},
    "discovery": {"settings": {"bootstraps": 5, "driver_bootstraps": 2}},
    "model": {"architecture": "ctgat", "members": 2, "steps": 10},
    "scenarios": {"historical": {}, "warmer": {"add": {"tas": 2.0}}},
}


def small_recipe(folder: Path, **changes: object) -> Path:
    document = yaml.safe_load((RECIPES / "tiny.yaml").read_text()) | SMALL | changes
    for source in (*document["drivers"], *document["sites"], *document["ecosystems"]["areas"]):
        source["resolution"] = 5.0
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def make(folder: Path, *, years: list[int] | None = None, **settings: str) -> Outcome:
    workspace = Workspace(data=folder, output=folder / "products")
    return run(load(small_recipe(folder)), workspace, years=years, cluster="local:1", **settings)


def objects(folder: Path) -> dict[str, str]:
    """Every file below a folder with its SHA-256; locks say nothing."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the small recipe was run for its period."""
    folder = tmp_path_factory.mktemp("made")
    make(folder)
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    shutil.copytree(made, tmp_path / "made")
    return tmp_path / "made"


def store_of(folder: Path) -> Path:
    return folder / "products/ch4-small/v1/historical.zarr"


def test_the_product_verifies_and_the_catalog_agrees_with_it(made: Path) -> None:
    assert verify(store_of(made)) == []
    assert catalog.validate(made / "products/catalog") == []


def test_every_variable_has_units_and_every_field_says_what_it_is_a_mean_or_sum_of(
    made: Path,
) -> None:
    with xr.open_zarr(store_of(made)) as ds:
        for name in (
            "ch4_flux",
            "ch4_flux_standard_error",
            "ch4_flux_quantile",
            "ch4_flux_density",
        ):
            assert ds[name].attrs["units"] == "kg m-2 s-1"
            assert "cell_methods" in ds[name].attrs
        assert ds["ch4_budget"].attrs["units"] == "Tg"
        assert ds["time"].attrs["bounds"] == "time_bnds"


def test_both_identities_hold_for_a_reader(made: Path) -> None:
    with xr.open_zarr(store_of(made)) as opened:
        ds = opened.load()
    parts = ds["ch4_flux_density"].astype(float) * ds["ecosystem_fraction"]
    total, size = parts.sum("ecosystem"), abs(parts).sum("ecosystem")
    there = ds["ch4_flux"].notnull()
    assert float((abs(total - ds["ch4_flux"]) / size).where(there).max()) < 1e-6
    seconds = ds["time"].dt.days_in_month * 86400.0
    members = ds["ch4_flux_member"].astype(float)
    mass = (members * ds["cell_area"] * seconds).sum(("latitude", "longitude")) / 1e9
    table = ds["ch4_budget"].sel(region="globe").sum("ecosystem")
    np.testing.assert_allclose(table, mass.transpose(*table.dims), rtol=1e-9)


def test_every_missing_flux_has_a_reason_and_every_flux_none_of_these(made: Path) -> None:
    with xr.open_zarr(store_of(made)) as ds:
        missing = ds["ch4_flux"].isnull().values
        flag = ds["quality_flag"].values
    assert np.isin(flag[missing], (1, 2, 4)).all()
    assert not np.isin(flag[~missing], (1, 2, 255)).any()


def test_the_same_run_again_does_nothing(copy: Path) -> None:
    parts = [copy / "products" / name for name in ("ch4-small", "catalog", "models")]
    before = [objects(part) for part in parts]
    assert make(copy).made == ()
    assert [objects(part) for part in parts] == before


def test_a_new_year_leaves_every_earlier_object_as_it_was(copy: Path) -> None:
    before = objects(store_of(copy))
    assert make(copy, years=[2002]).made == (2002,)
    after = objects(store_of(copy))
    changed = {name for name, digest in before.items() if after[name] != digest}
    assert all(name.endswith("zarr.json") for name in changed)
    with xr.open_zarr(store_of(copy)) as ds:
        assert ds.sizes["time"] == 24
    assert catalog.validate(copy / "products/catalog") == []


def test_a_run_on_two_processes_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    small_recipe(tmp_path)
    command = [sys.executable, "-m", "ch4grid.cli", "run", "small.yaml", "--cluster", "local:2"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert objects(store_of(tmp_path)) == objects(store_of(made))


def test_a_scenario_is_a_store_of_its_own_on_the_same_members(copy: Path) -> None:
    make(copy, scenario="warmer")
    warmer = store_of(copy).with_name("warmer.zarr")
    with xr.open_zarr(store_of(copy)) as a, xr.open_zarr(warmer) as b:
        assert a.sizes == b.sizes
        difference = (b["ch4_flux_member"] - a["ch4_flux_member"]).values
    assert np.nanmax(np.abs(difference)) > 0
    assert catalog.validate(copy / "products/catalog") == []


def test_another_model_makes_a_new_version_and_says_what_changed(copy: Path) -> None:
    workspace = Workspace(data=copy, output=copy / "products")
    before = objects(store_of(copy))
    changed = small_recipe(copy, model={"architecture": "ctgat", "members": 2, "steps": 11})
    outcome = run(load(changed), workspace, cluster="local:1")
    assert outcome.store.parent.name == "v2"
    assert "model" in outcome.reason
    assert objects(store_of(copy)) == before
    report = json.loads((outcome.store.parent / "diff-v1-v2.historical.json").read_text())
    assert report["variables"]["ch4_flux"]
    assert catalog.validate(copy / "products/catalog") == []


def test_nothing_stored_names_the_machine(made: Path) -> None:
    for path in (made / "products/catalog").rglob("*"):
        if path.suffix in (".json", ".html", ".csv"):
            assert str(made) not in path.read_text()
    assert str(made) not in (store_of(made) / "zarr.json").read_text()


def test_a_recipe_whose_model_learns_from_simulated_sites_makes_a_product(tmp_path: Path) -> None:
    laboratory = {"source": "twin-laboratory", "seed": 2, "towers": 2, "period": [2000, 2001]}
    path = small_recipe(
        tmp_path,
        training=SMALL["training"] | {"members": 2},
        simulation={"sites": [laboratory], "period": [2000, 2001]},
        model={"architecture": "transfer", "source_steps": 20, "steps": 20},
    )
    outcome = run(
        load(path), Workspace(data=tmp_path, output=tmp_path / "products"), cluster="local:1"
    )
    assert verify(outcome.store) == []
    with xr.open_zarr(outcome.store) as product:
        assert np.isfinite(product["ch4_flux"].sel(time="2001").values).any()
        told = json.loads(product.attrs["ch4grid_recipe"])
        assert told["simulation"]["sites"][0]["seed"] == 2
