"""The plan says what a run would do, a run does what the plan says, and a change is named."""

import json
import shutil
from dataclasses import replace

import pytest
from planted_model import fitted
from planted_recipe import publish, recipe, write_drivers

from ch4grid.assembly import Assembly
from ch4grid.errors import InputError, RecipeError
from ch4grid.planning import Plan, plan, training_key
from ch4grid.stores import Workspace


def actions(found: Plan) -> dict[int, str]:
    return {y.year: y.action for y in found.years}


def test_a_plan_of_nothing_makes_every_year_as_version_one(fresh: Workspace) -> None:
    found = plan(recipe(period=[2001, 2003]), fresh)
    assert actions(found) == {2001: "make", 2002: "make", 2003: "make"}
    assert (found.version, found.version_reason, found.previous) == (1, "first version", None)
    assert not found.complete
    assert found.bytes > 0
    assert found.seconds > 0
    assert found.peak_memory > 0


def test_a_plan_writes_nothing_but_its_memory_of_files(fresh: Workspace) -> None:
    plan(recipe(), fresh)
    written = [p.name for p in fresh.output.rglob("*") if p.is_file()]
    assert sorted(written) == ["fingerprints.json", "headers.json"]


def test_a_plan_is_json_and_words(fresh: Workspace) -> None:
    found = plan(recipe(), fresh)
    told = json.loads(json.dumps(found.as_dict()))
    assert told["years"] == [
        {"year": 2001, "action": "make", "reason": "not in the ledger of this version"}
    ]
    words = found.in_words()
    assert words.startswith("planted v1 (first version), scenario historical")
    assert "2001   make" in words
    assert "MB stored" in words


def test_the_plan_of_a_published_product_says_done(copy: Workspace) -> None:
    found = plan(recipe(), copy)
    assert actions(found) == {2001: "done"}
    assert found.complete
    assert "MB stored" not in found.in_words()


def test_one_more_year_extends_the_version(copy: Workspace) -> None:
    found = plan(recipe(), copy, years=[2001, 2002])
    assert actions(found) == {2001: "done", 2002: "make"}
    assert (found.version, found.version_reason) == (1, "extends v1")


def test_a_year_that_the_catalog_does_not_know_is_published_again(copy: Workspace) -> None:
    shutil.rmtree(copy.catalog)
    assert actions(plan(recipe(), copy)) == {2001: "publish"}
    assert publish(copy).made == ()
    assert plan(recipe(), copy).complete


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"spin_up": 1}, "drivers"),
        ({"grid": {"resolution": 45.0}}, "grid"),
        ({"scenarios": {"historical": {"add": {"tas": 1.0}}}}, "scenario"),
    ],
)
def test_a_changed_recipe_is_a_new_version_with_the_changed_part_named(
    copy: Workspace, changes: dict, part: str
) -> None:
    found = plan(recipe(**changes), copy)
    assert (found.version, found.previous) == (2, 1)
    named = found.version_reason.split(" changed since v1")[0].split(", ")
    assert part in named
    assert set(named) <= {part, "inputs of 2001"}
    assert actions(found) == {2001: "make"}


def test_a_changed_input_file_is_a_new_version_that_names_the_year(copy: Workspace) -> None:
    write_drivers(copy.data, 2000, warmer=1.0)
    found = plan(recipe(), copy)
    assert found.version == 2
    assert found.version_reason.startswith("inputs of 2001 changed since v1")


def test_another_checkpoint_in_the_same_folder_is_a_new_version(copy: Workspace) -> None:
    replace(fitted(), meta={"another": True}).save(copy.data / "model")
    found = plan(recipe(), copy)
    assert found.version == 2
    assert found.version_reason.startswith("model changed since v1")


def test_a_checkpoint_that_only_moved_is_no_new_version(copy: Workspace) -> None:
    (copy.data / "model").rename(copy.data / "elsewhere")
    assert plan(recipe(model={"checkpoint": "elsewhere"}), copy).complete


@pytest.mark.parametrize("changes", [{"title": "Another"}, {"summary": "Words"}])
def test_words_are_no_part_of_a_version(copy: Workspace, changes: dict) -> None:
    assert plan(recipe(**changes), copy).version == 1


def test_another_scenario_joins_the_version(copy: Workspace) -> None:
    found = plan(recipe(), copy, scenario="warmer")
    assert found.version == 1
    assert found.store.name == "warmer.zarr"
    assert actions(found) == {2001: "make"}


def test_a_missing_input_is_named_and_refused(fresh: Workspace) -> None:
    (fresh.data / "drivers-2000.nc").unlink()
    found = plan(recipe(), fresh)
    assert "2000" in found.missing[0]
    assert "missing: " in found.in_words()
    with pytest.raises(InputError, match="2000"):
        publish(fresh)
    assert not (fresh.output / "planted").exists()


def test_a_missing_checkpoint_is_named(fresh: Workspace) -> None:
    found = plan(recipe(model={"checkpoint": "nowhere"}), fresh)
    assert any("nowhere" in m for m in found.missing)


def test_an_unknown_scenario_is_refused_with_the_known_ones(fresh: Workspace) -> None:
    with pytest.raises(RecipeError, match=r"--scenario.*Expected historical, warmer\. Found hot"):
        plan(recipe(), fresh, scenario="hot")


SIMULATION = {
    "sites": [{"source": "twin-laboratory", "towers": 2, "period": [2000, 2001]}],
    "period": [2000, 2001],
}


def test_the_training_key_follows_what_training_depends_on_and_nothing_else(
    fresh: Workspace,
) -> None:
    def key(**changes: object) -> str:
        told = recipe(**({"model": {"architecture": "ctgat", "members": 2}} | changes))
        return training_key(told, Assembly(told, fresh))

    first = key()
    for same in ({"title": "Another"}, {"period": [2002, 2003]}, {"product": "other"}):
        assert key(**same) == first
    others = [
        key(training={"period": [2001, 2002], "seed": 5}),
        key(model={"architecture": "ctgat", "members": 3}),
        key(spin_up=1),
        key(discovery={}),
        key(simulation=SIMULATION),
        key(simulation=SIMULATION | {"period": [2001, 2001]}),
    ]
    write_drivers(fresh.data, 2002, warmer=1.0)
    others.append(key())
    assert len({first, *others}) == 8
