"""A benchmark from a recipe file to its results: files of one content, resumed, and taken up by a product recipe."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import planted_benchmark as planted
import planted_gridded
import planted_recipe
import pytest
import yaml

from ch4grid import recipe as product_recipes
from ch4grid import sites
from ch4grid.benchmarking import Benchmarked, benchmark, experiment, load
from ch4grid.benchmarking.experiment import assemble
from ch4grid.errors import InputError, RecipeError
from ch4grid.models.tabular import Ridge
from ch4grid.stores import Workspace

MODELS = ("climatology", "ridge")
FILES = {
    *("comparisons.csv", "index.html", "predictions.csv", "predictions.parquet"),
    *("results.json", "results.md", "results.parquet"),
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return planted.workspace(tmp_path_factory.mktemp("benchmark"))


@pytest.fixture(scope="module")
def done(workspace: Workspace) -> Benchmarked:
    return benchmark(
        planted.recipe(), None, workspace, planted.Loop(), models=MODELS, command="again"
    )


def test_all_files_are_written_and_tell_the_same(done: Benchmarked) -> None:
    assert {path.name for path in done.folder.iterdir()} == FILES
    assert done.folder.parts[-3:] == ("benchmarks", "planted", "selected")
    told = json.loads((done.folder / "results.json").read_text())
    assert told["rows"] == done.rows
    assert told["recipe"] == planted.recipe().resolved()
    assert told["command"] == "again"
    assert set(told["inputs"]) == {"planted/towers.csv", "planted/stations.csv"}
    assert all(set(row) >= planted.CONTRACT for row in told["rows"])
    flat = pd.read_parquet(done.folder / "results.parquet")
    for row, line in zip(done.rows, flat.to_dict("records"), strict=True):
        assert line["asinh_nse"] == row["asinh_nse"]
        assert line["asinh_nse_lower"] == row["interval"]["asinh_nse"][0]
        assert json.loads(line["settings"]) == row["settings"]
    frame = pd.read_parquet(done.folder / "predictions.parquet")
    assert len(frame) == sum(row["n"] for row in done.rows)
    plain = pd.read_csv(done.folder / "predictions.csv")
    np.testing.assert_allclose(plain["predicted"], frame["predicted"], rtol=1e-5)
    assert len(pd.read_csv(done.folder / "comparisons.csv")) == 1


def test_the_distance_of_every_tower_to_those_of_other_clusters_is_kept(
    workspace: Workspace, done: Benchmarked
) -> None:
    (path,) = (done.folder.parent / "distances").glob("*.csv")
    table = pd.read_csv(path)
    assert sorted(table["site"]) == planted.towers()["site"].values.tolist()
    assert (table["distance"] >= 0).all()


def test_predictions_hold_the_columns_that_others_read(done: Benchmarked) -> None:
    frame = pd.read_parquet(done.folder / "predictions.parquet")
    assert {
        *("model", "split", "fold", "site", "time", "cluster", "ecosystem", "latitude"),
        *("longitude", "measured", "predicted", "measured_asinh", "predicted_asinh"),
        *("distance_km", "q05", "q50", "q95", "settings", "parameters"),
        *("fit_seconds", "predict_seconds", "calibration"),
    } <= set(frame.columns)
    laws = frame[[c for c in frame if c[0] == "q" and c[1:].isdigit()]].to_numpy()
    assert laws.shape[1] == 19
    assert (np.diff(laws, axis=1) >= 0).all()


def test_a_rerun_fits_nothing_and_tells_the_same(
    workspace: Workspace, done: Benchmarked, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: (done.folder / name).read_bytes() for name in FILES}
    loop = planted.Loop()
    with planted.counted(Ridge, monkeypatch) as seen:
        benchmark(planted.recipe(), None, workspace, loop, models=MODELS, command="again")
    assert loop.done == []
    # what is told beside the scores is fitted to all towers; no fold is fitted again
    assert {len(fit) for fit in seen} <= {planted.towers().sizes["site"]}
    after = {name: (done.folder / name).read_bytes() for name in FILES}
    assert {n for n in FILES if before[n] != after[n]} == set()


def test_a_quick_run_lies_beside_the_results_and_does_not_touch_them(
    workspace: Workspace, done: Benchmarked
) -> None:
    before = (done.folder / "results.json").read_bytes()
    quick = benchmark(
        planted.recipe(splits=[{"split": "loco"}, {"split": "random"}]),
        None,
        workspace,
        planted.Loop(),
        models=["climatology"],
        quick=True,
    )
    assert quick.folder == done.folder.with_name("quick")
    assert [(row["split"], row["folds"]) for row in quick.rows] == [("loco", 3)]
    assert (done.folder / "results.json").read_bytes() == before


def test_a_product_takes_the_winner_of_the_table(done: Benchmarked, tmp_path: Path) -> None:
    document = planted_recipe.document(model={"best": str(done.folder / "results.json")})
    path = tmp_path / "product.yaml"
    path.write_text(yaml.safe_dump(document))
    assert product_recipes.load(path).learner == Ridge()


def test_an_unknown_model_is_refused_before_any_work(workspace: Workspace) -> None:
    loop = planted.Loop()
    with pytest.raises(RecipeError, match="unknown model"):
        benchmark(planted.recipe(), None, workspace, loop, models=["oracle"])
    assert loop.done == []


def test_a_product_recipe_is_run_on_its_towers_and_gridded_drivers(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    workspace = planted_gridded.write(data)
    path = tmp_path / "product.yaml"
    path.write_text(yaml.safe_dump(planted_recipe.document(**planted_gridded.ONE_YEAR)))
    recipe, product = load(path)
    made = benchmark(recipe, product, workspace, planted.Loop(), models=["climatology"], quick=True)
    (row,) = made.rows
    assert (row["towers"], row["clusters"], row["split"]) == (3, 2, "loco")
    # two towers of a year and the five months of a third
    assert row["n"] == 2 * 12 + 5
    text = (made.folder / "results.md").read_text()
    assert "Models on the towers of planted" in text


def test_predictors_that_a_recipe_names_are_the_only_ones(workspace: Workspace) -> None:
    every = assemble(planted.recipe(), None, workspace).samples
    assert set(every.data_vars) == {
        *("mrsos", "pr", "ps", "tas", "elevation", "ch4_flux", "ch4_flux_coverage")
    }
    few = assemble(planted.recipe(drivers=["tas"], statics=["elevation"]), None, workspace)
    assert set(few.samples.data_vars) == {"tas", "elevation", "ch4_flux", "ch4_flux_coverage"}
    for key, wrong in (("drivers", ["tas", "elevation"]), ("statics", ["tas"])):
        with pytest.raises(RecipeError, match=f"unknown {key}.*Found {wrong[-1]}"):
            assemble(planted.recipe(**{key: wrong}), None, workspace)


def test_towers_from_files_are_those_that_were_written(workspace: Workspace) -> None:
    found = assemble(planted.recipe(), None, workspace)
    data = planted.towers()
    assert found.samples["site"].values.tolist() == data["site"].values.tolist()
    at = found.samples.sel(time=data["time"])
    np.testing.assert_allclose(at["tas"], data["tas"], rtol=1e-6)
    flux = data["ch4_flux"].where(data["ch4_flux_coverage"] >= 0.2)
    np.testing.assert_allclose(at["ch4_flux"], flux, rtol=1e-6)
    assert found.series is found.samples
    assert found.simulation is None
    assert (found.distances >= 0).all()
    assert found.distances.max() > 1000


def test_the_period_bounds_fluxes_and_the_spin_up_drivers() -> None:
    names = np.array(["boreal-peatland"] * 20)
    towers = planted.towers().assign_coords(ecosystem=("site", names))
    found = sites.in_period(towers, planted.GAS, (2003, 2003), 1)
    assert found["time"].dt.year.values.tolist() == [2002] * 12 + [2003] * 12
    assert found["ch4_flux"].sel(time="2002").isnull().all()
    assert found["tas"].notnull().all()
    with pytest.raises(InputError, match="no tower has a measured month"):
        sites.in_period(towers, planted.GAS, (2010, 2011), 0)


def test_simulated_sites_near_a_tower_are_left_out(workspace: Workspace) -> None:
    twin = {"source": "twin-laboratory", "seed": 1, "towers": 4, "period": [2000, 2001]}
    asked = planted.recipe(simulation={"sites": [twin], "period": [2001, 2001]})
    found = assemble(asked, None, workspace)
    assert found.simulation is not None
    between = experiment.great_circle_km(
        found.simulation["latitude"].values[:, None],
        found.simulation["longitude"].values[:, None],
        found.samples["latitude"].values,
        found.samples["longitude"].values,
    )
    assert between.min() >= 300.0
    assert found.simulation["ch4_flux"].notnull().any()


def test_a_stack_with_a_transferring_model_learns_from_the_simulation(workspace: Workspace) -> None:
    twin = {"source": "twin-laboratory", "seed": 1, "towers": 4, "period": [2000, 2001]}
    quickly = {"architecture": "transfer", "source_steps": 1, "steps": 1}
    stack = {"architecture": "stack", "of": [quickly, {"architecture": "climatology"}]}
    asked = planted.recipe(
        simulation={"sites": [twin], "period": [2001, 2001]},
        models={"climatology": {"architecture": "climatology"}, "stack": stack},
    )
    named = ["climatology", "stack"]
    made = benchmark(asked, None, workspace, planted.Loop(), models=named, quick=True)
    assert {row["model"] for row in made.rows} == set(named)
