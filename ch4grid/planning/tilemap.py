"""A plan as a map: one polygon per write region, as GeoJSON (RFC 7946) that any GIS opens."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ch4grid.grid import Grid
from ch4grid.planning.document import Plan
from ch4grid.planning.tasks import PREDICT, Corners, Task, corners, strongest
from ch4grid.stores import write_atomic


def write(plan: Plan, grid: Grid, path: Path) -> None:
    """Write the map of a plan's write regions.

    Raises:
        RunError: The folder cannot be written.
    """
    write_atomic(path, (json.dumps(tile_map(plan, grid), indent=1) + "\n").encode())


def tile_map(plan: Plan, grid: Grid) -> dict[str, Any]:
    """A FeatureCollection with one polygon per write region [degrees_east, degrees_north].

    Its properties: rows and columns, the years, the strongest action and those of every year with their reasons,
    predicted stored bytes, seconds on one core and peak memory [bytes] of what is owed, (cell, class) pairs of a year.
    """
    mine: dict[Corners, list[Task]] = {corners(t): [] for t in grid.tiles()}
    for task in plan.tasks:
        if task.stage == PREDICT and task.tile is not None:
            mine[task.tile].append(task)
    return {
        "type": "FeatureCollection",
        "features": [_feature(grid, tile, tasks) for tile, tasks in mine.items()],
    }


def _feature(grid: Grid, tile: Corners, tasks: Sequence[Task]) -> dict[str, Any]:
    top, bottom, left, right = tile
    south, north = grid.latitude_bounds[top, 0], grid.latitude_bounds[bottom - 1, 1]
    west, east = grid.longitude_bounds[left, 0], grid.longitude_bounds[right - 1, 1]
    # exterior rings run counterclockwise and end where they begin (RFC 7946, 3.1.6)
    ring = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return {
        "type": "Feature",
        "id": f"{top}-{left}",
        "bbox": [float(v) for v in (west, south, east, north)],
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[float(x), float(y)] for x, y in ring]],
        },
        "properties": {
            "rows": [top, bottom],
            "columns": [left, right],
            "years": [t.year for t in tasks],
            "action": strongest(t.action for t in tasks),
            "actions": {str(t.year): f"{t.action}: {t.why}" for t in tasks},
            "bytes": sum(t.bytes for t in tasks),
            "seconds": sum(t.seconds for t in tasks),
            "peak_memory": max((t.peak_memory for t in tasks), default=0),
            "pairs": max((t.pairs for t in tasks), default=0),
        },
    }
