"""The plan: what a run would do and why, what it would cost and what is missing. It computes no flux and fits nothing.

A run begins by making the same plan, so what `plan` says is what `run` does.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ch4grid import __version__, catalog, cube
from ch4grid.assembly import Assembly
from ch4grid.cube import layout, template
from ch4grid.errors import InputError, RecipeError
from ch4grid.grid import TILE
from ch4grid.recipe import ModelCheckpoint, Recipe
from ch4grid.stores import Workspace, sha256_file, sha256_json
from ch4grid.vocabulary import DYNAMIC, ECOSYSTEMS

MONTHS = 12
FLOAT_BYTES = 4
# Stored share of the raw bytes of a product: measured on the embedded recipe (zstd 3, shuffle, mostly ocean).
STORED_SHARE = 0.25
# (cell, class) pairs per cell of a global grid, and their months predicted per second and member on one core: measured
# on the flagship recipe, as is what follows.
PAIRS_PER_CELL = 0.8
MONTHS_PER_SECOND = 160_000.0
# Seconds to read and regrid a month of drivers, per cell of the product grid, on one core.
SECONDS_PER_DRIVER_CELL = 5.4e-6
# Seconds to fit one member on one core: measured on the embedded recipe.
SECONDS_PER_FIT = 8.0
# Memory of a process before it holds data [bytes], copies of a region's densities that it holds at once, and copies of
# the class areas of a year that the first process holds while it makes them.
PROCESS_BYTES = 550_000_000
DENSITY_COPIES = 5
AREA_COPIES = 9

# Rule by which the flux answers changed drivers by structural equations.
EQUATIONS = "structural-equations-1"
# Rule by which a scenario leaves cells out: cell-months that its drivers take out of the area of applicability.
BLANKING = 1

Action = Literal["make", "publish", "done"]


@dataclass(frozen=True)
class YearPlan:
    """What happens to a year: `make` it, `publish` a finished one in the catalog, or nothing because it is `done`."""

    year: int
    action: Action
    reason: str


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Args:
        product: Product name.
        version: Version that receives the years.
        version_reason: Why it is this one.
        previous: The version that it replaces, None when it replaces none.
        scenario: Scenario name.
        store: Path of the Zarr group.
        model: Folder of the checkpoint.
        trained: Whether the checkpoint is there.
        years: What happens to every year.
        bytes: Predicted stored bytes of the years to make.
        peak_memory: Predicted peak memory of the largest process [bytes].
        seconds: Predicted time on one core [s].
        missing: Missing inputs, in words.
        doubts: Inputs that are not final and that the recipe accepts, in words.
        parts: Digests of everything that determines a cell besides the inputs of a year.
        inputs: Fingerprint of the inputs by year.
    """

    product: str
    version: int
    version_reason: str
    previous: int | None
    scenario: str
    store: Path
    model: Path
    trained: bool
    years: tuple[YearPlan, ...]
    bytes: int
    peak_memory: int
    seconds: float
    missing: tuple[str, ...]
    doubts: tuple[str, ...]
    parts: dict[str, str]
    inputs: dict[int, str]

    @property
    def complete(self) -> bool:
        """Whether there is nothing to do."""
        return not self.missing and all(y.action == "done" for y in self.years)

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return asdict(self) | {
            "store": str(self.store),
            "model": str(self.model),
            "complete": self.complete,
        }

    def in_words(self) -> str:
        """The plan as lines for people."""
        lines = [
            f"{self.product} v{self.version} ({self.version_reason}), scenario {self.scenario}"
        ]
        lines += [
            f"store  {self.store}",
            f"model  {self.model} ({'trained' if self.trained else 'to be trained'})",
        ]
        lines += [f"{y.year}   {y.action}: {y.reason}" for y in self.years]
        lines += [f"missing: {m}" for m in self.missing]
        lines += [f"not final: {d}" for d in self.doubts]
        if not self.complete:
            lines.append(
                f"about {self.bytes / 1e6:.1f} MB stored, {self.peak_memory / 1e9:.2f} GB memory in the largest "
                f"process, {self.seconds:.0f} s on one core"
            )
        return "\n".join(lines)


