"""The zoo has every model under a name, each decodes from what it writes, and none of it loads a heavy library."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from ch4grid.errors import RecipeError
from ch4grid.evaluation import Model, zoo
from ch4grid.models import ModelConfig
from ch4grid.models.stacking import Stack
from ch4grid.models.tabular import Ridge
from ch4grid.models.zoo import best_of

HEAVY = ("torch", "sklearn", "lightgbm", "xgboost", "quantile_forest", "econml", "tigramite")
RECIPES = Path(__file__).parents[2] / "recipes"
EVERY = zoo(simulated=True)
ADAPTER: TypeAdapter[Any] = TypeAdapter(Model)


def architectures(union: Any) -> Iterator[str]:
    """Every value of `architecture` in a union of settings."""
    if hasattr(union, "model_fields"):
        yield from get_args(union.model_fields["architecture"].annotation)
    else:
        for part in get_args(union):
            yield from architectures(part)


def test_every_architecture_of_a_recipe_is_in_the_zoo() -> None:
    found = set(architectures(Model))
    assert len(found) >= 25
    assert {model.architecture for model in EVERY.values()} == found  # type: ignore[attr-defined]
    assert set(architectures(ModelConfig)) == found - {"causal-forest"}


@pytest.mark.parametrize("name", EVERY)
def test_a_model_decodes_from_what_it_writes(name: str) -> None:
    model = EVERY[name]
    written = json.loads(model.model_dump_json())
    assert ADAPTER.validate_python(written, strict=False) == model
    assert ADAPTER.validate_json(json.dumps(written)) == model


@pytest.mark.parametrize("architecture", sorted(architectures(Model)))
def test_every_architecture_decodes_by_its_name_and_refuses_a_strange_key(
    architecture: str,
) -> None:
    written: dict[str, Any] = {"architecture": architecture}
    if architecture == "stack":
        written["of"] = [{"architecture": "ridge"}, {"architecture": "knn"}]
    assert ADAPTER.validate_python(written).architecture == architecture
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(written | {"colour": 3})


@pytest.mark.parametrize("name", EVERY)
def test_candidates_are_three_at_most_the_default_first(name: str) -> None:
    found = EVERY[name].candidates()
    assert found[0] == EVERY[name]
    assert 1 <= len(found) <= 3
    assert len({c.model_dump_json() for c in found}) == len(found)
    assert isinstance(EVERY[name].trial(), type(EVERY[name]))


def test_models_that_transfer_need_simulated_sites() -> None:
    assert not any(name.startswith("transfer-") for name in zoo())
    assert set(EVERY) - set(zoo()) == {n for n in EVERY if n.startswith("transfer-")}


def test_a_stack_holds_no_stack_and_two_models_at_least() -> None:
    one = {"architecture": "ridge"}
    for wrong in ([one], [one, {"architecture": "stack", "of": [one, one]}]):
        with pytest.raises(ValidationError):
            Stack.model_validate({"of": wrong})


PROGRAMS = {
    "a model of a recipe": (
        "from pydantic import TypeAdapter\n"
        "from ch4grid.evaluation import Model\n"
        "TypeAdapter(Model).validate_python({'architecture': 'stack', 'of': ["
        "{'architecture': 'ctgat'}, {'architecture': 'lstm'}, {'architecture': 'extra-trees'}]})\n"
    ),
    "a benchmark": (
        "from pathlib import Path\n"
        "from ch4grid import benchmarking\n"
        f"recipe, _ = benchmarking.load(Path({str(RECIPES / 'benchmark-twin.yaml')!r}))\n"
        "benchmarking.named_models(recipe, [])\n"
    ),
}


@pytest.mark.parametrize("decoded", PROGRAMS)
def test_decoding_loads_no_heavy_library(decoded: str) -> None:
    program = PROGRAMS[decoded] + (
        f"import sys\nsys.stdout.write(str([m for m in {HEAVY} if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]"


def row(model: str, score: float | None, split: str = "loco") -> dict[str, Any]:
    written = EVERY[model].model_dump(mode="json")
    return {"model": model, "split": split, "asinh_nse": score, "settings": written}


def test_the_best_is_the_highest_under_clusters_left_out_that_makes_products() -> None:
    rows = [
        row("climatology", 0.2),
        row("ridge", 0.5),
        row("svr", None),
        row("knn", 0.9, "random"),
        row("causal-forest", 0.8),
    ]
    found = best_of(rows, (), Path("results.json"))
    assert Ridge.model_validate(found["chosen"]) == Ridge()
    assert "ridge" in found["reason"]
    assert "0.500" in found["reason"]
    assert "next is climatology with 0.200" in found["reason"]
    assert (
        best_of(rows, ("climatology",), Path("r.json"))["chosen"]["architecture"] == "climatology"
    )


@pytest.mark.parametrize("among", [("svr",), ("knn",), ("causal-forest",), ("nobody",)])
def test_a_table_without_a_score_that_counts_is_refused(among: tuple[str, ...]) -> None:
    rows = [row("svr", None), row("knn", 0.9, "random"), row("causal-forest", 0.8)]
    with pytest.raises(RecipeError, match="no model in the table can be taken"):
        best_of(rows, among, Path("results.json"))
