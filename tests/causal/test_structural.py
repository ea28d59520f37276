"""The fitted equations are those planted, for the towers and classes that are there, whatever is missing."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from real_files import DATA, real

from ch4grid.causal.equations import draws, equation, resolve, rows, solve
from ch4grid.causal.intervals import effective_clusters, interval, reach, tail
from ch4grid.causal.memory import remembered
from ch4grid.causal.nonlinear import compare
from ch4grid.causal.ordering import causes, forced
from ch4grid.causal.structural import estimate_structure, fit_structure
from ch4grid.causal.structure_report import report_structure
from ch4grid.errors import InputError
from ch4grid.graph import CausalGraph
from ch4grid.sites.fluxnet_ch4 import FluxnetCH4
from ch4grid.stores import Workspace
from ch4grid.structure import StructuralModel
from ch4grid.twin import Twin, laboratory, true_graph
from ch4grid.twin.causes import DRIVER_CAUSES, DRIVERS, FLUX_CAUSES, RESPONSE_UNIT, lag_matrices
from ch4grid.vocabulary import ECOSYSTEMS, GASES

CLASSES = ("boreal-peatland", "temperate-wetland", "upland")


@pytest.fixture(scope="module")
def series() -> xr.Dataset:
    return laboratory(Twin(seed=21, first_year=2001, last_year=2008), ecosystems=CLASSES, towers=12)


@pytest.fixture(scope="module")
def model(series: xr.Dataset) -> StructuralModel:
    return fit_structure(series, true_graph(), flux="ch4_flux", seed=0)


def tiny(probability: np.ndarray) -> CausalGraph:
    return CausalGraph(("tas", "tsl", "evi"), "ch4_flux", ("urban",), probability)


@given(st.integers(0, 10_000))
def test_the_links_taken_have_an_order_within_the_month(seed: int) -> None:
    probability = np.random.default_rng(seed).uniform(size=(1, 4, 3, 2))
    taken, _ = causes(tiny(probability), 0.4)
    now = taken[0, :3, :, 0].astype(float)
    assert np.linalg.matrix_power(now, 3).sum() == 0
    assert not (taken[0] & (probability[0] < 0.4)).any()


def test_a_cycle_is_broken_at_its_least_probable_link_and_told() -> None:
    probability = np.zeros((1, 4, 3, 1))
    probability[0, 1, 0], probability[0, 2, 1], probability[0, 0, 2] = 0.9, 0.8, 0.6
    taken, broken = causes(tiny(probability), 0.5)
    assert taken[0, 1, 0, 0]
    assert taken[0, 2, 1, 0]
    assert not taken[0, 0, 2, 0]
    assert (broken[0]["from"], broken[0]["to"], broken[0]["probability"]) == ("evi", "tas", 0.6)
    assert sorted(broken[0]["cycle"]) == ["evi", "tas", "tsl"]


def test_of_two_equal_links_the_one_without_a_mechanism_goes() -> None:
    probability = np.zeros((1, 4, 3, 1))
    probability[0, 0, 1] = probability[0, 1, 0] = 0.5
    taken, _ = causes(tiny(probability), 0.5)
    assert taken[0, 1, 0, 0]
    assert not taken[0, 0, 1, 0]


def test_links_can_be_asked_for_where_the_graph_has_none() -> None:
    probability = np.zeros((1, 4, 3, 2))
    probability[0, 3, 0, 1] = 0.7
    graph = forced(tiny(probability), [("tas", "ch4_flux"), ("tsl", "ch4_flux")], 0.5)
    assert graph.probability[0, 3, 0].tolist() == [0.0, 0.7]
    assert graph.probability[0, 3, 1].tolist() == [1.0, 0.0]


@given(arrays(np.float64, (4, 30, 3), elements=st.floats(-3, 3, width=16)), st.integers(0, 99))
def test_sums_over_blocks_give_the_regression_of_the_rows(values: np.ndarray, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=values.shape)
    x, y = values[..., :2] + noise[..., :2], values[..., 2] + noise[..., 2]
    y[0, ::3] = np.nan
    design = np.stack([np.ones(30), np.arange(30.0)], axis=1)
    blocks = np.arange(4)[:, None] * 3 + np.arange(30) // 10
    used = rows([x[..., 0], x[..., 1]], y, design)
    found = solve(equation(used, blocks, 12))
    ok = np.isfinite(y)
    own = np.kron(np.eye(4), np.ones((30, 1)))[:, :, None] * np.tile(design, (4, 1))[:, None]
    full = np.concatenate([x.reshape(-1, 2), own.reshape(120, -1)], axis=1)[ok.ravel()]
    expected = np.linalg.lstsq(full, y[ok], rcond=None)[0][:2]
    np.testing.assert_allclose(found.coefficient, expected, atol=1e-8)
    assert found.ridge == 0


def test_robust_errors_are_those_of_statsmodels() -> None:
    import statsmodels.api as api

    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(20, 40)), rng.normal(size=(20, 40))
    y += 0.5 * x + rng.normal(size=(20, 1)) * x
    design = np.ones((40, 1))
    used = rows([x], y, design)
    blocks = np.tile(np.arange(20)[:, None], 40)
    ours = solve(equation(used, blocks, 20))
    theirs = api.OLS(used.y, used.x).fit(
        cov_type="cluster", cov_kwds={"groups": used.site, "use_correction": False}
    )
    free = 1 - (20 + 1) / 800
    np.testing.assert_allclose(ours.coefficient, theirs.params)
    np.testing.assert_allclose(ours.error * np.sqrt(free * 19 / 20), theirs.bse)


def test_resampling_counts_give_the_regression_of_the_resampled_rows() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(6, 24)), rng.normal(size=(6, 24))
    blocks = np.tile(np.arange(6)[:, None], 24)
    used = rows([x], y, np.ones((24, 1)))
    counts = draws(6, 3, seed=1)
    again = resolve(equation(used, blocks, 6), counts)
    weight = np.concatenate([counts, np.ones((1, 6))])[:, used.site]
    slopes = (weight * used.x[:, 0] * used.y).sum(1) / (weight * used.x[:, 0] ** 2).sum(1)
    # 6 means and one slope are taken from 144 rows
    widened = slopes[-1] + (slopes[:-1] - slopes[-1]) / np.sqrt(1 - 7 / 144)
    np.testing.assert_allclose(again[:, 0], widened)
    assert (counts.sum(axis=1) == 6).all()


def test_a_draw_without_rows_of_a_class_says_what_those_rows_say() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(1, 24)), rng.normal(size=(1, 24))
    used = rows([x], y, np.ones((24, 1)))
    local = equation(used, np.full((1, 24), 7), 50)
    counts = draws(50, 40, seed=0)
    assert (counts[:, 7] == 0).any()
    np.testing.assert_allclose(resolve(local, counts)[:, 0], solve(local).coefficient[0])


def remembering(memory: float, sites: int, months: int) -> np.ndarray:
    """Series (site, time) that remember the share `memory` of the month before."""
    rng = np.random.default_rng(months)
    series = rng.normal(size=(sites, months))
    series[:, 0] /= np.sqrt(1 - memory**2)
    for t in range(1, months):
        series[:, t] += memory * series[:, t - 1]
    return series


def memories(series: np.ndarray, design: np.ndarray) -> tuple[float, float]:
    """Memory by least squares, and as corrected."""
    past = np.concatenate([np.full((len(series), 1), np.nan), series[:, :-1]], axis=1)
    used = rows([past], series, design)
    blocks = np.tile(np.arange(len(series))[:, None], series.shape[1])
    local = equation(used, blocks, len(series))
    corrected = remembered(local, used, blocks, design, {0: 1})
    return float(solve(local).coefficient[0]), float(solve(corrected).coefficient[0])


@pytest.mark.parametrize("memory", [-0.3, 0.0, 0.35, 0.7])
def test_the_memory_of_short_records_is_that_planted(memory: float) -> None:
    time = np.arange(60.0)
    waves = [f(2 * np.pi * k * time / 12) for k in (1, 2) for f in (np.sin, np.cos)]
    design = np.stack([np.ones(60), time / 60, *waves], axis=1)
    series = remembering(memory, 400, 60)
    series[np.random.default_rng(1).random(series.shape) < 0.1] = np.nan
    plain, corrected = memories(series, design)
    assert plain < memory - 0.02
    assert corrected == pytest.approx(memory, abs=0.015)


def test_the_memory_of_long_records_stays_as_it_is() -> None:
    plain, corrected = memories(remembering(0.35, 4, 3000), np.ones((3000, 1)))
    assert 0 < corrected - plain < 0.001


def test_what_a_mean_takes_from_a_memory_is_what_nickell_says() -> None:
    months = 24
    series = remembering(0.5, 30, months + 1)
    past = np.concatenate([np.full((30, 1), np.nan), series[:, :-1]], axis=1)
    blocks, design = np.zeros((30, months + 1), dtype=np.int64), np.ones((months + 1, 1))
    used = rows([past], series, design)
    found = remembered(equation(used, blocks, 1), used, blocks, design, {0: 1})
    memory = float(solve(found).coefficient[0])
    shocks = ((used.y - memory * used.x[:, 0]) ** 2).sum() / (30 * months - 30 - 1)
    taken = (months - 1 - months * memory + memory**months) / (months * (1 - memory) ** 2)
    assert found.memory.sum() == pytest.approx(30 * shocks * taken, rel=1e-6)


def test_drivers_remember_as_much_as_planted(model: StructuralModel) -> None:
    for name in ("tas", "tsl", "mrsos", "evi", "ps"):
        planted = next(c.size for c in DRIVER_CAUSES[name] if c.driver == name)
        i = DRIVERS.index(name)
        found = model.coefficient[model.index("pool"), i, i, 1]
        assert found == pytest.approx(planted, abs=0.03), name


def test_intervals_of_few_clusters_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(size=(1000, 6))
    samples = rng.multinomial(6, np.full(6, 1 / 6), size=1000) @ values.T / 6
    narrow = np.quantile(samples, (0.05, 0.95), axis=0)
    wide = interval(samples, 6)
    covered = [float(((low < 0) & (high > 0)).mean()) for low, high in (narrow, wide)]
    assert covered[0] < 0.83
    assert covered[1] == pytest.approx(0.9, abs=0.03)


@given(st.integers(2, 200))
def test_more_clusters_give_narrower_intervals(clusters: int) -> None:
    assert 1.6448 < reach(clusters + 1) < reach(clusters)
    assert tail(clusters) < tail(clusters + 1) < 0.05
    assert reach(1.0) == reach(2.0)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_unequal_clusters_count_as_fewer(sizes: list[int]) -> None:
    found = effective_clusters(np.repeat(np.arange(len(sizes)), sizes))
    assert 1 - 1e-9 <= found <= len(sizes) + 1e-9
    assert effective_clusters(np.repeat(np.arange(len(sizes)), 3)) == pytest.approx(len(sizes))


def test_collinear_causes_share_their_effect_and_are_told() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(5, 60)), rng.normal(size=(5, 60))
    used = rows([x, x + 1e-6 * y], x + 0.1 * y, np.ones((60, 1)))
    found = solve(equation(used, np.zeros((5, 60), dtype=np.int64), 1))
    assert found.ridge > 0
    np.testing.assert_allclose(found.coefficient, [0.5, 0.5], atol=0.05)


def test_driver_equations_are_those_planted(model: StructuralModel) -> None:
    now, before = lag_matrices()
    planted = {
        ("tas", "rsds"): (now, 0),
        ("tsl", "tas"): (now, 0),
        ("mrsos", "pr"): (now, 0),
        ("evi", "tas"): (before, 1),
        ("evi", "mrsos"): (before, 1),
    }
    for (to, source), (matrix, lag) in planted.items():
        i, j = DRIVERS.index(to), DRIVERS.index(source)
        for name in (*CLASSES, "pool"):
            found = model.coefficient[model.index(name), i, j, lag]
            assert found == pytest.approx(matrix[i, j], abs=0.06), (to, source, name)


def test_flux_effects_are_those_planted(model: StructuralModel) -> None:
    for name in CLASSES:
        e = model.index(name)
        for cause in FLUX_CAUSES[name]:
            if cause.driver in ("mrsos", "rsds"):
                continue
            j = DRIVERS.index(cause.driver)
            unit = model.spread[e, -1] / model.spread[e, j]
            found = model.coefficient[e, -1, j, cause.lag] * unit
            error = model.error[e, -1, j, cause.lag] * unit
            truth = cause.size / RESPONSE_UNIT[cause.driver]
            assert abs(found - truth) < 4 * error, (name, cause)
            assert error < abs(truth) / 3


def test_links_that_the_graph_does_not_have_are_exactly_none(model: StructuralModel) -> None:
    absent = true_graph().probability[ECOSYSTEMS.index("upland")] == 0
    assert (model.coefficient[model.index("upland")][absent] == 0).all()


def test_classes_without_towers_take_the_equations_of_all(model: StructuralModel) -> None:
    empty, pool = model.index("urban"), model.index("pool")
    np.testing.assert_array_equal(model.coefficient[empty], model.coefficient[pool])
    np.testing.assert_array_equal(model.spread[empty], model.spread[pool])
    assert model.provenance["own_weight"]["urban"] == 0.0


def test_classes_lean_on_all_towers_where_equations_are_the_same(series: xr.Dataset) -> None:
    few = series.isel(site=[0, 1, 2, *range(12, 36)])
    fitted = fit_structure(few, true_graph(), flux="ch4_flux", seed=0)
    i, j = DRIVERS.index("tsl"), DRIVERS.index("tas")
    alone = few.isel(site=slice(0, 3))
    apart = fit_structure(alone, true_graph(), flux="ch4_flux", seed=0)
    e, pool = fitted.index("boreal-peatland"), fitted.index("pool")
    distance = abs(fitted.coefficient[e, i, j, 0] - fitted.coefficient[pool, i, j, 0])
    assert distance < abs(apart.coefficient[e, i, j, 0] - fitted.coefficient[pool, i, j, 0])


def test_the_same_seed_gives_the_same_model_and_json_keeps_it(
    series: xr.Dataset, model: StructuralModel
) -> None:
    again = fit_structure(series, true_graph(), flux="ch4_flux", seed=0)
    other = fit_structure(series, true_graph(), flux="ch4_flux", seed=1)
    assert again.to_json() == model.to_json()
    np.testing.assert_array_equal(other.coefficient, model.coefficient)
    assert (other.error != model.error).any()
    assert StructuralModel.from_json(model.to_json()).provenance == model.provenance


def test_bootstrap_copies_scatter_as_the_standard_errors_say(series: xr.Dataset) -> None:
    fitted = estimate_structure(series, true_graph(), flux="ch4_flux", seed=0, bootstraps=50)
    values = np.stack([copy.coefficient for copy in fitted.copies])
    np.testing.assert_allclose(values.std(axis=0, ddof=1), fitted.model.error)


def test_drivers_that_no_tower_measures_are_left_out_and_told(series: xr.Dataset) -> None:
    partly = series.drop_vars("evi")
    partly["tsl"] = partly["tsl"].where(partly["ecosystem"] != "upland")
    fitted = fit_structure(partly, true_graph(), flux="ch4_flux", seed=0)
    assert fitted.provenance["absent"] == ["evi"]
    assert (fitted.coefficient[:, :, DRIVERS.index("evi")] == 0).all()
    assert "Causes in the graph that towers do not measure" in report_structure(fitted).limits[-1]


def test_an_effect_that_changes_with_a_property_of_the_site_is_seen() -> None:
    towers = laboratory(
        Twin(seed=22, first_year=2001, last_year=2008),
        ecosystems=("coastal",),
        towers=24,
        gradient=True,
    )
    fitted = fit_structure(towers, true_graph(), flux="ch4_flux", seed=0)
    e, j = fitted.index("coastal"), DRIVERS.index("tas")
    unit = fitted.spread[e, -1] / fitted.spread[e, j]
    found = fitted.modification["urban_fraction"][e, j, 0] * unit
    assert found == pytest.approx(-0.55 / RESPONSE_UNIT["tas"], rel=0.2)


def test_weeks_become_months(planet: Any) -> None:
    weekly = planet.towers(sites=12, steps=156, frequency="7D")
    graph = CausalGraph(
        ("tas", "evi"),
        "ch4_flux",
        ("rice-paddy",),
        np.array([[[[0, 1], [0, 0]], [[0, 1], [0, 1]], [[1, 0], [1, 0]]]], float),
    )
    fitted = fit_structure(weekly, graph, flux="ch4_flux", seed=0)
    pool = [r for r in fitted.provenance["equations"] if r["ecosystem"] == "pool"]
    assert fitted.provenance["step"] == "week"
    assert max(r["rows"] for r in pool) <= 12 * 36


def test_the_report_shows_every_coefficient_and_runs_its_checks(
    series: xr.Dataset, model: StructuralModel
) -> None:
    comparison = compare(series, model, seed=0)
    finding = report_structure(model, comparison)
    assert len(finding.table) == (model.coefficient != 0).sum()
    assert set(comparison["ecosystem"]) == set(CLASSES)
    assert (comparison["better"] == "linear").all()
    assert finding.sound
    assert finding.answers[0].startswith("boreal-peatland: one standard deviation of")


def test_a_bent_response_is_told_to_be_bent(planet: Any) -> None:
    bent = planet.towers(sites=30, steps=60, effect=0.0)
    mean = bent["tas"].groupby("time.month").mean().values[:, bent["time.month"].values - 1]
    anomaly = bent["tas"].values - mean
    bent["ch4_flux"] = bent["ch4_flux"] * np.exp(0.15 * np.abs(anomaly))
    probability = np.zeros((1, 2, 1, 1))
    probability[0, 1, 0, 0] = 1.0
    graph = CausalGraph(("tas",), "ch4_flux", ("rice-paddy",), probability)
    fitted = fit_structure(bent, graph, flux="ch4_flux", seed=0)
    finding = report_structure(fitted, compare(bent, fitted, seed=0))
    check = next(c for c in finding.checks if c.name == "straight lines suffice for the flux")
    assert check.passed is False


def test_a_graph_of_another_flux_and_a_series_without_drivers_are_refused(
    series: xr.Dataset,
) -> None:
    with pytest.raises(InputError, match="graph is that of another flux"):
        fit_structure(series, true_graph(), flux="co2_flux", seed=0)
    with pytest.raises(InputError, match="no driver of the graph is in the series"):
        fit_structure(
            series[["ch4_flux", "ch4_flux_coverage"]], true_graph(), flux="ch4_flux", seed=0
        )


def test_importing_loads_no_heavy_library() -> None:
    heavy = ("sklearn", "statsmodels", "econml", "tigramite")
    code = f"import sys, ch4grid.causal; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_real_daily_towers_give_equations_that_keep_what_they_say_apart() -> None:
    real("fluxnet_ch4/daily")
    source = FluxnetCH4(
        source="fluxnet_ch4",
        path="fluxnet_ch4/daily",
        sites="fluxnet_ch4/sites.csv",
        frequency="daily",
        step="week",
    )
    weekly = source.open(Workspace(DATA, DATA), GASES["ch4"])
    probability = np.zeros((2, 3, 2, 2))
    probability[:, 1, 0, 0] = probability[:, 1, 1, 1] = probability[:, 2, 1, 0] = 1.0
    graph = CausalGraph(
        ("tas", "tsl"), "ch4_flux", ("boreal-peatland", "temperate-wetland"), probability
    )
    fitted = fit_structure(weekly, graph, flux="ch4_flux", seed=0)
    for name in (*graph.ecosystems, "pool"):
        e = fitted.index(name)
        # soil follows air within the month, and the flux follows the soil at both classes of wetland
        assert 0.2 < fitted.coefficient[e, 1, 0, 0] < 1.0
        assert fitted.coefficient[e, 2, 1, 0] > 1.64 * fitted.error[e, 2, 1, 0]
