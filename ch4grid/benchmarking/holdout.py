"""Towers kept back: a folder in the layout of a recipe's own site source, read in place of it."""

from pathlib import Path, PurePosixPath
from typing import Any

import xarray as xr

from ch4grid.assembly import Assembly
from ch4grid.benchmarking.experiment import chosen, tower_samples
from ch4grid.benchmarking.recipe import BenchmarkRecipe
from ch4grid.errors import InputError, RecipeError
from ch4grid.recipe import Recipe
from ch4grid.sites import SiteSource
from ch4grid.stores import Workspace

# Keys of a site source that are paths.
PATHS = ("path", "sites")


def held_back(
    recipe: BenchmarkRecipe, product: Recipe | None, folder: Path, workspace: Workspace
) -> xr.Dataset:
    """The towers of a folder as samples, with the predictors of the recipe.

    Args:
        recipe: The benchmark.
        product: The product recipe that it rests on, if any; gridded drivers then come from the workspace.
        folder: Towers in the layout of the recipe's site source: either the folder that its paths begin with, or one
            that holds it.
        workspace: Its folders.

    Raises:
        InputError: The folder or a file in it is missing, or no tower has a measured month.
        RecipeError: The recipe's towers come from no files.
    """
    refuse_absent(folder)
    own = recipe.sites if product is None else product.sites
    sources = tuple(relocated(source, folder) for source in own)
    if product is None:
        samples = tower_samples(recipe, sources, workspace)
    else:
        there = product.model_copy(update={"sites": sources})
        samples = Assembly(there, workspace).samples()
    return chosen(samples, recipe, recipe.gas_row)


def refuse_absent(folder: Path) -> None:
    """Refuse a folder that is not there.

    Raises:
        InputError: It is not there.
    """
    if not folder.is_dir():
        raise InputError(
            "no such folder", where="--holdout", expected="a folder of towers", found=folder
        )


def relocated(source: SiteSource, folder: Path) -> SiteSource:
    """The site source with its files in another folder.

    Raises:
        RecipeError: The source reads no files.
    """
    document = source.model_dump(mode="json")
    if not any(key in document for key in PATHS):
        raise RecipeError(
            "the recipe's towers come from no files, so that none can be held back in a folder",
            where="--holdout",
            expected="a site source with a path",
            found=document["source"],
        )
    return type(source).model_validate(_moved(document, folder.absolute()), strict=False)


def _moved(value: Any, folder: Path) -> Any:
    """The document with every path below the folder."""
    if isinstance(value, dict):
        return {
            k: _below(v, folder) if k in PATHS and isinstance(v, str) else _moved(v, folder)
            for k, v in value.items()
        }
    return value


def _below(path: str, folder: Path) -> str:
    """A relative path in a folder that either holds its first part or is it."""
    pure = PurePosixPath(path)
    inside = pure if len(pure.parts) < 2 or (folder / pure.parts[0]).exists() else None
    rest = inside if inside is not None else PurePosixPath(*pure.parts[1:])
    return (folder / rest).as_posix()
