"""The page of a benchmark: what the document says, with plots."""

import pandas as pd

from ch4grid.benchmarking.document import best_frame, main_split, reading
from ch4grid.benchmarking.further import Tables
from ch4grid.benchmarking.recipe import BenchmarkRecipe
from ch4grid.benchmarking.results import Results, reason, winner
from ch4grid.evaluation import by, levels
from ch4grid.pages.benchmark import benchmark_page

BY = {"ecosystem": "By class", "season": "By season", "distance": "By distance to a training tower"}


def page(
    recipe: BenchmarkRecipe, found: Results, command: str, tables: Tables | None = None
) -> str:
    """The HTML of a benchmark, without any outside request."""
    split = main_split(found)
    comparisons, why = found.comparisons, reason(found.rows, split)
    comparisons.attrs["reference"] = found.reference
    return benchmark_page(
        title=recipe.title,
        summary=recipe.summary,
        results=pd.DataFrame(found.rows),
        comparisons=comparisons,
        predictions=found.predictions,
        extras=_extras(best_frame(found)) | (tables or {}),
        command=command,
        winner=str(winner(found.rows, split)["model"]),
        reason=why[0].upper() + why[1:],
        reading=reading(found),
    )


def _extras(best: pd.DataFrame) -> Tables:
    """Further tables of the best model."""
    name = best["model"].iloc[0]
    tables = {f"{title}, {name}": by(best, column) for column, title in BY.items()}
    return tables | {f"By level, {name}": levels(best)}
