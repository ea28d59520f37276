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

from ch4grid.cube.block import cell_block
from ch4grid.cube.publish import begin, create, finish, lock, repair_block, staged, write_block
from ch4grid.cube.staging import Record
from ch4grid.cube.template import ProductSpec
from ch4grid.cube.verify import Problem, verify

__all__ = [
    "Problem",
    "ProductSpec",
    "Record",
    "begin",
    "cell_block",
    "create",
    "finish",
    "lock",
    "repair_block",
    "staged",
    "verify",
    "write_block",
]
