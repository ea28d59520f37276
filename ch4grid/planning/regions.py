"""What happens to every write region of every year: predicted, predicted again, or left as an earlier run wrote it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ch4grid import ledger
from ch4grid.cube import Record, fingerprint, recorded_inputs, staging
from ch4grid.cube.objects import METADATA
from ch4grid.cube.staging import Slices
from ch4grid.cube.version import Decision, attributes
from ch4grid.planning import changes
from ch4grid.planning.document import YearPlan
from ch4grid.planning.tasks import COPY, PREDICT, Task, TaskAction, corners
from ch4grid.recipe import Recipe
from ch4grid.stores import Workspace, product_store

FINISHED = "finished by an earlier run from the same inputs"
UNCHANGED = "a region in which no value changed is copied"


@dataclass(frozen=True)
class Before:
    """What a version that is replaced, or a run that did not end, was made from.

    Args:
        told: Whose it was, in words.
        parts: Digests of its parts.
        inputs: Fingerprint of the inputs by year.
        files: SHA-256 of the input files by path, by year, of the years that have a record.
    """

    told: str
    parts: Mapping[str, str]
    inputs: Mapping[int, str]
    files: Mapping[int, Mapping[str, str]]


@dataclass(frozen=True)
class Regions:
    """The write regions of a plan.

    Args:
        recipe: The recipe.
        workspace: Its folders.
        store: The store that receives them.
        parts: Digests of the parts of the product.
        files: SHA-256 of the input files by path, by year.
    """

    recipe: Recipe
    workspace: Workspace
    store: Path
    parts: Mapping[str, str]
    files: Mapping[int, Mapping[str, str]]

    def tasks(self, years: tuple[YearPlan, ...], decision: Decision) -> Iterator[Task]:
        """One task per year and region; years that are whole are not looked into.

        Args:
            years: What happens to every year.
            decision: The version and the one that it replaces.
        """
        previous, begun = self._previous(decision), self._begun()
        for year in years:
            if year.action != "make":
                yield from self._all(year.year, "skip", year.reason)
            elif begun is not None and (staging.folder(self.store) / str(year.year)).is_dir():
                yield from self._resumed(year, previous, begun)
            elif previous is not None and self._unchanged(year.year, previous):
                yield from self._copied(year.year, previous)
            else:
                yield from self._all(year.year, *self._fresh(year, previous))

    def _all(self, year: int, action: TaskAction, why: str) -> Iterator[Task]:
        for tile in self.recipe.product_grid.tiles():
            yield _task(year, tile, action, why)

    def _unchanged(self, year: int, previous: Before) -> bool:
        """Whether the version before has the year from the same parts and files, so that its regions can be copied."""
        same = fingerprint(self.files.get(year, {})) == previous.inputs.get(year)
        return same and dict(previous.parts) == dict(self.parts)

    def _copied(self, year: int, previous: Before) -> Iterator[Task]:
        why = f"nothing of this year changed since {previous.told}"
        for tile in self.recipe.product_grid.tiles():
            yield replace(_task(year, tile, "new", why), stage=COPY)

    def _fresh(self, year: YearPlan, previous: Before | None) -> tuple[TaskAction, str]:
        """Of a year that no run has begun for this version."""
        if previous is None or year.year not in previous.inputs:
            return "new", year.reason
        why = self._changed(year.year, previous)
        told = f"{why or 'nothing of this year changed'} since {previous.told}"
        if dict(previous.parts) == dict(self.parts):
            told += f"; {UNCHANGED}"
        return "recompute", told

    def _resumed(self, year: YearPlan, previous: Before | None, begun: Before) -> Iterator[Task]:
        """Of a year that an earlier run has begun."""
        action, why = self._fresh(year, previous)
        inputs = fingerprint(self.files.get(year.year, {}))
        token = staging.cells_fingerprint(self.parts, inputs)
        for tile in self.recipe.product_grid.tiles():
            record = staging.read_record(self.store, year.year, tile)
            if record is None:
                yield _task(year.year, tile, action, why)
            elif record.inputs != token:
                changed = self._changed(year.year, begun) or "its inputs changed"
                yield _task(year.year, tile, "recompute", f"{changed} since {begun.told}")
            elif not _there(self.store, record):
                yield _task(year.year, tile, "recompute", "objects of it are gone or cut short")
            else:
                yield _task(year.year, tile, "skip", FINISHED)

    def _changed(self, year: int, before: Before) -> str:
        return changes.changed(
            year,
            parts=(before.parts, self.parts),
            old=before.inputs.get(year),
            known=before.files.get(year),
            files=self.files.get(year, {}),
        )

    def _previous(self, decision: Decision) -> Before | None:
        """The version that is replaced, if it has this scenario."""
        if decision.previous is None:
            return None
        scenario = self.store.stem
        store = product_store(
            self.workspace.output, self.recipe.product, decision.previous, scenario
        )
        if not (store / METADATA).is_file():
            return None
        told = attributes(store)
        years = ledger.published_years(store)
        inputs = {int(y): d for y, d in json.loads(told["ch4grid_inputs"]).items()}
        return Before(
            f"v{decision.previous}",
            json.loads(told["ch4grid_parts"]),
            {y: inputs[y] for y in years if y in inputs},
            recorded_inputs(store, inputs),
        )

    def _begun(self) -> Before | None:
        """The run that has begun this version and did not end."""
        if not (staging.folder(self.store) / "plan.json").is_file():
            return None
        found = staging.read_plan(self.store)
        files = recorded_inputs(self.store, found.inputs)
        return Before("the run that began it", found.spec.parts, found.inputs, files)


def _there(store: Path, record: Record) -> bool:
    """Whether the objects of a region are on disk in their size; the run itself checks their digests as well."""
    sizes = ((store / row.key, row.bytes) for row in record.rows)
    return all(path.is_file() and path.stat().st_size == size for path, size in sizes)


def _task(year: int, tile: Slices, action: TaskAction, why: str) -> Task:
    rows, columns = tile
    name = f"{year}, rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop}"
    return Task(PREDICT, name, action, why, year=year, tile=corners(tile))
