"""An examined discovery tells links with sign and certainty, checks itself, refuses and costs what it said."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import xarray as xr

from ch4grid.causal import (
    Discovery,
    discover,
    estimate,
    examine,
    report_discovery,
    reported_links,
    stability_of_humidity,
)
from ch4grid.causal.density import check_density
from ch4grid.causal.discovery import gather, panel_of
from ch4grid.causal.examination import Examination, months_of
from ch4grid.causal.humidity import saturation_pressure, with_all_three
from ch4grid.causal.prior import Evidence, to_months
from ch4grid.errors import InputError, RunError

DRIVERS = ("rsds", "tas", "pr", "mrsos", "evi", "ps")
CLASSES = ("boreal-peatland", "temperate-wetland")
QUICK = Discovery(bootstraps=12, driver_bootstraps=3, bounds=True, sites=True, site_bootstraps=3)
HOW: dict[str, Any] = {"flux": "ch4_flux", "ecosystems": CLASSES, "seed": 0}


@pytest.fixture(scope="module")
def series(planet: Any) -> xr.Dataset:
    return planet.towers(sites=10, steps=84, seed=3, classes=CLASSES, effect=0.6)


@pytest.fixture(scope="module")
def examination(series: xr.Dataset) -> Examination:
    return examine(series, drivers=DRIVERS, config=QUICK, **HOW)


def test_reported_links_have_the_planted_sign_and_an_interval_around_their_strength(
    planet: Any, examination: Examination
) -> None:
    into = examination.into_flux
    for name in ("pool", *CLASSES):
        found = into[(into["ecosystem"] == name) & into["reported"]]
        assert set(zip(found["source"], found["lag"], strict=True)) >= planet.truth
        planted = found[found["source"].isin([d for d, _ in planet.truth])]
        assert set(planted["sign"]) == {"+"}
        assert (found["lower"] <= found["strength"] + 0.02).all()
        assert (found["upper"] >= found["strength"] - 0.02).all()
        assert not ((found["lower"] < 0) & (found["upper"] > 0)).any()


def test_the_table_tells_the_graph_that_discovery_gives(
    series: xr.Dataset, examination: Examination
) -> None:
    graph = discover(series, drivers=DRIVERS, config=QUICK, **HOW)
    assert graph.to_json() == examination.graph.to_json()
    into = examination.into_flux
    for e, name in enumerate(CLASSES):
        rows = into[into["ecosystem"] == name]
        expected = graph.probability[e, -1].ravel()
        np.testing.assert_allclose(rows["probability"], expected)
        held = rows[rows["reported"]]
        assert set(zip(held["source"], held["lag"], strict=True)) == reported_links(graph, name)


def test_work_in_parallel_gives_the_same_graph(
    series: xr.Dataset, examination: Examination
) -> None:
    with ThreadPoolExecutor(2) as pool:
        graph = discover(series, drivers=DRIVERS, config=QUICK, mapper=pool.map, **HOW)
    assert graph.to_json() == examination.graph.to_json()


def test_every_check_stands_beside_the_result_and_all_methods_agree_on_a_plain_system(
    examination: Examination,
) -> None:
    into, among = report_discovery(examination)
    assert [check.name for check in into.checks] == [
        "stationarity",
        "density",
        "J-PCMCI+ with a dummy for the tower",
        "nonlinear test",
    ]
    assert into.sound
    assert "effective sample sizes" in into.data
    assert "10 towers also alone" in into.data
    assert any("tas at once within the month" in told for told in into.answers)
    assert set(among.table["ecosystem"]) == {"pool"}
    assert examination.graph.provenance["checks"][0]["name"] == "stationarity"


def test_the_estimate_counts_every_replicate_and_is_of_the_right_size(series: xr.Dataset) -> None:
    panel = panel_of(series, flux="ch4_flux", drivers=DRIVERS, config=QUICK)
    effort = estimate(panel, ecosystems=CLASSES, config=QUICK)
    assert effort.strata == 1 + 2 + 10
    assert effort.tests == 24 * (3 * 13 + 10 * 4) + 6 * 24 * 4
    start = time.perf_counter()
    gather(panel, ecosystems=CLASSES, config=QUICK, seed=0)
    took = time.perf_counter() - start
    # cores are shared with whatever else runs: the order of magnitude is what a user needs
    assert took / 5 < effort.seconds < took * 5
    assert "13 groups of towers" in effort.told(workers=2)


def test_series_that_change_are_refused_by_name_unless_accepted(series: xr.Dataset) -> None:
    moved = series.copy(deep=True)
    moved["tas"][:, 42:] += 30.0
    with pytest.raises(InputError, match="tas at XX-000 shifts its level"):
        examine(moved, drivers=DRIVERS, config=QUICK, **HOW)
    graph = discover(moved, drivers=DRIVERS, config=QUICK, **HOW)
    assert graph.provenance["checks"][0]["passed"] is False


def test_a_graph_that_is_nearly_full_is_refused(
    series: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = np.ones((2, 4))
    evidence = Evidence(
        among=np.zeros((2, 2, 4)), into={"pool": full}, p={"pool": 0 * full}, years={"pool": 9.0}
    )
    check = check_density(evidence, QUICK)
    assert check.passed is False
    assert "found 100% (pool) and 0%" in check.told
    monkeypatch.setattr("ch4grid.causal.density.MAX_DENSITY_FLUX", 0.01)
    with pytest.raises(RunError, match="nearly full"):
        examine(series, drivers=DRIVERS, config=QUICK, **HOW)


def test_temperature_deficit_and_humidity_are_refused_together(series: xr.Dataset) -> None:
    with pytest.raises(InputError, match="any two of temperature"):
        examine(series, drivers=("tas", "vpd", "hurs"), config=QUICK, **HOW)


def test_humidity_follows_from_temperature_and_deficit(series: xr.Dataset) -> None:
    warm = series.assign(tas=series["tas"] * 0 + 293.15, vpd=series["vpd"] * 0 + 1169.0)
    # 2338 Pa at 20 degC (WMO tables), half of it missing
    assert saturation_pressure(np.array([293.15]))[0] == pytest.approx(2338, rel=0.003)
    np.testing.assert_allclose(with_all_three(warm)["hurs"], 0.5, atol=0.002)
    with pytest.raises(InputError, match="no vpd"):
        with_all_three(series.drop_vars("vpd"))


def test_every_pair_is_asked_and_a_stand_in_for_temperature_is_told(series: xr.Dataset) -> None:
    real = series.assign(tas=283.0 + series["tas"] / 3, vpd=400.0 + 60 * series["tas"] / 3)
    finding = stability_of_humidity(
        real, drivers=DRIVERS, config=Discovery(bootstraps=6, driver_bootstraps=1), **HOW
    )
    assert set(finding.table["pair"]) == {"tas + vpd", "tas + hurs", "vpd + hurs"}
    assert len(finding.table) == 3 * 2 * 3
    pool = finding.table[finding.table["ecosystem"] == "pool"].set_index(["driver", "pair"])
    assert pool.loc[("tas", "tas + hurs"), "sign"] == "+"
    assert pool.loc[("vpd", "vpd + hurs"), "sign"] == "+"


@pytest.mark.parametrize("lag", range(9))
def test_the_month_of_a_week_is_that_of_the_prior(lag: int) -> None:
    weekly = np.zeros(9)
    weekly[lag] = 1.0
    month = int(np.nanargmax(to_months(weekly, "week", 3)))
    assert months_of(lag, "week") == month
