"""What a published store says of itself: the recipe, parts, inputs and checkpoint that it was made from."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ch4grid import cube, ledger
from ch4grid.errors import InputError
from ch4grid.planning import is_checkpoint
from ch4grid.recipe import ModelCheckpoint, Recipe
from ch4grid.stores import Workspace, sha256_file


@dataclass(frozen=True)
class Origin:
    """A published store and what its attributes tell.

    Args:
        store: The store.
        workspace: Where its inputs, models and catalog lie.
        attributes: The attributes of the group.
        recipe: The recipe it was made from.
    """

    store: Path
    workspace: Workspace
    attributes: dict[str, Any]
    recipe: Recipe

    @property
    def scenario(self) -> str:
        """Name of the scenario."""
        return self.store.stem

    @property
    def version(self) -> int:
        """Number of the version."""
        return int(str(self.attributes["product_version"]).removeprefix("v"))

    @property
    def name(self) -> str:
        """Product, version and scenario in words."""
        return f"{self.recipe.product} v{self.version}, scenario {self.scenario}"

    @property
    def years(self) -> tuple[int, ...]:
        """Published years, ascending."""
        return ledger.published_years(self.store)

    @property
    def parts(self) -> dict[str, str]:
        """Digests of everything that determines a cell besides the inputs of a year."""
        return dict(json.loads(self.attributes["ch4grid_parts"]))

    @property
    def fingerprints(self) -> dict[int, str]:
        """Fingerprint of the inputs by published year."""
        return {int(y): d for y, d in json.loads(self.attributes["ch4grid_inputs"]).items()}

    @property
    def checkpoint(self) -> Path:
        """Folder where the checkpoint should lie."""
        if isinstance(self.recipe.model, ModelCheckpoint):
            return self.workspace.resolve(self.recipe.model.checkpoint)
        return self.workspace.models / self.parts["model"]

    def found_checkpoint(self) -> Path:
        """Folder of the checkpoint, once its digest is known to be the published one.

        Raises:
            InputError: It is gone or another one.
        """
        folder, expected = self.checkpoint, str(self.attributes["ch4grid_checkpoint"])
        found = sha256_file(folder / "checkpoint.json") if is_checkpoint(folder) else None
        if found == expected:
            return folder
        raise InputError(
            "the checkpoint of the product is another one"
            if found
            else "the checkpoint of the product is gone",
            where=folder,
            expected=f"checkpoint.json with sha256 {expected}",
            found=found or "no checkpoint.json",
            fix="Restore the folder, e.g. from the files that the catalog lists for the model; --data and --output say "
            "where it is looked for",
        )


def origin_of(store: Path, *, data: Path = Path(), output: Path | None = None) -> Origin:
    """What a published store says of itself.

    Args:
        store: The store.
        data: Where relative paths of its recipe start.
        output: Where models and catalog lie; the folder above the product when None.

    Raises:
        InputError: There is no published product, or its recipe is not one of this version of ch4grid.
    """
    store = store.absolute()
    if not ledger.published_years(store):
        raise InputError(
            "no published product here",
            where=store,
            expected=f"a folder ending in .zarr with {ledger.path_of(store).name} beside it",
            found="a folder without published years" if store.is_dir() else "no folder",
        )
    attributes = cube.attributes(store)
    try:
        recipe = Recipe.model_validate(json.loads(attributes["ch4grid_recipe"]))
    except (KeyError, ValueError, ValidationError) as error:
        raise InputError(
            "the recipe in the attributes cannot be read",
            where=store,
            expected=f"ch4grid_recipe as ch4grid {attributes.get('ch4grid_version')} wrote it",
            found=" ".join(str(error).split())[:200],
            fix=f"Use ch4grid {attributes.get('ch4grid_version')}",
        ) from error
    place = store.parents[2] if output is None else output.absolute()
    return Origin(store, Workspace(data=data.absolute(), output=place), attributes, recipe)
