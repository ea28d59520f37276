"""What people are told follows a store that lost years: catalog, budget table, page, report of changes, index."""

import json
import shutil
from pathlib import Path

from ch4grid import catalog, cube, ledger, publication
from ch4grid.recipe import Recipe
from ch4grid.stores import Workspace


def withdraw(recipe: Recipe, workspace: Workspace, store: Path, version: int) -> tuple[int, ...]:
    """Take years that the store does not hold any more out of the catalog; what is told of the others follows.

    Args:
        recipe: The recipe of the product.
        workspace: Its folders.
        store: The published store.
        version: Version of the store.

    Returns:
        The years, ascending; none where the output folder has no catalog.

    Raises:
        RunError: A folder cannot be written.
    """
    if not (workspace.catalog / "catalog.json").is_file():
        return ()
    where = (workspace.catalog, recipe.product, version, store.stem)
    with catalog.lock(workspace.catalog), catalog.open_store(store) as product:
        held = ledger.published_years(store)
        gone = tuple(y for y in catalog.published_years(*where) if y not in held)
        if gone:
            difference = _compared_again(store, version)
            publication.redraw(recipe, workspace, store, version, product, difference)
        for year in gone:
            catalog.withdraw(*where, year)
        _sweep(catalog.product_folder(workspace.catalog, recipe.product), version, store.stem)
    publication.write_index(workspace)
    return gone


def _compared_again(store: Path, version: int) -> Path | None:
    """The report of what changed since the version before, without the lost years; None where there is none."""
    for path in store.parent.glob(f"diff-v*-v{version}.{store.stem}.json"):
        report = json.loads(path.read_bytes())
        old = store.parents[1] / report["from"] / store.name
        return cube.write_difference(old, store, report["reason"])[0] if old.is_dir() else path
    return None


def _sweep(folder: Path, version: int, scenario: str) -> None:
    """Remove maps and logs of years that have no Item."""
    stem = f"{folder.name}-v{version}-{scenario}-"
    for path in folder.glob(f"{stem}*"):
        listed = (path / f"{path.name}.json").exists()
        if path.name.removeprefix(stem).isdigit() and not listed:
            shutil.rmtree(path)
