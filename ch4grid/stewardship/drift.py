"""What moved since a store was published: which input file, setting or version, and which years it makes stale."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ch4grid import __version__, cube
from ch4grid.assembly import Assembly
from ch4grid.cube.template import FORMAT
from ch4grid.errors import InputError
from ch4grid.planning import model_digest, model_of, parts_of, regions_of
from ch4grid.planning.saved import changed_files
from ch4grid.stewardship.origin import Origin


@dataclass(frozen=True)
class Change:
    """One thing that moved.

    Args:
        what: It in words.
        years: Published years that it makes stale.
    """

    what: str
    years: tuple[int, ...]


def moved_inputs(origin: Origin, assembly: Assembly, years: Iterable[int]) -> list[Change]:
    """Input files that are gone, new or other than those that the years were made from.

    Args:
        origin: The store.
        assembly: The inputs of its recipe as they are now.
        years: Published years to look at.
    """
    published = origin.fingerprints
    recorded = cube.recorded_inputs(origin.store, published)
    stale: dict[str, list[int]] = {}
    for year in years:
        try:
            now = assembly.inputs(year)
        except InputError as error:
            stale.setdefault(str(error).rstrip("."), []).append(year)
            continue
        if cube.fingerprint(now) == published[year]:
            continue
        known = recorded.get(year)
        told = (
            ["the input files changed; which of them is not known, the product has no record"]
            if known is None
            else changed_files(known, now)
        )
        for what in told:
            stale.setdefault(what, []).append(year)
    return [Change(what, tuple(found)) for what, found in stale.items()]


def moved_parts(origin: Origin, checkpoint: Path | None, years: tuple[int, ...]) -> list[Change]:
    """Parts of the recipe, of the model and of ch4grid that are not those of the store.

    Args:
        origin: The store.
        checkpoint: Folder of the checkpoint to compare with; None for the one that a run would take now.
        years: Published years, all of which a change makes stale.
    """
    recipe, old = origin.recipe, origin.parts
    folder, assembly = checkpoint, Assembly(recipe, origin.workspace)
    if folder is None:
        folder = model_of(recipe, origin.workspace, assembly)[0]
    regions = regions_of(assembly)[0]
    new = parts_of(recipe, origin.scenario, model_digest(recipe, folder)) | regions
    told = {
        "ch4grid": f"ch4grid is {__version__} now, the product is of {old.get('ch4grid')}",
        "format": f"the format of products is {FORMAT} now, this one has {old.get('format')}",
        "model": f"the model is {new['model']} now, the product is of {old.get('model')}: "
        "towers, drivers of the training years or the checkpoint changed",
    }
    return [
        Change(told.get(name, f"the part {name!r} of the recipe means something else now"), years)
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
