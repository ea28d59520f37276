"""A saved plan runs as long as recipe and inputs are those that it was made from, and refuses by name otherwise."""

import json
from pathlib import Path

import pytest
import yaml
from planted_recipe import document, publish, recipe, write_drivers, write_inputs
from typer.testing import CliRunner

from ch4grid.cli import app
from ch4grid.errors import InputError, RecipeError
from ch4grid.planning import plan, saved
from ch4grid.stores import Workspace


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    return write_inputs(tmp_path)


@pytest.fixture
def agreed(fresh: Workspace) -> saved.SavedPlan:
    saved.save(plan(recipe(), fresh), fresh.data / "plan.json")
    return saved.read(fresh.data / "plan.json")


def test_a_saved_plan_runs_and_runs_again(fresh: Workspace, agreed: saved.SavedPlan) -> None:
    assert publish(fresh, agreed=agreed).made == (2001,)
    assert publish(fresh, agreed=agreed).made == ()


def test_a_changed_file_is_named(fresh: Workspace, agreed: saved.SavedPlan) -> None:
    write_drivers(fresh.data, 2000, warmer=1.0)
    with pytest.raises(InputError, match=r"moved since.*Found drivers-2000\.nc changed\."):
        publish(fresh, agreed=agreed)
    assert not (fresh.output / "planted").exists()


def test_a_file_that_is_gone_is_named(fresh: Workspace, agreed: saved.SavedPlan) -> None:
    (fresh.data / "drivers-1999.nc").unlink()
    with pytest.raises(InputError, match=r"drivers-1999\.nc is gone"):
        publish(fresh, agreed=agreed)


def test_a_changed_key_of_the_recipe_is_named(fresh: Workspace, agreed: saved.SavedPlan) -> None:
    with pytest.raises(InputError, match=r"Found recipe key spin_up changed"):
        publish(fresh, {"spin_up": 1}, agreed=agreed)
    with pytest.raises(InputError, match=r"Found recipe key title changed\."):
        publish(fresh, {"title": "Another"}, agreed=agreed)


def test_other_years_are_named(fresh: Workspace, agreed: saved.SavedPlan) -> None:
    with pytest.raises(InputError, match="moved since"):
        publish(fresh, years=[2002], agreed=agreed)


def test_a_plan_that_was_edited_is_refused(fresh: Workspace, agreed: saved.SavedPlan) -> None:
    told = json.loads(agreed.path.read_text())
    agreed.path.write_text(json.dumps(told | {"version": 7}))
    with pytest.raises(InputError, match="not as it was saved"):
        saved.read(agreed.path)


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"product": "planted"}'])
def test_what_is_no_plan_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(InputError, match="no plan can be read here"):
        saved.read(tmp_path / "plan.json")


def test_the_commands_save_a_plan_draw_it_and_run_it(fresh: Workspace) -> None:
    at = fresh.data
    (at / "recipe.yaml").write_text(yaml.safe_dump(document()))
    shared = [str(at / "recipe.yaml"), "--data", str(at), "--output", str(fresh.output)]
    shared += ["--cluster", "local:1"]
    plan_file, map_file = str(at / "plan.json"), str(at / "map.geojson")
    said = CliRunner().invoke(
        app, ["plan", *shared, "--year", "2002", "--save", plan_file, "--map", map_file]
    )
    assert said.exit_code == 0, said.output
    assert "memory on this machine" in said.output
    assert json.loads(Path(map_file).read_text())["type"] == "FeatureCollection"
    run = ["run", *shared, "--device", "cpu", "--plan", plan_file]
    other = CliRunner().invoke(app, [*run, "--year", "2003"])
    assert isinstance(other.exception, RecipeError)
    done = CliRunner().invoke(app, run)
    assert done.exit_code == 0, done.output
    assert "made 2002" in done.output
