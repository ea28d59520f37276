"""Splits hide what is scored, metrics match their definitions, and the benchmark ranks planted models."""

import json
from collections.abc import Callable
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import r2_score

from ch4grid.causal import Discovery
from ch4grid.errors import InputError, RecipeError
from ch4grid.evaluation import (
    KINDS,
    MODELS,
    Pairs,
    benchmark,
    climatology,
    fitters,
    holdout,
    intervals,
    predictions,
    random_forest,
    scores,
)
from ch4grid.evaluation.causal_forest import CausalForestLevels
from ch4grid.evaluation.fitters import uniform
from ch4grid.graph import CausalGraph
from ch4grid.models import CTGATConfig
from ch4grid.models.samples import flux_scale
from ch4grid.vocabulary import ECOSYSTEMS, GASES

evaluation_fitters = import_module("ch4grid.evaluation.fitters")

GAS = GASES["ch4"]
ROW = [
    "model",
    "split",
    "n",
    "nse",
    "asinh_nse",
    "r2",
    "mae",
    "rmse",
    "coverage90",
    "interval",
    "seconds",
]


def _samples(sites: int = 12, steps: int = 36, seed: int = 0, prefix: str = "XX") -> xr.Dataset:
    rng = np.random.default_rng(seed)
    time = pd.date_range("2001-01-01", periods=steps, freq="MS", unit="s")
    tas = 280 + 8 * np.sin(2 * np.pi * np.arange(steps) / 12) + rng.normal(size=(sites, steps))
    star = 1.5 + 0.1 * (tas - 280) + rng.normal(scale=0.15, size=(sites, steps))
    flux = flux_scale(GAS) * np.sinh(star)
    flux[rng.random(flux.shape) < 0.2] = np.nan
    dims = ("site", "time")
    return xr.Dataset(
        {
            "tas": (dims, tas, {"units": "K"}),
            "ch4_flux": (dims, flux, {"units": "kg m-2 s-1"}),
            "ch4_flux_coverage": (dims, np.where(np.isfinite(flux), 0.7, 0.0), {"units": "1"}),
        },
        coords={
            "site": [f"{prefix}-{i:02d}" for i in range(sites)],
            "time": time,
            "latitude": ("site", rng.uniform(-40, 70, sites)),
            "longitude": ("site", rng.uniform(-170, 170, sites)),
            "ecosystem": ("site", (np.arange(sites) % 3).astype(np.int8)),
            "cluster": ("site", np.arange(sites) // 2),
        },
        attrs={"step": "month"},
    )


def _pairs(n: int = 60, seed: int = 0) -> Pairs:
    rng = np.random.default_rng(seed)
    measured = rng.normal(20, 10, n)
    predicted = measured + rng.normal(0, 4, n)
    return Pairs(
        measured=measured,
        predicted=predicted,
        measured_asinh=np.arcsinh(measured / 10),
        predicted_asinh=np.arcsinh(predicted / 10),
        lower=predicted - 5,
        upper=predicted + 5,
        cluster=np.arange(n) // 6,
    )


def test_scores_match_their_definitions() -> None:
    pairs = _pairs()
    found = scores(pairs)
    assert found["nse"] == pytest.approx(r2_score(pairs.measured, pairs.predicted))
    assert found["r2"] == pytest.approx(np.corrcoef(pairs.measured, pairs.predicted)[0, 1] ** 2)
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((pairs.measured - pairs.predicted) ** 2)))
    assert found["coverage90"] == pytest.approx(
        np.mean(np.abs(pairs.measured - pairs.predicted) <= 5)
    )


def test_the_mean_scores_zero_and_the_truth_one() -> None:
    pairs = _pairs()
    mean = np.full(60, pairs.measured.mean())
    assert scores(Pairs(**(vars(pairs) | {"predicted": mean})))["nse"] == pytest.approx(0.0)
    assert scores(Pairs(**(vars(pairs) | {"predicted": pairs.measured})))["nse"] == 1.0


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 50))
def test_scores_do_not_depend_on_the_order_of_months(seed: int) -> None:
    pairs = _pairs(seed=seed)
    shuffled = pairs.at(np.random.default_rng(seed).permutation(60))
    assert scores(shuffled) == pytest.approx(scores(pairs))


