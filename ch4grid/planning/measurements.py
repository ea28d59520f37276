"""What earlier runs took, kept in one small file of the workspace's cache, and what the next plan learns from it.

A run leaves per stage how many tasks it had, their seconds, stored bytes and peak memory, and what the formulas without
any measurement gave for the very same tasks. The plan multiplies its formulas with the median over runs of measured by
computed; for memory it takes the largest, because too low a promise ends in a killed process. Runs of the same shape
count first; where there is none, those of a like size: the overhead of a small grid says nothing of a large one.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from ch4grid.metering import Meter
from ch4grid.planning.costs import Rates, Shape
from ch4grid.planning.tasks import FIT, PREDICT, READ, STAGES, StageTotal
from ch4grid.stores import Workspace, exclusive, write_json

FORMAT = 1
# Runs that are kept, the latest ones.
KEPT = 100
# Runs that a ratio is taken from, the latest of those that fit.
LATEST = 9
# Grids whose cells differ by more than this factor say nothing of each other.
LIKE_SIZE = 4.0
# Sizes besides the grid that must agree for a stage where no run of the whole shape is known.
NEEDED = {READ: ("sources",), FIT: ("architecture",), PREDICT: ("architecture",)}


@dataclass(frozen=True)
class StageMeasured:
    """A stage of a run as it was computed, predicted and measured; memory is that of the largest process.

    Args:
        tasks: Tasks that were done.
        computed: Seconds, bytes and peak memory by the formulas alone.
        predicted: The same as the plan of the run had them.
        measured: The same as they came out.
    """

    tasks: int
    computed: Mapping[str, float]
    predicted: Mapping[str, float]
    measured: Mapping[str, float]


@dataclass(frozen=True)
class Measurement:
    """What a run took.

    Args:
        product: Name of the product.
        shape: Sizes of the recipe.
        areas: Digest of grid and classes, with which the pairs of a region are the same.
        stages: By name.
        pairs: (cell, class) pairs by write region.
    """

    product: str
    shape: Shape
    areas: str
    stages: Mapping[str, StageMeasured]
    pairs: Mapping[str, int] = field(default_factory=dict)


def path_of(workspace: Workspace) -> Path:
    """The file of measurements of a workspace; it can be deleted at any time."""
    return workspace.cache / "measurements.json"


def read(workspace: Workspace) -> list[Measurement]:
    """Measurements of earlier runs, the latest last; none where there is no file or one that cannot be read.

    A file of another format is passed over: predictions are then those of the formulas.
    """
    try:
        document = json.loads(path_of(workspace).read_bytes())
        runs = document["runs"] if document["format"] == FORMAT else []
        return [_decoded(run) for run in runs]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def keep(workspace: Workspace, new: Measurement) -> None:
    """Add the measurement of a run.

    Raises:
        RunError: The cache cannot be written.
    """
    path = path_of(workspace)
    with exclusive(path.with_name(f".{path.name}.lock")):
        runs = [*read(workspace), new][-KEPT:]
        write_json(path, {"format": FORMAT, "runs": [asdict(run) for run in runs]})


def rates(known: Sequence[Measurement], shape: Shape, areas: str) -> Rates:
    """What measurements say about a recipe.

    Args:
        known: Measurements, the latest last.
        shape: Sizes of the recipe.
        areas: Digest of its grid and classes.
    """
    fitting = {stage: _fitting(known, stage, shape) for stage in STAGES}
    pairs: dict[str, int] = {}
    for run in known:
        pairs |= run.pairs if run.areas == areas else {}
    return Rates(
        seconds=_ratios(fitting, "seconds"),
        bytes=_ratios(fitting, "bytes"),
        memory={s: max(_of(rows, "peak_memory")) for s, rows in fitting.items() if rows},
        runs={s: len(rows) for s, rows in fitting.items() if rows},
        pairs=pairs,
    )


def measurement(
    product: str,
    shape: Shape,
    areas: str,
    meter: Meter,
    *,
    computed: Iterable[StageTotal],
    predicted: Iterable[StageTotal],
) -> Measurement:
    """What a run took, beside what it was thought to take.

    Args:
        product: Name of the product.
        shape: Sizes of the recipe.
        areas: Digest of its grid and classes.
        meter: What was measured.
        computed: Totals of the plan's tasks by the formulas alone.
        predicted: Totals of the plan's tasks as it had them.
    """
    formula = {t.stage: t for t in computed}
    stages = {
        t.stage: StageMeasured(
            tasks=t.new + t.recompute,
            computed=_numbers(formula[t.stage]),
            predicted=_numbers(t),
            measured=_numbers(meter.of(t.stage)),
        )
        for t in predicted
        if t.new + t.recompute and meter.of(t.stage).efforts
    }
    return Measurement(product, shape, areas, stages, dict(meter.of(PREDICT).pairs))


def _numbers(total: Any) -> dict[str, float]:
    return {n: getattr(total, n) for n in ("seconds", "bytes", "peak_memory")}


def _fitting(known: Sequence[Measurement], stage: str, shape: Shape) -> list[StageMeasured]:
    """The stage in the runs that say something about a shape."""
    rows = [run for run in known if stage in run.stages]
    same = [run for run in rows if run.shape == shape]
    alike = [run for run in rows if _alike(run.shape, shape, stage)]
    return [run.stages[stage] for run in (same or alike)[-LATEST:]]


def _alike(one: Shape, other: Shape, stage: str) -> bool:
    same = all(getattr(one, n) == getattr(other, n) for n in NEEDED.get(stage, ()))
    return same and 1 / LIKE_SIZE <= one.cells / other.cells <= LIKE_SIZE


def _ratios(fitting: Mapping[str, Sequence[StageMeasured]], name: str) -> dict[str, float]:
    found = {stage: _of(rows, name) for stage, rows in fitting.items()}
    return {stage: median(ratios) for stage, ratios in found.items() if ratios}


def _of(rows: Sequence[StageMeasured], name: str) -> list[float]:
    return [
        r.measured[name] / r.computed[name] for r in rows if r.computed[name] and r.measured[name]
    ]


def _decoded(run: Mapping[str, Any]) -> Measurement:
    stages = {name: StageMeasured(**told) for name, told in run["stages"].items()}
    return Measurement(**{**run, "shape": Shape(**run["shape"]), "stages": stages})
