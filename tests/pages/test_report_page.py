"""The page about a run: plan beside measured, warnings, failures; outside the catalog, replaced by the next run."""

from pathlib import Path

import pytest

from ch4grid import pages
from ch4grid.pages.report import duration, size

STAGES = (
    pages.StageReport(
        "read drivers", 12, 0, 24, (10.0, 8.04), (2_000_000, 1_900_000), (4 * 10**8, 5 * 10**8), 2
    ),
    pages.StageReport("fit model", 0, 3, 0, (90.0, 200.0), (1000, 0), (10**9, 9 * 10**8), 0),
)


def report(**changes: object) -> pages.RunReport:
    known: dict[str, object] = {
        "title": "planted v1, historical",
        "headline": "Published 2001.",
        "whole": True,
        "years": [pages.YearReport(2001, "make", "not there yet", True)],
        "stages": STAGES,
        "again": ["fit model, again: <model> changed"],
        "warnings": ["era5-2001-11.nc is preliminary"],
        "quarantined": [],
        "revised": [],
        "facts": {"plan": "0a1b"},
        "links": {"Product page": "catalog/products/planted/v1-historical.html"},
    }
    return pages.RunReport(**(known | changes))


def test_the_report_says_what_was_planned_and_what_it_took(tmp_path: Path) -> None:
    text = pages.write_report(tmp_path / "report.html", report()).read_text()
    for said in (
        "Published 2001.",
        "8.04 s (planned 10 s)",
        "3 min 20 s",
        "planned 1 min 30 s",
        "<td>24</td>",
        "2 measured runs",
        "formulas",
        "&lt;model&gt; changed",
        "Not final: era5-2001-11.nc is preliminary",
        'href="catalog/products/planted/v1-historical.html"',
    ):
        assert said in text, said
    assert "<script" not in text
    assert "quarantine" not in text.lower()


def test_regions_in_quarantine_are_named_with_their_reasons(tmp_path: Path) -> None:
    failed = report(
        whole=False,
        headline="Published no year.",
        quarantined=[("year 2001, rows 0:45, columns 0:60", "disk full")],
        years=[pages.YearReport(2001, "make", "not there yet", False)],
    )
    text = pages.write_report(tmp_path / "report.html", failed).read_text()
    assert "rows 0:45" in text
    assert "disk full" in text
    assert "not published" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.314, "0.314 s"), (12.4, "12 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_times_are_said_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (900, "900 B"), (3_400_000, "3.4 MB"), (512e6, "512 MB")]
)
def test_bytes_are_said_as_people_do(count: float, text: str) -> None:
    assert size(count) == text
