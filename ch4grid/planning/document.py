"""The plan as a value: what a run would do and why, as JSON and in words, with a digest of what it rests on."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from ch4grid.planning.costs import Shape
from ch4grid.planning.tasks import Task, by_stage, largest
from ch4grid.stores import sha256_json

Action = Literal["make", "publish", "done"]

FORMAT = 1
# What a digest of a plan covers: what determines the product, not how far its making is or what it is thought to cost.
IDENTITY = ("product", "version", "scenario", "parts", "recipe", "inputs", "files")


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
        tasks: Every piece of work, also what need not be done.
        learned: Measured runs from which costs are predicted, by stage; stages without one go by formulas.
        missing: Missing inputs, in words.
        doubts: Inputs that are not final and that the recipe accepts, in words.
        parts: Digests of everything that determines a cell besides the inputs of a year.
        recipe: Digests of the recipe's keys, defaults filled in.
        inputs: Fingerprint of the inputs by year.
        files: SHA-256 of every input file; paths are relative to the data folder.
        shape: The sizes that costs grow with.
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
    tasks: tuple[Task, ...]
    learned: Mapping[str, int]
    missing: tuple[str, ...]
    doubts: tuple[str, ...]
    parts: dict[str, str]
    recipe: dict[str, str]
    inputs: dict[int, str]
    files: dict[str, str]
    shape: Shape

    @property
    def bytes(self) -> int:
        """Predicted stored bytes of all tasks: the product, its pages, and what is kept in the cache."""
        return sum(t.bytes for t in self.tasks)

    @property
    def peak_memory(self) -> int:
        """Predicted peak memory of the largest process [bytes]."""
        return largest(self.tasks)

    @property
    def seconds(self) -> float:
        """Predicted time of all tasks on one core [s]."""
        return sum(t.seconds for t in self.tasks)

    @property
    def complete(self) -> bool:
        """Whether there is nothing to do."""
        return not self.missing and all(y.action == "done" for y in self.years)

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the product, as JSON values."""
        return {n: getattr(self, n) for n in IDENTITY} | {
            "inputs": {str(y): d for y, d in self.inputs.items()}
        }

    @property
    def digest(self) -> str:
        """SHA-256 of what determines the product: the same for the same recipe and inputs, whatever is done of it."""
        return digest_of(self.identity)

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON values."""
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        return told | {
            "format": FORMAT,
            "digest": self.digest,
            "store": str(self.store),
            "model": str(self.model),
            "years": [vars(y) for y in self.years],
            "bytes": self.bytes,
            "peak_memory": self.peak_memory,
            "seconds": self.seconds,
            "complete": self.complete,
            "stages": [vars(s) for s in by_stage(self.tasks)],
            "tasks": [t.as_dict() for t in self.tasks],
            "learned": dict(self.learned),
            "shape": vars(self.shape),
        }

    def in_words(self) -> str:
        """The plan as lines for people."""
        lines = [
            f"{self.product} v{self.version} ({self.version_reason}), scenario {self.scenario}",
            f"plan   {self.digest[:16]}",
            f"store  {self.store}",
            f"model  {self.model} ({'trained' if self.trained else 'to be trained'})",
        ]
        lines += [f"{y.year}   {y.action}: {y.reason}" for y in self.years]
        lines += [f"missing: {m}" for m in self.missing]
        lines += [f"not final: {d}" for d in self.doubts]
        if not self.complete:
            lines += self._stages_in_words()
        return "\n".join(lines)

    def _stages_in_words(self) -> list[str]:
        """A table of the stages, why tasks are done again or skipped, and the total."""
        form = "{:<18}{:>7}{:>7}{:>7}{:>11}{:>13}{:>13}   {}"
        lines = [
            form.format("stage", "new", "again", "skip", "seconds", "stored", "memory", "from")
        ]
        for s in by_stage(self.tasks):
            runs = self.learned.get(s.stage, 0)
            lines.append(
                form.format(
                    s.stage,
                    s.new,
                    s.recompute,
                    s.skip,
                    f"{s.seconds:.0f}",
                    f"{s.bytes / 1e6:.1f} MB",
                    f"{s.peak_memory / 1e9:.2f} GB",
                    f"{runs} measured run{'s' * (runs > 1)}" if runs else "formulas",
                )
            )
        again = dict.fromkeys((t.stage, t.why) for t in self.tasks if t.action == "recompute")
        lines += [f"{stage}, again: {why}" for stage, why in again]
        lines.append(
            f"about {self.bytes / 1e6:.1f} MB stored, {self.peak_memory / 1e9:.2f} GB memory in the largest "
            f"process, {self.seconds:.0f} s on one core"
        )
        return lines


def digest_of(identity: Mapping[str, Any]) -> str:
    """SHA-256 of what a plan rests on, given as JSON values."""
    return sha256_json(dict(identity))
