"""The benchmark page: what it says and draws, that nothing missing stops it, and that it needs nothing from outside."""

import re
from collections.abc import Iterator
from functools import cache
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from test_product_page import VOID, Reader

from ch4grid.pages.benchmark import SCORES, benchmark_page
from ch4grid.pages.benchmark_figures import (
    QUANTILES,
    Benchmark,
    benchmark,
    error_by_distance,
    figures,
    observed_against_predicted,
    pit_histogram,
    random_against_clusters,
    reliability,
    skill_by_class,
    skill_by_split,
)
from ch4grid.pages.benchmark_numbers import LEVELS, coverage
from ch4grid.pages.benchmark_plots import Axis, Series, dot_rows

VOID.update({"circle", "rect"})
# Error of a model in asinh space, and the distance of its nearest training tower, by split.
MODELS = {"lstm": 0.6, "extra-trees": 0.7, "class-month-climatology": 1.1, "<ct-gat> & prior": 0.65}
SPLITS = {"random": (0.4, 0.0), "loco": (1.0, 900.0), "class": (1.6, 4000.0)}
CLASSES = ("boreal-peatland", "rice-paddy", "upland")
SCALE = 10.0
# The standard normal at the nineteen levels of a law.
NORMAL = np.array([1.645, 1.282, 1.036, 0.842, 0.674, 0.524, 0.385, 0.253, 0.126])
LAW = np.array([*-NORMAL, 0.0, *NORMAL[::-1]])


@cache
def predictions(sites: int = 12, months: int = 24) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    site = np.repeat(np.arange(sites), months)
    month = np.tile(np.arange(months), sites)
    level = np.linspace(-0.3, 3.5, sites)[site]
    measured = level + 0.6 * np.sin(2 * np.pi * month / 12) + rng.normal(0, 0.2, len(site))
    frames = []
    for model, error in MODELS.items():
        for split, (harder, distance) in SPLITS.items():
            spread = error * harder
            predicted = measured + rng.normal(0, spread, len(site))
            law = SCALE * np.sinh(predicted[:, None] + spread * LAW)
            frames.append(
                pd.DataFrame(
                    {
                        "model": model,
                        "split": split,
                        "fold": "0",
                        "site": [f"S{i:02d}" for i in site],
                        "time": pd.Timestamp("2010-01-01") + pd.to_timedelta(30 * month, "D"),
                        "cluster": site,
                        "ecosystem": np.array(CLASSES)[site % 3],
                        "latitude": 60.0,
                        "longitude": 25.0,
                        "measured": SCALE * np.sinh(measured),
                        "predicted": SCALE * np.sinh(predicted),
                        "measured_asinh": measured,
                        "predicted_asinh": predicted,
                        "distance_km": distance + 150.0 * site,
                    }
                ).join(pd.DataFrame(law, columns=list(QUANTILES)))
            )
    frame = pd.concat(frames, ignore_index=True)
    frame.loc[frame["model"] == "class-month-climatology", list(QUANTILES)] = np.nan
    return frame


@cache
def results() -> pd.DataFrame:
    rows = []
    for (model, split), part in predictions().groupby(["model", "split"], sort=False):
        error = part["predicted_asinh"] - part["measured_asinh"]
        skill = float(1 - (error**2).mean() / part["measured_asinh"].var(ddof=0))
        ends = {name: [skill - 0.1, skill + 0.1] for name in SCORES} | {"crps": None}
        values = dict.fromkeys(SCORES, skill) | {"bias": -0.25, "crps": None}
        rows.append(
            {"model": model, "split": split, "n": len(part), **values, "interval": ends}
            | {"parameters": 1234, "seconds": 3.5}
        )
    return pd.DataFrame(rows)


def comparisons() -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "model": ["lstm", "<ct-gat> & prior", "class-month-climatology"],
            "difference": [0.08, 0.03, -0.5],
            "lower": [0.02, -0.05, np.nan],
            "upper": [0.14, 0.11, np.nan],
            "p": [1e-5, 0.3, np.nan],
            "p_holm": [3e-5, 0.6, np.nan],
            "clusters": [12, 12, 1],
            "better": [True, False, False],
        }
    )
    frame.attrs["reference"] = "extra-trees"
    return frame


