"""What a site table says of places: units, names without case, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from ch4grid.errors import InputError
from ch4grid.sites.descriptors import Descriptor, describe
from ch4grid.testing import sites
from ch4grid.vocabulary import VARIABLES

NAMES = ("S00", "S01", "S02")


def described(
    folder: Path, rows: list[str], header: str = "SITE_ID,X", name: str = "elevation", **settings
) -> xr.Dataset:
    path = folder / "sites.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    towers = sites(4).sel(site=list(NAMES))
    return describe(towers, {name: Descriptor(**({"column": "X"} | settings))}, path)


@pytest.mark.parametrize("header", ["SITE_ID,X", "site_id,X", "Site_Id,X"])
def test_towers_are_found_without_case_and_a_missing_one_has_no_value(
    tmp_path: Path, header: str
) -> None:
    found = described(tmp_path, ["s01 ,20", "XX,7", "S00,10"], header)
    np.testing.assert_array_equal(found["elevation"], [10.0, 20.0, np.nan])
    assert found["elevation"].dims == ("site",)
    assert found["elevation"].attrs == VARIABLES["elevation"].attrs


@pytest.mark.parametrize(
    ("name", "units", "written", "expected"),
    [
        ("elevation", "m", "123.5", 123.5),
        ("tas_mean", "degC", "10", 283.15),
        ("tas_mean", "K", "283.15", 283.15),
        ("pr_mean", "mm year-1", "365.25", 1 / 86400),
        ("sphagnum", "1", "1", 1.0),
    ],
)
def test_units_are_converted(
    tmp_path: Path, name: str, units: str, written: str, expected: float
) -> None:
    found = described(tmp_path, [f"S00,{written}"], name=name, units=units)
    np.testing.assert_allclose(found[name][0], expected)
    assert found[name].dtype == np.float64


def test_an_empty_cell_is_missing(tmp_path: Path) -> None:
    found = described(tmp_path, ["S00,", "S01,5"])
    assert np.isnan(found["elevation"].values).tolist() == [True, False, True]


def test_of_a_tower_that_stands_twice_the_last_row_counts(tmp_path: Path) -> None:
    found = described(tmp_path, ["S00,1", "s00,2"])
    assert float(found["elevation"][0]) == 2.0


@pytest.mark.parametrize(
    ("rows", "header", "settings", "message"),
    [
        (["S00,1"], "SITE_ID,X", {"column": "Y"}, "column Y is missing"),
        (["S00,1"], "name,X", {}, "column SITE_ID is missing"),
        (["S00,high"], "SITE_ID,X", {}, "column X is not numeric"),
        (
            ["S00,10"],
            "SITE_ID,X",
            {"name": "tas_mean"},
            r"tas_mean cannot have.*180 to 335 K.*10 at S00.*units",
        ),
        (["S00,900"], "SITE_ID,X", {"name": "pr_mean"}, "pr_mean cannot have"),
        ([], "SITE_ID,X", {}, "no rows"),
    ],
)
def test_a_bad_column_is_refused(
    tmp_path: Path, rows: list[str], header: str, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        described(tmp_path, rows, header, **settings)


def test_without_descriptors_no_table_is_read(tmp_path: Path) -> None:
    towers = sites(3)
    assert describe(towers, {}, tmp_path / "none.csv") is towers


def test_a_unit_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValidationError):
        Descriptor(column="X", units="feet")  # type: ignore[arg-type]
