"""Names, units and month lengths that everything else is built on."""

import re

import numpy as np
import pandas as pd
import pytest

from ch4grid.vocabulary import (
    AREA_LAYERS,
    ECOSYSTEMS,
    GASES,
    NEVER_WRITTEN,
    QUALITY_FLAGS,
    STATIC,
    VARIABLES,
    months,
    seconds_in_month,
)

# Every unit of the vocabulary is a product of these, each with an integer power.
SYMBOLS = {"1", "K", "Pa", "kg", "m", "s", "W", "mm"}
UNIT = re.compile(r"([A-Za-z]+|1)(-?\d+)?")


@pytest.mark.parametrize("variable", VARIABLES.values(), ids=lambda v: v.name)
def test_a_variable_describes_itself_in_cf_terms(variable) -> None:
    assert variable.long_name
    for part in variable.units.split():
        match = UNIT.fullmatch(part)
        assert match, part
        assert match[1] in SYMBOLS, part
    attrs = variable.attrs
    assert all(isinstance(v, str) and v for v in attrs.values())
    assert ("standard_name" in attrs) == (variable.standard_name is not None)
    if variable.standard_name is not None:
        assert re.fullmatch(r"[a-z0-9_]+", variable.standard_name)
    low, high = variable.valid_range
    assert low < high


def test_every_area_layer_is_a_static_fraction() -> None:
    for name in (*AREA_LAYERS, "land_fraction"):
        assert STATIC[name].units == "1"
        assert STATIC[name].valid_range == (0.0, 1.0)


def test_names_flags_and_classes_are_unique_and_never_the_fill_value() -> None:
    assert len(set(ECOSYSTEMS)) == len(ECOSYSTEMS)
    values = list(QUALITY_FLAGS.values())
    assert len(set(values)) == len(values)
    assert NEVER_WRITTEN not in values
    assert all(g.name == name for name, g in GASES.items())


def test_a_nanomole_of_methane_weighs_sixteen_nanograms() -> None:
    assert GASES["ch4"].kg_per_nmol == pytest.approx(16.0425e-12)


@pytest.mark.parametrize("year", [1900, 1999, 2000, 2001, 2004, 2100])
def test_the_months_of_a_year_last_as_long_as_the_year(year: int) -> None:
    time = months(year, year)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    seconds = seconds_in_month(time)
    assert seconds.sum() == (366 if leap else 365) * 86400
    assert seconds[1] == (29 if leap else 28) * 86400
    assert seconds.dtype == np.float64


def test_months_run_from_january_to_december_without_a_gap() -> None:
    time = months(1999, 2001)
    assert len(time) == 36
    assert set(time.day) == {1}
    assert time[0] == pd.Timestamp("1999-01-01")
    assert time[-1] == pd.Timestamp("2001-12-01")
    assert (np.diff(time.month) % 12 == 1).all()
