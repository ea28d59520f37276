"""A benchmark recipe: what it must hold, what a mistake says, and that a product recipe is a benchmark too."""

import json
from pathlib import Path
from typing import Any

import planted_benchmark as planted
import planted_recipe
import pytest
import yaml
from pydantic import ValidationError

from ch4grid.benchmarking import BenchmarkRecipe, is_benchmark, load, named_models, named_sections
from ch4grid.benchmarking.execution import QUICK_MODELS, hastened
from ch4grid.errors import RecipeError
from ch4grid.evaluation import zoo
from ch4grid.models.tabular import Ridge


def document(**changes: Any) -> dict[str, Any]:
    found = {
        "benchmark": "planted",
        "title": "Planted towers",
        "period": [2002, 2003],
        "sites": [planted.source()],
    }
    return {k: v for k, v in (found | changes).items() if v is not None}


def write(folder: Path, content: dict[str, Any], name: str = "benchmark.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_resolved_recipe_decodes_to_the_same(tmp_path: Path) -> None:
    models = {
        "ridge": {"architecture": "ridge", "alpha": 3.0},
        "both": {
            "architecture": "stack",
            "of": [{"architecture": "climatology"}, {"architecture": "ridge"}],
        },
        "effects": {"architecture": "causal-forest", "trees": 7},
        "memory": {"architecture": "lstm"},
    }
    recipe, product = load(write(tmp_path, document(models=models)))
    assert product is None
    assert BenchmarkRecipe.model_validate_json(json.dumps(recipe.resolved())) == recipe
    assert recipe.models["ridge"] == Ridge(alpha=3.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"peroid": [2001, 2002]}, "unknown key 'peroid'; did you mean 'period'"),
        ({"title": None}, "key 'title' is missing"),
        ({"period": None}, "'sites' need the key 'period'"),
        ({"sites": None}, "give either 'product' or 'sites'"),
        ({"product": "tiny.yaml"}, "give either 'product' or 'sites'"),
        ({"gas": "xe"}, "unknown gas 'xe'; known are ch4, co2, n2o"),
        ({"benchmark": "Not A Name"}, "key 'benchmark'"),
        ({"splits": []}, "splits"),
        ({"splits": [{"split": "luck"}]}, "luck|loco"),
        ({"splits": [{"split": "loco", "groups": 1}]}, r"splits\[0\]\.groups"),
        ({"splits": [{"split": "loco"}, {"split": "loco"}]}, "'loco' stands twice"),
        ({"tuning": {"candidates": 4}}, r"tuning\.candidates"),
        ({"tuning": {"groups": 1}}, r"tuning\.groups"),
        ({"models": {"r": {"architecture": "ridge", "alhpa": 1.0}}}, "did you mean 'alpha'"),
        ({"models": {"r": {"architecture": "rigde"}}}, "rigde|ridge"),
        ({"seed": "one"}, "seed"),
    ],
)
def test_a_mistake_is_an_error_of_the_recipe_that_names_it(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = write(tmp_path, document() | changes)
    content = {k: v for k, v in yaml.safe_load(path.read_text()).items() if v is not None}
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(RecipeError, match=words):
        load(path)


def test_a_split_may_stand_twice_for_different_models() -> None:
    def sections(*models: list[str]) -> list[dict[str, Any]]:
        return [{"split": "loco", "models": names} for names in models]

    planted.recipe(splits=sections(["ridge"], ["svr"]))
    for wrong in (sections(["ridge"], []), sections(["ridge"], ["ridge", "svr"])):
        with pytest.raises(ValidationError, match="stands twice for a model"):
            planted.recipe(splits=wrong)


def test_a_product_recipe_is_a_benchmark_too(tmp_path: Path) -> None:
    training = {"period": [2001, 2002], "seed": 7}
    path = write(tmp_path, planted_recipe.document(training=training), "product.yaml")
    assert not is_benchmark(path)
    recipe, product = load(path)
    assert product is not None
    assert (recipe.benchmark, recipe.product, recipe.seed) == ("planted", "product.yaml", 7)
    assert [section.split for section in recipe.splits] == ["loco"]
    assert recipe.discovery == product.discovery
    assert list(named_models(recipe, [])) == list(zoo())


def test_a_benchmark_may_rest_on_the_product_recipe_beside_it(tmp_path: Path) -> None:
    write(tmp_path, planted_recipe.document(gas="n2o"), "product.yaml")
    rests = document(product="product.yaml", sites=None, period=None)
    path = write(tmp_path, rests)
    assert is_benchmark(path)
    recipe, product = load(path)
    assert product is not None
    assert product.product == "planted"
    assert recipe.gas == "n2o"
    with pytest.raises(RecipeError, match=r"none\.yaml"):
        load(write(tmp_path, rests | {"product": "none.yaml"}))


def test_models_are_those_asked_for_then_those_of_the_recipe_then_the_zoo() -> None:
    plain, own = planted.recipe(), planted.recipe(models={"mine": {"architecture": "ridge"}})
    assert list(named_models(plain, [])) == list(zoo())
    assert list(named_models(own, [])) == ["mine"]
    assert list(named_models(own, ["svr", "mine"])) == ["svr", "mine"]
    assert tuple(named_models(plain, [], quick=True)) == QUICK_MODELS
    assert list(named_models(plain, ["knn"], quick=True)) == ["knn"]
    changed = planted.recipe(models={"ridge": {"architecture": "ridge", "alpha": 2.0}})
    assert named_models(changed, ["ridge"])["ridge"] == Ridge(alpha=2.0)


def test_an_unknown_model_or_split_is_named_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"unknown model.*climatology.*ridge.*Found lsmt, x"):
        named_models(planted.recipe(), ["ridge", "lsmt", "x"])
    with pytest.raises(RecipeError, match=r"--split: unknown split.*loco.*Found luck"):
        named_sections(planted.recipe(), ["loco", "luck"])


