"""Towers kept back: a folder in the layout of the recipe's own source, scored once and never trained on."""

from pathlib import Path

import numpy as np
import pandas as pd
import planted_benchmark as planted
import planted_gridded
import planted_recipe
import pytest

from ch4grid.benchmarking import benchmark, harness
from ch4grid.benchmarking.holdout import held_back, relocated
from ch4grid.errors import InputError, RecipeError
from ch4grid.models.tabular import Ridge
from ch4grid.sites import TowerTable
from ch4grid.sites.twin import TwinTowers

TABLE = TowerTable.model_validate(
    planted.source()
    | {
        "wide": {"evi": {"path": "planted/modis/evi.csv"}},
        "statics": {"elevation": {"column": "path"}},
    }
)


def places(folder: Path) -> list[str]:
    found = relocated(TABLE, folder)
    assert isinstance(found, TowerTable)
    return [found.path, found.sites, found.wide["evi"].path]


def test_a_folder_that_holds_the_folder_of_the_recipe_takes_the_place_of_the_data_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / "planted").mkdir()
    assert places(tmp_path) == [
        str(tmp_path / "planted" / name) for name in ("towers.csv", "stations.csv", "modis/evi.csv")
    ]


def test_a_folder_that_is_the_folder_of_the_recipe_takes_its_place(tmp_path: Path) -> None:
    assert places(tmp_path) == [
        str(tmp_path / name) for name in ("towers.csv", "stations.csv", "modis/evi.csv")
    ]


def test_files_without_a_folder_lie_in_the_one_given_and_nothing_else_changes(
    tmp_path: Path,
) -> None:
    plain = TowerTable.model_validate(planted.source(""))
    found = relocated(plain, tmp_path)
    assert isinstance(found, TowerTable)
    assert found.path == str(tmp_path / "towers.csv")
    settings = found.model_dump(exclude={"path", "sites"})
    assert settings == plain.model_dump(exclude={"path", "sites"})
    assert relocated(TABLE, tmp_path).statics["elevation"].column == "path"  # type: ignore[union-attr]


def test_a_relative_folder_is_that_of_the_user_and_not_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert places(Path("kept"))[0] == str(tmp_path / "kept" / "towers.csv")


def test_a_source_without_files_has_nothing_to_keep_back(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="come from no files"):
        relocated(TwinTowers(source="twin"), tmp_path)


@pytest.mark.parametrize("folder", ["kept", "kept/planted"])
def test_towers_kept_back_are_scored_once_by_models_of_all_others(
    tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = planted.workspace(tmp_path)
    planted.write_towers(tmp_path / "kept" / "planted", planted.others())
    models = {"ridge": {"architecture": "ridge"}, "climatology": {"architecture": "climatology"}}
    with planted.counted(Ridge, monkeypatch) as seen:
        done = benchmark(
            planted.recipe(models=models),
            None,
            workspace,
            planted.Loop(),
            holdout=tmp_path / folder,
        )
    assert [(row["model"], row["split"], row["folds"]) for row in done.rows] == [
        ("ridge", "holdout", 1),
        ("climatology", "holdout", 1),
    ]
    flux = planted.others()["ch4_flux"]
    assert {row["n"] for row in done.rows} == {int(np.isfinite(flux).sum())}
    assert all(row["coverage90"] is not None for row in done.rows)
    assert max(map(len, seen)) == planted.towers().sizes["site"]
    assert not any(name.startswith("Z") for fit in seen for name in fit)
    table = pd.read_parquet(done.folder / "predictions.parquet")
    assert set(table["site"]) == set(planted.others()["site"].values)
    assert done.folder.name == "holdout"
    text = (done.folder / "results.md").read_text()
    assert "left out by cluster" not in text
    assert "towers kept back" in text


def test_the_flux_of_towers_kept_back_changes_no_prediction(tmp_path: Path) -> None:
    asked, test = planted.recipe(), planted.others()
    moved = test.assign(ch4_flux=(test["ch4_flux"] * 3).assign_attrs(test["ch4_flux"].attrs))
    frames = [
        harness.run(
            harness.holdout_jobs(asked, planted.experiment(), planted.MODELS, kept, tmp_path),
            planted.Loop().map,
            tmp_path,
        )
        for kept in (test, moved)
    ]
    pd.testing.assert_series_equal(frames[0]["predicted"], frames[1]["predicted"])
    assert not np.allclose(frames[0]["measured"], frames[1]["measured"])


@pytest.mark.parametrize("name", ["S03", "s03"])
def test_a_tower_that_is_trained_on_cannot_be_kept_back(tmp_path: Path, name: str) -> None:
    test = planted.others()
    names = [name, *test["site"].values[1:].tolist()]
    with pytest.raises(InputError, match=f"both trained on and held out.*{name}"):
        harness.holdout_jobs(
            planted.recipe(),
            planted.experiment(),
            planted.MODELS,
            test.assign_coords(site=names),
            tmp_path,
        )


def test_a_predictor_that_is_missing_at_towers_kept_back_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--holdout: predictors.*no tas"):
        harness.holdout_jobs(
            planted.recipe(),
            planted.experiment(),
            planted.MODELS,
            planted.others().drop_vars("tas"),
            tmp_path,
        )


def test_discovery_sees_no_tower_kept_back_and_no_stranger_beside_one(tmp_path: Path) -> None:
    test, samples = planted.others(), planted.towers()
    stranger = test.isel(site=[0, 1]).assign_coords(
        site=["near", "far"], latitude=("site", [float(test["latitude"][0]), -89.0])
    )
    kept = [samples, test, stranger]
    series = samples.isel(site=np.zeros(28, dtype=int)).assign_coords(
        {
            name: ("site", np.concatenate([d[name].values for d in kept]))
            for name in ("site", "latitude", "longitude")
        }
    )
    (job, *_) = harness.holdout_jobs(
        planted.recipe(), planted.experiment(series=series), planted.MODELS, test, tmp_path
    )
    found = job.training.series
    assert found is not None
    assert found["site"].values.tolist() == [*samples["site"].values.tolist(), "far"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--holdout: no such folder"):
        held_back(planted.recipe(), None, tmp_path / "none", planted.workspace(tmp_path))


def test_towers_kept_back_take_the_gridded_drivers_of_a_product(tmp_path: Path) -> None:
    data, kept = tmp_path / "data", tmp_path / "kept"
    data.mkdir()
    kept.mkdir()
    workspace = planted_gridded.write(data)
    for name, other in (("towers.csv", "others.csv"), ("stations.csv", "other-stations.csv")):
        (kept / name).write_text((workspace.data / other).read_text())
    product = planted_recipe.recipe(**planted_gridded.ONE_YEAR, discovery={})
    asked = planted.recipe(product="product.yaml", sites=[], period=None)
    found = held_back(asked, product, kept, workspace)
    assert set(found["site"].values) == {"DD-Nea", "EE-Far", "FF-Far"}
    assert bool(found["tas"].notnull().all())
    done = benchmark(
        asked, product, workspace, planted.Loop(), models=["climatology"], holdout=kept
    )
    (row,) = done.rows
    assert (row["split"], row["n"], row["towers"]) == ("holdout", 36, 3)