def page(**changes: object) -> str:
    values = {
        "title": "Models of <methane>",
        "summary": "Four models at 12 towers.",
        "results": results(),
        "comparisons": comparisons(),
        "predictions": predictions(),
        "extras": {
            "By class": pd.DataFrame(
                {
                    "ecosystem": ["upland"],
                    "clusters": [4.0],
                    "range": [[0.1, None]],
                    "none": [np.nan],
                }
            ),
            "Empty": pd.DataFrame(),
        },
        "command": "ch4grid benchmark models.yaml --out here",
        "winner": "lstm",
        "reason": "lstm has the highest efficiency on towers left out by cluster: 0.71",
        "reading": ["Months are easier than places.", "Classes differ."],
    } | changes
    return benchmark_page(**values)


def made(**changes: pd.DataFrame | str) -> Benchmark:
    values = {
        "results": results(),
        "predictions": predictions(),
        "winner": "lstm",
        "reference": "extra-trees",
    } | changes
    return benchmark(
        values["results"],
        values["predictions"],
        winner=values["winner"],
        reference=values["reference"],
    )


def pictures(text: str) -> Iterator[ElementTree.Element]:
    for svg in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        yield ElementTree.fromstring(svg)


def checked(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert len(set(reader.ids)) == len(reader.ids)
    assert {t.removeprefix("#") for t in reader.targets} <= set(reader.ids)
    assert "http" not in text.replace("http-equiv", "")
    shown = re.sub(r"<[^>]*>", " ", text.split("</style>")[1])
    assert not re.search(r"\b(nan|NaN|NaT|None|inf)\b", shown)
    assert not re.search(r'"[^"]*\b(nan|inf)\b[^"]*"', text)
    return reader


def test_the_page_is_whole_and_loads_nothing() -> None:
    reader = checked(page())
    assert reader.sources == []
    assert reader.silent == []
    assert all(b - a <= 1 for a, b in zip(reader.headings, reader.headings[1:], strict=False))


def test_the_same_tables_give_the_same_page() -> None:
    assert page() == page()


def test_every_figure_is_drawn_with_its_text_alternative() -> None:
    found = list(pictures(page()))
    assert len(found) == 7
    for svg in found:
        assert svg.get("aria-label") == svg.findtext("title")
        assert len(svg.findtext("desc") or "") > 80


def test_texts_of_a_picture_stay_inside_and_apart() -> None:
    for svg in pictures(page()):
        width, height = (float(v) for v in svg.get("viewBox", "").split()[2:])
        boxes = []
        for text in svg.findall("text"):
            room = 6.0 * len(text.text or "")
            x, y = float(text.get("x", 0)), float(text.get("y", 0))
            left = x - {"start": 0.0, "middle": room / 2, "end": room}[text.get("text-anchor", "")]
            if text.get("transform"):
                assert 0 <= y - room / 2 <= y + room / 2 <= height
                continue
            assert 0 <= left <= left + room <= width + 4, text.text
            assert 0 <= y <= height
            boxes.append((left, y, room))
        for i, (left, y, room) in enumerate(boxes):
            for other, height_of, size in boxes[:i]:
                assert (
                    abs(y - height_of) > 8 or left >= other + size - 4 or other >= left + room - 4
                )


def test_the_headline_table_has_the_best_first_with_intervals_and_the_winner_marked() -> None:
    text = page()
    table = text[text.index('class="scores"') : text.index("</table>")]
    scored = results().query("split == 'loco'").sort_values("asinh_nse", ascending=False)
    places = [
        table.index(f'row">{m.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}')
        for m in scored["model"]
    ]
    assert places == sorted(places)
    assert re.search(r'<tr class=sum><th scope="row">lstm<span class="won">winner', table)
    assert '<span class="range">' in table


def test_the_sections_come_in_reading_order() -> None:
    text = page()
    order = ["0.71.", "Months are easier", 'class="scores"', "Random split against", "Skill by split",
             "Skill by class", "Observed against", "Reliability", "Measured months within", "Error by distance",
             'id="tests"', 'id="cost"', 'id="further"', "models.yaml"]  # fmt: skip
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_names_are_escaped_and_small_probabilities_bounded() -> None:
    text = page()
    assert "<ct-gat>" not in text
    assert "&lt; 0.001" in text
    assert "Better after correction for 3 comparisons: lstm." in text


@pytest.mark.parametrize("split", ["random", "loco", "class"])
def test_a_missing_split_drops_its_elements_with_a_sentence(split: str) -> None:
    text = page(
        results=results().query("split != @split"),
        predictions=predictions().query("split != @split"),
    )
    checked(text)
    drawn = {"random": 6, "loco": 1, "class": 7}[split]
    assert len(list(pictures(text))) == drawn
    assert text.count("Not drawn:") == 7 - drawn


@pytest.mark.parametrize("model", list(MODELS))
def test_a_missing_model_never_stops_the_page(model: str) -> None:
    text = page(
        results=results().query("model != @model"),
        predictions=predictions().query("model != @model"),
    )
    checked(text)
    assert len(list(pictures(text))) == (2 if model == "lstm" else 7)


@pytest.mark.parametrize(
    "columns", [list(QUANTILES), ["distance_km"], ["ecosystem"], ["measured"], ["cluster", "q05"]]
)
def test_missing_columns_of_predictions_drop_what_needs_them(columns: list[str]) -> None:
    text = page(predictions=predictions().drop(columns=columns))
    checked(text)
    assert "Not drawn:" in text


def test_empty_tables_make_a_page_of_sentences() -> None:
    nothing = pd.DataFrame()
    text = page(
        results=nothing,
        comparisons=nothing,
        predictions=nothing,
        extras={},
        winner="",
        reason="",
        reading=[],
    )
    checked(text)
    assert list(pictures(text)) == []
    for sentence in (
        "No model won.",
        "No model was scored with clusters left out.",
        "No model was compared",
    ):
        assert sentence in text


def test_scores_without_intervals_or_values_are_dashes() -> None:
    frame = results().assign(interval=None, crps=np.nan, nse=None)
    text = page(results=frame)
    checked(text)
    assert len(list(pictures(text))) == 7


def test_the_dumbbell_holds_both_scores_of_every_model() -> None:
    figure = random_against_clusters(made())
    assert figure.picture is not None
    for model in MODELS:
        assert f"{model}: cluster left out 0." in figure.picture.description
    assert "gap is narrowest for" in figure.caption


def test_at_most_eight_models_are_drawn_by_split_the_winner_among_them() -> None:
    copies = [results().assign(model=lambda f, i=i: f["model"] + str(i)) for i in range(3)]
    figure = skill_by_split(made(results=pd.concat([*copies, results()], ignore_index=True)))
    assert figure.picture is not None
    first = figure.picture.description.split(";")[0]
    assert first.count(",") == 7
    assert "lstm 0." in first
    assert "extra-trees 0." in first


def test_the_skill_of_a_class_is_its_efficiency() -> None:
    b = made()
    part = b.months("lstm").query("ecosystem == 'upland'")
    y, p = part["measured_asinh"], part["predicted_asinh"]
    expected = 1 - ((p - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    figure = skill_by_class(b)
    assert figure.picture is not None
    assert f"upland (4): lstm {expected:.3f}" in figure.picture.description


def test_the_scatter_draws_a_large_dot_per_tower_and_names_the_flux() -> None:
    figure = observed_against_predicted(made())
    assert figure.picture is not None
    assert sum("mean" in m.style for m in figure.picture.marks) == 12
    assert "asinh(flux / 10)" in figure.caption
    assert {"0", "100"} <= {t.text for t in figure.picture.texts}


def test_a_true_law_is_covered_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    centre = rng.normal(0, 1, 20000)
    frame = pd.DataFrame(centre[:, None] + LAW, columns=list(QUANTILES))
    frame["measured"] = centre + rng.normal(0, 1, 20000)
    np.testing.assert_allclose(coverage(frame), np.array(LEVELS) / 100, atol=0.012)


def test_calibration_is_drawn_for_classes_of_four_clusters() -> None:
    b = made()
    assert "rice paddy" in (reliability(b).picture or pytest.fail("not drawn")).description
    few = made(predictions=predictions().assign(cluster=0))
    assert "rice paddy" not in (reliability(few).picture or pytest.fail("not drawn")).description


def test_a_model_without_a_law_has_no_calibration() -> None:
    b = made(winner="class-month-climatology")
    for figure in (reliability(b), pit_histogram(b)):
        assert figure.picture is None
        assert "gives no quantiles" in figure.caption


def test_distance_counts_the_towers_of_each_bin() -> None:
    figure = error_by_distance(made())
    assert figure.picture is not None
    assert "300 to 1000 km (1)" in figure.picture.description
    assert "1000 to 3000 km (11)" in figure.picture.description


def test_figures_come_in_one_order_whatever_is_missing() -> None:
    full, empty = figures(made()), figures(made(predictions=pd.DataFrame()))
    assert [f.title for f in full] == [f.title for f in empty]


def test_a_value_below_the_floor_is_written_at_the_edge() -> None:
    series = [Series("a", (0.5, -7.0), 0), Series("b", (0.2, np.nan), 1)]
    picture = dot_rows(["x", "y"], series, Axis("skill", floor=-1.0), title="t")
    assert "\N{MINUS SIGN}7.00" in {t.text for t in picture.texts}
    assert "y: a \N{MINUS SIGN}7.00, b none" in picture.description
