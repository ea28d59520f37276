"""A benchmark from its recipe to its files: predictions, scores, tables and a page, resumed where a run was cut off."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ch4grid.benchmarking import harness
from ch4grid.benchmarking.diagnosis import applicability, decomposition
from ch4grid.benchmarking.document import best_frame, markdown
from ch4grid.benchmarking.experiment import Experiment, assemble
from ch4grid.benchmarking.further import Tables, further
from ch4grid.benchmarking.holdout import held_back
from ch4grid.benchmarking.page import page
from ch4grid.benchmarking.recipe import HEADLINE, BenchmarkRecipe, SplitSection
from ch4grid.benchmarking.results import Results, Row, score
from ch4grid.benchmarking.similarity import distances
from ch4grid.cluster import Workers
from ch4grid.errors import RecipeError
from ch4grid.evaluation import KINDS, zoo
from ch4grid.models.learner import Learner, TrainingSet
from ch4grid.models.zoo import transfers
from ch4grid.recipe import Recipe
from ch4grid.stores import Workspace, exclusive, write_atomic, write_json

# What `--quick` does: groups of clusters instead of each one, one fit each, and these models unless others are named.
QUICK_GROUPS = 3
# Models that stand for another structure than the reference.
OTHERS = ("svr", "ridge")
QUICK_MODELS = ("climatology", "ridge", "extra-trees", "lstm", "ctgat")


@dataclass(frozen=True, eq=False)
class Benchmarked:
    """What a benchmark has found, and where it lies.

    Args:
        results: Scores, paired tests and predictions.
        folder: Its files.
    """

    results: Results
    folder: Path

    @property
    def rows(self) -> list[Row]:
        """One row per model and split."""
        return self.results.rows


def benchmark(
    recipe: BenchmarkRecipe,
    product: Recipe | None,
    workspace: Workspace,
    workers: Workers,
    *,
    models: Sequence[str] = (),
    splits: Sequence[str] = (),
    holdout: Path | None = None,
    quick: bool = False,
    command: str = "",
) -> Benchmarked:
    """Fit and score models, and write what came out.

    Args:
        recipe: The benchmark.
        product: The product recipe that it rests on, if any.
        workspace: Its folders; results go to `<output>/benchmarks/<name>`. Of two runs at once the second waits.
        workers: Where fits run.
        models: Names of models; those of the recipe when empty.
        splits: Kinds of splits; those of the recipe when empty.
        holdout: A folder of towers that no model has seen; then models are trained on all towers of the recipe and
            scored once on these, under no other split.
        quick: Few groups, no tuning, few models.
        command: Shown in the documents.

    Raises:
        RecipeError: A model or split is unknown.
        InputError: A file is missing or wrong.
    """
    recipe = hastened(recipe) if quick else recipe
    named = named_models(recipe, models, quick=quick)
    if not any(transfers(learner) for learner in named.values()):
        recipe = recipe.model_copy(update={"simulation": None})
    sections = named_sections(recipe, splits)
    folder = workspace.output / "benchmarks" / recipe.benchmark
    experiment = assemble(recipe, product, workspace)
    if holdout is not None:
        test = held_back(recipe, product, holdout, workspace)
        work = harness.holdout_jobs(recipe, experiment, named, test, folder)
    else:
        work = harness.jobs(recipe, experiment, named, sections, folder)
    with exclusive(folder / ".lock"):
        predictions = harness.run(work, workers.map, folder)
    found = score(predictions, named, reference=recipe.reference, seed=recipe.seed)
    distance: dict[str, float] = {}
    if HEADLINE in set(predictions["split"]) and not quick:
        distance = distances(experiment.samples, recipe.gas_row, recipe.seed, workers.map, folder)
    tables = further(found, recipe.gas_row, distance)
    if distance:
        tables |= _diagnosed(recipe, experiment, found)
    where = folder / _place(recipe, named, sections, holdout=holdout, quick=quick)
    _write(where, recipe, found, tables, experiment.inputs, command)
    return Benchmarked(found, where)


def _place(
    recipe: BenchmarkRecipe,
    named: Mapping[str, Learner],
    sections: Sequence[SplitSection],
    *,
    holdout: Path | None,
    quick: bool,
) -> str:
    """Name of the folder of results; a run of some models or splits takes no place from that of all of them."""
    if holdout is not None:
        return harness.HOLDOUT
    if quick:
        return "quick"
    every = {n for s in recipe.splits for n in s.models or named_models(recipe, ())}
    whole = {s.split for s in recipe.splits} <= {s.split for s in sections}
    return "results" if whole and every <= set(named) else "selected"


def _diagnosed(recipe: BenchmarkRecipe, experiment: Experiment, found: Results) -> Tables:
    """Where the best model can be trusted, and where the uncertainty of the reference comes from."""
    gas, samples = recipe.gas_row, experiment.samples
    known = zoo() | dict(recipe.models)
    training = TrainingSet(samples, gas=gas, seed=recipe.seed)
    tables = {
        "Errors where months are unlike those of other towers": applicability(
            best_frame(found), samples, gas
        )
    }
    if recipe.reference in known and not known[recipe.reference].needs_graph:
        others = [known[name] for name in OTHERS if name != recipe.reference]
        shares = decomposition(known[recipe.reference], others, training)
        tables[f"Where the uncertainty of {recipe.reference} comes from"] = shares
    return {title: table for title, table in tables.items() if len(table)}


def hastened(recipe: BenchmarkRecipe) -> BenchmarkRecipe:
    """The recipe with the headline split only, in few groups, one fit each."""
    section = SplitSection(split=HEADLINE, groups=QUICK_GROUPS, nested=False)
    tuning = recipe.tuning.model_copy(update={"candidates": 1})
    return recipe.model_copy(update={"splits": (section,), "tuning": tuning})


def named_models(
    recipe: BenchmarkRecipe, names: Sequence[str], *, quick: bool = False
) -> dict[str, Learner]:
    """Models by name: those asked for, else those of the recipe, else the zoo.

    Raises:
        RecipeError: A name is unknown.
    """
    known: dict[str, Learner] = zoo(simulated=recipe.simulation is not None) | dict(recipe.models)
    wanted = list(names) or [n for n in QUICK_MODELS if quick] or list(recipe.models) or list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise RecipeError(
            "unknown model", where="models", expected=", ".join(known), found=", ".join(unknown)
        )
    return {name: known[name] for name in wanted}


def named_sections(recipe: BenchmarkRecipe, kinds: Sequence[str]) -> list[SplitSection]:
    """The splits asked for as the recipe has them, else all of the recipe.

    Raises:
        RecipeError: A kind is unknown.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise RecipeError(
            "unknown split",
            where="--split",
            expected=", ".join(KINDS),
            found=", ".join(unknown),
        )
    own = [section for section in recipe.splits if not kinds or section.split in kinds]
    there = {section.split for section in own}
    return own + [SplitSection.model_validate({"split": k}) for k in kinds if k not in there]


