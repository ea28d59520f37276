"""The Markdown file and the page of a benchmark: made whatever is missing, and true to the rows."""

from pathlib import Path
from typing import Any

import pandas as pd
import planted_benchmark as planted
import pytest

from ch4grid.benchmarking import Results, document, harness, winner
from ch4grid.benchmarking.page import page
from ch4grid.benchmarking.results import reason, score
from ch4grid.errors import InputError
from ch4grid.models.learner import Learner
from ch4grid.models.tabular import Climatology, Ridge

GRAPHS: dict[str, Learner] = {
    "ctgat": Ridge(),
    "ctgat-random-dag": Climatology(),
    "oracle": planted.Oracle(),
}


def results(
    folder: Path,
    models: dict[str, Learner],
    splits: tuple[str, ...] = ("loco",),
    reference: str = "climatology",
    **changes: Any,
) -> Results:
    sections = [{"split": kind, "groups": 3, "nested": False} for kind in splits]
    work = planted.jobs(folder, models, splits=sections, **changes)
    frame = harness.run(work, planted.Loop().map, folder)
    return score(frame, models, reference=reference, seed=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("whole")
    return results(folder, planted.MODELS | GRAPHS, ("loco", "random", "temporal"))


def test_every_model_and_split_stands_in_the_document(whole: Results) -> None:
    text = document.markdown(planted.recipe(summary="In short."), whole, "ch4grid benchmark x")
    for words in (
        "# Planted towers",
        "In short.",
        "    ch4grid benchmark x",
        "## Scores, one 300 km cluster of towers left out at a time",
        "## Efficiency in asinh space by split",
        "## Paired tests against climatology, over clusters",
        "| oracle |",
        "The discovered graph against links dealt at random",
    ):
        assert words in text
    found = {row["split"]: row["asinh_nse"] for row in whole.rows if row["model"] == "ridge"}
    assert found["random"] > found["loco"]
    assert "Random months flatter" in text
    for row in whole.rows:
        assert f"{row['asinh_nse']:.3f}" in text
    assert "nan" not in text.lower().replace("nanometre", "")


def test_the_best_model_stands_first_and_is_the_one_that_is_read(whole: Results) -> None:
    table = document.scores_table(whole, "loco")
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert rows[0].startswith("| oracle |")
    assert winner(whole.rows)["model"] == "oracle"
    assert set(document.best_frame(whole)["model"]) == {"oracle"}
    first = document.reading(whole)[0]
    assert first.startswith("The highest efficiency in asinh space")
    assert "oracle" in first
    assert f"{whole.under('loco')[0]['asinh_nse']:.3f}" in first


def test_random_months_that_do_not_flatter_are_not_said_to(whole: Results) -> None:
    turned = {"loco": "random", "random": "loco", "temporal": "temporal"}
    rows = [row | {"split": turned[row["split"]]} for row in whole.rows]
    frame = whole.predictions.assign(split=whole.predictions["split"].map(turned))
    told = document.reading(Results(rows, pd.DataFrame(), frame, "climatology"))
    assert any(line.startswith("Random months do not flatter here") for line in told)


def test_equal_models_are_told_to_differ_by_nothing(whole: Results) -> None:
    # ctgat and ridge are the same here, as are the climatology and the control
    table = whole.comparisons.set_index("model")
    assert table.loc["ctgat-random-dag", "difference"] == 0.0
    assert not table.loc["ctgat-random-dag", "better"]
    assert table.loc["ctgat", "difference"] == table.loc["ridge", "difference"]


def test_the_page_holds_what_the_document_says(whole: Results) -> None:
    html = page(planted.recipe(summary="In short."), whole, "ch4grid benchmark x")
    for words in ("Planted towers", "In short.", "ch4grid benchmark x", "oracle", "By class"):
        assert words in html
    assert "http://" not in html.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("models", "splits", "reference"),
    [
        (["ridge"], ["loco"], "ridge"),
        (["ridge"], ["loco"], "extra-trees"),
        (["ridge"], ["random"], "ridge"),
        (["ridge", "climatology"], ["temporal"], "climatology"),
        (["ridge", "climatology"], ["loco"], "extra-trees"),
        (["climatology"], ["random", "temporal"], "climatology"),
    ],
)
def test_one_model_one_split_or_no_reference_is_enough(
    tmp_path: Path, models: list[str], splits: list[str], reference: str
) -> None:
    chosen = {name: planted.MODELS[name] for name in models}
    found = results(tmp_path, chosen, tuple(splits), reference)
    assert len(found.comparisons) == 0
    text = document.markdown(planted.recipe(), found, "")
    assert "Made by" not in text
    assert "nan" not in text.lower()
    if "loco" not in splits:
        assert "left out by cluster" not in text
        assert f"under split {splits[0]}" in text
    assert "<html" in page(planted.recipe(), found, "")


def test_a_model_without_intervals_is_said_to_have_none(whole: Results) -> None:
    frame = whole.predictions.query("model == 'ridge' and split == 'loco'").copy()
    frame[[c for c in frame if c.startswith("q")]] = float("nan")
    found = score(frame, planted.MODELS, reference="ridge", seed=0)
    assert found.rows[0]["coverage90"] is None
    assert "The best model gives no intervals." in document.reading(found)
    document.markdown(planted.recipe(), found, "")
    page(planted.recipe(), found, "")


def test_a_model_that_says_nothing_cannot_win(whole: Results) -> None:
    rows = [row | {"asinh_nse": None} for row in whole.rows if row["model"] == "oracle"]
    rest = [row for row in whole.rows if row["model"] != "oracle"]
    assert winner(rows + rest)["model"] in ("ridge", "ctgat")
    with pytest.raises(InputError, match="no model was scored under the split that decides"):
        winner(rows)
    found = Results(rows + rest, pd.DataFrame(), whole.predictions, "climatology")
    assert found.under("loco")[-1]["model"] == "oracle"


def test_the_reason_names_the_runner_up_and_the_interval(whole: Results) -> None:
    told = reason(whole.rows)
    assert "90 % interval" in told
    assert "next is" in told
    assert "on towers left out by cluster" in told
    assert "under split random" in reason(whole.rows, "random")
