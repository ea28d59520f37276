"""Workers come and go while a run lasts: one is killed over its task, another joins, and not a byte differs."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import planted_product as planted
import pytest
from distributed import LocalCluster
from test_end_to_end import objects, small_recipe

from ch4grid import cube
from ch4grid.cluster import WORKER_ENVIRONMENT, open_workers
from ch4grid.grid import Grid
from ch4grid.progress import silent
from ch4grid.recipe import load
from ch4grid.running import run
from ch4grid.stores import Workspace

GRID = Grid(10.0)
YEAR = 2001


class Job(NamedTuple):
    """One region to write, and where tasks tell which process does them."""

    store: Path
    tile: tuple[slice, slice]
    told: Path


class Disturbed:
    """A report that in every stage, when a task has ended, kills a worker over another one and has one more join."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.killed: dict[str, int] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage in self.killed or done == total:
            return
        busy = {w.address for w in self.cluster.scheduler.workers.values() if w.processing}
        nannies = [n for n in self.cluster.workers.values() if n.worker_address in busy]
        if nannies:
            self.killed[stage] = nannies[0].process.pid
            os.kill(self.killed[stage], signal.SIGKILL)
            self.cluster.scale(len(self.cluster.workers) + 1)


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    from dask import config

    with (
        config.set({"distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT}),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
        ) as opened,
    ):
        yield opened


def write(job: Job) -> int:
    """Tell the process, take long enough to be killed over it, write."""
    (job.told / f"{os.getpid()}-{time.monotonic_ns()}").touch()
    time.sleep(0.3)
    planted.write_tile(job.store, GRID, job.tile, YEAR, static=planted.planes(GRID))
    return os.getpid()


def test_a_store_has_the_same_bytes_when_a_writer_dies_and_another_joins(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    expected = planted.tree(planted.write_years(tmp_path / "calm", YEAR, grid=GRID).parent)
    spec, told = planted.spec(), tmp_path / "told"
    told.mkdir()
    store = planted.store_path(tmp_path / "disturbed")
    disturbed = Disturbed(cluster)
    with (
        cube.lock(store),
        open_workers(cluster.scheduler_address, disturbed) as workers,
    ):
        cube.create(store, spec, GRID, planted.planes(GRID))
        cube.begin(store, spec, {YEAR: f"i-{YEAR}"})
        # the same regions several times over: a region that is written twice must not differ either
        jobs = [Job(store, tile, told) for tile in GRID.tiles()] * 6
        by = workers.map("write", write, jobs)
        cube.finish(store, YEAR)
    assert len(by) == len(jobs)
    begun = {int(path.name.split("-")[0]) for path in told.iterdir()}
    assert disturbed.killed["write"] in begun
    assert len(begun) >= 3
    assert planted.tree(store.parent) == expected


@pytest.mark.slow
def test_a_run_ends_with_the_same_bytes_when_a_worker_dies_and_another_joins(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    made = {}
    disturbed = Disturbed(cluster)
    for name, spec, report in (
        ("calm", "local:1", silent),
        ("disturbed", cluster.scheduler_address, disturbed),
    ):
        folder = tmp_path / name
        folder.mkdir()
        recipe = load(small_recipe(folder, grid={"resolution": 1.0}))
        run(
            recipe,
            Workspace(data=folder, output=folder / "products"),
            cluster=spec,
            report=report,
        )
        made[name] = objects(folder / "products/ch4-small")
    assert disturbed.killed
    assert made["disturbed"] == made["calm"]
