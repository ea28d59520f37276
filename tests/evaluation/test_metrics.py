"""Scores match independent definitions, intervals come from clusters, and tables by group add up."""

from time import perf_counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_predictions import WIDTH, laplace_quantile, predictions
from sklearn.metrics import (
    mean_absolute_error,
    mean_pinball_loss,
    r2_score,
    root_mean_squared_error,
)

from ch4grid.errors import InputError
from ch4grid.evaluation.scoring import (
    LEVEL,
    PERCENT,
    QUANTILES,
    SCORES,
    crps,
    intervals,
    pit_histogram,
    reliability,
    scores,
    skill,
)
from ch4grid.evaluation.strata import DISTANCES, SEASONS, bias_tg, by, levels, per_site

LAWLESS = ("coverage50", "coverage80", "coverage90", "width90", "crps")


def test_scores_match_independent_definitions() -> None:
    frame = predictions()
    y, p = frame["measured"], frame["predicted"]
    found = scores(frame)
    assert tuple(found) == SCORES
    levels_ = np.array(PERCENT) / 100
    pinball = [
        mean_pinball_loss(y, frame[q], alpha=a) for q, a in zip(QUANTILES, levels_, strict=True)
    ]
    expected = {
        "nse": r2_score(y, p),
        "asinh_nse": r2_score(frame["measured_asinh"], frame["predicted_asinh"]),
        "r2": np.corrcoef(y, p)[0, 1] ** 2,
        "mae": mean_absolute_error(y, p),
        "rmse": root_mean_squared_error(y, p),
        "bias": (p - y).mean(),
        "nmae": mean_absolute_error(y, p) / y.std(ddof=0),
        "coverage50": y.between(frame["q25"], frame["q75"]).mean(),
        "coverage80": y.between(frame["q10"], frame["q90"]).mean(),
        "coverage90": y.between(frame["q05"], frame["q95"]).mean(),
        "width90": (frame["q95"] - frame["q05"]).mean(),
        "crps": 2 * np.mean(pinball),
    }
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_truth_scores_one_the_mean_zero_and_constant_measurements_nothing() -> None:
    frame = predictions()
    assert scores(frame.assign(predicted=frame["measured"]))["nse"] == 1.0
    assert scores(frame.assign(predicted=frame["measured"].mean()))["nse"] == pytest.approx(0.0)
    assert scores(frame.assign(predicted=frame["measured"].mean()))["r2"] is None
    constant = scores(frame.assign(measured=0.1))
    assert constant["nse"] is constant["r2"] is constant["nmae"] is None
    assert constant["mae"] is not None


@settings(max_examples=20)
@given(seed=st.integers(0, 99), offset=st.sampled_from([0.0, 1e3, -1e5]))
def test_scores_do_not_depend_on_order_or_level(seed: int, offset: float) -> None:
    frame = predictions(seed=seed, sites=4, months=12)
    moved = frame.sample(frac=1, random_state=seed)
    moved = moved.assign(**{n: moved[n] + offset for n in ("measured", "predicted", *QUANTILES)})
    assert scores(moved) == pytest.approx(scores(frame), rel=1e-6)


def test_a_model_without_quantiles_has_no_score_of_its_law() -> None:
    frame = predictions().assign(**dict.fromkeys(QUANTILES, np.nan))
    found = scores(frame)
    assert [name for name in SCORES if found[name] is None] == list(LAWLESS)
    assert all(intervals(frame, seed=0, replicates=20)[name] is None for name in LAWLESS)
    assert pit_histogram(frame) is None
    assert reliability(frame)["empirical"].isna().all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_missing_prediction_leaves_no_score_of_the_mean(value: float) -> None:
    frame = predictions(sites=4)
    frame.loc[3, "predicted"] = value
    found = scores(frame)
    assert all(found[name] is None for name in ("nse", "r2", "mae", "rmse", "bias", "nmae"))
    assert found["asinh_nse"] is not None
    assert levels(frame)[["nse", "r2", "mae"]].isna().all(axis=None)
    assert levels(frame)["asinh_nse"].notna().all()


def test_two_months_make_no_score() -> None:
    assert set(scores(predictions().head(2)).values()) == {None}
    assert set(scores(predictions().head(0)).values()) == {None}


def test_crps_is_that_of_a_laplace_law() -> None:
    # CRPS of a standard Laplace law at y: |y| + exp(-|y|) - 3/4 (Jordan et al. 2019, J. Stat. Softw. 90, 12)
    y = np.random.default_rng(0).laplace(size=20000)
    exact = np.mean(np.abs(y) + np.exp(-np.abs(y)) - 0.75)
    level = np.array(PERCENT) / 100
    laws = np.broadcast_to(laplace_quantile(level), (20000, 19))
    assert crps(y, laws).mean() == pytest.approx(1.045 * exact, rel=0.01)


