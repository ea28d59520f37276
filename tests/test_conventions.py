"""Products keep to CF-1.11 and ACDD-1.3, by the checker of the conventions on NetCDF excerpts of real stores."""

import warnings
from pathlib import Path
from typing import Any

import planted_product as planted
import pytest
import xarray as xr

import ch4grid
from ch4grid.grid import Grid
from ch4grid.recipe import load
from ch4grid.vocabulary import GASES

with warnings.catch_warnings():  # of the checker's own imports
    warnings.simplefilter("ignore")
    from compliance_checker.base import BaseCheck
    from compliance_checker.suite import CheckSuite

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
# The contract of a product has its members first in every array, time second.
ORDER = "ch4_budget's spatio-temporal dimensions are not in the recommended order T, Z, Y, X"
# What only a person or an institution could say, what there is no standard name for, what no product may carry (a
# clock), and where the checker compares the edges and last day of what is covered with centres and first days.
NOT_SAID = (
    "standard_name",
    "creator_",
    "publisher_",
    "institution not present",
    "naming_authority not present",
    "vertical",
    "Attr date_created is not present",
    "Data for possible latitude variables",
    "Data for possible longitude variables",
    "Date time mismatch between time_coverage_end and actual",
)
# Names of classes and regions are strings along their own dimension, labels to CF; the checker subtracts them.
LABELS = "check_coordinate_variables_strict_monotonicity"


@pytest.fixture(scope="module")
def suite() -> CheckSuite:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CheckSuite.load_all_available_checkers()
        return CheckSuite()


def problems(suite: CheckSuite, file: Path, convention: str) -> dict[int, list[str]]:
    """Messages of failed checks by their weight."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = suite.load_dataset(str(file))
        try:
            ((scores, broken),) = suite.run_all(opened, [convention]).values()
        finally:
            opened.close()
    assert set(broken) <= {LABELS}, broken
    found: dict[int, list[str]] = {}
    for result in _leaves(scores):
        if result.msgs:
            found.setdefault(result.weight, []).extend(result.msgs)
    return found


def _leaves(results: list[Any]) -> list[Any]:
    return [leaf for r in results for leaf in ([r, *_leaves(r.children)] if r.children else [r])]


def excerpt(store: Path, file: Path) -> Path:
    """A few cells of a product as NetCDF, by nothing but `open` and `to_netcdf`."""
    ch4grid.open(store).isel(latitude=slice(2, 5), longitude=slice(3, 7)).to_netcdf(file)
    return file


CASES: dict[str, dict[str, Any]] = {
    "tiny": {"recipe": "tiny.yaml"},
    "flagship": {"recipe": "ch4-ecosystem-monthly.yaml"},
    "flagship-scenario": {"recipe": "ch4-ecosystem-monthly.yaml", "intervened": True},
    "co2": {"recipe": "co2-twin.yaml"},
    "n2o-scenario": {"recipe": "n2o-twin.yaml", "intervened": True},
}


@pytest.fixture(scope="module", params=CASES)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An excerpt of a product with the schema of a recipe and made-up values."""
    case = dict(CASES[request.param])
    recipe = load(RECIPES / case.pop("recipe"))
    folder = tmp_path_factory.mktemp(request.param)
    told = {"name": recipe.product, "title": recipe.title, "summary": recipe.summary or "-"}
    store = planted.write_years(
        folder,
        2001,
        grid=Grid(20.0),
        gas=GASES[recipe.gas],
        recipe=recipe.resolved(),
        **told,
        **case,
    )
    return excerpt(store, folder / "excerpt.nc")


def test_a_product_keeps_to_cf(suite: CheckSuite, file: Path) -> None:
    found = problems(suite, file, "cf:1.11")
    assert found.pop(BaseCheck.HIGH, []) == []
    rest = [m for messages in found.values() for m in messages]
    with xr.open_dataset(file) as ds:
        gas = next(g for g in GASES if f"{g}_budget" in ds)
    assert [m for m in rest if not m.startswith(ORDER.replace("ch4", gas))] == []


def test_a_product_says_what_acdd_asks_for(suite: CheckSuite, file: Path) -> None:
    found = problems(suite, file, "acdd:1.3")
    rest = [m for w, messages in found.items() if w > BaseCheck.LOW for m in messages]
    assert [m for m in rest if not any(words in m for words in NOT_SAID)] == []


@pytest.mark.parametrize("file", ["tiny"], indirect=True, scope="module")
def test_a_fault_is_found(suite: CheckSuite, file: Path, tmp_path: Path) -> None:
    with xr.open_dataset(file) as ds:
        broken = ds.load()
    broken["ch4_flux"].attrs |= {"standard_name": "no_such_name"}
    broken.to_netcdf(tmp_path / "broken.nc")
    told = " ".join(problems(suite, tmp_path / "broken.nc", "cf:1.11")[BaseCheck.HIGH])
    assert "no_such_name is not defined" in told
    assert "'latitude' must not have the _FillValue" in told
