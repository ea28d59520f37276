"""The causal report: every finding in words, pictures that say what the numbers say, nothing from outside."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_product_page import VOID, Reader

from ch4grid.findings import Check, Finding
from ch4grid.pages.causal import CausalPage, Unanswered, graphs, write_causal_page
from ch4grid.pages.drawings import drawings
from ch4grid.pages.network import FAINT, STRONG, Link, among, network
from ch4grid.pages.plots import Estimate, gradient, interval_plot

DRIVERS = ("tas", "vpd", "ps", "sfcWind", "tsl", "evi")
FLUX = "ch4_flux"
VOID.update({"circle", "rect"})

frequency = st.floats(0, 1)
strength = st.floats(-1, 1)
links = st.lists(
    st.builds(
        Link, st.sampled_from(DRIVERS), st.just(FLUX), st.integers(0, 3), frequency, strength
    ),
    max_size=12,
    unique_by=lambda link: (link.source, link.lag),
)


def finding(**changes: object) -> Finding:
    table = pd.DataFrame(
        {
            "ecosystem": ["upland", "rice-paddy", "upland"],
            "driver": ["tas", "tas", "ps"],
            "effect": [0.2, -0.1, 0.001],
            "lower": [0.1, -0.2, -0.002],
            "upper": [0.3, 0.05, 0.004],
            "unit": ["per K", "per K", "per Pa"],
            "status": ["estimated", "association: no set", "estimated"],
        }
    )
    values = {
        "key": "effects",
        "title": "Effects",
        "question": "How much does the flux change with <a driver>?",
        "data": "12 towers & 3 years",
        "answers": ("Air temperature 0.20 (0.10 to 0.30).",),
        "table": table,
        "checks": (
            Check("overlap", True, "share 0.4"),
            Check("placebo", False, "found 0.2"),
            Check("holidays", None, "no days of the week"),
        ),
        "limits": ("Not a proof.",),
    } | changes
    columns = {str(c): f"meaning of {c}" for c in values["table"]}
    return Finding(columns=columns, **values)


def page() -> CausalPage:
    pool = [
        Link("tas", FLUX, 0, 0.9, 0.4),
        Link("ps", FLUX, 1, 0.4, -0.2),
        Link("tas", "tsl", 0, 1.0, 0.5),
    ]
    return CausalPage(
        title="What drives <it>",
        summary="A summary.",
        product="ch4-made-up",
        flux="CH₄ flux",
        target=FLUX,
        drivers=DRIVERS,
        step="months",
        links={"pool": pool, "upland": pool[:1]},
        gate=Check("false-link rate", True, "1 % of 5 %"),
        overview=finding(key="overview", title="In short"),
        lead={"Upland": ["More air temperature goes with more flux."]},
        claims=finding(key="claims", title="Compared with claims"),
        findings=(finding(),),
        unanswered=(Unanswered("Trends", "There is no product."),),
        provenance={"seed": "1"},
    )


def written(folder: Path, shown: CausalPage) -> tuple[str, Reader]:
    path = write_causal_page(folder / "report.html", shown)
    reader = Reader()
    text = path.read_text()
    reader.feed(text)
    assert reader.open == []
    return text, reader


@pytest.fixture
def html(tmp_path: Path) -> tuple[str, Reader]:
    return written(tmp_path, page())


def test_the_page_loads_nothing_from_elsewhere(html: tuple[str, Reader]) -> None:
    text, reader = html
    assert reader.sources == []
    assert "<script" not in text
    assert not re.findall(r"url\(", text)
    outside = [t for t in reader.targets if "//" in t]
    assert outside == []


def test_every_picture_has_words_and_every_link_a_place(html: tuple[str, Reader]) -> None:
    text, reader = html
    assert [tag for tag in reader.silent if tag != "svg"] == []
    pictures = re.findall(r"<svg[^>]*>", text)
    assert all('aria-label="' in p or 'aria-hidden="true"' in p for p in pictures)
    anchors = {t[1:] for t in reader.targets if t.startswith("#")}
    assert anchors <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))


def test_headings_never_skip_a_level(html: tuple[str, Reader]) -> None:
    levels = html[1].headings
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_the_page_says_all_that_a_finding_says(html: tuple[str, Reader]) -> None:
    text = html[0]
    told = finding()
    for said in (
        "How much does the flux change with &lt;a driver&gt;?",
        "12 towers &amp; 3 years",
        *told.answers,
        *told.limits,
        "placebo: found 0.2",
        "There is no product.",
        "What drives &lt;it&gt;",
    ):
        assert said in text
    states = re.findall(r'class="state (\w+)">([^<]+)<', text)
    assert set(states) == {("passed", "passed"), ("failed", "failed"), ("open", "not run")}


def test_a_long_table_is_folded_and_a_short_one_is_not(tmp_path: Path) -> None:
    long = pd.concat([finding().table] * 5, ignore_index=True)
    for table, folded in ((finding().table, False), (long, True)):
        text, _ = written(tmp_path, replace(page(), findings=(finding(table=table),)))
        part = text[text.index('<h2 id="effects">') :]
        assert ("Table of all 15 results" in part) is folded


def test_the_same_findings_give_the_same_bytes(tmp_path: Path) -> None:
    assert written(tmp_path, page())[0] == written(tmp_path, page())[0]


@given(links)
def test_only_links_above_the_stated_frequency_are_drawn_strong(found: list[Link]) -> None:
    drawn = network(found, DRIVERS, target=FLUX, flux="flux", title="t", step="months")
    groups: dict[tuple[str, bool], float] = {}
    for link in found:
        if link.frequency >= FAINT:
            key = (link.source, link.strength >= 0)
            groups[key] = max(groups.get(key, 0.0), link.frequency)
    faint = sum(f < STRONG for f in groups.values())
    assert len(drawn.edges) == len(groups)
    assert sum("faint" in e.style for e in drawn.edges) == faint
    assert sum(e.style.startswith("plus") for e in drawn.edges) == sum(up for _, up in groups)


@given(links)
def test_drivers_lie_at_the_same_places_whatever_was_found(found: list[Link]) -> None:
    empty = network([], DRIVERS, target=FLUX, flux="flux", title="t", step="months")
    drawn = network(found, DRIVERS, target=FLUX, flux="flux", title="t", step="months")
    assert drawn.nodes == empty.nodes


@pytest.mark.parametrize("count", [3, 8, 11, 12])
def test_boxes_of_drivers_do_not_overlap_and_stay_inside(count: int) -> None:
    drivers = ("tas", "vpd", "pr", "ps", "sfcWind", "rsds", "tsl", "mrsos")
    drivers = (*drivers, "lst_day", "lst_night", "snw", "evi")[:count]
    drawn = network([], drivers, target=FLUX, flux="flux", title="t", step="months")
    for i, a in enumerate(drawn.nodes):
        assert a.width / 2 <= a.x <= drawn.width - a.width / 2
        assert drawn.box / 2 <= a.y <= drawn.height - drawn.box / 2
        for b in drawn.nodes[i + 1 :]:
            assert abs(a.x - b.x) >= (a.width + b.width) / 2 or abs(a.y - b.y) >= drawn.box


def test_a_wider_arrow_means_a_more_frequent_link() -> None:
    found = [Link("tas", FLUX, 0, 0.95, 0.1), Link("ps", FLUX, 0, 0.65, 0.9)]
    drawn = network(found, DRIVERS, target=FLUX, flux="flux", title="t", step="months")
    often, seldom = drawn.edges
    assert often.width > seldom.width


def test_a_graph_says_sign_lag_and_frequency_in_words() -> None:
    found = [Link("tas", FLUX, 2, 0.9, -0.4), Link("ps", FLUX, 0, 0.1, 0.4)]
    drawn = network(found, DRIVERS, target=FLUX, flux="CH₄ flux", title="All", step="weeks")
    assert drawn.description == (
        "All. more air temp. goes with less CH₄ flux 2 weeks later (found in 90%)."
    )
    empty = network([], DRIVERS, target=FLUX, flux="flux", title="All", step="weeks")
    assert "No link reaches" in empty.description


def test_among_drivers_the_most_frequent_lag_is_drawn() -> None:
    found = [Link("tas", "tsl", 0, 0.7, 0.3), Link("tas", "tsl", 1, 0.9, 0.3)]
    drawn = among(found, DRIVERS, title="t", step="months")
    assert [e.label for e in drawn.edges] == ["+ 1"]


def test_the_picture_of_a_class_is_a_file_of_its_own() -> None:
    for drawn in graphs(page()).values():
        root = ElementTree.fromstring(drawn.svg())
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.get("aria-label") == drawn.description


@given(st.floats(-5, 5), st.floats(0, 3), st.floats(0, 3))
def test_colour_is_given_only_to_intervals_on_one_side_of_the_line(
    value: float, below: float, above: float
) -> None:
    row = Estimate("a", value, value - below, value + above)
    (drawn,) = interval_plot([row], title="t", unit="u").rows
    away = row.lower > 0 or row.upper < 0
    assert (drawn.style in ("plus", "minus")) == away
    assert drawn.low <= drawn.point <= drawn.high
    (grey,) = interval_plot([row._replace(sound=False)], title="t", unit="u").rows
    assert grey.style == "doubtful"


def test_an_interval_of_no_use_does_not_squeeze_the_others() -> None:
    rows = [Estimate(str(i), 0.1, 0.0, 0.2) for i in range(5)] + [Estimate("x", 0, -1e6, 1e6)]
    drawn = interval_plot(rows, title="t", unit="u").rows
    assert drawn[0].high - drawn[0].low > 10


def test_a_value_that_was_not_estimated_is_named_and_left_empty() -> None:
    plot = interval_plot([Estimate("ps", np.nan, np.nan, np.nan)], title="t", unit="u")
    assert plot.rows[0].style == "absent"
    assert "ps: not estimated" in plot.description


def test_the_reversal_is_drawn_where_the_effect_crosses_zero() -> None:
    share = np.linspace(0.0, 0.8, 5)
    effect = 0.1 - 0.25 * share
    drawn = gradient(share, (effect,) * 3, title="t", reversal=(0.4, 0.3, 0.5))
    assert drawn.at is not None
    left, _, right, _ = drawn.chart.box
    assert drawn.at == pytest.approx(left + 0.5 * (right - left), abs=0.1)
    assert "the sign changes at 0.400 (0.300 to 0.500)" in drawn.chart.description


def test_effects_get_a_panel_per_driver_with_its_unit() -> None:
    drawn = drawings(finding())
    assert [d.title for d in drawn] == ["air temp.", "pressure"]
    assert [d.intervals.unit for d in drawn if d.intervals] == [
        "asinh units per K",
        "asinh units per Pa",
    ]
    first = drawn[0].intervals
    assert first is not None
    assert [(r.label, r.style) for r in first.rows] == [
        ("upland", "plus"),
        ("rice paddy", "doubtful"),
    ]


def test_rates_of_null_controls_are_compared_with_what_is_allowed() -> None:
    table = pd.DataFrame(
        {
            "kind": ["phases"],
            "ecosystem": ["pool"],
            "linked": [0.02],
            "lower": [0.01],
            "upper": [0.2],
        }
    )
    (drawn,) = drawings(finding(table=table))
    assert drawn.intervals is not None
    assert drawn.intervals.reference is not None
    assert drawn.intervals.reference.label == "allowed"
    assert drawn.intervals.rows[0].style == "unsure"


def test_a_gradient_that_may_not_be_claimed_shows_no_reversal() -> None:
    table = pd.DataFrame(
        {
            "ecosystem": ["pool", "pool"],
            "driver": ["tas", "sfcWind"],
            "scale": ["plain", "plain"],
            "nature": [0.1, 0.1],
            "nature_error": [0.01, 0.01],
            "change": [-0.2, -0.2],
            "change_lower": [-0.3, -0.3],
            "change_upper": [-0.1, -0.1],
            "covariance": [0.0, 0.0],
            "reversal": [0.5, 0.5],
            "lower": [0.4, 0.4],
            "upper": [0.6, 0.6],
            "claimed": [True, False],
        }
    )
    first, second = drawings(finding(table=table, attributes={"urban_fraction": [0.0, 1.0]}))
    assert first.gradient is not None
    assert first.gradient.at is not None
    assert second.gradient is not None
    assert second.gradient.at is None


def test_a_finding_without_intervals_gets_no_drawing() -> None:
    assert drawings(finding(table=pd.DataFrame({"link": ["a"], "q": [0.1]}))) == []
