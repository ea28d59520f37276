"""The planted product recipe as a benchmark: its files without a trained model, and one year of training."""

from pathlib import Path
from typing import Any

import planted_recipe

from ch4grid.stores import Workspace

# Changes to the recipe that make it quick to assemble.
ONE_YEAR: dict[str, Any] = {
    "model": {"architecture": "ridge"},
    "training": {"period": [2001, 2001]},
    "spin_up": 0,
}


def write(folder: Path) -> Workspace:
    """The files of the recipe, and the workspace around them."""
    for year in planted_recipe.YEARS:
        planted_recipe.write_drivers(folder, year)
    planted_recipe.write_areas(folder)
    planted_recipe.write_towers(folder)
    return Workspace(folder, folder / "products")
