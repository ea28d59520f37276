"""What a piece of work costs: bytes, peak memory and seconds by formulas of its size, times what earlier runs taught.

A formula says how a cost grows with cells, members, drivers and pairs. Its constants were measured once, on one
machine; `Rates` holds the ratios of measured to computed costs, by stage, with which the formulas are multiplied.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ch4grid.cube import layout
from ch4grid.planning.tasks import AREAS, COPY, FIT, PREDICT, PUBLISH, READ, Corners, Task, label
from ch4grid.vocabulary import ECOSYSTEMS

MONTHS = 12
FLOAT_BYTES = 4
# Stored share of the raw bytes of a product: measured on the embedded recipe (zstd 3, shuffle, mostly ocean).
STORED_SHARE = 0.25
# (cell, class) pairs per cell of a global grid, and their months predicted per second and member on one core: measured
# on the flagship recipe.
PAIRS_PER_CELL = 0.8
MONTHS_PER_SECOND = 130_000.0
# Seconds per cell on one core: to read and regrid a month of drivers, to bring a year of a region to the product's
# variables and write it, to make the class areas of a year, to read a year back and tell of it. Measured on the
# flagship recipe.
SECONDS_PER_DRIVER_CELL = 1.4e-6
SECONDS_PER_CELL_WRITTEN = 1e-4
SECONDS_PER_AREA_CELL = 7e-5
SECONDS_PER_CELL_PUBLISHED = 2.4e-5
# What a month of MODIS climate modelling grids takes besides, whatever the product's grid: seconds, and copies of one
# of its planes of 0.05 degrees. Measured on the flagship recipe.
SECONDS_PER_CMG_MONTH = 1.7
CMG_COPIES = 4
CMG_CELLS = 3600 * 7200
# Seconds to compare a region with the version before and copy it, and per cell of it: measured on a twin of 10 degrees.
SECONDS_PER_COPY = 0.1
SECONDS_PER_CELL_COPIED = 2e-5
# Seconds to fit one member on one core, its share of discovery included: measured on the embedded recipe.
SECONDS_PER_FIT = 8.0
# Seconds that a month, the areas of a year and a region take however small they are, and that the pages and the catalog
# of a year take: measured on a twin of 10 degrees.
SECONDS_PER_MONTH = 0.2
SECONDS_PER_AREAS = 0.3
SECONDS_PER_REGION = 1.0
SECONDS_PER_PAGE = 1.5
# Memory of a process before it holds data: one that reads drivers, and one that has loaded models; what a fit takes
# beyond that [bytes]. Measured on a twin of 10 degrees.
READER_BYTES = 400_000_000
PROCESS_BYTES = 800_000_000
FIT_BYTES = 150_000_000
# Copies that are held at once: of a region's densities, of the class areas of a year while they are made, of its
# densities while it is published. Measured on the flagship recipe.
DENSITY_COPIES = 7
AREA_COPIES = 8
PUBLISHED_COPIES = 4
# Copies of the shares of all cells in the regions that a recipe adds, held while they are joined and written.
SHARE_COPIES = 3
DOUBLE_BYTES = 8
# Stored bytes of a fitted member, and of the page, table and pictures of a year: measured on the embedded recipe.
MEMBER_BYTES = 100_000
PAGE_BYTES = 300_000
# Stored bytes of the page's map and series of a year per cell of the grid: measured at 0.25 degrees.
MAP_BYTES = 60
# Bytes per cell and month of a driver cube beside its drivers: valid fraction, two words of bits, status.
MARK_BYTES = 13


@dataclass(frozen=True)
class Shape:
    """The sizes that costs grow with.

    Args:
        cells: Cells of the product grid.
        members: Ensemble members.
        drivers: Gridded predictors.
        spin_up: Years of drivers before a predicted year.
        architecture: Name of the model's architecture.
        sources: Kinds of the driver sources, sorted, with a comma between them.
        regions: Regions that the recipe adds, of which the first process holds the shares of all cells.
    """

    cells: int
    members: int
    drivers: int
    spin_up: int
    architecture: str
    sources: str
    regions: int = 0


@dataclass(frozen=True)
class Rates:
    """Ratios of measured to computed costs by stage; a stage that was not measured has none and keeps its formula.

    Args:
        seconds: Of time.
        bytes: Of stored bytes.
        memory: Of the peak memory.
        runs: Measured runs that they come from, by stage.
        pairs: (cell, class) pairs by write region, as counted in the last run with the same grid and areas.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    bytes: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)
    runs: Mapping[str, int] = field(default_factory=dict)
    pairs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """What a task costs: stored bytes, peak memory of its process [bytes], seconds on one core, pairs it predicts."""

    bytes: int = 0
    peak_memory: int = 0
    seconds: float = 0.0
    pairs: int = 0


