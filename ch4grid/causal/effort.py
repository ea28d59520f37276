"""What a discovery will cost: tests counted on the panel, times the seconds that a few of them take here and now."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ch4grid.causal.discovery import driver_links, laid_out, replicates_of, strata_of
from ch4grid.causal.preparation import Panel
from ch4grid.causal.prior import POOL
from ch4grid.causal.settings import Discovery

SECONDS_PER_MINUTE = 60


@dataclass(frozen=True)
class Effort:
    """The cost of a discovery.

    Args:
        strata: Groups of sites that are asked for: the pool, classes, long sites alone.
        tests: Links into the flux and among drivers that are tested, over all strata and replicates; each takes
            several conditional tests.
        seconds: Time on one core as extrapolated from `calibrated_on` replicates [s].
        calibrated_on: Replicates that were run for the estimate.
    """

    strata: int
    tests: int
    seconds: float
    calibrated_on: int

    def told(self, workers: int = 1) -> str:
        """The effort in words.

        Args:
            workers: Cores that share the work.
        """
        share = self.seconds / max(workers, 1)
        span = (
            f"{share:.0f} s"
            if share < 2 * SECONDS_PER_MINUTE
            else f"{share / SECONDS_PER_MINUTE:.0f} min"
        )
        return (
            f"{self.tests} tests of links in {self.strata} groups of towers, about {span} on {workers}"
            f" core{'s' if workers > 1 else ''}, extrapolated from {self.calibrated_on} replicates"
        )


def estimate(panel: Panel, *, ecosystems: Sequence[str], config: Discovery) -> Effort:
    """The effort of `gather` on a panel, by running one replicate of the drivers, the pool and one class or site.

    A replicate's time grows with the rows of its stratum and a fixed cost of its tests, so the pool and the smallest
    stratum fix a line between them.

    Args:
        panel: The panel.
        ecosystems: Classes that would be asked for.
        config: How causes would be discovered.
    """
    count = len(panel.variables) - 1
    if not panel.sites or count < 1:
        return Effort(0, 0, 0.0, 0)
    strata = strata_of(panel, ecosystems, config)
    data, start = laid_out(panel, config), time.perf_counter()
    _, lagged = driver_links(data, np.ones(len(data.rows.site)), config)
    drivers_took = time.perf_counter() - start
    sizes = np.array([len(s.members) for s in strata], dtype=np.float64)
    largest, smallest = int(np.argmax(sizes)), int(np.argmin(sizes))
    took = {}
    for at in {largest, smallest}:
        start = time.perf_counter()
        replicates_of(data, lagged, config, 0, strata[at]._replace(replicates=(0,)))
        took[at] = time.perf_counter() - start
    slope = 0.0
    if largest != smallest:
        slope = (took[largest] - took[smallest]) / max(sizes[largest] - sizes[smallest], 1.0)
    each = np.maximum(took[smallest] + slope * (sizes - sizes[smallest]), 0.0)
    groups = {POOL, *ecosystems}
    runs = np.array(
        [config.bootstraps if s.name in groups else config.site_bootstraps for s in strata]
    )
    links = count * (config.reach + 1)
    return Effort(
        strata=len(strata),
        tests=int(links * (runs + 1).sum() + count * links * (config.driver_bootstraps + 1)),
        seconds=float((each * (runs + 1)).sum() + drivers_took * (config.driver_bootstraps + 1)),
        calibrated_on=1 + len(took),
    )
