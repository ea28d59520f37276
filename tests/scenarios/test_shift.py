import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ch4grid.errors import RecipeError
from ch4grid.grid import Grid
from ch4grid.scenarios import Scenario, apply
from ch4grid.testing import CLIMATE, drivers

CUBE = drivers(Grid(45.0), 2001, 2001)


@given(name=st.sampled_from(sorted(CLIMATE)), step=st.floats(-5, 5, width=32))
def test_a_scenario_adds_exactly_its_step_to_the_named_driver_alone(name: str, step: float) -> None:
    shifted = apply(CUBE, Scenario(add={name: step}))
    np.testing.assert_array_equal(shifted[name], CUBE[name] + np.float32(step))
    assert shifted[name].dtype == CUBE[name].dtype
    assert shifted[name].attrs == CUBE[name].attrs
    xr.testing.assert_identical(shifted.drop_vars(name), CUBE.drop_vars(name))


def test_the_scenario_that_adds_nothing_is_the_identity() -> None:
    xr.testing.assert_identical(apply(CUBE, Scenario()), CUBE)


def test_a_missing_driver_stays_missing() -> None:
    holed = CUBE.assign(tas=CUBE["tas"].where(CUBE["latitude"] > 0))
    shifted = apply(holed, Scenario(add={"tas": 2.0}))
    np.testing.assert_array_equal(shifted["tas"].isnull(), holed["tas"].isnull())


def test_two_steps_are_independent_of_each_other() -> None:
    both = apply(CUBE, Scenario(add={"tas": 2.0, "mrsos": -1.0}))
    one = apply(apply(CUBE, Scenario(add={"mrsos": -1.0})), Scenario(add={"tas": 2.0}))
    xr.testing.assert_identical(both, one)


def test_the_given_drivers_are_left_as_they_are() -> None:
    before = CUBE.copy(deep=True)
    apply(CUBE, Scenario(add={"tas": 2.0}))
    xr.testing.assert_identical(CUBE, before)


def test_a_driver_that_the_recipe_does_not_have_is_named() -> None:
    with pytest.raises(RecipeError, match=r"scenarios.*Found evi"):
        apply(CUBE, Scenario(add={"evi": 0.1}))


def test_a_name_that_is_no_monthly_driver_is_refused() -> None:
    with pytest.raises(ValidationError, match="elevation is no monthly driver"):
        Scenario(add={"elevation": 1.0})
