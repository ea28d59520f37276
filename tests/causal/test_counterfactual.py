"""What the towers would have measured is what the towers of a changed twin do measure."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.causal.counterfactual import counterfactual, report_counterfactual
from ch4grid.causal.structural import Estimate, estimate_structure
from ch4grid.errors import InputError, RecipeError
from ch4grid.twin import Twin, laboratory, true_graph

CLASSES = ("boreal-peatland", "tropical-floodplain", "coastal")
YEARS = {"first_year": 2001, "last_year": 2008}
TOWERS = 16


def towers(**changed: object) -> xr.Dataset:
    return laboratory(Twin(seed=21, **YEARS, **changed), ecosystems=CLASSES, towers=TOWERS)


@pytest.fixture(scope="module")
def series() -> xr.Dataset:
    return towers()


@pytest.fixture(scope="module")
def fitted(series: xr.Dataset) -> Estimate:
    return estimate_structure(series, true_graph(), flux="ch4_flux", seed=0, bootstraps=50)


@given(st.sampled_from(["tas", "evi", "rsds", "pr", "tsl"]), st.booleans())
@settings(max_examples=5, deadline=None)
def test_a_change_of_nothing_changes_nothing(
    series: xr.Dataset, fitted: Estimate, driver: str, propagate: bool
) -> None:
    same = counterfactual(
        series, fitted.model, do={driver: 0.0}, propagate=propagate, copies=fitted.copies[:3]
    )
    np.testing.assert_array_equal(same["flux"], same["measured"])
    assert not same["blanked"].any()


@given(st.floats(0.1, 2.0))
@settings(max_examples=5, deadline=None)
def test_what_is_not_explained_stays_in_the_month(
    series: xr.Dataset, fitted: Estimate, size: float
) -> None:
    found = counterfactual(series, fitted.model, do={"tas": size}, copies=fitted.copies[:3])
    scale = 16.0425e-11
    moved = np.arcsinh(found["flux"] / scale) - np.arcsinh(found["measured"] / scale)
    spread = moved.max("time") - moved.min("time")
    assert float(spread.max()) < 1e-9


@pytest.mark.parametrize("propagate", [True, False])
def test_warming_is_what_the_warmer_twin_measures(
    series: xr.Dataset, fitted: Estimate, propagate: bool
) -> None:
    truth = towers(intervention={"tas": 2.0}, propagate=propagate)["ch4_flux"].values
    found = counterfactual(
        series, fitted.model, do={"tas": 2.0}, propagate=propagate, copies=fitted.copies
    )
    for name in CLASSES:
        here = series["ecosystem"].values == name
        before, after, true = (
            v[here] for v in (found["measured"].values, found["flux"].values, truth)
        )
        ok = np.isfinite(before) & np.isfinite(after)
        level = np.sqrt(((after - true)[ok] ** 2).mean()) / np.abs(true[ok]).mean()
        change, true_change = (after - before)[ok].mean(), (true - before)[ok].mean()
        assert level < 0.1, name
        assert abs(change - true_change) <= 0.15 * abs(true_change) + 1e-20, name
        assert ok.sum() > 0.8 * np.isfinite(before).sum()


def test_consequences_for_other_drivers_come_on_top(series: xr.Dataset, fitted: Estimate) -> None:
    alone, all_of_it = (
        counterfactual(series, fitted.model, do={"tas": 2.0}, propagate=p, copies=fitted.copies[:3])
        for p in (False, True)
    )
    assert float(alone["change"].sel(ecosystem="boreal-peatland")) == 0.0
    assert float(all_of_it["change"].sel(ecosystem="boreal-peatland")) > 0
    assert float(all_of_it["change"].sel(ecosystem="coastal")) > float(
        alone["change"].sel(ecosystem="coastal")
    )


def test_a_change_that_begins_with_the_series_grows_into_the_lasting_one(
    series: xr.Dataset, fitted: Estimate
) -> None:
    begun, lasting = (
        counterfactual(
            series, fitted.model, do={"tas": 1.0}, course=course, copies=fitted.copies[:3]
        )
        for course in ("transient", "lasting")
    )
    peat = series["ecosystem"].values == "boreal-peatland"
    first, last = slice(0, 1), slice(24, None)
    ratio = (begun["flux"] - begun["measured"]) / (lasting["flux"] - lasting["measured"])
    assert float(ratio[peat, first].mean()) < 0.7
    np.testing.assert_allclose(np.nanmean(ratio[peat, last]), 1.0, atol=1e-6)


def test_months_without_a_like_at_the_towers_are_blanked_and_counted(
    series: xr.Dataset, fitted: Estimate
) -> None:
    small, large = (
        counterfactual(series, fitted.model, do={"tas": k}, copies=fitted.copies[:3])
        for k in (1.0, 40.0)
    )
    peat = {"ecosystem": "boreal-peatland"}
    assert int(large["months_blanked"].sel(peat)) > 0.5 * int(large["months"].sel(peat))
    assert int(small["months_blanked"].sel(peat)) < 0.1 * int(small["months"].sel(peat))
    assert large["flux"].where(large["blanked"]).isnull().all()
    measured = large["measured"].notnull() & ~large["blanked"]
    assert large["flux"].notnull().equals(measured)
    assert int(large["blanked"].sum()) == int(large["months_blanked"].sel(ecosystem="pool"))


def test_the_interval_holds_the_estimate_and_is_widest_without_the_bootstrap_being_wrong(
    series: xr.Dataset, fitted: Estimate
) -> None:
    by_copies = counterfactual(series, fitted.model, do={"tas": 2.0}, copies=fitted.copies)
    by_errors = counterfactual(series, fitted.model, do={"tas": 2.0})
    for found in (by_copies, by_errors):
        ok = found["flux"].notnull()
        inside = (found["lower"] <= found["flux"]) & (found["flux"] <= found["upper"])
        assert float(inside.where(ok).mean()) > 0.95
    widths = [float((f["upper"] - f["lower"]).mean()) for f in (by_copies, by_errors)]
    assert 0.5 < widths[0] / widths[1] < 2.0


def test_rain_changes_by_a_share_and_not_below_none(series: xr.Dataset, fitted: Estimate) -> None:
    wetter = counterfactual(series, fitted.model, do={"pr": 0.2}, copies=fitted.copies[:3])
    assert wetter.attrs["do"] == "pr +0.2 (share)"
    assert float(wetter["change"].sel(ecosystem="boreal-peatland")) > 0
    with pytest.raises(RecipeError, match="a share above -1"):
        counterfactual(series, fitted.model, do={"pr": -1.0})


def test_unknown_and_absent_drivers_are_refused(series: xr.Dataset, fitted: Estimate) -> None:
    with pytest.raises(RecipeError, match="names no driver"):
        counterfactual(series, fitted.model, do={"snw": 1.0})
    with pytest.raises(RecipeError, match="Found nothing"):
        counterfactual(series, fitted.model, do={})
    with pytest.raises(InputError, match="absent from the series"):
        counterfactual(series.drop_vars("evi"), fitted.model, do={"evi": 0.01})


def test_the_report_says_both_readings_with_intervals(series: xr.Dataset, fitted: Estimate) -> None:
    readings = {
        name: counterfactual(
            series, fitted.model, do={"tas": 2.0}, propagate=p, copies=fitted.copies[:9]
        )
        for name, p in (("ceteris paribus", False), ("propagated", True))
    }
    finding = report_counterfactual(readings, target="ch4_flux")
    assert finding.key == "counterfactual-tas-2"
    assert [a.split(":")[0] for a in finding.answers] == ["ceteris paribus", "propagated"]
    assert set(finding.table["ecosystem"]) == {*CLASSES, "pool"}
    assert finding.sound
    row = finding.table.query("reading == 'propagated' and ecosystem == 'coastal'").iloc[0]
    assert row["lower"] <= row["change"] <= row["upper"]
