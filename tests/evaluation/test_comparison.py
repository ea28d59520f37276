"""A better model is found better, an equal one is not, and many comparisons do not make one."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted_predictions import WIDTH, predictions
from scipy.stats import wilcoxon
from sklearn.metrics import r2_score
from statsmodels.stats.multitest import multipletests

from ch4grid.errors import InputError
from ch4grid.evaluation.comparison import compare, holm, signed_rank

COLUMNS = [
    "model",
    "months",
    "clusters",
    "difference",
    "lower",
    "upper",
    "p",
    "p_holm",
    "better",
    "mae_difference",
    "p_mae",
    "p_mae_holm",
]


def _frames(sites: int = 40, seed: int = 0) -> pd.DataFrame:
    noises = {"oracle": WIDTH, "fair": WIDTH + 0.2, "bad": WIDTH + 1.0}
    parts = [predictions(sites=sites, seed=seed, noise=n, model=m) for m, n in noises.items()]
    return pd.concat(parts, ignore_index=True)


def test_the_better_model_is_better_and_the_worse_is_not() -> None:
    table = compare(_frames(), "fair", split="loco", seed=0)
    assert table.columns.tolist() == COLUMNS
    assert dict(zip(table["model"], table["better"], strict=True)) == {"oracle": True, "bad": False}
    assert (table["clusters"] == 20).all()
    assert ((table["lower"] < table["difference"]) & (table["difference"] < table["upper"])).all()


def test_a_comparison_matches_its_definitions() -> None:
    frame = _frames()
    row = compare(frame, "fair", split="loco", seed=0).set_index("model").loc["oracle"]
    one, two = (frame[frame["model"] == m].reset_index() for m in ("oracle", "fair"))
    nse = [r2_score(t["measured_asinh"], t["predicted_asinh"]) for t in (one, two)]
    assert row["difference"] == pytest.approx(nse[0] - nse[1])
    error = [(t["predicted_asinh"] - t["measured_asinh"]) ** 2 for t in (one, two)]
    change = (error[0] - error[1]).groupby(one["cluster"]).mean()
    assert row["p"] == pytest.approx(wilcoxon(change).pvalue)
    absolute = [(t["predicted"] - t["measured"]).abs() for t in (one, two)]
    assert row["mae_difference"] == pytest.approx((absolute[0] - absolute[1]).mean())


def test_a_model_is_not_better_than_itself() -> None:
    frame = predictions()
    (row,) = compare(
        pd.concat([frame, frame.assign(model="twin")]), "oracle", split="loco", seed=0
    ).to_dict("records")
    assert row["p"] == row["p_holm"] == 1.0
    assert row["difference"] == row["lower"] == row["upper"] == 0.0
    assert not row["better"]


def test_equal_models_are_rarely_called_different() -> None:
    called = []
    for seed in range(60):
        parts = [
            predictions(sites=24, months=6, seed=seed, noise=WIDTH + 0.4, model=m)
            for m in ("a", "b")
        ]
        called.append(compare(pd.concat(parts), "a", split="loco", seed=seed, replicates=50))
    table = pd.concat(called)
    assert (table["p"] < 0.05).mean() < 0.13
    assert table["better"].mean() < 0.07


def test_one_cluster_gives_no_interval_and_no_p() -> None:
    table = compare(_frames().assign(cluster=0), "fair", split="loco", seed=0)
    assert table[["lower", "upper", "p", "p_holm", "p_mae"]].isna().all(axis=None)
    assert table["difference"].notna().all()
    assert not table["better"].any()


def test_only_months_of_both_count_whatever_their_order() -> None:
    frame = _frames()
    shuffled = frame.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(
        compare(frame, "fair", split="loco", seed=0).sort_values("model", ignore_index=True),
        compare(shuffled, "fair", split="loco", seed=0).sort_values("model", ignore_index=True),
    )
    short = frame[(frame["model"] != "bad") | (frame["time"] < "2011-01-01")]
    table = compare(short, "fair", split="loco", seed=0).set_index("model")
    assert table["months"].to_dict() == {"oracle": 40 * 36, "bad": 40 * 12}


def test_a_missing_prediction_leaves_nothing_to_call_better() -> None:
    frame = _frames()
    frame.loc[frame.index[0], "predicted_asinh"] = np.nan
    row = compare(frame, "fair", split="loco", seed=0).set_index("model").loc["oracle"]
    assert np.isnan([row["difference"], row["p"], row["p_holm"], row["lower"]]).all()
    assert not row["better"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.assign(split="random"), "no predictions of the reference"),
        (lambda f: pd.concat([f, f.head(1)]), "twice"),
        (
            lambda f: f.assign(site=f["site"].where(f["model"] == "fair", "ZZ" + f["site"])),
            "no month in common",
        ),
    ],
)
def test_what_cannot_be_compared_is_an_input_error(change, words: str) -> None:
    with pytest.raises(InputError, match=words):
        compare(change(_frames()), "fair", split="loco", seed=0)


def test_a_reference_alone_gives_an_empty_table() -> None:
    table = compare(predictions(), "oracle", split="loco", seed=0)
    assert table.empty
    assert table.columns.tolist() == COLUMNS


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_its_definition(p: list[float]) -> None:
    found = holm(np.array(p))
    order, highest, expected = np.argsort(p), 0.0, np.empty(len(p))
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        expected[i] = highest
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("p", [[0.04], [0.01, 0.04, 0.03], [0.2, 0.001, 0.5, 0.001, 0.04, 1.0]])
def test_holm_is_that_of_statsmodels(p: list[float]) -> None:
    np.testing.assert_allclose(holm(np.array(p)), multipletests(p, method="holm")[1])


def test_missing_p_values_do_not_count_in_the_family() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, np.nan, 0.04])), [0.02, np.nan, 0.04])


def test_a_signed_rank_of_nothing_is_one_and_of_one_cluster_missing() -> None:
    assert signed_rank(np.zeros(5)) == 1.0
    assert np.isnan(signed_rank(np.ones(1)))
