"""The response of the flux by structural equations: its own formula, its laws, and the twin's planted effects."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from planted_model import structural_model

from ch4grid.errors import RecipeError
from ch4grid.scenarios import Scenario, acting, answering, flux_change, response_in_words
from ch4grid.structure import StructuralModel
from ch4grid.twin.causes import DRIVERS, FLUX_CAUSES, RESPONSE_UNIT
from ch4grid.vocabulary import ECOSYSTEMS

NAMES = ("mrsos", "pr", "tas")
LINKS = {("ch4_flux", "tas", 0): 0.3, ("ch4_flux", "mrsos", 1): 0.2, ("ch4_flux", "pr", 1): -0.4}


def points(seed: int, sites: int = 5, months: int = 24) -> xr.Dataset:
    random = np.random.default_rng(seed)
    size = (sites, months)
    return xr.Dataset(
        {
            n: (
                ("site", "time"),
                random.uniform(1e-5, 1e-4, size) if n == "pr" else random.normal(size=size),
            )
            for n in NAMES
        }
        | {"urban_fraction": ("site", random.uniform(size=sites))},
        coords={"ecosystem": ("site", random.integers(0, len(ECOSYSTEMS), sites).astype(np.int8))},
    )


@given(seed=st.integers(0, 10_000), tas=st.floats(-3, 3), mrsos=st.floats(-3, 3))
def test_every_cause_acts_at_its_own_lag_by_its_slope(seed: int, tas: float, mrsos: float) -> None:
    model, old = structural_model(NAMES, LINKS), points(seed)
    ramp = np.arange(24.0)
    new = old.assign(tas=old["tas"] + tas * ramp, mrsos=old["mrsos"] + mrsos * ramp)
    found = flux_change([model], old, new, 12)
    expected = 0.3 * tas * ramp[-12:] + 0.2 * mrsos * (ramp[-12:] - 1)
    np.testing.assert_allclose(found[0], np.tile(expected, (5, 1)), rtol=1e-5, atol=1e-5)


def test_a_driver_with_a_logarithm_acts_by_its_ratio() -> None:
    old = points(1)
    found = flux_change([structural_model(NAMES, LINKS)], old, old.assign(pr=old["pr"] * 0.5), 12)
    np.testing.assert_allclose(found, -0.4 * np.log(0.5), rtol=1e-5)


@given(seed=st.integers(0, 10_000))
def test_changes_of_several_drivers_add_up(seed: int) -> None:
    model, old = structural_model(NAMES, LINKS), points(seed)
    parts = [{"tas": old["tas"] + 1}, {"mrsos": old["mrsos"] * 2}, {"pr": old["pr"] * 1.5}]
    single = sum(flux_change([model], old, old.assign(p), 12) for p in parts)
    whole = flux_change([model], old, old.assign({k: v for p in parts for k, v in p.items()}), 12)
    np.testing.assert_allclose(whole, single, atol=1e-5)


def test_members_differ_by_their_draws_and_by_nothing_else() -> None:
    model, old = structural_model(NAMES, LINKS), points(2)
    members = [model.copy(m) for m in range(3)]
    found = flux_change(members, old, old.assign(tas=old["tas"] + 1), 12)
    np.testing.assert_allclose(found[:, 0, 0], [0.24, 0.36, 0.24], rtol=1e-6)


def test_an_effect_changes_along_the_urban_fraction() -> None:
    slope = np.zeros((len(ECOSYSTEMS) + 1, 3, 2))
    slope[:, NAMES.index("tas"), 0] = -0.5
    means = {"urban_fraction": [0.1] * (len(ECOSYSTEMS) + 1)}
    model = replace(
        structural_model(NAMES, LINKS),
        modification={"urban_fraction": slope},
        provenance={"modifiers": means},
        draws=np.zeros(0),
    )
    old = points(3)
    found = flux_change([model], old, old.assign(tas=old["tas"] + 2), 12)
    expected = 2 * (0.3 - 0.5 * (old["urban_fraction"].values - 0.1))
    np.testing.assert_allclose(found[0], np.tile(expected[:, None], (1, 12)), rtol=1e-5)
    without = flux_change(
        [model], old.drop_vars("urban_fraction"), old.assign(tas=old["tas"] + 2), 12
    )
    np.testing.assert_allclose(without, 0.6, rtol=1e-5)


def test_no_change_is_exactly_none_and_a_missing_driver_does_nothing() -> None:
    model, old = structural_model(NAMES, LINKS), points(4)
    assert not flux_change([model], old, old, 12).any()
    holed = old.assign(tas=old["tas"].where(old["tas"] > 0))
    found = flux_change([model], holed, holed.assign(tas=holed["tas"] + 1), 12)
    there = holed["tas"].notnull().values[:, -12:]
    np.testing.assert_allclose(found[0], np.where(there, 0.3, 0.0), rtol=1e-5)


def test_true_equations_give_the_twins_own_change_of_a_class() -> None:
    """The twin's flux is linear in tas and tsl in asinh space: two degrees change it by twice the planted slope."""
    coefficient = np.zeros((len(ECOSYSTEMS) + 1, len(DRIVERS) + 1, len(DRIVERS), 4))
    for e, name in enumerate(ECOSYSTEMS):
        for cause in FLUX_CAUSES[name]:
            at = (e, -1, DRIVERS.index(cause.driver), cause.lag)
            coefficient[at] = cause.size / RESPONSE_UNIT[cause.driver]
    model = StructuralModel(
        DRIVERS,
        "ch4_flux",
        ECOSYSTEMS,
        coefficient,
        0 * coefficient,
        np.ones(coefficient.shape[:2]),
    )
    old = xr.Dataset(
        {n: (("site", "time"), np.ones((7, 24))) for n in DRIVERS},
        coords={"ecosystem": ("site", np.arange(7))},
    )
    found = flux_change([model], old, old.assign(tas=old["tas"] + 2.0), 12)[0, :, 0]
    planted = [{c.driver: c.size for c in FLUX_CAUSES[n]}.get("tas", 0.0) for n in ECOSYSTEMS]
    np.testing.assert_allclose(found, planted, rtol=1e-6)