def _write(
    folder: Path,
    recipe: BenchmarkRecipe,
    found: Results,
    tables: Tables,
    inputs: dict[str, str],
    command: str,
) -> None:
    """All files of a benchmark; the table that others read comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "predictions.parquet": found.predictions.to_parquet(index=False),
        "predictions.csv": _csv(found.predictions),
        "comparisons.csv": _csv(found.comparisons),
        "results.parquet": _flat(found.rows).to_parquet(index=False),
        "results.md": markdown(recipe, found, command, tables).encode(),
        "index.html": page(recipe, found, command, tables).encode(),
    }
    for name, content in files.items():
        write_atomic(folder / name, content)
    write_json(folder / "results.json", document(recipe, found, inputs, command))


def document(
    recipe: BenchmarkRecipe, found: Results, inputs: dict[str, str], command: str
) -> dict[str, Any]:
    """The table of results as others read it: `model: {best: FILE}` of a product recipe, for one."""
    return {
        "benchmark": recipe.benchmark,
        "title": recipe.title,
        "command": command,
        "recipe": recipe.resolved(),
        "inputs": inputs,
        "rows": found.rows,
    }


def _flat(rows: list[Row]) -> pd.DataFrame:
    """Rows with their intervals in columns `<score>_lower` and `<score>_upper`."""
    flat = []
    for row in rows:
        plain = {k: v for k, v in row.items() if not isinstance(v, dict)}
        for name, bounds in row["interval"].items():
            low, high = bounds or (None, None)
            plain |= {f"{name}_lower": low, f"{name}_upper": high}
        flat.append(plain | {"settings": json.dumps(row["settings"])})
    return pd.DataFrame(flat)


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n", float_format="%.6g").encode()
