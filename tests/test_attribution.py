"""Attribution: fair shares by their laws, contributions that add up to published cells, and output whole or absent."""

import json
import shutil
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from planted_recipe import publish, recipe
from planted_scenarios import CHANGES, YEARS, made, product

from ch4grid.attribution import store as attribution_store
from ch4grid.attribution.shares import ALL_ORDERS, Value, shares
from ch4grid.attribution.store import closed
from ch4grid.errors import InputError, RecipeError, RunError
from ch4grid.inference import Region
from ch4grid.models import Checkpoint
from ch4grid.running import Attributed, attribute
from ch4grid.scenarios import Scenario
from ch4grid.stores import Workspace


def game(seed: int, players: tuple[str, ...], *, dummy: str = "") -> "dict[frozenset[str], Value]":
    """A made-up flux for every set of swapped players; `dummy` changes nothing."""
    random = np.random.default_rng(seed)
    known: dict[frozenset[str], Value] = {}
    for number in range(2 ** len(players)):
        some = frozenset(p for i, p in enumerate(players) if number >> i & 1)
        value = Value(*(random.normal(size=s) for s in ((3,), (3,), (2, 2))))
        known[some] = known.get(some - {dummy}, value) if dummy else value
    return known


def names(count: int) -> tuple[str, ...]:
    return tuple("abcdefgh"[:count])


@given(seed=st.integers(0, 10_000), count=st.integers(1, 7))
def test_contributions_add_up_to_the_whole_change(seed: int, count: int) -> None:
    players = names(count)
    known = game(seed, players)
    found = shares(players, known.__getitem__, seed)
    for part in range(3):
        total = sum(found[p][part] for p in players)
        change = known[frozenset(players)][part] - known[frozenset()][part]
        np.testing.assert_allclose(total, change, atol=1e-12)


@given(seed=st.integers(0, 10_000), count=st.integers(1, 6))
def test_a_player_that_changes_nothing_contributes_nothing(seed: int, count: int) -> None:
    players = names(count)
    found = shares(players, game(seed, players, dummy="a").__getitem__, seed)
    assert not np.any(found["a"].cell)
    assert not np.any(found["a"].mass)


@given(seed=st.integers(0, 10_000), count=st.integers(1, ALL_ORDERS))
def test_few_players_get_the_mean_over_all_orders(seed: int, count: int) -> None:
    players = names(count)
    known = game(seed, players)
    found = shares(players, known.__getitem__, seed)
    for name in players:
        steps = [
            known[frozenset(order[: order.index(name) + 1])].cell
            - known[frozenset(order[: order.index(name)])].cell
            for order in permutations(players)
        ]
        np.testing.assert_allclose(found[name].cell, np.mean(steps, axis=0), atol=1e-12)


def test_players_that_act_alike_get_equal_shares() -> None:
    def value(swapped: frozenset[str]) -> Value:
        size = np.array(len(swapped & {"a", "b"}) ** 2 + 3.0 * ("c" in swapped))
        return Value(size, size, size)

    found = shares(("a", "b", "c"), value, 0)
    assert float(found["a"].cell) == pytest.approx(float(found["b"].cell)) == pytest.approx(2.0)
    assert float(found["c"].cell) == pytest.approx(3.0)


def test_two_opposite_orders_deal_a_common_effect_of_two_players_equally() -> None:
    players = names(6)

    def value(swapped: frozenset[str]) -> Value:
        size = np.array(4.0 * ({"a", "b"} <= swapped))
        return Value(size, size, size)

    found = shares(players, value, 5)
    assert float(found["a"].cell) == pytest.approx(float(found["b"].cell)) == pytest.approx(2.0)


REGION = Region(Path(), (2000, 2001), Path(), Path(), Scenario(), 30.0, (slice(0, 1), slice(0, 1)))