def plan(
    recipe: Recipe,
    workspace: Workspace,
    *,
    years: list[int] | None = None,
    scenario: str = "historical",
) -> Plan:
    """What `run` with the same arguments would do.

    Args:
        recipe: The recipe.
        workspace: Its folders.
        years: Years asked for; the recipe's period when None.
        scenario: A scenario of the recipe.

    Raises:
        RecipeError: The recipe has no such scenario, or no driver that it changes.
    """
    if scenario not in recipe.scenarios:
        raise RecipeError(
            "unknown scenario",
            where="--scenario",
            expected=", ".join(recipe.scenarios),
            found=scenario,
        )
    _refuse_absent(recipe, scenario)
    wanted = sorted(set(years or recipe.years))
    assembly = Assembly(recipe, workspace)
    inputs, missing = _inputs(assembly, wanted)
    model, trained, problems = model_of(recipe, workspace, assembly)
    missing += problems
    parts = parts_of(recipe, scenario, model_digest(recipe, model))
    decision = cube.next_version(
        workspace.output, recipe.product, cube.Identity(scenario, parts, inputs)
    )
    store = workspace.output / recipe.product / f"v{decision.version}" / f"{scenario}.zarr"
    listed = catalog.published_years(workspace.catalog, recipe.product, decision.version, scenario)
    planned = tuple(
        _year(y, y in decision.years, y in listed) for y in sorted({*inputs, *decision.years})
    )
    todo = sum(y.action == "make" for y in planned)
    return Plan(
        product=recipe.product,
        version=decision.version,
        version_reason=decision.reason,
        previous=decision.previous,
        scenario=scenario,
        store=store,
        model=model,
        trained=trained,
        years=planned,
        bytes=round(todo * _year_bytes(recipe) * STORED_SHARE),
        peak_memory=_peak_memory(recipe),
        seconds=_seconds(recipe, todo, trained),
        missing=tuple(dict.fromkeys(missing)),
        doubts=tuple(dict.fromkeys(d for y in wanted for d in assembly.doubts(y))),
        parts=parts,
        inputs=inputs,
    )


def _refuse_absent(recipe: Recipe, scenario: str) -> None:
    absent = sorted(set(recipe.scenarios[scenario].forced) - set(recipe.driver_names))
    if absent:
        raise RecipeError(
            "the scenario changes drivers that the recipe does not have",
            where=f"scenarios.{scenario}",
            expected=f"some of {', '.join(n for n in recipe.driver_names if n in DYNAMIC)}",
            found=", ".join(absent),
        )


def training_key(recipe: Recipe, assembly: Assembly) -> str:
    """The name of a checkpoint: a digest of everything that its training depends on."""
    training = recipe.training
    if training is None:
        raise RecipeError(
            "the recipe does not train a model", expected="the key 'training'", found="none"
        )
    years = range(training.period[0], training.period[1] + 1)
    told = recipe.model_dump(
        mode="json",
        include={"gas", "grid", "drivers", "gaps", "sites", "training", "discovery", "model"},
    )
    if recipe.simulation is not None:
        told["simulation"] = recipe.simulation.model_dump(mode="json")
    inputs = [assembly.tower_inputs()] + [assembly.inputs(y) for y in years]
    return sha256_json([__version__, told, recipe.spin_up, inputs])[:16]


def _inputs(assembly: Assembly, years: list[int]) -> tuple[dict[int, str], list[str]]:
    inputs, missing = {}, []
    for year in years:
        try:
            inputs[year] = sha256_json(assembly.inputs(year))
        except InputError as error:
            missing.append(str(error))
    return inputs, missing