def test_crps_is_lowest_for_the_right_width() -> None:
    found = {w: scores(predictions(said=w))["crps"] for w in (WIDTH / 3, WIDTH, 2 * WIDTH)}
    assert min(found, key=lambda w: found[w]) == WIDTH


def test_a_known_law_covers_what_it_says() -> None:
    frame = predictions(sites=40, months=60)
    found = scores(frame)
    for name, share in (("coverage50", 0.5), ("coverage80", 0.8), ("coverage90", 0.9)):
        assert found[name] == pytest.approx(share, abs=0.025)
    table = reliability(frame)
    np.testing.assert_allclose(table["nominal"], np.array(PERCENT) / 100)
    np.testing.assert_allclose(table["empirical"], table["nominal"], atol=0.03)


def test_the_pit_is_flat_for_a_calibrated_law_and_a_u_for_a_narrow_one() -> None:
    flat = pit_histogram(predictions(sites=40, months=60))
    assert sum(flat) == pytest.approx(1.0)
    np.testing.assert_allclose(flat, 0.1, atol=0.02)
    narrow = pit_histogram(predictions(sites=40, months=60, said=WIDTH / 3))
    assert min(narrow[0], narrow[-1]) > 0.2 > max(narrow[2:8])


def test_the_pit_counts_from_the_lowest_decile_up() -> None:
    frame = predictions(sites=4)
    low = frame.assign(measured=frame["q10"] - 1)
    assert pit_histogram(low) == [1.0, *[0.0] * 9]
    assert pit_histogram(frame.assign(measured=frame["q50"]))[4] == 1.0


