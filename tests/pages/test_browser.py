"""Pages in a browser: what map and series show, by pointer and by keys, from a disk and from `ch4grid browse`."""

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import planted_product as planted
import pytest
import xarray as xr

from ch4grid import pages
from ch4grid.pages.server import open_server
from ch4grid.totals import totals
from ch4grid.vocabulary import FLUX_UNITS, QUALITY_FLAGS

CHROMIUM = next(
    (p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None
)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium was found on this machine")

MG_PER_DAY = 86400e6
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with a made-up product of two years, its page and the index."""
    folder = tmp_path_factory.mktemp("output")
    store = planted.write_years(folder, 2001, 2002)
    with xr.open_zarr(store, consolidated=True, chunks=None) as product:
        found = totals(product, "ch4")
        page = pages.ProductPage(
            title="A made-up product",
            summary="Made up for tests.",
            product="planted",
            version=1,
            scenario="historical",
            gas="ch4",
            dataset=product,
            monthly=found.monthly,
            annual=found.annual,
            store=store,
        )
        path = pages.write_product_page(
            folder / "catalog" / "products" / "v1-historical.html", page
        )
    entry = pages.IndexEntry(
        page.title, page.summary, page.product, 1, "historical", (2001, 2002), path
    )
    pages.write_index(folder / "catalog" / "index.html", [entry])
    return folder


@pytest.fixture(scope="module")
def product(output: Path) -> xr.Dataset:
    return xr.open_zarr(planted.store_path(output), consolidated=True, chunks=None).load()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(output: Path) -> Iterator[str]:
    """The address of the output folder as `ch4grid browse` serves it."""
    with open_server(output, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def tab(chromium: Any) -> Iterator[Any]:
    """A fresh page; at its end nothing may have been reported as an error or asked from elsewhere."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    troubles: list[str] = []
    tab.on("console", lambda m: troubles.append(m.text) if m.type in ("error", "warning") else None)
    tab.on("pageerror", lambda e: troubles.append(str(e)))
    tab.on("request", lambda r: None if at_home(r.url) else troubles.append(f"asked for {r.url}"))
    yield tab
    context.close()
    assert troubles == []


def at_home(url: str) -> bool:
    """Whether a request stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme in ("file", "data", "blob") or parts.hostname == "127.0.0.1"


def opened(tab: Any, output: Path) -> Any:
    """The product page from the disk, its first map drawn."""
    return drawn(tab, (output / "catalog" / "products" / "v1-historical.html").as_uri())


def drawn(tab: Any, url: str) -> Any:
    tab.goto(url)
    tab.wait_for_selector("#map[aria-busy=false]")
    return tab


def picture(tab: Any) -> str:
    """The canvas's content."""
    return str(tab.evaluate("document.querySelector('canvas').toDataURL()"))


def settled(tab: Any) -> None:
    """Wait until what was asked for last is drawn."""
    tab.wait_for_timeout(60)
    tab.wait_for_selector("#map[aria-busy=false]")


def says(tab: Any, selector: str, text: str) -> None:
    """Wait until an element says something."""
    sync_api.expect(tab.locator(selector)).to_contain_text(text, timeout=5000)


def cell_of(product: xr.Dataset) -> tuple[float, float]:
    """Centre of a cell with a flux in all months, away from the edges of the map."""
    whole = np.isfinite(product["ch4_flux"]).all("time").sel(latitude=slice(-20, 40))
    row, column = np.argwhere(whole.values)[7]
    return float(whole["latitude"][row]), float(whole["longitude"][column])


def numbers(tab: Any) -> list[list[str]]:
    """Rows of the table of the chosen cell: month, flux, standard error, lower, upper, quality."""
    tab.wait_for_selector("#cell:not([hidden])")
    rows = "[...document.querySelectorAll('#cell tbody tr')].map(r => [...r.children].map(c => c.textContent))"
    return [list(row) for row in tab.evaluate(rows)]


def number(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-")) if text != "\N{EN DASH}" else np.nan


def is_that_of_the_store(tab: Any, product: xr.Dataset, latitude: float, longitude: float) -> None:
    """Whether the chosen cell's numbers are those of the store, to three figures."""
    shown = numbers(tab)
    cell = product.sel(latitude=latitude, longitude=longitude)
    assert cell["ch4_flux"].attrs["units"] == FLUX_UNITS
    quantile = cell["ch4_flux_quantile"]
    for column, expected in enumerate(
        (
            cell["ch4_flux"],
            cell["ch4_flux_standard_error"],
            quantile.sel(quantile=0.05),
            quantile.sel(quantile=0.95),
        ),
        start=1,
    ):
        found = [number(row[column]) for row in shown]
        np.testing.assert_allclose(found, expected.values * MG_PER_DAY, rtol=6e-3)
    flags = dict(
        zip(
            np.atleast_1d(cell["quality_flag"].attrs["flag_values"]).tolist(),
            cell["quality_flag"].attrs["flag_meanings"].split(),
            strict=True,
        )
    )
    meanings = [flags[int(f)].replace("_", " ") for f in cell["quality_flag"].values]
    assert [row[5] for row in shown] == meanings


def click_at(tab: Any, latitude: float, longitude: float) -> None:
    box = tab.locator("canvas").bounding_box()
    x = box["x"] + box["width"] * (longitude + 180) / 360
    south = tab.evaluate("ch4grid.viewer.atlas.south")
    y = box["y"] + box["height"] * (90 - latitude) / (90 - south)
    tab.mouse.click(x, y)


def test_the_index_leads_to_the_product_from_the_disk_and_when_served(
    tab: Any, output: Path, address: str
) -> None:
    for start in ((output / "catalog" / "index.html").as_uri(), f"{address}/catalog/index.html"):
        tab.goto(start)
        tab.get_by_role("link", name="A made-up product").click()
        tab.wait_for_selector("#map[aria-busy=false]")
        assert tab.title() == "A made-up product"
        assert tab.evaluate("document.documentElement.lang") == "en"
        assert re.match("Flux, July 2002", tab.inner_text("#caption"))


def test_a_click_shows_the_numbers_of_the_store(
    tab: Any, output: Path, product: xr.Dataset
) -> None:
    place = cell_of(product)
    click_at(opened(tab, output), *place)
    is_that_of_the_store(tab, product, *place)
    shares = product["ecosystem_fraction"].sel(latitude=place[0], longitude=place[1])
    mean = shares.sel(time="2002").mean("time")
    largest = str(mean["ecosystem"].values[int(mean.values.argmax())])
    assert tab.inner_text("#cell .classes li >> nth=0").startswith(largest.replace("-", " "))
    assert tab.locator("#cell svg path.line").count() == 1
    assert tab.locator("#cell svg path.band").count() == 1


def test_keys_do_what_a_click_does(tab: Any, output: Path, product: xr.Dataset) -> None:
    latitude, longitude = cell_of(product)
    opened(tab, output)
    tab.focus("#map")
    outline = "getComputedStyle(document.getElementById('map')).outlineStyle"
    tab.keyboard.press("ArrowUp")
    assert tab.evaluate(outline) == "solid"
    at = tab.evaluate("ch4grid.viewer.map.centre(ch4grid.viewer.map.cell)")
    for there, here, more, less in (
        (latitude, at[0], "ArrowUp", "ArrowDown"),
        (longitude, at[1], "ArrowRight", "ArrowLeft"),
    ):
        tens, ones = divmod(round(abs(there - here) / 4), 10)
        key = more if there > here else less
        for press in [f"Shift+{key}"] * tens + [key] * ones:
            tab.keyboard.press(press)
    says(tab, "#voice", "Flux")
    tab.keyboard.press("Enter")
    is_that_of_the_store(tab, product, latitude, longitude)
    says(tab, "#voice", "interval")
    tab.keyboard.press("PageDown")
    settled(tab)
    assert tab.inner_text("#cell .now").startswith("June 2002: ")
    tab.keyboard.press("+")
    assert tab.evaluate("document.querySelector('.sheet').style.width") == "200%"


def test_month_quantity_and_comparison_change_the_map(tab: Any, output: Path) -> None:
    opened(tab, output)
    seen = [picture(tab)]
    tab.focus("#month")
    tab.keyboard.press("ArrowLeft")
    settled(tab)
    assert tab.inner_text("#name") == "June 2002"
    seen.append(picture(tab))
    quantities = tab.eval_on_selector_all("#quantity option", "all => all.map(o => o.value)")
    assert quantities[:3] == ["flux", "standard-error", "width"]
    assert len(quantities) == 12
    for quantity in (*quantities[1:4], "flux"):
        tab.select_option("#quantity", quantity)
        settled(tab)
        seen.append(picture(tab))
    assert seen.pop() == seen[1]
    for compared in ("mean", "year", "month"):
        tab.select_option("#compare", compared)
        settled(tab)
        assert ", less th" in tab.inner_text("#caption")
        seen.append(picture(tab))
    assert len(set(seen)) == len(seen)


def test_flags_and_classes_are_shown_in_words(tab: Any, output: Path, product: xr.Dataset) -> None:
    latitude, longitude = cell_of(product)
    opened(tab, output)
    tab.select_option("#compare", "mean")
    there = {"time": "2002-07", "latitude": latitude, "longitude": longitude}
    month = product.sel(there).isel(time=0)
    flux = month["ecosystem_fraction"] * month["ch4_flux_density"]
    largest = int(np.nanargmax(np.abs(flux.values)))
    flags = {v: k for k, v in QUALITY_FLAGS.items()}
    for quantity, expected in (
        ("main-class", str(product["ecosystem"].values[largest])),
        ("quality", flags[int(month["quality_flag"])]),
    ):
        tab.select_option("#quantity", quantity)
        settled(tab)
        assert tab.is_hidden("#compare")
        assert ", less" not in tab.inner_text("#caption")
        tab.fill("#latitude", str(latitude))
        tab.fill("#longitude", str(longitude))
        tab.click("#place button")
        words = re.sub("[-_]", " ", expected)
        assert tab.inner_text("#reading").endswith(words)
        assert words in tab.inner_text("#legend .ticks")
    tab.select_option("#quantity", "flux")
    settled(tab)
    assert tab.is_visible("#legend .bar")
    assert tab.is_visible("#compare")


def test_a_difference_is_that_of_the_store(tab: Any, output: Path, product: xr.Dataset) -> None:
    opened(tab, output)
    tab.select_option("#compare", "year")
    tab.select_option("#year", "2001")
    settled(tab)
    values = np.array(tab.evaluate("[...ch4grid.viewer.map.values]"), dtype=float)
    flux = product["ch4_flux"].sel(latitude=slice(-60, 90)) * MG_PER_DAY
    july = [flux.sel(time=f"{year}-07").squeeze("time").values.ravel() for year in (2001, 2002)]
    bound = 2**-8 * (abs(july[0]) + abs(july[1]))
    assert (np.isfinite(values) == np.isfinite(july[1] - july[0])).all()
    there = np.isfinite(values)
    assert (abs(values - (july[1] - july[0])) <= bound)[there].all()


def test_playing_turns_the_months_until_paused(tab: Any, output: Path) -> None:
    opened(tab, output)
    tab.click("#play")
    says(tab, "#name", "September 2002")
    tab.click("#play")
    assert tab.inner_text("#play") == "Play"


def test_a_page_fits_a_phone_in_both_schemes(tab: Any, output: Path, product: xr.Dataset) -> None:
    tab.set_viewport_size(PHONE)
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        latitude, longitude = cell_of(product)
        opened(tab, output)
        tab.fill("#latitude", str(latitude))
        tab.fill("#longitude", str(longitude))
        tab.click("#place button")
        is_that_of_the_store(tab, product, latitude, longitude)
        assert tab.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    tab.goto((output / "catalog" / "index.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_the_sea_has_no_series_and_a_missing_folder_is_named(
    tab: Any, chromium: Any, output: Path, product: xr.Dataset, tmp_path: Path
) -> None:
    ocean = (product["quality_flag"] == 1).all("time").sel(latitude=slice(-40, 40))
    row, column = np.argwhere(ocean.values)[0]
    opened(tab, output)
    tab.fill("#latitude", str(float(ocean["latitude"][row])))
    tab.fill("#longitude", str(float(ocean["longitude"][column])))
    tab.click("#place button")
    says(tab, "#problem", "no land")
    alone = shutil.copy(output / "catalog" / "products" / "v1-historical.html", tmp_path)
    other = chromium.new_page()  # its missing files are errors, as they should be
    other.goto(Path(alone).as_uri())
    says(other, "#problem", "belongs beside")
    other.close()


def test_a_snippet_is_copied_as_it_stands(tab: Any, output: Path) -> None:
    opened(tab, output)
    tab.evaluate("navigator.clipboard.writeText = async (text) => { window.taken = text; }")
    tab.click("[data-copies=snippet-1]")
    says(tab, "[data-copies=snippet-1]", "Copied")
    assert 'xr.open_zarr("../../planted/v1/historical.zarr")' in tab.evaluate("window.taken")


def test_without_scripts_the_months_of_the_last_year_are_there(chromium: Any, output: Path) -> None:
    context = chromium.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto((output / "catalog" / "products" / "v1-historical.html").as_uri())
    assert plain.locator(".months input").count() == 12
    assert not plain.locator(".viewer").is_visible()
    context.close()