def test_an_interval_contains_its_score_and_one_cluster_has_none() -> None:
    pairs = _pairs()
    low, high = intervals(pairs, seed=0)["rmse"]
    assert low < scores(pairs)["rmse"] < high
    alone = Pairs(**(vars(pairs) | {"cluster": np.zeros(60, dtype=int)}))
    assert intervals(alone, seed=0)["rmse"] is None


def test_a_model_without_an_interval_has_no_coverage() -> None:
    pairs = Pairs(**(vars(_pairs()) | {"lower": np.full(60, np.nan)}))
    assert scores(pairs)["coverage90"] is None


def _oracle(samples: xr.Dataset, series: xr.Dataset) -> Callable[[xr.Dataset], xr.Dataset]:
    def predict(points: xr.Dataset) -> xr.Dataset:
        assert "ch4_flux" not in points
        star = 1.5 + 0.1 * (points["tas"].values - 280)
        c = flux_scale(GAS)
        return predictions(
            points,
            GAS,
            location=star,
            flux=c * np.sinh(star),
            lower=c * np.sinh(star - 0.25),
            upper=c * np.sinh(star + 0.25),
        )

    return predict


def test_the_benchmark_ranks_the_oracle_first_and_its_rows_are_json() -> None:
    samples = _samples()
    models = {"oracle": _oracle, "climatology": climatology(GAS), "forest": random_forest(GAS)}
    rows = benchmark(samples, samples, models, "loco", gas=GAS, groups=3)
    assert [list(row) for row in rows] == [ROW] * 3
    assert rows[0]["nse"] == max(row["nse"] for row in rows)
    assert {row["n"] for row in rows} == {int(np.isfinite(samples["ch4_flux"]).sum())}
    assert 0.8 < rows[0]["coverage90"] < 1.0
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_baseline_intervals_cover_about_nine_in_ten_held_out_months() -> None:
    rows = benchmark(_samples(20), _samples(20), {"c": climatology(GAS)}, "loco", gas=GAS, groups=4)
    assert 0.82 < rows[0]["coverage90"] < 0.97


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "knndm"])
def test_every_split_makes_a_row(kind: str) -> None:
    (row,) = benchmark(_samples(), _samples(), {"c": climatology(GAS)}, kind, gas=GAS)
    assert row["split"] == kind
    assert row["n"] > 50


def test_shuffled_flux_has_no_skill() -> None:
    samples = _samples()
    random = np.random.default_rng(0)
    flux = samples["ch4_flux"].values.ravel()
    good = np.isfinite(flux)
    flux[good] = random.permutation(flux[good])
    samples["ch4_flux"] = (("site", "time"), flux.reshape(12, 36), samples["ch4_flux"].attrs)
    (row,) = benchmark(samples, samples, {"f": random_forest(GAS)}, "loco", gas=GAS, groups=3)
    assert row["asinh_nse"] <= 0.05


def test_a_holdout_is_scored_once_and_must_not_have_been_trained_on() -> None:
    samples, test = _samples(), _samples(4, seed=9, prefix="ZZ")
    (row,) = holdout(samples, samples, test, {"oracle": _oracle}, gas=GAS)
    assert row["split"] == "holdout"
    assert row["n"] == int(np.isfinite(test["ch4_flux"]).sum())
    with pytest.raises(InputError, match="XX-00"):
        holdout(samples, samples, samples, {"oracle": _oracle}, gas=GAS)


def test_models_are_known_by_name_and_an_unknown_one_is_a_recipe_error() -> None:
    assert set(fitters(MODELS, GAS, model=CTGATConfig(), discovery=Discovery())) == set(MODELS)
    with pytest.raises(RecipeError, match="Found lstm"):
        fitters(["climatology", "lstm"], GAS, discovery=Discovery())