def test_rounding_is_dealt_and_more_than_rounding_is_refused() -> None:
    before, after = np.array([1.0, 1.0, np.nan]), np.array([3.0, 1.0, 2.0])
    valid = np.isfinite(before)
    cells = np.array([[1.5, 0.0, 1.0], [0.5 + 1e-7, 0.0, 1.0]])
    found = closed(cells, before, after, np.full(3, 3.0), valid, REGION)
    np.testing.assert_allclose(found.sum(axis=0), [2.0, 0.0, np.nan], rtol=1e-14)
    with pytest.raises(RunError, match="1 cell-months do not add up"):
        closed(cells * 1.0001, before, after, np.full(3, 3.0), valid, REGION)


@pytest.fixture(scope="module", name="made")
def _made() -> Path:
    return made().data


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(made, tmp_path / "made", ignore=shutil.ignore_patterns("*attribution-*"))
    return workspace_of(tmp_path / "made")


def workspace_of(folder: Path) -> Workspace:
    return Workspace(data=folder, output=folder / "products")


def ask(workspace: Workspace, **question: object) -> Attributed:
    return attribute(recipe(**CHANGES), workspace, cluster="local:1", **question)


@pytest.mark.parametrize("scenario", ["warmer", "predicted", "both", "followed"])
def test_the_scenario_less_history_is_the_sum_of_the_contributions(
    made: Path, scenario: str
) -> None:
    workspace = workspace_of(made)
    done = ask(workspace, scenario=scenario)
    new, old = product(workspace, scenario), product(workspace, "historical")
    change = (new["ch4_flux"].astype(float) - old["ch4_flux"]).values
    with xr.open_zarr(done.store) as ds:
        total = ds["ch4_flux_contribution"].sum("driver", skipna=False).values
    np.testing.assert_array_equal(np.isnan(total), np.isnan(change))
    size = np.maximum(np.abs(new["ch4_flux"]), np.abs(old["ch4_flux"])).values
    there = np.isfinite(change)
    assert np.abs(change[there]).max() > 0
    assert (np.abs(total - change)[there] <= 1e-6 * size[there]).all()


def test_member_budgets_of_the_contributions_add_up_to_the_paired_difference(made: Path) -> None:
    workspace = workspace_of(made)
    done = ask(workspace, scenario="both")
    new, old = product(workspace, "both"), product(workspace, "historical")
    both = new["ch4_flux"].notnull() & old["ch4_flux"].notnull()
    seconds = new["time"].dt.days_in_month * 86400.0
    step = (new["ch4_flux_member"].astype(float) - old["ch4_flux_member"]).where(both)
    mass = (step * new["cell_area"] * seconds).sum(("time", "latitude", "longitude")) / 1e9
    with xr.open_zarr(done.store) as ds:
        found = ds["budget_contribution"].sel(region="globe").sum(("driver", "ecosystem"))
        np.testing.assert_allclose(found, mass, rtol=1e-5)


def test_a_driver_without_a_link_in_any_member_contributes_exactly_nothing(made: Path) -> None:
    done = ask(workspace_of(made), scenario="both")
    checkpoint = Checkpoint.load(made / "model")
    assert not any("ps" in checkpoint.causes(k) for k in range(7))
    with xr.open_zarr(done.store) as ds:
        contribution = ds["ch4_flux_contribution"].sel(driver="ps")
        assert float(np.abs(contribution).max()) == 0.0
        assert not ds["budget_contribution"].sel(driver="ps").any()
        assert list(ds["driver"].values) == ["mrsos", "ps", "tas", "class_areas"]


def test_what_follows_from_a_change_is_a_player_of_its_own(made: Path) -> None:
    table = ask(workspace_of(made), scenario="followed").finding.table
    assert {"pr", "mrsos"} <= set(table["driver"])


def test_two_years_of_history_are_attributed_to_all_drivers(made: Path) -> None:
    workspace = workspace_of(made)
    done = ask(workspace, before="2001", after="2002")
    assert done.store.name == "attribution-2001-to-2002.zarr"
    with xr.open_zarr(done.store) as ds:
        total = ds["ch4_flux_contribution"].sum("driver", skipna=False).values
    old, new = (product(workspace, "historical", y)["ch4_flux"].values for y in (2001, 2002))
    np.testing.assert_allclose(total, new.astype(float) - old, rtol=1e-9, atol=1e-20)
    table = pd.read_csv(done.store.with_suffix(".csv"))
    assert list(table.columns) == list(done.finding.columns)
    assert (table["lower"] <= table["upper"]).all()


