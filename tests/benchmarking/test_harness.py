"""The harness hides what it scores, goes on where it was stopped, and says the same however it is run."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import planted_benchmark as planted
import pytest
import xarray as xr
from planted_model import known_graph

from ch4grid.benchmarking import discovering, harness
from ch4grid.benchmarking.results import score
from ch4grid.cluster import open_workers
from ch4grid.errors import InputError, RecipeError
from ch4grid.evaluation import KINDS
from ch4grid.graph import CausalGraph
from ch4grid.models.config import CTGATConfig
from ch4grid.models.learner import Learner
from ch4grid.models.stacking import Stack
from ch4grid.models.tabular import KNN, CausalParents, Climatology, Ridge
from ch4grid.models.transfer.config import Transfer
from ch4grid.progress import silent

GAS = planted.GAS
TIMES = ["fit_seconds", "predict_seconds"]


def run(folder: Path, work: list[harness.Job]) -> tuple[pd.DataFrame, list[Path]]:
    """Predictions without times, and the files that had to be made."""
    loop = planted.Loop()
    return harness.run(work, loop.map, folder).drop(columns=TIMES), loop.done


def measured(data: xr.Dataset) -> int:
    good = np.isfinite(data[GAS.flux]) & (data[f"{GAS.flux}_coverage"] >= 0.2)
    return int(good.sum())


def test_every_well_measured_month_is_scored_once_by_every_model(tmp_path: Path) -> None:
    found, _ = run(tmp_path, planted.jobs(tmp_path))
    for name, frame in found.groupby("model"):
        assert len(frame) == measured(planted.towers()), name
        assert not frame.duplicated(["site", "time"]).any()
    assert list(found["model"].unique()) == list(planted.MODELS)
    flux = planted.towers()[GAS.flux]
    row = found.iloc[7]
    true = float(flux.sel(site=row["site"], time=row["time"])) / GAS.kg_per_nmol
    assert row["measured"] == pytest.approx(true)
    assert row["measured_asinh"] == pytest.approx(np.arcsinh(true / GAS.asinh_scale))


@pytest.mark.parametrize("kind", ["loso", "loco", "class", "region", "knndm"])
def test_no_tower_of_a_training_set_is_in_its_test(tmp_path: Path, kind: str) -> None:
    work = planted.jobs(tmp_path, splits=[{"split": kind}])
    assert len({job.fold for job in work}) > 1
    for job in work:
        trained, tested = (set(d["site"].values) for d in (job.training.samples, job.test))
        assert not trained & tested
        assert set(job.training.series["site"].values) == trained
        assert job.scored.all()
        if kind in ("loco", "knndm"):
            clusters = (set(d["cluster"].values) for d in (job.training.samples, job.test))
            assert not set.intersection(*clusters)


@pytest.mark.parametrize("kind", ["random", "temporal"])
def test_a_month_that_is_scored_is_hidden_in_training_and_in_discovery(
    tmp_path: Path, kind: str
) -> None:
    for job in planted.jobs(tmp_path, splits=[{"split": kind}]):
        for data in (job.training.samples, job.training.series):
            there = data.sel(site=job.test["site"])[GAS.flux]
            assert there.where(job.scored).isnull().all()
            assert there.where(~job.scored).notnull().any()
        assert np.isfinite(job.test[GAS.flux].values[job.scored]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_split_is_scored(tmp_path: Path, kind: str) -> None:
    splits = [{"split": kind, "nested": False}]
    found, _ = run(tmp_path, planted.jobs(tmp_path, {"climatology": Climatology()}, splits=splits))
    timed = found.assign(fit_seconds=0.0, predict_seconds=0.0)
    (row,) = score(timed, planted.MODELS, reference="ridge", seed=0).rows
    assert row["split"] == kind
    assert row["n"] > 50
    assert set(row) >= planted.CONTRACT


def test_rows_carry_the_contract_are_json_and_the_oracle_ranks_first(tmp_path: Path) -> None:
    models = {"oracle": planted.Oracle(), **planted.MODELS}
    predictions = harness.run(planted.jobs(tmp_path, models), planted.Loop().map, tmp_path)
    results = score(predictions, models, reference="climatology", seed=0)
    assert [row["model"] for row in results.under("loco")] == ["oracle", "ridge", "climatology"]
    assert all(set(row) >= planted.CONTRACT for row in results.rows)
    assert json.loads(json.dumps(results.rows, allow_nan=False)) == results.rows
    best = results.under("loco")[0]
    assert best["n"] == measured(planted.towers())
    assert best["asinh_nse"] > 0.98
    assert 0.8 < best["coverage90"] <= 1.0
    low, high = best["interval"]["asinh_nse"]
    assert low <= best["asinh_nse"] <= high
    assert set(results.comparisons["model"]) == {"oracle", "ridge"}


def test_shuffled_flux_has_no_skill(tmp_path: Path) -> None:
    data = planted.towers().copy(deep=True)
    flux = data[GAS.flux].values.ravel()
    good = np.isfinite(flux)
    flux[good] = np.random.default_rng(0).permutation(flux[good])
    data[GAS.flux].values[:] = flux.reshape(data[GAS.flux].shape)
    models = {"ridge": Ridge()}
    predictions = harness.run(planted.jobs(tmp_path, models, data), planted.Loop().map, tmp_path)
    (row,) = score(predictions, models, reference="ridge", seed=0).rows
    assert row["asinh_nse"] < 0.05


def test_what_a_model_is_told_of_a_held_out_tower_does_not_depend_on_its_flux(
    tmp_path: Path,
) -> None:
    (job, *_) = planted.jobs(tmp_path, {"ridge": Ridge()})
    held = np.isin(planted.towers()["site"].values, job.test["site"].values)
    data = planted.towers().copy(deep=True)
    data[GAS.flux].values[held] *= 5.0
    (other, *_) = planted.jobs(tmp_path, {"ridge": Ridge()}, data)
    assert other.fold == job.fold
    assert other.path != job.path
    first, second = (run(tmp_path, [work])[0] for work in (job, other))
    assert (first["predicted"] == second["predicted"]).all()
    assert (first["q95"] == second["q95"]).all()
    assert not np.allclose(first["measured"], second["measured"])


def test_a_run_goes_on_and_makes_what_is_missing_only(tmp_path: Path) -> None:
    work = planted.jobs(tmp_path)
    first, made = run(tmp_path, work)
    assert sorted(made) == sorted(job.path for job in work)
    before = {job.path: job.path.read_bytes() for job in work}
    gone = [work[1].path, work[4].path]
    for path in gone:
        path.unlink()
    half = work[2].path.with_name(f".{work[2].path.name}.123.partial")
    half.write_bytes(b"PAR1")
    second, made = run(tmp_path, planted.jobs(tmp_path))
    assert sorted(made) == sorted(gone)
    assert not half.exists()
    pd.testing.assert_frame_equal(first, second)
    assert all(p.read_bytes() == b for p, b in before.items() if p not in gone)
    assert run(tmp_path, planted.jobs(tmp_path))[1] == []


TWIN = {"source": "twin-laboratory", "seed": 1, "towers": 4, "period": [2000, 2003]}
SIMULATION = {"sites": [TWIN], "period": [2001, 2003]}
CHANGES: dict[str, dict[str, Any]] = {
    "the settings of a model": {"after": Ridge(alpha=7.0)},
    "how settings are chosen": {"tuning": {"candidates": 2, "groups": 2}},
    "the groups that make intervals": {"tuning": {"candidates": 1, "groups": 3}},
    "discovery, of a model that needs it": {
        "model": CausalParents(),
        "discovery": {"settings": {"bootstraps": 3, "driver_bootstraps": 1}},
    },
    "simulated sites, of a model that learns from them": {
        "model": Transfer(),
        "simulation": SIMULATION,
    },
    "simulated sites, of a stack of such models": {
        "model": Stack(of=(Transfer(), Climatology())),
        "simulation": SIMULATION,
    },
    "the seed": {"seed": 4},
    "the folds": {"splits": [{"split": "loco", "groups": 4}]},
    "a measured value": {"data": "flux"},
    "a driver": {"data": "tas"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_a_result_makes_new_files(tmp_path: Path, change: str) -> None:
    changes = dict(CHANGES[change])
    model = changes.pop("model", Ridge())
    after = changes.pop("after", model)
    data = planted.towers().copy(deep=True)
    if name := {"flux": GAS.flux, "tas": "tas"}.get(changes.pop("data", "")):
        data[name].values[3, 20] = data[name].values[3, 20] * 1.01 + 1e-12
    paths = [
        {job.path for job in work}
        for work in (
            planted.jobs(tmp_path, {"m": model}),
            planted.jobs(tmp_path, {"m": after}, data, **changes),
        )
    ]
    assert not paths[0] & paths[1]


def test_what_changes_no_result_keeps_the_files(tmp_path: Path) -> None:
    before = [job.path for job in planted.jobs(tmp_path)]
    again = planted.jobs(
        tmp_path,
        title="Other words",
        reference="ridge",
        summary="More.",
        simulation=SIMULATION,
        discovery={"settings": {"bootstraps": 3}},
    )
    assert before == [job.path for job in again]


def test_a_series_of_other_towers_is_a_part_of_what_was_learnt_from(tmp_path: Path) -> None:
    asked = planted.recipe()
    series = planted.towers().assign(tas=planted.towers()["tas"] + 1)
    made = [
        {j.path for j in harness.jobs(asked, e, planted.MODELS, asked.splits, tmp_path)}
        for e in (planted.experiment(), planted.experiment(series=series))
    ]
    assert not made[0] & made[1]


def test_the_digest_is_that_of_values_in_any_order_and_of_names_as_objects() -> None:
    data = planted.towers()
    turned = data[sorted(data.data_vars, reverse=True)]
    named = data.assign_coords(site=("site", np.array(data["site"].values, dtype=object)))
    again = data.assign_coords(
        site=("site", np.array([str(s) + "" for s in data["site"].values], dtype=object))
    )
    assert discovering.digest(turned) == discovering.digest(data)
    assert discovering.digest(named) == discovering.digest(again)


def test_predictions_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    models = {**planted.MODELS, "stack": Stack(of=(Climatology(), Ridge()))}
    here, _ = run(tmp_path / "loop", planted.jobs(tmp_path / "loop", models))
    with open_workers("local:2", silent) as workers:
        folder = tmp_path / "dask"
        there = harness.run(planted.jobs(folder, models), workers.map, folder)
    pd.testing.assert_frame_equal(here, there.drop(columns=TIMES))


def test_a_stack_and_its_models_are_fitted_once_per_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {"ridge": Ridge(), "knn": KNN(), "stack": Stack(of=(Ridge(), Climatology()))}
    work = planted.jobs(tmp_path / "together", models)
    groups = harness.batches(work)
    assert sorted(len(g) for g in groups) == [1, 1, 1, 2, 2, 2]
    with planted.counted(Ridge, monkeypatch) as seen:
        together, _ = run(tmp_path / "together", work)
    # for each of three folds: two groups left out, and all towers
    assert len(seen) == 9
    apart = [
        run(tmp_path / "apart", planted.jobs(tmp_path / "apart", {name: model}))[0]
        for name, model in models.items()
    ]
    order = ["model", "fold", "site", "time"]
    pd.testing.assert_frame_equal(
        together.sort_values(order, ignore_index=True),
        pd.concat(apart).sort_values(order, ignore_index=True),
    )


def test_a_fit_sees_training_towers_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (job, *_) = planted.jobs(tmp_path, {"ridge": Ridge()}, tuning={"candidates": 3, "groups": 2})
    with planted.counted(Ridge, monkeypatch) as seen:
        run(tmp_path, [job])
    # three settings on two groups, and the best on all
    assert len(seen) == 7
    held = set(map(str, job.test["site"].values))
    assert all(not fit & held for fit in seen)
    assert max(map(len, seen)) == planted.towers().sizes["site"] - len(held)


def test_graphs_are_discovered_without_what_is_held_out_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = planted.towers()
    home = dict(zip(map(str, data["site"].values), data["cluster"].values, strict=True))
    seen: list[set[str]] = []

    def watched(series: xr.Dataset, **how: object) -> CausalGraph:
        seen.append(set(map(str, series["site"].values)))
        return known_graph(series, **how)

    monkeypatch.setattr(discovering, "discover", watched)
    models = {"a": CausalParents(trees=2), "b": CausalParents(trees=3)}
    splits = [{"split": "loco", "groups": 2}]
    work = planted.jobs(tmp_path, models, splits=splits)
    found, _ = run(tmp_path, work)
    assert len(found) == 2 * measured(planted.towers())
    # two folds, each with two inner groups and all of its towers; the second model finds the graphs of the first
    assert len(seen) == 6
    assert len(list((tmp_path / "graphs").glob("*.json"))) == 6
    for job in work:
        held = {home[str(s)] for s in job.test["site"].values}
        mine = [s for s in seen if s <= set(map(str, job.training.samples["site"].values))]
        assert len(mine) == 3
        assert all({home[name] for name in sites}.isdisjoint(held) for sites in mine)


def test_networks_under_the_graph_and_their_controls_run_on_the_same_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovering, "discover", known_graph)
    quick = {"members": 2, "width": 2, "heads": 1, "steps": 3}
    models: dict[str, Learner] = {
        name: CTGATConfig.model_validate(quick | lacking)
        for name, lacking in (("ctgat", {}), ("ctgat-random-dag", {"randomise_graph": True}))
    }
    splits = [{"split": "loco", "groups": 2, "nested": False}]
    found, _ = run(tmp_path, planted.jobs(tmp_path, models, splits=splits))
    assert np.isfinite(found["predicted"]).all()
    assert found.groupby("model")["predicted_asinh"].std().min() > 0.1
    one, other = (found.loc[found["model"] == n, "predicted"].to_numpy() for n in models)
    assert not np.allclose(one, other)


def test_drivers_that_discovery_does_not_see_stay_predictors_of_the_network(tmp_path: Path) -> None:
    blind = planted.experiment(series=planted.towers().drop_vars("ps"))
    quick = CTGATConfig(members=1, width=2, heads=1, steps=3)
    asked = planted.recipe(splits=[{"split": "loco", "groups": 2, "nested": False}])
    found, _ = run(tmp_path, harness.jobs(asked, blind, {"ctgat": quick}, asked.splits, tmp_path))
    assert np.isfinite(found["predicted_asinh"]).all()


def test_a_kept_graph_is_read_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovering, "discover", known_graph)
    asked = planted.recipe()
    kept = discovering.KeptDiscovery(
        tmp_path / "graphs", GAS.flux, ("mrsos", "pr", "ps", "tas"), asked.discovery.settings, 0
    )
    first, second = kept(planted.towers()), kept(planted.towers())
    np.testing.assert_array_equal(first.probability, second.probability)
    kept(planted.towers().isel(site=slice(0, 10)))
    assert len(list((tmp_path / "graphs").iterdir())) == 2


def test_a_split_without_months_on_both_sides_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no fold has both months to train on"):
        planted.jobs(tmp_path, data=planted.towers().isel(site=slice(0, 2)))


def test_models_of_a_section_run_under_it_and_no_other(tmp_path: Path) -> None:
    work = planted.jobs(
        tmp_path,
        splits=[{"split": "loco", "groups": 2}, {"split": "random", "models": ["ridge"]}],
    )
    assert {(j.split, j.model) for j in work} == {
        ("loco", "climatology"),
        ("loco", "ridge"),
        ("random", "ridge"),
    }


def test_splits_that_none_of_the_models_runs_under_are_refused(tmp_path: Path) -> None:
    splits = [{"split": "random", "models": ["knn"]}]
    with pytest.raises(RecipeError, match=r"Expected knn\. Found climatology, ridge"):
        planted.jobs(tmp_path, splits=splits)


def test_folds_of_one_name_that_hold_out_other_towers_share_nothing(tmp_path: Path) -> None:
    models = {"ridge": Ridge(), "stack": Stack(of=(Ridge(), Climatology()))}
    splits = [
        {"split": "loco", "groups": 3, "models": ["ridge"]},
        {"split": "loco", "groups": 2, "models": ["stack"]},
    ]
    groups = harness.batches(planted.jobs(tmp_path, models, splits=splits))
    assert [len(group) for group in groups] == [1] * 5


def test_single_fits_take_their_laws_from_the_errors_at_other_clusters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = [{"split": "loco", "nested": False}]
    with planted.counted(Ridge, monkeypatch) as seen:
        found, _ = run(tmp_path, planted.jobs(tmp_path, {"ridge": Ridge()}, splits=splits))
    assert len(seen) == found["fold"].nunique() == 10
    assert set(found["calibration"]) == {"crossed"}
    inside = (found["measured"] >= found["q05"]) & (found["measured"] <= found["q95"])
    assert 0.7 < inside.mean() < 1.0
    # what a cluster measured moves the laws of others and not its own
    cluster = found["cluster"] == found["cluster"].iloc[0]
    moved = found.drop(columns="calibration")
    laws = [name for name in moved if name.startswith("q")]
    moved.loc[cluster, "measured_asinh"] += 3.0
    moved[laws] = np.nan
    again = harness.crossed_laws(moved, GAS)
    np.testing.assert_allclose(again.loc[cluster, laws], found.loc[cluster, laws])
    assert not np.allclose(again.loc[~cluster, laws], found.loc[~cluster, laws])


KILLED = """
import os, signal, sys
from pathlib import Path
import planted_benchmark as planted
from ch4grid.benchmarking import harness
folder, replace, count = Path(sys.argv[1]), Path.replace, 0

def replacing(self, target):
    global count
    count += 1
    if count == 3:
        self.write_bytes(self.read_bytes()[:100])
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

Path.replace = replacing
harness.run(planted.jobs(folder), planted.Loop().map, folder)
"""


def test_a_killed_run_ends_with_the_results_of_an_unkilled_one(tmp_path: Path) -> None:
    expected, _ = run(tmp_path / "clean", planted.jobs(tmp_path / "clean"))
    folder = tmp_path / "killed"
    paths = os.pathsep.join(map(str, (Path(__file__).parent, Path(__file__).parents[1])))
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder)],
        env=os.environ | {"PYTHONPATH": paths},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    work = planted.jobs(folder)
    assert sum(job.path.is_file() for job in work) == 2
    assert len(list(folder.rglob(".*.partial"))) == 1
    found, made = run(folder, work)
    assert len(made) == len(work) - 2
    assert not list(folder.rglob(".*.partial"))
    pd.testing.assert_frame_equal(found, expected)