def test_transfer_models_are_known_where_there_are_simulated_sites() -> None:
    with pytest.raises(RecipeError, match="unknown model"):
        named_models(planted.recipe(), ["transfer-finetune"])
    twin = {"source": "twin-laboratory", "seed": 1, "towers": 4, "period": [2000, 2003]}
    simulated = planted.recipe(simulation={"sites": [twin], "period": [2001, 2003]})
    names = [name for name in named_models(simulated, []) if name.startswith("transfer-")]
    assert names
    assert all(name in named_models(simulated, names) for name in names)


def test_a_split_asked_for_is_as_the_recipe_has_it() -> None:
    recipe = planted.recipe(splits=[{"split": "loco", "groups": 3}, {"split": "random"}])
    assert named_sections(recipe, []) == list(recipe.splits)
    assert named_sections(recipe, ["loco"]) == [recipe.splits[0]]
    assert named_sections(recipe, ["loso"]) == [planted.section("loso")]


def test_quick_is_the_headline_in_few_groups_without_tuning() -> None:
    slow = planted.recipe(
        splits=[{"split": "random"}, {"split": "loco"}], tuning={"candidates": 3, "groups": 5}
    )
    quick = hastened(slow)
    assert [(s.split, s.groups) for s in quick.splits] == [("loco", 3)]
    assert (quick.tuning.candidates, quick.tuning.groups) == (1, 5)


def test_a_benchmark_of_a_product_takes_its_discovery_and_simulation(tmp_path: Path) -> None:
    laboratory = {"source": "twin-laboratory", "towers": 2, "period": [2000, 2001]}
    simulation = {"sites": [laboratory], "period": [2000, 2001]}
    settings = {"settings": {"bootstraps": 7}}
    write(
        tmp_path,
        planted_recipe.document(
            training={"period": [2000, 2001]}, discovery=settings, simulation=simulation
        ),
        "product.yaml",
    )
    rested = document(product="product.yaml", sites=None, period=None)
    recipe, product = load(write(tmp_path, rested))
    assert product is not None
    assert recipe.discovery == product.discovery
    assert recipe.simulation == product.simulation is not None
    own, _ = load(write(tmp_path, rested | {"discovery": {"settings": {"bootstraps": 3}}}))
    assert own.discovery.settings.bootstraps == 3