def model_of(
    recipe: Recipe, workspace: Workspace, assembly: Assembly
) -> tuple[Path, bool, list[str]]:
    """Folder of the checkpoint, whether it is there, and what is missing to train it."""
    if isinstance(recipe.model, ModelCheckpoint):
        folder = workspace.resolve(recipe.model.checkpoint)
        return folder, True, [] if is_checkpoint(folder) else [f"checkpoint {folder}"]
    first, last = recipe.normals_period
    _, missing = _inputs(assembly, list(range(first, last + 1)))
    try:
        folder = workspace.models / f"{recipe.product}-{training_key(recipe, assembly)}"
    except InputError as error:
        return workspace.models / recipe.product, False, missing or [str(error)]
    return folder, is_checkpoint(folder), []


def is_checkpoint(folder: Path) -> bool:
    """Whether a checkpoint lies there; it is published whole or not at all."""
    return (folder / "checkpoint.json").is_file()


def model_digest(recipe: Recipe, folder: Path) -> str:
    """What tells a model from others: for one to be trained the name of its folder, else the digest of its document."""
    if isinstance(recipe.model, ModelCheckpoint) and is_checkpoint(folder):
        return sha256_file(folder / "checkpoint.json")[:16]
    return folder.name


def parts_of(recipe: Recipe, scenario: str, model: str) -> dict[str, str]:
    """Digests by name of what determines a cell; input files are counted by year."""
    told = recipe.resolved()
    return {
        "grid": sha256_json(told["grid"]),
        "gas": recipe.gas,
        "drivers": sha256_json([told["drivers"], recipe.spin_up, recipe.gaps]),
        "ecosystems": sha256_json(told["ecosystems"]),
        "model": model,
        "scenario": _scenario_digest(recipe, scenario),
        "format": template.FORMAT,
        "ch4grid": __version__,
    }


def _scenario_digest(recipe: Recipe, scenario: str) -> str:
    """Digest of what a scenario changes and of the rules for what lies beyond the training and for the response."""
    told, asked = recipe.resolved()["scenarios"][scenario], recipe.scenarios[scenario]
    if not asked.changes:
        return sha256_json(told)
    return sha256_json([told, BLANKING, *((EQUATIONS,) if asked.by_equations else ())])


def _year(year: int, owed: bool, listed: bool) -> YearPlan:
    if owed:
        return YearPlan(year, "make", "not in the ledger of this version")
    if not listed:
        return YearPlan(year, "publish", "in the store, not yet in the catalog")
    return YearPlan(year, "done", "published from the same inputs")


def _year_bytes(recipe: Recipe) -> int:
    rows, columns = recipe.product_grid.shape
    layers = 2 + len(layout.QUANTILES) + 2 * len(ECOSYSTEMS) + _members(recipe)
    return rows * columns * MONTHS * (layers * FLOAT_BYTES + 1)


def _members(recipe: Recipe) -> int:
    return recipe.members


def _peak_memory(recipe: Recipe) -> int:
    """Of the largest process: a worker with densities and drivers of a region, or the first with all class areas."""
    rows, columns = recipe.product_grid.shape
    cells = min(rows, TILE) * min(columns, TILE)
    densities = cells * MONTHS * len(ECOSYSTEMS) * _members(recipe) * FLOAT_BYTES
    drivers = cells * MONTHS * (1 + recipe.spin_up) * len(recipe.driver_names) * FLOAT_BYTES
    areas = rows * columns * MONTHS * len(ECOSYSTEMS) * FLOAT_BYTES * AREA_COPIES
    return PROCESS_BYTES + max(DENSITY_COPIES * densities + 2 * drivers, areas)


def _seconds(recipe: Recipe, years: int, trained: bool) -> float:
    rows, columns = recipe.product_grid.shape
    cells = rows * columns
    months = MONTHS * (years + recipe.spin_up) if years else 0
    read = months * cells * SECONDS_PER_DRIVER_CELL
    predict = years * cells * PAIRS_PER_CELL * MONTHS * _members(recipe) / MONTHS_PER_SECOND
    training = recipe.training
    fits = _members(recipe) + training.folds * training.fold_members if training else 0
    return read + predict + (0.0 if trained else fits * SECONDS_PER_FIT)
