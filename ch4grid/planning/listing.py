"""The tasks of a plan before they are priced: driver months, class areas, fits, regions, publications."""

from collections.abc import Iterator
from contextlib import suppress

import pandas as pd

from ch4grid.assembly import Assembly
from ch4grid.drivers.cube import DriverCube
from ch4grid.errors import InputError
from ch4grid.planning.document import YearPlan
from ch4grid.planning.tasks import AREAS, FIT, PUBLISH, READ, Task, TaskAction
from ch4grid.recipe import Recipe
from ch4grid.vocabulary import months

Owed = dict[str, tuple[TaskAction, str]]
WHY: Owed = {
    "new": ("new", "not read yet"),
    "revised": ("recompute", "its files changed since it was read"),
    "": ("skip", "read before from the same files"),
}
THERE = "the checkpoint is there"
UNWANTED = "no year needs it"


def inputs(assembly: Assembly, years: tuple[YearPlan, ...], trained: bool) -> Iterator[Task]:
    """Months of drivers and class areas that the years to make, and a model to be fitted, rest on.

    Args:
        assembly: The inputs of the recipe.
        years: What happens to every year.
        trained: Whether the checkpoint is there.
    """
    make = [y.year for y in years if y.action == "make"]
    owed = [y.year for y in years if y.action != "done"]
    if not owed:
        return
    training = assembly.recipe.training if not trained else None
    spans = [(y - assembly.recipe.spin_up, y) for y in make]
    spans += [assembly.recipe.normals_period] if make else []
    if training is not None:
        spans.append((training.period[0] - assembly.recipe.spin_up, training.period[1]))
    yield from _months(assembly, spans)
    wanted = {*owed, *([training.period[1]] if training is not None else [])}
    yield from _areas(assembly, sorted(wanted))


def _months(assembly: Assembly, spans: list[tuple[int, int]]) -> Iterator[Task]:
    cubes: dict[int, tuple[DriverCube, pd.DatetimeIndex]] = {}
    for first, last in spans:
        cube = assembly.cube(first)
        held = cubes.get(id(cube))
        wanted = months(first, last)
        cubes[id(cube)] = (cube, wanted if held is None else held[1].union(wanted).as_unit("s"))
    for cube, wanted in cubes.values():
        for month, owed in sorted(cube.owed(wanted).items()):
            action, why = WHY[owed]
            yield Task(READ, f"{month:%Y-%m}", action, why, year=month.year)


def _areas(assembly: Assembly, years: list[int]) -> Iterator[Task]:
    for year in years:
        with suppress(InputError):  # the plan lists it among what is missing
            there = assembly.areas_folder(year).exists()
            action, why = (
                ("skip", "made before from the same files") if there else ("new", "not made yet")
            )
            yield Task(AREAS, str(year), action, why, year=year)  # type: ignore[arg-type]


def fits(recipe: Recipe, years: tuple[YearPlan, ...], trained: bool) -> Iterator[Task]:
    """Members of the ensemble and of the folds; none for a recipe that names a checkpoint.

    Args:
        recipe: The recipe.
        years: What happens to every year.
        trained: Whether the checkpoint is there.
    """
    training = recipe.training
    if recipe.learner is None or training is None:
        return
    needed = any(y.action != "done" for y in years)
    action: TaskAction = "skip" if trained or not needed else "new"
    why = THERE if trained else "no checkpoint of this recipe yet" if needed else UNWANTED
    names = [f"member {m}" for m in range(1, recipe.members + 1)]
    names += [
        f"fold {f}, member {m}"
        for f in range(1, training.folds + 1)
        for m in range(1, training.fold_members + 1)
    ]
    for name in names:
        yield Task(FIT, name, action, why)


def publications(years: tuple[YearPlan, ...]) -> Iterator[Task]:
    """One task per year: read back, published in the store, entered in the catalog."""
    for year in years:
        action: TaskAction = "skip" if year.action == "done" else "new"
        yield Task(PUBLISH, str(year.year), action, year.reason, year=year.year)