def test_the_model_with_its_draws_survives_its_document() -> None:
    slope = np.zeros((len(ECOSYSTEMS) + 1, 3, 2))
    slope[:, NAMES.index("tas"), 0] = -0.5
    model = replace(
        structural_model(NAMES, LINKS),
        modification={"urban_fraction": slope},
        modification_draws={"urban_fraction": np.stack([slope, 2 * slope])},
    )
    again = StructuralModel.from_json(model.to_json())
    np.testing.assert_allclose(again.draws, model.draws, rtol=1e-12)
    np.testing.assert_array_equal(again.copy(1).modification["urban_fraction"], 2 * slope)
    assert again.to_json() == model.to_json()
    assert "draws" not in model.copy(0).to_json()


def test_words_name_the_classes_that_answer_and_those_that_do_not() -> None:
    model = structural_model(NAMES, {("ch4_flux", "tas", 0): 0.3})
    model.coefficient[ECOSYSTEMS.index("upland")] = 0.0
    assert acting([model], "upland") == frozenset()
    assert acting([model], "coastal") == {"tas"}
    words = response_in_words(Scenario(do={"tas": 1.0}), model, NAMES)
    assert "coastal: tas" in words
    assert "equation of upland: no answer there" in words
    assert "areas alone" in response_in_words(Scenario(drain=0.1), model, NAMES)
    asked = Scenario(do={"tas": 1.0}, response="model")
    assert "prediction for the changed drivers" in response_in_words(asked, model, NAMES)


def test_the_model_answers_where_no_equation_holds_a_changed_driver() -> None:
    model = structural_model(NAMES, {("ch4_flux", "tas", 0): 0.3})
    wind = Scenario(do={NAMES[0] if NAMES[0] != "tas" else NAMES[1]: 1.0})
    assert answering(wind, model, NAMES) is None
    assert answering(wind, None, NAMES) is None
    assert "No structural flux equation holds" in response_in_words(wind, model, NAMES)
    assert answering(Scenario(do={"tas": 1.0}), model, NAMES) is model


def test_equations_that_are_asked_for_and_cannot_answer_are_refused() -> None:
    model = structural_model(NAMES, {("ch4_flux", "tas", 0): 0.3})
    other = NAMES[0] if NAMES[0] != "tas" else NAMES[1]
    asked = Scenario(do={other: 1.0}, response="structural")
    with pytest.raises(RecipeError, match="nothing would change"):
        answering(asked, model, NAMES)
    with pytest.raises(RecipeError, match="too few towers"):
        answering(asked, None, NAMES, "too few towers")


@pytest.mark.parametrize("response", ["equations", ""])
def test_an_unknown_response_is_refused(response: str) -> None:
    with pytest.raises(ValueError, match="'auto', 'structural' or 'model'"):
        Scenario(do={"tas": 1.0}, response=response)
