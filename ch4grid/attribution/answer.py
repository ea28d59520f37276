"""The answer to a question of attribution: computed where it is not there yet, with its table beside it."""

import json
from pathlib import Path

import xarray as xr

from ch4grid import budgets
from ch4grid.assembly import Assembly
from ch4grid.attribution.findings import finding
from ch4grid.attribution.question import Question
from ch4grid.attribution.store import attribute
from ch4grid.attribution.swaps import AREAS
from ch4grid.cluster import Workers
from ch4grid.findings import Finding
from ch4grid.inference import Region, region_of
from ch4grid.models import Checkpoint
from ch4grid.recipe import Recipe
from ch4grid.scenarios import followers
from ch4grid.stores import beside, exclusive, write_atomic

KEY = "ch4grid_attribution"


def answer(
    question: Question, recipe: Recipe, assembly: Assembly, workers: Workers, device: str
) -> tuple[Finding, bool]:
    """The finding of a question, and whether it had been answered before.

    Args:
        question: What is compared.
        recipe: The recipe.
        assembly: Its inputs.
        workers: Where regions are computed.
        device: Torch device.

    Raises:
        RunError: Contributions do not add up to the published change, or the disk refuses.
    """
    output = question.output
    with exclusive(output.with_name(f".{output.name}.lock")):
        known = _answered(output, question)
        if not known:
            _compute(question, recipe, assembly, workers, device)
    found = finding(output)
    table = found.table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_atomic(beside(output, ".csv"), table.encode())
    return found, known


def _answered(output: Path, question: Question) -> bool:
    path = output / "zarr.json"
    if not path.is_file():
        return False
    return bool(json.loads(path.read_bytes())["attributes"].get(KEY) == question.key)


def _compute(
    question: Question, recipe: Recipe, assembly: Assembly, workers: Workers, device: str
) -> None:
    checkpoint = Checkpoint.load(question.new.model)
    pairs = [
        (_region(assembly, a, question.old.scenario), _region(assembly, b, question.new.scenario))
        for a, b in question.years
    ]
    players = _players(question, recipe, checkpoint, pairs)
    attribute(
        question.output,
        question.new.model,
        pairs,
        (question.old.store, question.new.store),
        players,
        workers,
        gas=recipe.gas_row,
        device=device,
        seed=recipe.training.seed if recipe.training else 0,
        attributes={
            "title": f"Contributions to the change from {question.words[0]} to {question.words[1]}",
            "product": f"{recipe.product} v{question.new.version}",
            "old": question.words[0],
            "new": question.words[1],
            "years": json.dumps(question.years),
            "changed": json.dumps(players),
            budgets.INFLATION: _inflation(question.old.store),
            KEY: question.key,
        },
    )


def _region(assembly: Assembly, year: int, scenario: str) -> Region:
    recipe = assembly.recipe
    return region_of(
        assembly,
        year,
        recipe.scenarios[scenario],
        spin_up=recipe.spin_up,
        period=recipe.normals_period,
        resolution=recipe.grid.resolution,
    )


def _players(
    question: Question,
    recipe: Recipe,
    checkpoint: Checkpoint,
    pairs: list[tuple[Region, Region]],
) -> tuple[str, ...]:
    """Drivers that may differ between old and new, in alphabetical order, and class areas where they do."""
    scenario = recipe.scenarios[question.new.scenario]
    if question.old.scenario == question.new.scenario:
        moved = any(old.areas != new.areas for old, new in pairs)
        return (*sorted(checkpoint.drivers), *((AREAS,) if moved else ()))
    names = set(scenario.forced)
    if checkpoint.structure is not None:
        names |= {*followers(checkpoint.drivers, scenario, checkpoint.structure)}
    return (*sorted(names), *((AREAS,) if scenario.wetland != 1.0 else ()))


def _inflation(store: Path) -> str:
    with xr.open_zarr(store) as product:
        return str(product.attrs.get(budgets.INFLATION, "1"))
