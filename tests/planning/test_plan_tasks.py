"""A plan's tasks: they add up, say why they are there, and know what an earlier run finished."""

import json
import shutil
import time

import pytest
import xarray as xr
from planted_recipe import publish, recipe, write_drivers

from ch4grid import budgets, catalog, cube
from ch4grid.cube import staging
from ch4grid.drivers.cube import DriverCube
from ch4grid.errors import RunError
from ch4grid.planning import Plan, Task, plan
from ch4grid.planning.regions import UNCHANGED
from ch4grid.planning.tasks import AREAS, FIT, PREDICT, PUBLISH, READ, by_stage
from ch4grid.stores import Workspace

TRAINED = {"model": {"architecture": "ctgat", "members": 3}}


def of(found: Plan, stage: str) -> list[Task]:
    return [t for t in found.tasks if t.stage == stage]


def test_the_tasks_add_up_to_the_totals(fresh: Workspace) -> None:
    found = plan(recipe(period=[2001, 2003], **TRAINED), fresh)
    assert found.bytes == sum(t.bytes for t in found.tasks) > 0
    assert found.seconds == pytest.approx(sum(s.seconds for s in by_stage(found.tasks)))
    assert found.peak_memory == max(t.peak_memory for t in found.tasks)
    told = json.loads(json.dumps(found.as_dict()))
    assert sum(t["bytes"] for t in told["tasks"]) == told["bytes"]
    assert sum(s["seconds"] for s in told["stages"]) == pytest.approx(told["seconds"])


def test_every_month_class_area_fit_region_and_year_is_a_task(fresh: Workspace) -> None:
    found = plan(recipe(period=[2001, 2003], **TRAINED), fresh)
    assert [t.name for t in of(found, READ)][:2] == ["1999-01", "1999-02"]
    assert len(of(found, READ)) == 5 * 12
    assert [t.name for t in of(found, AREAS)] == ["2001", "2002", "2003"]
    assert len(of(found, FIT)) == 3 + 5 * 3
    assert [t.year for t in of(found, PREDICT)] == [2001, 2002, 2003]
    assert [t.name for t in of(found, PUBLISH)] == ["2001", "2002", "2003"]
    assert {t.action for t in found.tasks} == {"new"}
    assert all(t.pairs > 0 for t in of(found, PREDICT))


def test_a_finished_product_has_nothing_but_skipped_tasks_that_cost_nothing(
    copy: Workspace,
) -> None:
    found = plan(recipe(), copy)
    assert {t.action for t in found.tasks} == {"skip"}
    assert {t.why for t in of(found, PREDICT)} == {"published from the same inputs"}
    assert (found.bytes, found.peak_memory, found.seconds) == (0, 0, 0)


def test_another_year_reads_only_the_months_that_are_not_there(copy: Workspace) -> None:
    found = plan(recipe(), copy, years=[2003])
    owed = {t.name[:4]: t.action for t in of(found, READ)}
    assert owed == {"2001": "skip", "2002": "skip", "2003": "new"}
    assert {t.why for t in of(found, READ)} == {"read before from the same files", "not read yet"}


def test_a_changed_input_is_named_as_the_reason_to_compute_again(copy: Workspace) -> None:
    write_drivers(copy.data, 2000, warmer=1.0)
    found = plan(recipe(), copy)
    (region,) = of(found, PREDICT)
    assert region.action == "recompute"
    assert region.why == f"input drivers-2000.nc changed since v1; {UNCHANGED}"
    again = {t.name[:4] for t in of(found, READ) if t.action == "recompute"}
    assert again == {"2000"}
    assert "predict regions, again: input drivers-2000.nc changed since v1" in found.in_words()


def test_without_the_record_of_files_the_year_is_named(copy: Workspace) -> None:
    (record,) = copy.output.rglob("*.inputs.json")
    record.unlink()
    write_drivers(copy.data, 2000, warmer=1.0)
    (region,) = of(plan(recipe(), copy), PREDICT)
    assert region.why == f"inputs of 2001 changed since v1; {UNCHANGED}"


def test_a_changed_recipe_is_named_as_the_reason(copy: Workspace) -> None:
    (region,) = of(plan(recipe(scenarios={"historical": {"add": {"tas": 1.0}}}), copy), PREDICT)
    assert (region.action, region.why) == ("recompute", "scenario changed since v1")


@pytest.fixture
def half(fresh: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose run of two years failed in the first; the second is finished and waits."""
    original = budgets.budget

    def fails(flux: xr.Dataset, *rest: object) -> xr.DataArray:
        if int(flux["time.year"][0]) == 2001:
            raise RunError("the power went")
        return original(flux, *rest)

    monkeypatch.setattr(budgets, "budget", fails)
    with pytest.raises(RunError, match="the power went"):
        publish(fresh, {"period": [2001, 2002]})
    monkeypatch.undo()
    return fresh


def test_after_a_half_finished_run_what_it_finished_is_skipped(half: Workspace) -> None:
    found = plan(recipe(period=[2001, 2002]), half)
    told = [(t.year, t.action, t.why) for t in of(found, PREDICT)]
    assert told == [
        (2001, "new", "not in the ledger of this version"),
        (2002, "skip", "finished by an earlier run from the same inputs"),
    ]
    assert {t.action for t in of(found, READ)} == {"skip"}
    write_drivers(half.data, 2002, warmer=1.0)
    changed = of(plan(recipe(period=[2001, 2002]), half), PREDICT)[1]
    assert changed.action == "recompute"
    assert changed.why == "input drivers-2002.nc changed since the run that began it"


def test_a_finished_region_whose_objects_are_gone_is_computed_again(half: Workspace) -> None:
    store = plan(recipe(period=[2001, 2002]), half).store
    shutil.rmtree(store / "ch4_flux" / "c")
    region = of(plan(recipe(period=[2001, 2002]), half), PREDICT)[1]
    assert (region.action, region.why) == ("recompute", "objects of it are gone or cut short")


def test_the_same_plan_has_the_same_digest_before_and_after_the_run(fresh: Workspace) -> None:
    first, second = plan(recipe(), fresh), plan(recipe(), fresh)
    assert first == second
    assert first.digest == second.digest
    publish(fresh)
    assert plan(recipe(), fresh).digest == first.digest
    assert plan(recipe(title="Another"), fresh).digest != first.digest


def test_nothing_is_looked_up_by_region_for_years_that_are_done(
    fresh: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty years of 32 regions: the plan costs a second of processor time, most of it for reading headers."""
    years = tuple(range(2001, 2021))
    done = cube.Decision(1, "holds every year", (), None)

    def refuse(*_: object) -> None:
        raise AssertionError("looked into a year that is done")

    monkeypatch.setattr(cube, "next_version", lambda *_: done)
    monkeypatch.setattr(catalog, "published_years", lambda *_: years)
    for owner, name in ((staging, "read_record"), (staging, "read_plan"), (DriverCube, "owed")):
        monkeypatch.setattr(owner, name, refuse)
    for year in range(2004, 2021):
        write_drivers(fresh.data, year)
    told = recipe(period=[2001, 2020], grid={"resolution": 0.25})
    plan(told, fresh)
    start = time.process_time()
    found = plan(told, fresh)
    assert time.process_time() - start < 5.0
    assert found.complete
    assert len(of(found, PREDICT)) == 20 * 32
