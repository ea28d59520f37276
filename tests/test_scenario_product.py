"""A scenario's product: paired with history, told on its page and in its attributes, history itself untouched."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from planted_model import fitted
from planted_recipe import publish, recipe, write_inputs
from planted_scenarios import CHANGES, PUBLISHED, YEARS, made, product
from test_end_to_end import objects

import ch4grid
from ch4grid import budgets, catalog, cube
from ch4grid.errors import InputError, RecipeError
from ch4grid.planning import plan
from ch4grid.running import verify
from ch4grid.stores import Workspace
from ch4grid.vocabulary import GASES


@pytest.fixture(scope="module", name="made")
def _made() -> Workspace:
    return made()


def test_history_is_written_to_the_same_objects_whatever_scenarios_a_recipe_has(
    made: Workspace, tmp_path: Path
) -> None:
    alone = write_inputs(tmp_path)
    (tmp_path / "model" / "checkpoint.json").write_bytes(
        (made.data / "model" / "checkpoint.json").read_bytes()
    )
    publish(alone, {"scenarios": {"historical": {}}}, years=YEARS)
    one, two = (objects(w.output / "planted/v1/historical.zarr") for w in (made, alone))
    assert {n for n in one if one[n] != two.get(n)} <= {"zarr.json"}
    assert set(one) == set(two)
    flags = product(alone, "historical")["quality_flag"].attrs["flag_meanings"]
    assert "intervention" not in flags


@pytest.mark.parametrize("scenario", PUBLISHED)
def test_a_scenario_verifies_and_every_missing_flux_has_a_reason(
    made: Workspace, scenario: str
) -> None:
    assert verify(made.output / f"planted/v1/{scenario}.zarr") == []
    ds = product(made, scenario)
    missing = ds["ch4_flux"].isnull().values
    assert np.isin(ds["quality_flag"].values[missing], (1, 2, 4, 7)).all()
    assert not np.isin(ds["quality_flag"].values[~missing], (1, 2, 7)).any()


def test_what_is_left_out_is_counted_in_the_attributes(made: Workspace) -> None:
    ds, past = product(made, "hot"), product(made, "historical")
    told = json.loads(ds.attrs[cube.OUTSIDE_TRAINING])["2001"]
    left = ds["quality_flag"] == 7
    held = ~ds["quality_flag"].isin((1, 2))
    assert left.any()
    assert told["cell_months"] == pytest.approx(float(left.sum() / held.sum()), abs=1e-6)
    area = ds["cell_area"]
    share = float((left * area).sum() / (held * area).sum())
    assert told["area"] == pytest.approx(share, abs=1e-6)
    seconds = past["time"].dt.days_in_month
    mass = np.abs(past["ch4_flux"]) * area * seconds
    share = float(mass.where(left).sum() / mass.sum())
    assert told["historical_emission"] == pytest.approx(share, abs=1e-4)
    assert cube.OUTSIDE_TRAINING not in past.attrs


def test_the_outcome_tells_the_paired_difference_of_the_members(made: Workspace) -> None:
    done = publish(made, CHANGES, scenario="warmer")
    assert done.made == ()
    new, past = product(made, "warmer"), product(made, "historical")
    both = new["ch4_flux"].notnull() & past["ch4_flux"].notnull()
    seconds = new["time"].dt.days_in_month * 86400.0
    step = new["ch4_flux_member"].astype(float) - past["ch4_flux_member"]
    mass = (step.where(both) * new["cell_area"] * seconds).sum(("time", "latitude", "longitude"))
    row = next(r for r in done.difference if r["ecosystem"] == "all")
    assert row["mean"] == pytest.approx(float(mass.mean()) / 1e9, rel=1e-6)
    assert row["lower"] < row["mean"] < row["upper"]
    assert "difference to historical, all" in done.in_words()
    assert json.dumps(done.as_dict())


def test_the_difference_of_two_opened_products_is_that_of_the_outcome(made: Workspace) -> None:
    told = pd.DataFrame(publish(made, CHANGES, scenario="warmer").difference)
    new, past = product(made, "warmer"), product(made, "historical")
    pd.testing.assert_frame_equal(ch4grid.difference(new, past), told)
    narrow = ch4grid.difference(new, past, level=0.5)
    assert (narrow["upper"] - narrow["lower"])[0] < (told["upper"] - told["lower"])[0]


def test_products_without_a_common_year_have_no_difference(made: Workspace) -> None:
    first, last = product(made, "warmer", 2001), product(made, "historical", 2002)
    with pytest.raises(InputError, match="no year is in both products"):
        ch4grid.difference(first, last)


def test_a_scenario_without_its_year_of_history_says_what_is_lacking(
    made: Workspace, tmp_path: Path
) -> None:
    alone = write_inputs(tmp_path)
    (tmp_path / "model" / "checkpoint.json").write_bytes(
        (made.data / "model" / "checkpoint.json").read_bytes()
    )
    done = publish(alone, CHANGES, scenario="warmer", years=YEARS[:1])
    assert done.difference is None
    assert "no difference to historical for 2001: not published there" in done.in_words()


def blanked(ds: xr.Dataset, where: xr.DataArray) -> xr.Dataset:
    """The product without some cell-months; their ensemble mean is taken from the budgets of all members."""
    mass = ds["ch4_flux_density"] * ds["ecosystem_fraction"] * ds["cell_area"]
    lost = mass.where(where).sum(("latitude", "longitude")) * ds["time"].dt.days_in_month * 86.4e-6
    names = ("ch4_flux", "ch4_flux_member", "ch4_flux_density")
    left = {n: ds[n].where(~where) for n in names}
    return ds.assign(left | {"ch4_budget": ds["ch4_budget"] - lost})


def test_classes_keep_their_interval_while_little_of_them_is_left_out(made: Workspace) -> None:
    new, past = (product(made, s).astype("f8", keep_attrs=True) for s in ("warmer", "historical"))
    whole = budgets.paired_difference(new, past, GASES["ch4"]).set_index("ecosystem")
    flux = past["ch4_flux"]
    few = flux.notnull() & (np.abs(flux) == np.abs(flux).min())
    found = budgets.paired_difference(blanked(new, few), past, GASES["ch4"])
    found = found.set_index("ecosystem")
    step = (new - past)["ch4_flux_density"] * new["ecosystem_fraction"] * new["cell_area"]
    step = (step * new["time"].dt.days_in_month * 86.4e-6).where(few)
    step = step.sum(("time", "latitude", "longitude")).to_series()
    for name in ("rice-paddy", "upland"):
        assert step[name] != 0
        for column in ("lower", "mean", "upper"):
            expected = whole.loc[name, column] - step[name]
            assert found.loc[name, column] == pytest.approx(expected, rel=1e-5)
    many = flux.notnull() & (flux["time"].dt.month < 3)
    table = budgets.paired_difference(blanked(new, many), past, GASES["ch4"])
    assert table.set_index("ecosystem").loc["rice-paddy", ["lower", "upper"]].isnull().all()
    assert np.isfinite(table["mean"]).all()


def test_history_has_no_difference_to_itself(made: Workspace) -> None:
    assert publish(made, CHANGES).difference is None


def test_the_page_says_what_is_changed_what_follows_and_what_it_does_not_show(
    made: Workspace,
) -> None:
    folder = catalog.product_folder(made.catalog, "planted")
    page = (folder / "v1-followed.html").read_text()
    assert "What this scenario changes" in page
    assert "precipitation (pr) times 0.9" in page
    assert "mrsos follow" in page
    assert "Changed causes by class are tropical-floodplain: mrsos;" in page
    assert "taken to act like a passing one" in page
    assert (
        "the model&#39;s prediction for the changed drivers"
        in (folder / "v1-predicted.html").read_text()
    )
    assert "What it does not show" in page
    assert "What this scenario changes" not in (folder / "v1-historical.html").read_text()
    attrs = product(made, "followed").attrs
    assert attrs["scenario_changes"] == "precipitation (pr) times 0.9"
    assert "mrsos follow" in attrs["scenario_consequences"]
    assert "structural flux equation" in attrs["scenario_response"]
    assert catalog.validate(made.catalog) == []


def test_areas_of_a_scenario_are_those_of_its_product(made: Workspace) -> None:
    wet = ["tropical-floodplain", "boreal-peatland", "temperate-wetland"]
    new, past = (
        product(made, s)["ecosystem_fraction"].sel(ecosystem=wet) for s in ("drained", "historical")
    )
    np.testing.assert_allclose(new, 0.9 * past, rtol=1e-6)


def test_consequences_need_a_checkpoint_that_knows_them(tmp_path: Path) -> None:
    workspace = write_inputs(tmp_path)
    replace(fitted(), structure=None).save(tmp_path / "model")
    with pytest.raises(RecipeError, match="holds no structural model"):
        publish(workspace, CHANGES, scenario="followed")


def test_a_structural_answer_needs_equations_and_says_why_there_are_none(tmp_path: Path) -> None:
    workspace = write_inputs(tmp_path)
    meta = fitted().meta | {"structure": "not fitted: no driver of the graph is in the series"}
    replace(fitted(), structure=None, meta=meta).save(tmp_path / "model")
    scenario = {"do": {"tas": 2.0}, "response": "structural"}
    asked = {"scenarios": {"historical": {}, "warmer": scenario}}
    with pytest.raises(RecipeError, match="no driver of the graph is in the series") as refused:
        publish(workspace, asked, scenario="warmer")
    assert "set 'response: model'" in str(refused.value)
    assert not list(workspace.output.glob("planted/*/*.zarr"))


def test_the_rule_of_leaving_out_is_part_of_what_a_scenario_is(made: Workspace) -> None:
    """A scenario that was published without the rule gets a new version, history keeps its own."""
    parts = [plan(recipe(**CHANGES), made, scenario=s).parts for s in ("historical", "warmer")]
    old = plan(recipe(scenarios={"historical": {}}), made).parts
    assert parts[0] == old
    assert parts[1]["scenario"] != parts[0]["scenario"]


def test_each_way_to_answer_is_a_product_of_its_own(made: Workspace) -> None:
    parts = [plan(recipe(**CHANGES), made, scenario=s).parts for s in ("warmer", "predicted")]
    assert parts[0]["scenario"] != parts[1]["scenario"]
    new, other = (product(made, s)["ch4_flux"] for s in ("warmer", "predicted"))
    assert not new.equals(other)
    assert (new.isnull() == other.isnull()).all()


def test_the_structural_answer_is_the_planted_slope_of_every_member(made: Workspace) -> None:
    """Members take draws of 0.8 and 1.2 times 0.3 per degree, in asinh space where the law of history lies."""
    new, past = (
        product(made, s)["ch4_flux_member"].astype(float) for s in ("warmer", "historical")
    )
    grown = (new / past.where(past > 0)).median(("time", "latitude", "longitude"))
    assert 1.2 < float(grown[0]) < float(grown[1])
