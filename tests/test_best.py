"""A recipe may leave the choice of the model to a benchmark; it says which it took and why."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ch4grid.errors import RecipeError
from ch4grid.models.tabular import ExtraTrees, Ridge
from ch4grid.models.transfer.config import Transfer
from ch4grid.recipe import ModelBest, Recipe, load

TINY = Path(__file__).parents[1] / "recipes" / "tiny.yaml"


def _row(model: str, score: float | None, settings: dict[str, Any], split: str = "loco") -> dict:
    return {"model": model, "split": split, "asinh_nse": score, "settings": settings}


ROWS = [
    _row("trees", 0.4, ExtraTrees(min_leaf=7).model_dump()),
    _row("lines", 0.3, Ridge().model_dump()),
    _row("lines", 0.9, Ridge().model_dump(), split="random"),
    _row("no-product", 0.8, {"architecture": "causal-forest"}),
    _row("unknown", None, Ridge().model_dump()),
]


def _load(
    folder: Path, rows: list[dict], simulation: dict[str, Any] | None = None, **model: Any
) -> Recipe:
    (folder / "table.json").write_text(json.dumps({"rows": rows}), encoding="utf-8")
    document = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    document["model"] = {"best": "table.json"} | model
    document["simulation"] = simulation
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return load(path)


def test_the_winner_at_clusters_left_out_is_taken_with_its_settings(tmp_path: Path) -> None:
    recipe = _load(tmp_path, ROWS)
    assert recipe.learner == ExtraTrees(min_leaf=7)
    assert isinstance(recipe.model, ModelBest)
    assert "trees" in recipe.choice
    assert "0.400" in recipe.choice
    assert "lines with 0.300" in recipe.choice
    assert recipe.members == 10


def test_the_choice_can_be_narrowed(tmp_path: Path) -> None:
    assert _load(tmp_path, ROWS, among=["lines"]).learner == Ridge()


SIMULATION = {
    "sites": [{"source": "twin-laboratory", "towers": 2, "period": [2000, 2001]}],
    "period": [2000, 2001],
}
WITH_TRANSFER = [*ROWS, _row("transfer", 0.5, Transfer().model_dump())]


def test_a_model_that_transfers_wins_only_where_there_is_a_simulation(tmp_path: Path) -> None:
    assert _load(tmp_path, WITH_TRANSFER).learner == ExtraTrees(min_leaf=7)
    taken = _load(tmp_path, WITH_TRANSFER, simulation=SIMULATION)
    assert taken.learner == Transfer()
    assert "transfer has the highest efficiency" in taken.choice


def test_a_model_that_transfers_without_a_simulation_is_refused(tmp_path: Path) -> None:
    document = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    document["model"] = {"architecture": "transfer"}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(RecipeError, match="needs the key 'simulation'"):
        load(path)


def test_the_product_carries_the_choice(tmp_path: Path) -> None:
    told = _load(tmp_path, ROWS).resolved()["model"]
    assert told["chosen"]["architecture"] == "extra-trees"
    assert "trees" in told["reason"]


def test_a_table_without_a_model_that_makes_products_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no model in the table"):
        _load(tmp_path, ROWS[3:])
    with pytest.raises(RecipeError, match="a row of split loco of nothing-like-it"):
        _load(tmp_path, ROWS, among=["nothing-like-it"])


def test_a_missing_or_broken_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent\.json"):
        _load(tmp_path, ROWS, best="absent.json")
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(RecipeError, match="no table of a benchmark"):
        _load(tmp_path, ROWS, best="broken.json")
