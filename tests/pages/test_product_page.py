"""Product and index pages: what they say, that they need nothing from outside, and that they are deterministic."""

import html
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ch4grid import pages
from ch4grid.grid import Grid
from ch4grid.pages.colour import flux_scale
from ch4grid.pages.figures import figure
from ch4grid.pages.maps import map_png
from ch4grid.pages.product import years_words
from ch4grid.references import REFERENCES
from ch4grid.vocabulary import QUALITY_FLAGS, months

CLASSES = ["upland", "rice-paddy", "all"]
REGIONS = ["globe", "tropics"]
VOID = {"meta", "link", "img", "input", "br", "hr", "line", "path", "circle"}


class Reader(HTMLParser):
    """Collects what a test asks about: references, ids, images without text, unbalanced tags."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.targets: list[str] = []
        self.ids: list[str] = []
        self.silent: list[str] = []
        self.headings: list[int] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.sources += [v or "" for k, v in attrs if k in ("src", "srcset", "action", "poster")]
        self.targets += [named["href"] or ""] if tag == "a" else []
        self.ids += [named["id"] or ""] if "id" in named else []
        hidden = named.get("aria-hidden") == "true"
        if (tag == "img" and not named.get("alt")) or (
            tag == "svg" and not (named.get("aria-label") or hidden)
        ):
            self.silent.append(tag)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text())
    assert reader.open == []
    return reader


def dataset(first: int = 2001, last: int = 2002, resolution: float = 10.0) -> xr.Dataset:
    grid, time = Grid(resolution), months(first, last)
    rng = np.random.default_rng(1)
    flux = rng.normal(1e-9, 2e-9, (len(time), *grid.shape)).astype(np.float32)
    flux[:, :, : grid.shape[1] // 2] = np.nan
    cube = ("time", "latitude", "longitude")
    flags = np.where(np.isnan(flux), QUALITY_FLAGS["ocean"], 0).astype(np.uint8)
    meaning = {
        "flag_values": list(QUALITY_FLAGS.values()),
        "flag_meanings": " ".join(QUALITY_FLAGS),
    }
    return xr.Dataset(
        {
            "ch4_flux": (cube, flux),
            "ch4_flux_standard_error": (cube, np.abs(flux)),
            "quality_flag": (cube, flags, meaning),
        },
        coords=grid.coords | {"time": time},
    )


def interval(dim: str, values: object) -> pages.Interval:
    shape = (len(np.asarray(values)), len(CLASSES), len(REGIONS))
    mean = xr.DataArray(
        np.arange(1.0, np.prod(shape) + 1).reshape(shape),
        dims=(dim, "ecosystem", "region"),
        coords={dim: values, "ecosystem": CLASSES, "region": REGIONS},
    )
    return pages.Interval(mean - 0.5, mean, mean + 0.5)


@pytest.fixture
def page(tmp_path: Path) -> pages.ProductPage:
    return pages.ProductPage(
        title="Flux <of> methane & more",
        summary="A summary.",
        product="ch4-made-up",
        version=3,
        scenario="historical",
        gas="ch4",
        dataset=dataset(),
        monthly=interval("time", months(2001, 2002)),
        annual=interval("year", [2001, 2002]),
        store=tmp_path / "v3" / "historical.zarr",
        files={"Ledger": tmp_path / "v3" / "historical.ledger.parquet"},
        skill=[{"split": "loco", "n": 12, "nse": 0.31, "asinh_nse": 0.52, "coverage90": 0.893}],
        provenance={"Checkpoint": "sha256 0a1b"},
        citation="Nobody (2026).",
        limits=["Not for use."],
    )


def test_the_page_says_what_it_was_told(page: pages.ProductPage, tmp_path: Path) -> None:
    text = html.unescape(pages.write_product_page(tmp_path / "page.html", page).read_text())
    for said in (
        "Flux <of> methane & more",
        "version 3",
        "2001 to 2002",
        'xr.open_zarr("v3/historical.zarr")',
        "11.0 Tg of methane in 2002 (90\N{NO-BREAK SPACE}% interval 10.5 to 11.5 Tg)",
        "regions never seen",
        "89.3 %",
        "0.520",
        "sha256 0a1b",
        "Nobody (2026).",
        "Not for use.",
        "mg CH₄ m⁻² day⁻¹",
        "no land in the cell</td><td>50.0 %",
    ):
        assert said in text, said
    raw = (tmp_path / "page.html").read_text()
    assert "Flux &lt;of&gt; methane &amp; more" in raw


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [
        ((20.0, 30.0, 40.0), "within"),
        ((38.0, 40.0, 42.0), "above"),
        ((10.0, 40.0, 70.0), "above, its interval reaches the range"),
        ((20.0, 24.0, 28.0), "below, its interval reaches the range"),
        ((1.0, 2.0, 3.0), "below"),
    ],
)
def test_a_sum_stands_beside_a_published_range(
    page: pages.ProductPage, tmp_path: Path, bounds: tuple[float, float, float], verdict: str
) -> None:
    (rice,) = [r for r in REFERENCES["ch4"] if r.ecosystems == ("rice-paddy",)]
    row = pages.Beside(rice, *bounds)
    assert row.verdict == verdict
    path = pages.write_product_page(tmp_path / "a.html", replace(page, beside=[row]))
    text = path.read_text()
    assert f"<td>{verdict}</td>" in text
    assert "<td>25 to 37</td>" in text
    assert "beside published ranges" not in pages.write_product_page(path, page).read_text()


def test_the_page_loads_nothing_from_elsewhere(page: pages.ProductPage, tmp_path: Path) -> None:
    reader = read(pages.write_product_page(tmp_path / "page.html", page))
    assert reader.sources
    assert all(s.startswith("data:image/png;base64,") for s in reader.sources)
    text = (tmp_path / "page.html").read_text()
    assert "url(" not in text
    assert "http" not in re.sub(r"http-equiv|http://www.w3.org/2000/svg", "", text)
    assert "default-src 'none'" in text


def test_every_picture_has_words_and_every_anchor_a_place(
    page: pages.ProductPage, tmp_path: Path
) -> None:
    reader = read(pages.write_product_page(tmp_path / "page.html", page))
    assert reader.silent == []
    assert len(reader.ids) == len(set(reader.ids))
    assert {t[1:] for t in reader.targets if t.startswith("#")} <= set(reader.ids)
    assert reader.headings[0] == 1
    assert all(1 < b <= a + 1 for a, b in pairwise(reader.headings))


def test_the_same_product_gives_the_same_bytes_and_no_path_of_this_machine(
    page: pages.ProductPage, tmp_path: Path
) -> None:
    first = pages.write_product_page(tmp_path / "a" / "page.html", page).read_bytes()
    assert pages.write_product_page(tmp_path / "b" / "page.html", page).read_bytes() == first
    assert str(tmp_path).encode() not in first


def test_a_product_without_skill_limits_or_sinks_has_a_page(
    page: pages.ProductPage, tmp_path: Path
) -> None:
    bare = replace(
        page,
        skill=(),
        limits=(),
        files={},
        dataset=abs(page.dataset.copy()).assign(quality_flag=page.dataset["quality_flag"]),
    )
    assert (
        "No skill was reported" in pages.write_product_page(tmp_path / "p.html", bare).read_text()
    )


def test_a_year_without_a_single_value_has_a_page(page: pages.ProductPage, tmp_path: Path) -> None:
    empty = page.dataset.assign(ch4_flux=page.dataset["ch4_flux"] * np.nan)
    assert (
        "No values."
        in pages.write_product_page(tmp_path / "p.html", replace(page, dataset=empty)).read_text()
    )


def test_a_thumbnail_is_600_by_300_and_carries_no_metadata() -> None:
    png = pages.thumbnail_png(dataset()["ch4_flux"], title="made up")
    image = Image.open(io.BytesIO(png))
    assert image.size == (600, 300)
    assert set(image.info) <= {"dpi"}
    assert pages.thumbnail_png(dataset()["ch4_flux"], title="made up") == png


def test_north_is_up_and_missing_cells_are_transparent() -> None:
    values = np.array([[np.nan, 1.0], [50.0, 1.0]])
    image = Image.open(io.BytesIO(map_png(values, flux_scale(values)))).convert("RGBA")
    assert image.getpixel((0, 1))[3] == 0
    assert sum(image.getpixel((0, 0))[:3]) < sum(image.getpixel((1, 0))[:3])


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
@settings(max_examples=50, deadline=None)
def test_a_larger_flux_never_stands_left_of_a_smaller_one(a: float, b: float) -> None:
    scale = flux_scale(np.linspace(-20.0, 500.0, 1000))
    low, high = scale.position(np.array([min(a, b), max(a, b)]))
    assert 0 <= low <= high <= 1


def test_zero_has_the_same_colour_on_every_scale() -> None:
    for values in (
        np.linspace(-5.0, 100.0, 99),
        np.linspace(0.0, 3.0, 99),
        np.linspace(-100.0, 1.0, 99),
    ):
        scale = flux_scale(values)
        colour = scale.palette[scale.steps(np.zeros(1))[0]].astype(int)
        assert np.abs(colour - [0xF6, 0xF3, 0xE6]).max() <= 12


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (172.4, "172"),
        (17.24, "17.2"),
        (-0.5, "\N{MINUS SIGN}0.500"),
        (0.0, "0"),
        (float("nan"), "\N{EN DASH}"),
        (3e-7, "3.00e\N{MINUS SIGN}07"),
    ],
)
def test_numbers_have_three_figures(value: float, text: str) -> None:
    assert figure(value) == text


def test_years_are_written_as_people_do() -> None:
    assert years_words([2003, 2001, 2002, 2005]) == "2001 to 2003, 2005"


def test_the_index_lists_products_newest_version_first(tmp_path: Path) -> None:
    (tmp_path / "map.png").write_bytes(pages.thumbnail_png(dataset()["ch4_flux"]))
    entries = [
        pages.IndexEntry(
            f"Product {p}",
            "Words.",
            p,
            v,
            "historical",
            (2001, 2002),
            tmp_path / p / f"v{v}.html",
            tmp_path / "map.png",
        )
        for p, v in (("b", 1), ("a", 1), ("a", 2))
    ]
    path = pages.write_index(
        tmp_path / "index.html", entries, catalog=tmp_path / "catalog" / "catalog.json"
    )
    reader = read(path)
    assert reader.targets == ["catalog/catalog.json", "a/v2.html", "a/v1.html", "b/v1.html"]
    assert all(s.startswith("data:") for s in reader.sources)
    assert reader.silent == []
