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
from ch4grid.cube.carrying import carry_block
from ch4grid.cube.creation import create, region_fraction
from ch4grid.cube.difference import write_difference
from ch4grid.cube.holding import busy, hold
from ch4grid.cube.inputs import fingerprint
from ch4grid.cube.inputs import record as record_inputs
from ch4grid.cube.inputs import recorded as recorded_inputs
from ch4grid.cube.metadata import mend_arrays, mend_group
from ch4grid.cube.publish import begin, finish, lock, tiles
from ch4grid.cube.recovery import settle
from ch4grid.cube.remote_verify import verify_remote
from ch4grid.cube.repair import (
    Damage,
    damage,
    damaged_regions,
    members_of,
    repair_block,
    repair_budget,
    repair_calendar,
    repair_statics,
)
from ch4grid.cube.retraction import Retraction, retractions, rollback, years_after
from ch4grid.cube.staging import Failure, Record, failures, write_failure
from ch4grid.cube.template import ProductSpec
from ch4grid.cube.verify import Problem, metadata_problems, verify
from ch4grid.cube.version import (
    ATTRIBUTION,
    Decision,
    Identity,
    attributes,
    next_version,
    versions,
)
from ch4grid.cube.writing import staged, write_block

__all__ = [
    "ATTRIBUTION",
    "OUTSIDE_TRAINING",
    "Damage",
    "Decision",
    "Failure",
    "Identity",
    "Problem",
    "ProductSpec",
    "Record",
    "Retraction",
    "attributes",
    "begin",
    "busy",
    "carry_block",
    "cell_block",
    "create",
    "damage",
    "damaged_regions",
    "failures",
    "fingerprint",
    "finish",
    "hold",
    "lock",
    "members_of",
    "mend_arrays",
    "mend_group",
    "metadata_problems",
    "next_version",
    "record_inputs",
    "recorded_inputs",
    "region_fraction",
    "repair_block",
    "repair_budget",
    "repair_calendar",
    "repair_statics",
    "retractions",
    "rollback",
    "settle",
    "staged",
    "tiles",
    "verify",
    "verify_remote",
    "versions",
    "weighted",
    "write_block",
    "write_difference",
    "write_failure",
    "years_after",
]
