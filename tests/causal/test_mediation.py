"""What runs through a mediator is what was planted to run through it, and what cannot be asked is refused."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ch4grid.causal.mediation import (
    Mediation,
    e_value,
    effects,
    mediation,
    report_mediation,
    robustness,
)
from ch4grid.errors import InputError
from ch4grid.structure import StructuralModel
from ch4grid.twin import Twin, laboratory, true_graph
from ch4grid.twin.causes import DRIVERS, lasting_response

CLASSES = ("boreal-peatland", "temperate-wetland", "tropical-floodplain")


@pytest.fixture(scope="module")
def series() -> xr.Dataset:
    return laboratory(Twin(seed=23, first_year=2001, last_year=2008), ecosystems=CLASSES, towers=16)


@pytest.fixture(scope="module")
def through_soil(series: xr.Dataset) -> Mediation:
    return _through(series, "tsl")


def _through(series: xr.Dataset, mediator: str, treatment: str = "tas") -> Mediation:
    return mediation(
        series,
        true_graph(),
        flux="ch4_flux",
        treatment=treatment,
        mediator=mediator,
        seed=0,
        bootstraps=100,
    )


def _at(found: Mediation, ecosystem: str, effect: str) -> dict[str, float]:
    table = found.table
    return table[(table["ecosystem"] == ecosystem) & (table["effect"] == effect)].iloc[0].to_dict()


@given(st.integers(0, 1000))
def test_direct_and_indirect_effects_add_up_and_the_product_rule_holds(seed: int) -> None:
    a, b, c, d = np.random.default_rng(seed).uniform(-0.5, 0.5, 4)
    coefficient = np.zeros((1, 4, 3, 2))
    coefficient[0, 1, 0, 0] = a
    coefficient[0, 1, 1, 1] = d
    coefficient[0, 3, 1, 1] = b
    coefficient[0, 3, 0, 0] = c
    spread = np.array([[2.0, 3.0, 1.0, 0.5]])
    model = StructuralModel(
        ("tas", "tsl", "evi"), "ch4_flux", (), coefficient, np.zeros_like(coefficient), spread
    )
    total, direct, indirect, own = effects(model, "pool", "tas", "tsl")
    np.testing.assert_allclose([direct, own], c * 0.25, atol=1e-12)
    np.testing.assert_allclose(indirect, a * b / (1 - d) * 0.25, atol=1e-12)
    np.testing.assert_allclose(total, direct + indirect)


@pytest.mark.parametrize("ecosystem", ["boreal-peatland", "temperate-wetland"])
def test_effects_through_soil_temperature_are_those_planted(
    through_soil: Mediation, ecosystem: str
) -> None:
    # the spreads of tas and tsl keep the ratio 0.8 to 1.1 everywhere; 0.14 per 1.5 K
    response = lasting_response(["tas"])[DRIVERS.index("tsl"), DRIVERS.index("tas")]
    truth = 0.14 / 1.5 * response * 0.8 / 1.1
    found = _at(through_soil, ecosystem, "indirect")
    assert found["estimate"] == pytest.approx(truth, rel=0.15)
    assert found["lower"] > 0
    assert found["robustness"] > 0.3
    assert found["e_value_limit"] > 1.5


def test_where_nothing_runs_through_the_mediator_nothing_is_claimed(
    through_soil: Mediation,
) -> None:
    found = _at(through_soil, "tropical-floodplain", "indirect")
    own = _at(through_soil, "tropical-floodplain", "own")
    assert abs(found["estimate"]) < 0.15 * own["estimate"]
    assert found["robustness"] < 0.15
    assert own["estimate"] == pytest.approx(0.08, rel=0.15)


def test_the_rows_of_a_class_add_up(through_soil: Mediation) -> None:
    for name in (*CLASSES, "pool"):
        total, direct, indirect = (
            _at(through_soil, name, e)["estimate"] for e in ("total", "direct", "indirect")
        )
        assert total == pytest.approx(direct + indirect)


def test_a_product_of_treatment_and_mediator_is_noticed(
    series: xr.Dataset, through_soil: Mediation
) -> None:
    assert min(through_soil.interaction.values()) > 0.001
    bent = series.copy()
    parts = [
        series[n].values
        - series[n].groupby("time.month").mean().values[:, series["time.month"].values - 1]
        for n in ("tas", "tsl")
    ]
    bent["ch4_flux"] = series["ch4_flux"] * np.exp(0.05 * parts[0] * parts[1])
    found = _through(bent, "tsl")
    assert max(found.interaction.values()) < 1e-4
    check = report_mediation([found]).checks[0]
    assert check.passed is False


def test_seeds_give_the_same_table(series: xr.Dataset, through_soil: Mediation) -> None:
    assert _through(series, "tsl").table.equals(through_soil.table)


@given(st.floats(0, 30), st.floats(10, 1000))
def test_robustness_is_the_confounding_that_undoes_the_estimate(t: float, freedom: float) -> None:
    value = robustness(t, freedom)
    # Cinelli and Hazlett 2020: a confounder with both partial R2 equal to RV has bias equal to the estimate
    assert value**2 / (1 - value) == pytest.approx(t**2 / freedom, rel=1e-6, abs=1e-9)
    assert 0 <= robustness(t, freedom, 1.64) <= value < 1


def test_the_e_value_is_that_of_the_paper() -> None:
    assert e_value(0.0) == 1.0
    # VanderWeele and Ding 2017: a risk ratio of 3.9 has the E-value 7.26
    assert e_value(np.log(3.9) / 0.91) == pytest.approx(7.26, abs=0.005)


def test_a_mediator_computed_from_the_treatment_is_refused(series: xr.Dataset) -> None:
    with pytest.raises(InputError, match="computed from the other"):
        _through(series, "vpd")


def test_carbon_uptake_partitioned_at_the_tower_is_refused(series: xr.Dataset) -> None:
    renamed = series.rename(evi="gpp")
    graph = true_graph()
    names = tuple("gpp" if n == "evi" else n for n in graph.drivers)
    graph = type(graph)(names, graph.target, graph.ecosystems, graph.probability)
    how = {"flux": "ch4_flux", "treatment": "tas", "mediator": "gpp", "seed": 0, "bootstraps": 20}
    with pytest.raises(InputError, match="partitioned from tower fluxes"):
        mediation(renamed, graph, **how)
    renamed["gpp"].attrs["origin"] = "remote-sensing"
    assert set(mediation(renamed, graph, **how).table["mediator"]) == {"gpp"}


def test_a_mediator_that_causes_the_treatment_is_refused(series: xr.Dataset) -> None:
    with pytest.raises(InputError, match="cause of the treatment"):
        _through(series, "rsds")
    with pytest.raises(InputError, match="cause of the treatment"):
        _through(series, "tas", treatment="evi")


def test_absent_drivers_are_refused(series: xr.Dataset) -> None:
    with pytest.raises(InputError, match="not there: snw"):
        _through(series, "snw")
    with pytest.raises(InputError, match="both are the same"):
        _through(series, "tas")


def test_the_report_names_what_is_clear_and_what_would_undo_it(through_soil: Mediation) -> None:
    finding = report_mediation([through_soil])
    assert finding.key == "mediation-tas"
    assert any(a.startswith("boreal-peatland: of tas through tsl +0.0") for a in finding.answers)
    assert "a confounder that explains" in finding.answers[0]
    with pytest.raises(ValueError, match="one treatment"):
        report_mediation([])