CAUSAL = ("causal-parents-rf", "causal-forest")
ONCE = Discovery(bootstraps=2, driver_bootstraps=1)


@pytest.mark.parametrize("name", CAUSAL)
def test_a_model_on_causes_discovers_its_graph_without_what_is_held_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = _samples(16)
    home = dict(zip(samples["site"].values.astype(str), samples["cluster"].values, strict=True))
    seen: list[set[int]] = []
    real = evaluation_fitters.discover

    def watched(series: xr.Dataset, **how: object) -> CausalGraph:
        seen.append({int(home[str(site)]) for site in series["site"].values})
        return real(series, **how)

    monkeypatch.setattr(evaluation_fitters, "discover", watched)
    models = fitters([name], GAS, discovery=ONCE)
    (row,) = benchmark(samples, samples, models, "loco", gas=GAS, groups=2)
    everyone = set(home.values())
    assert len(seen) == 2
    assert seen[0] | seen[1] == everyone
    assert not seen[0] & seen[1]
    assert row["n"] == int(np.isfinite(samples["ch4_flux"]).sum())


@pytest.mark.parametrize("name", CAUSAL)
def test_models_on_causes_learn_the_planted_function(name: str) -> None:
    samples = _samples(20)
    models = fitters([name, "climatology"], GAS, discovery=ONCE)
    found, baseline = benchmark(samples, samples, models, "loco", gas=GAS, groups=2)
    assert found["asinh_nse"] > 0.9
    assert found["asinh_nse"] > baseline["asinh_nse"]
    assert 0.75 < found["coverage90"] <= 1.0


def test_the_causal_forest_adds_effect_times_anomaly_and_nothing_else() -> None:
    samples = _samples(20, steps=48)
    tables = np.zeros((len(ECOSYSTEMS), 2, 1, 4))
    tables[:, 1, 0, 0] = 1.0
    graph = CausalGraph(("tas",), "ch4_flux", ECOSYSTEMS, tables)
    model = CausalForestLevels(graph).fit(samples, GAS)
    shift = xr.zeros_like(samples["tas"]) + np.random.default_rng(3).normal(size=(20, 48))
    moved = model.predict(samples.assign(tas=samples["tas"] + shift)) - model.predict(samples)
    assert np.polyfit(shift.values.ravel(), moved.ravel(), 1)[0] == pytest.approx(0.1, rel=0.15)
    assert model.causes == (("tas", 0),)


def test_the_uniform_control_keeps_density_and_forgets_everything_else() -> None:
    probability = np.random.default_rng(0).random((7, 3, 2, 4))
    probability[:, 0, 0, 0] = 0.0
    graph = CausalGraph(("a", "b"), "ch4_flux", ECOSYSTEMS, probability)
    flat = uniform(graph)
    np.testing.assert_allclose(flat.probability.sum(), probability.sum())
    assert len(np.unique(flat.probability[0, -1].round(12))) == 1
    assert (flat.probability[:, 0, 0, 0] == 0).all()


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable:UserWarning")
def test_ctgat_and_its_controls_run_through_the_benchmark() -> None:
    samples = _samples(steps=40)
    wind = np.random.default_rng(1).gamma(4.0, 1.0, (12, 40))
    samples["sfcWind"] = (("site", "time"), wind, {"units": "m s-1"})
    samples["mrsos"] = (("site", "time"), wind[:, ::-1] + 10, {"units": "kg m-2"})
    config = CTGATConfig(members=2, width=2, heads=1, steps=3)
    quick = Discovery(bootstraps=2, driver_bootstraps=1)
    names = ("ctgat", "ctgat-random-dag", "ctgat-uniform")
    models = fitters(names, GAS, model=config, discovery=quick)
    rows = benchmark(samples, samples, models, "loco", gas=GAS, groups=2)
    assert [row["model"] for row in rows] == list(names)
    assert all(row["coverage90"] is not None and row["nse"] is not None for row in rows)
