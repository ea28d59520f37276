"""Class areas under a scenario: the land stays, wetland never exceeds it, other classes do not move."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ch4grid.scenarios import Scenario, apply_areas
from ch4grid.vocabulary import ECOSYSTEMS

WET = ["tropical-floodplain", "boreal-peatland", "temperate-wetland"]
shares = st.floats(0, 1)


def fractions(seed: int) -> xr.DataArray:
    """Fractions (ecosystem, time, latitude, longitude), some classes absent, some cells full of wetland."""
    random = np.random.default_rng(seed)
    values = random.dirichlet(np.ones(len(ECOSYSTEMS) + 1), (3, 4, 5)).transpose(3, 0, 1, 2)[:-1]
    values = np.where(random.random(values.shape) < 0.3, 0.0, values)
    dims = ("ecosystem", "time", "latitude", "longitude")
    return xr.DataArray(values.astype(np.float32), {"ecosystem": list(ECOSYSTEMS)}, dims)


@given(seed=st.integers(0, 50), drain=shares, rewet=st.floats(0, 3), inundation=st.floats(0, 3))
def test_wetland_and_upland_keep_their_sum_and_others_stay(seed, drain, rewet, inundation) -> None:
    before = fractions(seed)
    asked = Scenario(drain=drain, rewet=rewet, inundation=inundation)
    after = apply_areas(before, asked)
    both = [*WET, "upland"]
    np.testing.assert_allclose(
        after.sel(ecosystem=both).sum("ecosystem"),
        before.sel(ecosystem=both).sum("ecosystem"),
        atol=1e-6,
    )
    others = [e for e in ECOSYSTEMS if e not in both]
    xr.testing.assert_identical(after.sel(ecosystem=others), before.sel(ecosystem=others))
    assert float(after.min()) >= 0.0
    wet = before.sel(ecosystem=WET).sum("ecosystem").astype(float)
    land = before.sel(ecosystem=both).sum("ecosystem").astype(float)
    wanted = np.minimum(wet * (1 - drain) * (1 + rewet) * inundation, land)
    np.testing.assert_allclose(after.sel(ecosystem=WET).sum("ecosystem"), wanted, atol=1e-6)


def test_wetland_classes_of_a_cell_keep_their_proportions() -> None:
    before = fractions(3)
    after = apply_areas(before, Scenario(drain=0.25))
    np.testing.assert_allclose(
        after.sel(ecosystem=WET), 0.75 * before.sel(ecosystem=WET), rtol=1e-6
    )


def test_a_cell_without_wetland_stays_as_it_is() -> None:
    before = fractions(4)
    before.loc[{"ecosystem": WET}] = 0.0
    np.testing.assert_array_equal(apply_areas(before, Scenario(rewet=0.5)), before)


@pytest.mark.parametrize("asked", [Scenario(), Scenario(add={"tas": 2.0})])
def test_a_scenario_of_drivers_leaves_areas_alone(asked: Scenario) -> None:
    before = fractions(5)
    assert apply_areas(before, asked) is before
