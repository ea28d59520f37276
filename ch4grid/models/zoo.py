"""All models of a recipe as a union, and the one that a table of a benchmark says is best."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ch4grid.errors import RecipeError
from ch4grid.models.learner import Learner
from ch4grid.models.stacking import Stack
from ch4grid.models.standalone import Standalone
from ch4grid.models.transfer.config import Transfer

ModelConfig = Annotated[Standalone | Stack, Field(discriminator="architecture")]

# The split and the score that decide which model is best.
DECIDING_SPLIT: Literal["loco"] = "loco"
DECIDING_SCORE = "asinh_nse"


def best_of(
    rows: list[dict[str, Any]], among: tuple[str, ...], table: Path, *, simulated: bool = False
) -> dict[str, Any]:
    """Settings (`chosen`) and `reason` of the model with the highest efficiency at clusters of towers left out.

    Args:
        rows: Rows of a benchmark.
        among: Names to choose from; all that can make a product when empty.
        table: Where they come from, for messages.
        simulated: Whether there are simulated sites, without which no model that learns from them is taken.

    Raises:
        RecipeError: No model in the rows was scored under that split and can make a product.
    """
    order = [
        row
        for row in ranked(rows, DECIDING_SPLIT)
        if (not among or row["model"] in among) and _able(row, simulated=simulated)
    ]
    if not order:
        raise RecipeError(
            "no model in the table can be taken",
            where=f"{table}, model.best",
            expected=f"a row of split {DECIDING_SPLIT} of {', '.join(among) or 'a model that makes products'}",
            found=", ".join(sorted({str(row.get("model")) for row in rows})) or "no rows",
        )
    best = order[0]
    told = (
        f"{best['model']} has the highest efficiency in asinh space at clusters of towers left out, "
        f"{best[DECIDING_SCORE]:.3f} ({table.name})"
    )
    if len(order) > 1:
        told += f"; next is {order[1]['model']} with {order[1][DECIDING_SCORE]:.3f}"
    return {"chosen": best["settings"], "reason": told}


def ranked(rows: list[dict[str, Any]], split: str) -> list[dict[str, Any]]:
    """Rows of a split that have the deciding score, the best first, ties by name."""
    scored = [r for r in rows if r.get("split") == split and r.get(DECIDING_SCORE) is not None]
    return sorted(scored, key=lambda row: (-row[DECIDING_SCORE], row["model"]))


def settings_of(row: dict[str, Any]) -> Learner | None:
    """The settings in a row of a benchmark; None for a model that makes no product."""
    try:
        found: Learner = TypeAdapter(ModelConfig).validate_python(row.get("settings"), strict=False)
    except ValidationError:
        return None
    return found


def _able(row: dict[str, Any], *, simulated: bool) -> bool:
    """Whether the model of a row can make a product, with simulated sites or without."""
    found = settings_of(row)
    return found is not None and (simulated or not transfers(found))


def transfers(learner: Learner) -> bool:
    """Whether simulated sites are a part of what a model learns from."""
    models = learner.of if isinstance(learner, Stack) else (learner,)
    return any(isinstance(model, Transfer) for model in models)