@dataclass(frozen=True)
class Costs:
    """Costs of the tasks of a recipe.

    Args:
        shape: Its sizes.
        rates: What earlier runs taught.
    """

    shape: Shape
    rates: Rates = Rates()

    def of(self, task: Task) -> Task:
        """A task with its cost; one that is skipped costs nothing."""
        if task.stage in (COPY, PREDICT) and task.tile is not None:
            cost = self.predict(task.tile) if task.stage == PREDICT else self.copy(task.tile)
        else:
            cost = {
                READ: self.read,
                AREAS: self.areas,
                FIT: self.fit,
                PUBLISH: self.publish,
            }[task.stage]()
        if not task.owed:
            return replace(task, pairs=cost.pairs)
        return replace(task, **vars(cost))

    def read(self) -> Cost:
        """A month of drivers."""
        plane = self.shape.cells * self.shape.drivers * FLOAT_BYTES
        fine = "modis" in self.shape.sources.split(",")
        return self._cost(
            READ,
            stored=plane + self.shape.cells * MARK_BYTES,
            held=2 * plane + fine * CMG_COPIES * CMG_CELLS * FLOAT_BYTES,
            seconds=SECONDS_PER_MONTH
            + fine * SECONDS_PER_CMG_MONTH
            + self.shape.cells * SECONDS_PER_DRIVER_CELL,
        )

    def areas(self) -> Cost:
        """The class areas of a year."""
        raw = self.shape.cells * MONTHS * len(ECOSYSTEMS) * FLOAT_BYTES
        shares = self.shape.cells * self.shape.regions * DOUBLE_BYTES * SHARE_COPIES
        return self._cost(
            AREAS,
            stored=raw,
            held=max(raw * AREA_COPIES, shares),
            seconds=SECONDS_PER_AREAS + self.shape.cells * SECONDS_PER_AREA_CELL,
        )

    def fit(self) -> Cost:
        """One member, its share of discovery included."""
        return self._cost(
            FIT, stored=MEMBER_BYTES / STORED_SHARE, held=FIT_BYTES, seconds=SECONDS_PER_FIT
        )

    def predict(self, tile: Corners) -> Cost:
        """A write region of a year."""
        cells = size(tile)
        pairs = self.rates.pairs.get(label(tile), round(cells * PAIRS_PER_CELL))
        densities = cells * MONTHS * len(ECOSYSTEMS) * self.shape.members * FLOAT_BYTES
        years = 1 + self.shape.spin_up
        drivers = cells * MONTHS * years * self.shape.drivers * FLOAT_BYTES
        months = pairs * MONTHS * self.shape.members
        return self._cost(
            PREDICT,
            stored=cells * _bytes_per_cell(self.shape.members),
            held=DENSITY_COPIES * densities + 2 * drivers,
            seconds=SECONDS_PER_REGION
            + months / MONTHS_PER_SECOND
            + cells * SECONDS_PER_CELL_WRITTEN,
            pairs=pairs,
        )

    def copy(self, tile: Corners) -> Cost:
        """A write region of a year, compared with the version before and copied."""
        cells = size(tile)
        drivers = cells * MONTHS * (1 + self.shape.spin_up) * self.shape.drivers * FLOAT_BYTES
        return self._cost(
            COPY,
            stored=cells * _bytes_per_cell(self.shape.members),
            held=2 * drivers,
            seconds=SECONDS_PER_COPY + cells * SECONDS_PER_CELL_COPIED,
            pairs=self.rates.pairs.get(label(tile), round(cells * PAIRS_PER_CELL)),
        )

    def publish(self) -> Cost:
        """A year: read back, entered in the catalog, drawn."""
        raw = self.shape.cells * MONTHS * len(ECOSYSTEMS) * FLOAT_BYTES
        return self._cost(
            PUBLISH,
            stored=(PAGE_BYTES + MAP_BYTES * self.shape.cells) / STORED_SHARE,
            held=PUBLISHED_COPIES * raw,
            seconds=SECONDS_PER_PAGE + self.shape.cells * SECONDS_PER_CELL_PUBLISHED,
        )

    def _cost(
        self, stage: str, *, stored: float, held: float, seconds: float, pairs: int = 0
    ) -> Cost:
        """The formula's cost times what earlier runs taught; `stored` counts before compression."""
        rates, empty = self.rates, READER_BYTES if stage == READ else PROCESS_BYTES
        return Cost(
            bytes=round(stored * STORED_SHARE * rates.bytes.get(stage, 1.0)),
            peak_memory=round((empty + held) * rates.memory.get(stage, 1.0)),
            seconds=seconds * rates.seconds.get(stage, 1.0),
            pairs=pairs,
        )


def size(tile: Corners) -> int:
    """Cells of a write region."""
    return (tile[1] - tile[0]) * (tile[3] - tile[2])


def _bytes_per_cell(members: int) -> int:
    """Raw bytes of a year of the product per cell."""
    layers = 2 + len(layout.QUANTILES) + 2 * len(ECOSYSTEMS) + members
    return MONTHS * (layers * FLOAT_BYTES + 1)
