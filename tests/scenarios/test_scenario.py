"""A scenario as it stands in a recipe: what may be asked, what is refused, and that history keeps its digest."""

import pytest
from planted_recipe import document
from pydantic import ValidationError

from ch4grid.recipe import Recipe
from ch4grid.scenarios import Scenario


def test_history_is_told_as_before_there_were_other_keys() -> None:
    assert Scenario().model_dump(mode="json") == {"add": {}}
    assert Scenario(add={"tas": 2.0}).model_dump(mode="json") == {"add": {"tas": 2.0}}
    assert not Scenario().changes


def test_what_is_told_decodes_to_the_same_scenario() -> None:
    given = Scenario.model_validate(
        {"do": {"tas": 2.0, "pr": {"times": 0.9}}, "propagate": True, "drain": 0.1, "rewet": 0.2}
    )
    assert Scenario.model_validate(given.model_dump(mode="json")) == given
    assert given.forced == ("pr", "tas")
    assert given.wetland == pytest.approx(0.9 * 1.2)
    assert len(given.in_words()) == 4


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ({"do": {"tass": 2.0}}, "tass is no monthly driver"),
        ({"do": {"elevation": 2.0}}, "elevation is no monthly driver"),
        ({"do": {"tas": {"times": 1.1}}}, "tas can be negative or has no true zero"),
        ({"do": {"pr": {"tims": 1.1}}}, "tims"),
        ({"do": {"tas": 1.0}, "add": {"tas": 1.0}}, "tas is changed by 'add' and by 'do'"),
        ({"propagate": True}, "'propagate' without a driver"),
        ({"drain": 1.5}, "drain"),
        ({"drian": 0.1}, "scenarios.x.drian"),
    ],
)
def test_a_mistake_in_a_scenario_is_refused_with_its_path(scenario: dict, words: str) -> None:
    with pytest.raises(ValidationError) as error:
        Recipe.model_validate(document(scenarios={"historical": {}, "x": scenario}))
    assert words in str(error.value)
    assert "scenarios.x" in str(error.value)


def test_a_scenario_cannot_take_the_name_of_an_attribution() -> None:
    with pytest.raises(ValidationError, match="those of attributions"):
        Recipe.model_validate(document(scenarios={"historical": {}, "attribution-x": {}}))
