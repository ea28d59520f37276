"""What follows from a change of drivers: by hand on two equations, and on the twin against its own rerun."""

import numpy as np
import pytest
import xarray as xr
from planted_model import structural_model as model

from ch4grid import drivers as drivers_package
from ch4grid.errors import RecipeError
from ch4grid.grid import Grid
from ch4grid.scenarios import Scenario, apply, followers, intervene
from ch4grid.structure import LOG_FLOOR
from ch4grid.testing import drivers
from ch4grid.twin import Twin
from ch4grid.twin.causes import DRIVERS, lag_matrices

CUBE = drivers(Grid(45.0), 2001, 2003)
SPREADS = drivers_package.spreads(CUBE, LOG_FLOOR)


CHAIN = model(
    ("mrsos", "pr", "ps", "tas"),
    {("mrsos", "pr", 0): 0.5, ("mrsos", "mrsos", 1): 0.4, ("tas", "mrsos", 1): -0.3},
)


def test_a_driver_follows_by_its_lasting_response_in_spreads_of_the_cell() -> None:
    asked = Scenario(do={"pr": {"times": 0.9}}, propagate=True)
    changed = apply(CUBE, asked, CHAIN, SPREADS)
    wet = np.log(0.9) / SPREADS["pr"] * 0.5 / (1 - 0.4)
    for name, moved in (("mrsos", wet), ("tas", -0.3 * wet)):
        expected = CUBE[name] + moved * SPREADS[name]
        np.testing.assert_allclose(changed[name], expected.transpose(*CUBE[name].dims), rtol=1e-4)
    np.testing.assert_allclose(changed["pr"], 0.9 * CUBE["pr"], rtol=1e-6)
    xr.testing.assert_identical(changed["ps"], CUBE["ps"])
    assert followers(tuple(CUBE.data_vars), asked, CHAIN) == ("mrsos", "tas")


def test_a_forced_driver_is_not_moved_by_another_one() -> None:
    asked = Scenario(do={"pr": {"times": 0.9}, "tas": 1.0}, propagate=True)
    changed = apply(CUBE, asked, CHAIN, SPREADS)
    np.testing.assert_allclose(changed["tas"], CUBE["tas"] + 1.0, rtol=1e-6)


def test_without_propagate_nothing_follows() -> None:
    changed = apply(CUBE, Scenario(do={"pr": {"times": 0.9}}), CHAIN, SPREADS)
    xr.testing.assert_identical(changed.drop_vars("pr"), CUBE.drop_vars("pr"))


def test_values_are_held_in_the_range_of_their_driver_and_counted() -> None:
    found = intervene(CUBE, Scenario(do={"mrsos": -10.0}))
    below = int((CUBE["mrsos"] < 10.0).sum())
    assert dict(found.clipped) == {"mrsos": below}
    assert below > 0
    assert float(found.drivers["mrsos"].min()) == 0.0


def test_consequences_without_a_model_of_them_are_refused() -> None:
    with pytest.raises(RecipeError, match="holds no structural model"):
        apply(CUBE, Scenario(do={"tas": 1.0}, propagate=True))
    with pytest.raises(RecipeError, match="does not know a driver of the scenario"):
        apply(CUBE, Scenario(do={"tas": 1.0}, propagate=True), model(("ps",), {}), SPREADS)


def test_the_spread_is_that_of_departures_from_the_calendar_month() -> None:
    values = CUBE["tas"].astype(float)
    monthly = values.groupby("time.month")
    anomaly = monthly - monthly.mean()
    expected = np.sqrt((anomaly**2).sum("time") / (36 - 12))
    np.testing.assert_allclose(SPREADS["tas"], expected, rtol=1e-5)


def test_the_weather_of_the_twin_follows_as_in_its_own_rerun() -> None:
    """Equations of the truth, spreads of the cells: what remains is the spread's own sampling error."""
    twin = Twin(seed=11, first_year=2001, last_year=2012, resolution=20.0)
    moved = Twin(
        seed=11, first_year=2001, last_year=2012, resolution=20.0, intervention={"tas": 2.0}
    )
    before, truth = (t.drivers(2001, 2012).load() for t in (twin, moved))
    now, past = lag_matrices()
    size = len(DRIVERS)
    links = {
        (DRIVERS[to], DRIVERS[source], lag): float(matrix[to, source])
        for lag, matrix in enumerate((now, past))
        for to in range(size)
        for source in range(size)
        if matrix[to, source]
    }
    known = [n for n in DRIVERS if n in before]
    spreads = drivers_package.spreads(before[known], LOG_FLOOR)
    asked = Scenario(do={"tas": 2.0}, propagate=True)
    found = apply(before, asked, model(DRIVERS, links), spreads)
    for name in ("tsl", "lst_day", "evi"):
        if name in known:
            ours, theirs = (d[name] - before[name] for d in (found, truth))
            ours, theirs = ours.mean("time"), theirs.mean("time")
            land = np.isfinite(theirs) & (theirs > 0)
            ratio = float(ours.where(land).mean() / theirs.where(land).mean())
            assert ratio == pytest.approx(1.0, abs=0.1), name