def test_the_last_published_year_is_the_second_period_unless_another_is_named(made: Path) -> None:
    named = ask(workspace_of(made), before="2001", after="2002")
    assert ask(workspace_of(made), before="2001").store == named.store


def test_the_same_question_again_computes_nothing(made: Path) -> None:
    workspace = workspace_of(made)
    first = ask(workspace, scenario="warmer")
    files = {p: p.stat().st_mtime_ns for p in first.store.rglob("*") if p.is_file()}
    again = ask(workspace, scenario="warmer")
    assert again.known
    assert {p: p.stat().st_mtime_ns for p in first.store.rglob("*") if p.is_file()} == files
    assert json.dumps(again.as_dict())
    assert "nothing to do" in again.in_words()


def test_an_attribution_is_no_scenario_to_later_runs(copy: Workspace) -> None:
    ask(copy, scenario="warmer")
    assert publish(copy, CHANGES, years=YEARS).made == ()


MISTAKES = {
    "no question": ({}, RecipeError, "Expected --from"),
    "two questions": ({"before": "2001", "scenario": "warmer"}, RecipeError, "Found both"),
    "an unknown scenario": ({"scenario": "hotter"}, RecipeError, "unknown scenario"),
    "a scenario that changes nothing": ({"scenario": "nothing"}, RecipeError, "changes nothing"),
    "no period": ({"before": "last year"}, RecipeError, "this is no period"),
    "unequal periods": (
        {"before": "2001", "after": "2001-2002"},
        RecipeError,
        "of different length",
    ),
    "the same period twice": ({"before": "2001", "after": "2001"}, RecipeError, "are the same"),
    "a year that is not published": (
        {"before": "2001", "after": "2003"},
        InputError,
        "no published 2003",
    ),
    "a scenario year that is not published": (
        {"scenario": "warmer", "years": [2002]},
        InputError,
        "the warmer product has no published 2002",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_before_any_work(made: Path, mistake: str) -> None:
    question, kind, words = MISTAKES[mistake]
    with pytest.raises(kind, match=words):
        ask(workspace_of(made), **question)


def test_without_history_there_is_nothing_to_compare_with(copy: Workspace) -> None:
    shutil.rmtree(copy.output / "planted/v1/historical.zarr")
    with pytest.raises(InputError, match="the historical product has no published 2001"):
        ask(copy, scenario="warmer")


def test_an_attribution_that_dies_leaves_nothing_and_the_next_one_is_whole(
    copy: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask(copy, scenario="warmer").store
    expected = {p.relative_to(whole): p.read_bytes() for p in whole.rglob("*") if p.is_file()}
    shutil.rmtree(whole)
    partial = whole.with_name(f".{whole.name}.partial")
    partial.mkdir()
    (partial / "rubbish").write_text("of a killed run")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(attribution_store, "_consolidate", die)
        with pytest.raises(KeyboardInterrupt):
            ask(copy, scenario="warmer")
    assert not whole.exists()
    assert not partial.exists()
    again = ask(copy, scenario="warmer").store
    found = {p.relative_to(again): p.read_bytes() for p in again.rglob("*") if p.is_file()}
    assert found == expected


def test_contributions_that_do_not_add_up_are_not_published(
    copy: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = attribution_store._published

    def shifted(*arguments: object) -> np.ndarray:
        return published(*arguments) * (1.0 + 1e-4 * ("warmer" in str(arguments[0])))

    monkeypatch.setattr(attribution_store, "_published", shifted)
    with pytest.raises(RunError, match="do not add up to the published change"):
        ask(copy, scenario="warmer")
    assert not list((copy.output / "planted/v1").glob("attribution-*.zarr"))