def test_intervals_are_those_of_drawing_whole_clusters() -> None:
    frame = predictions(sites=12, months=12)
    parts = [part for _, part in frame.groupby("cluster")]
    draws = np.random.default_rng(3).multinomial(
        len(parts), np.full(len(parts), 1 / len(parts)), 40
    )
    rows = [
        scores(pd.concat([p for p, n in zip(parts, draw, strict=True) for _ in range(n)]))
        for draw in draws
    ]
    found = intervals(frame, seed=3, replicates=40)
    for name in SCORES:
        brute = np.quantile([row[name] for row in rows], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        assert found[name] == pytest.approx(brute.tolist(), rel=1e-9)


def test_an_interval_holds_its_score_and_one_cluster_has_none() -> None:
    frame = predictions()
    found, pooled = intervals(frame, seed=0), scores(frame)
    assert all(found[name][0] < pooled[name] < found[name][1] for name in SCORES)
    assert intervals(frame, seed=0) == found
    assert set(intervals(frame.assign(cluster=1), seed=0).values()) == {None}


def test_intervals_of_two_thousand_months_are_quick() -> None:
    frame = predictions(sites=60, months=36)
    seconds = []
    for _ in range(3):
        start = perf_counter()
        intervals(frame, seed=0, replicates=500)
        seconds.append(perf_counter() - start)
    assert min(seconds) < 0.5


def test_intervals_cover_the_truth_more_often_than_those_of_months() -> None:
    rng = np.random.default_rng(0)
    hits = {"cluster": 0, "month": 0}
    for seed in range(60):
        frame = predictions(sites=30, months=6, seed=seed)
        level = rng.normal(0, 5, 15)[frame["cluster"]]
        frame["predicted"] = frame["measured"] + level
        for name in hits:
            drawn = frame if name == "cluster" else frame.assign(cluster=np.arange(len(frame)))
            low, high = intervals(drawn, seed=seed, replicates=200)["bias"]
            hits[name] += low < 0 < high
    assert hits["cluster"] > 45 > hits["month"]


def test_levels_match_a_loop_over_towers() -> None:
    frame = predictions(sites=6, months=30)
    table = levels(frame).set_index("level")
    parts = {"site": [], "season": [], "anomaly": []}
    for _, tower in frame.groupby("site"):
        pair = tower[["measured", "predicted"]]
        parts["site"].append(pair.mean().to_frame().T)
        cycle = pair.groupby(tower["time"].dt.month).mean()
        parts["season"].append(cycle - cycle.mean())
        parts["anomaly"].append(pair - cycle.loc[tower["time"].dt.month].to_numpy())
    for name, tables in parts.items():
        expected = pd.concat(tables)
        assert table.loc[name, "n"] == len(expected)
        assert table.loc[name, "nse"] == pytest.approx(
            r2_score(expected["measured"], expected["predicted"])
        )
        assert table.loc[name, "mae"] == pytest.approx(
            mean_absolute_error(expected["measured"], expected["predicted"])
        )
    assert table.loc["month", "nse"] == pytest.approx(scores(frame)["nse"])
    assert table.loc["month", "asinh_nse"] == pytest.approx(scores(frame)["asinh_nse"])


def test_a_model_of_levels_alone_has_skill_between_towers_and_none_within() -> None:
    frame = predictions(sites=40)
    means = frame.groupby("site")["measured_asinh"].transform("mean")
    table = levels(frame.assign(predicted_asinh=means)).set_index("level")
    assert table.loc["site", "asinh_nse"] == pytest.approx(1.0)
    assert abs(table.loc["season", "asinh_nse"]) < 1e-9
    assert abs(table.loc["anomaly", "asinh_nse"]) < 1e-9


def test_predictions_without_anomalies_are_not_correlated_with_any() -> None:
    frame = predictions()
    cycle = frame.groupby(["site", frame["time"].dt.month])["measured"].transform("mean")
    table = levels(frame.assign(predicted=cycle)).set_index("level")
    assert np.isnan(table.loc["anomaly", "r2"])
    assert table.loc["anomaly", "nse"] == pytest.approx(0.0)
    assert table.loc["season", "nse"] == pytest.approx(1.0)


def test_a_single_year_has_no_anomaly_and_a_short_record_no_season() -> None:
    table = levels(predictions(months=5)).set_index("level")
    assert table.loc[["season", "anomaly"], "n"].tolist() == [0, 0]
    assert table.loc[["season", "anomaly"], "nse"].isna().all()


def test_levels_refuse_months_of_two_models() -> None:
    with pytest.raises(InputError, match="one model under one split"):
        levels(pd.concat([predictions(), predictions(model="other")], ignore_index=True))


@pytest.mark.parametrize("column", ["ecosystem", "season", "distance", "fold"])
def test_groups_hold_every_month_once(column: str) -> None:
    frame = predictions()
    table = by(frame, column)
    assert table["months"].sum() == len(frame)
    assert list(table.columns[4:]) == list(SCORES)
    weighted = (table["mae"] * table["months"]).sum() / len(frame)
    assert weighted == pytest.approx(scores(frame)["mae"])


def test_seasons_and_distances_are_in_order_and_the_south_has_winter_in_july() -> None:
    frame = predictions()
    assert by(frame, "season")["season"].tolist() == list(SEASONS)
    assert by(frame, "distance")["distance"].tolist() == list(DISTANCES)
    july = frame[frame["time"].dt.month == 7]
    assert by(july.assign(latitude=-20.0), "season")["season"].tolist() == ["winter"]
    assert by(july.assign(latitude=20.0), "season")["season"].tolist() == ["summer"]
    december = frame[frame["time"].dt.month == 12]
    assert by(december.assign(latitude=20.0), "season")["season"].tolist() == ["winter"]


def test_distance_bins_hold_their_lower_edge() -> None:
    frame = predictions(sites=4).assign(distance_km=300.0)
    assert by(frame, "distance")["distance"].tolist() == ["300-1000 km"]


def test_per_site_quartiles_are_those_of_towers() -> None:
    frame = predictions()
    one = [r2_score(t["measured_asinh"], t["predicted_asinh"]) for _, t in frame.groupby("site")]
    found = per_site(frame)
    assert found["asinh_sites"] == 20
    assert found["asinh_nse_median"] == pytest.approx(np.median(one))
    assert found["asinh_nse_lower"] == pytest.approx(np.quantile(one, 0.25))
    assert per_site(predictions(months=3))["nse_median"] is None


def test_a_bias_becomes_tg_by_true_seconds_and_every_tower_counts_once() -> None:
    frame = predictions(sites=6, months=24)
    frame["predicted"] = frame["measured"] + np.where(frame["site"] == "XX-00", 4.0, 2.0)
    # class rice-paddy has towers 0 and 3; a longer record of one must not weigh more
    frame = frame[(frame["site"] != "XX-03") | (frame["time"] < "2010-06-01")]
    found = bias_tg(frame)
    assert found == pytest.approx(
        {"rice-paddy": 3 * 0.50626, "upland": 2 * 0.50626, "urban": 2 * 0.50626}, rel=1e-4
    )
    total = bias_tg(frame, {"rice-paddy": 2e12, "upland": 0.0, "urban": 1e12})["total"]
    assert total == pytest.approx(2 * found["rice-paddy"] + found["urban"])
    with pytest.raises(InputError, match="urban"):
        bias_tg(frame, {"rice-paddy": 1.0, "upland": 1.0})


def test_a_constant_has_no_skill() -> None:
    assert np.isnan(skill(np.ones(9), np.arange(9.0))["nse"])
