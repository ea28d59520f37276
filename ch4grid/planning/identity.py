"""What a product is determined by: digests of the recipe, its model and its inputs."""

from pathlib import Path

from ch4grid import __version__, budgets
from ch4grid.assembly import Assembly
from ch4grid.cube import template
from ch4grid.errors import InputError, RecipeError
from ch4grid.recipe import ModelCheckpoint, Recipe
from ch4grid.stores import Workspace, sha256_file, sha256_json

# Rule by which the flux answers changed drivers by structural equations.
EQUATIONS = "structural-equations-1"
# Rule by which a scenario leaves cells out: cell-months that its drivers take out of the area of applicability.
BLANKING = 1


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


def inputs_of(assembly: Assembly, years: list[int]) -> tuple[dict[int, dict[str, str]], list[str]]:
    """Input files of years with their SHA-256, for those that have all, and what is missing, in words."""
    found: dict[int, dict[str, str]] = {}
    missing = []
    for year in years:
        try:
            found[year] = assembly.inputs(year)
        except InputError as error:
            missing.append(str(error))
    return found, missing


def regions_of(assembly: Assembly) -> tuple[dict[str, str], int, list[str]]:
    """Digest of the regions that the recipe adds, their number, and what is missing; no digest where it adds none."""
    if not assembly.recipe.regions:
        return {}, 0, []
    try:
        added = len(assembly.region_names()) - len(budgets.BANDS)
        return {"regions": sha256_json(assembly.region_inputs())}, added, []
    except InputError as error:
        return {"regions": ""}, 0, [str(error)]


def model_of(
    recipe: Recipe, workspace: Workspace, assembly: Assembly
) -> tuple[Path, bool, list[str]]:
    """Folder of the checkpoint, whether it is there, and what is missing to train it."""
    if isinstance(recipe.model, ModelCheckpoint):
        folder = workspace.resolve(recipe.model.checkpoint)
        return folder, True, [] if is_checkpoint(folder) else [f"checkpoint {folder}"]
    first, last = recipe.normals_period
    _, missing = inputs_of(assembly, list(range(first, last + 1)))
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


def recipe_digests(recipe: Recipe) -> dict[str, str]:
    """Digest of every key of a recipe, defaults filled in."""
    return {key: sha256_json(value)[:16] for key, value in recipe.resolved().items()}
