"""The product on disk: a Zarr v3 store that grows by whole years and never shows half of one.

with lock(store):
    create(store, spec, grid, planes)
    begin(store, spec, {year: fingerprint})
    for tile in grid.tiles():                                        # in any worker, any order
        if staged(store, year, tile) is None:
            block = cell_block(flux, grid, tile)
            write_block(store, block, budget, year=year, tile=tile)
    finish(store, year)
"""

from ch4grid.cube.blanking import ATTRIBUTE as OUTSIDE_TRAINING
from ch4grid.cube.block import cell_block, weighted
from ch4grid.cube.creation import create, region_fraction
from ch4grid.cube.difference import write_difference
from ch4grid.cube.publish import begin, finish, lock, staged, write_block
from ch4grid.cube.remote_verify import verify_remote
from ch4grid.cube.repair import (
    damaged_regions,
    repair_block,
    repair_budget,
    repair_calendar,
    repair_statics,
    rollback,
)
from ch4grid.cube.staging import Record
from ch4grid.cube.template import ProductSpec
from ch4grid.cube.verify import Problem, verify
from ch4grid.cube.version import ATTRIBUTION, Decision, Identity, next_version

__all__ = [
    "ATTRIBUTION",
    "OUTSIDE_TRAINING",
    "Decision",
    "Identity",
    "Problem",
    "ProductSpec",
    "Record",
    "begin",
    "cell_block",
    "create",
    "damaged_regions",
    "finish",
    "lock",
    "next_version",
    "region_fraction",
    "repair_block",
    "repair_budget",
    "repair_calendar",
    "repair_statics",
    "rollback",
    "staged",
    "verify",
    "verify_remote",
    "weighted",
    "write_block",
    "write_difference",
]
