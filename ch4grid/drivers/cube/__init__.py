"""The driver cube: drivers by month on the product grid, with a ledger, gap policies and revisions."""

from ch4grid.drivers.cube.store import DriverCube, Mapper, in_turn, open_cube

__all__ = ["DriverCube", "Mapper", "in_turn", "open_cube"]
