"""Where tasks run: Dask workers on this machine, in a queue or behind an address, and one ordered map over them."""

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from ch4grid import batch
from ch4grid.errors import RecipeError, RunError
from ch4grid.metering import Effort, Meter, measured
from ch4grid.progress import Report

T = TypeVar("T")
R = TypeVar("R")

# Maps that count to a stage of a plan wherever they run; others to the stage around them, if there is one.
STAGES = {
    "read drivers": "read drivers",
    "fill drivers": "read drivers",
    "copy unchanged regions": "copy unchanged regions",
    "predict regions": "predict regions",
}
# How the address of a scheduler begins.
ADDRESSES = ("tcp://", "tls://", "ws://", "wss://")
# Seconds within which a scheduler at an address must answer.
CONNECT_TIMEOUT = 20

# One thread per process. Dask tells glibc to hand memory back beyond 64 kB, which makes every step of a fit fault its
# pages in again: half of the time was spent in the kernel. Freed memory up to 1 GiB stays with the worker instead.
WORKER_ENVIRONMENT = {
    "DASK_LOGGING__DISTRIBUTED": "critical",
    "OMP_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
}


class Workers:
    """Dask workers that map a function over items, in order, report as tasks end, and measure what they take."""

    def __init__(self, client: Any, report: Report) -> None:
        self.client = client
        self.report = report
        self.meter = Meter()

    def map(self, stage: str, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Results of `function` for every item, in the order of the items.

        Args:
            stage: What is reported while it runs.
            function: A module-level function; it travels to the workers by name.
            items: Arguments, each small enough to be sent.

        Raises:
            RunError: A worker died over a task.
            Exception: The first exception of a task, unchanged.
        """

        def stop(_: T, failure: Exception) -> None:
            raise failure

        return [result for result, _ in self._ended(stage, function, list(items), stop)]

    def attempt(
        self,
        stage: str,
        function: Callable[[T], R],
        items: Iterable[T],
        failed: Callable[[T, Exception], None],
    ) -> list[R | None]:
        """Results of `function` for every item, in their order; a task that fails does not stop the others.

        Args:
            stage: What is reported while it runs.
            function: A module-level function; it travels to the workers by name.
            items: Arguments, each small enough to be sent.
            failed: Told about every item whose task raised, as it ends; the result of the item is None. What it raises
                ends the rest.

        Raises:
            Exception: What `failed` raises.
        """
        ended = self._ended(stage, function, list(items), failed)
        return [result if there else None for result, there in ended]

    def _ended(
        self,
        stage: str,
        function: Callable[[T], R],
        items: list[T],
        failed: Callable[[T, Exception], None],
    ) -> list[tuple[Any, bool]]:
        """Result of every item and whether there is one."""
        from distributed import KilledWorker, as_completed

        start = time.perf_counter()
        with warnings.catch_warnings():
            # tasks of a benchmark carry their towers: some 10 MB in all, sent once
            warnings.filterwarnings("ignore", message="Sending large graph")
            futures = self.client.map(partial(_alone, function), items, pure=False, retries=0)
        place = {future.key: n for n, future in enumerate(futures)}
        lost = set()
        for done, future in enumerate(as_completed(futures), start=1):
            failure = future.exception()
            if failure is not None:
                n = place[future.key]
                lost.add(n)
                try:
                    failed(items[n], _lost(stage) if isinstance(failure, KilledWorker) else failure)
                except BaseException:
                    self.client.cancel(futures)
                    raise
            self.report(stage, done, len(futures))
        sent = iter(self.client.gather([f for n, f in enumerate(futures) if n not in lost]))
        results: list[tuple[Any, bool]] = []
        efforts: list[Effort] = []
        for n in range(len(items)):
            result, effort = (None, None) if n in lost else next(sent)
            results.append((result, n not in lost))
            efforts += [] if effort is None else [effort]
        self.meter.mapped(time.perf_counter() - start, efforts, STAGES.get(stage, ""))
        return results

    def plug(self, plugin: Any) -> None:
        """Set a plugin up on every worker, now and later ones."""
        self.client.register_plugin(plugin)


def _lost(stage: str) -> RunError:
    return RunError(
        "a worker died over a task and so did those that took it up",
        where=stage,
        expected="workers that live to the end of a task",
        found="a process that was killed, most often for want of memory",
        fix="Use fewer workers, e.g. --cluster local:1; a rerun goes on where this one ended",
    )


def _alone(function: Callable[[T], R], item: T) -> tuple[R, Effort]:
    """The function's result, its linear algebra on one thread: sums then run in the same order wherever it runs."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return measured(function, item)


@contextmanager
def open_workers(spec: str, report: Report) -> Iterator[Workers]:
    """Workers for the length of a run.

    Args:
        spec: `local` (one process per core), `local:N` (N processes; 1 means inside this process), `slurm` or
            `slurm:N`, `kubernetes` or `kubernetes:N` (N workers as Dask's configuration describes them), or the address
            of a Dask scheduler such as `tcp://host:8786`. Workers may come and go while a run lasts.
        report: Told about every task that ends.

    Raises:
        RecipeError: The specification is none of these, or Dask's configuration does not say what a worker is.
        RunError: No scheduler answers at the address, or the queue refuses.
    """
    with _client(spec) as client:
        yield Workers(client, report)


def check(spec: str) -> None:
    """Refuse what `open_workers` would not understand, before any work.

    Raises:
        RecipeError: The specification is no number of workers and no address, or a library is not installed.
    """
    if not spec.startswith(ADDRESSES) and batch.parse(spec) is None:
        _count(spec)


def processes(spec: str) -> int | None:
    """Worker processes that a specification starts on this machine.

    None of them where tasks run inside the first process; None where the workers are those of a scheduler or a queue,
    wherever they are.

    Raises:
        RecipeError: The specification is no number of local workers and no address.
    """
    if spec.startswith(ADDRESSES) or batch.parse(spec) is not None:
        return None
    count = _count(spec)
    return count if count > 1 else 0


@contextmanager
def _client(spec: str) -> Iterator[Any]:
    from dask import config
    from distributed import Client

    # What matters reaches the user as an error, also that of a task; Dask's own account of it does not.
    for name in ("distributed", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if spec.startswith(ADDRESSES):
        try:
            client = Client(spec, timeout=CONNECT_TIMEOUT)
        except (OSError, ValueError) as error:
            raise RunError(
                "no Dask scheduler answers",
                where=f"--cluster {spec}",
                expected=f"an answer within {CONNECT_TIMEOUT} s",
                found=str(error),
                fix="Start the scheduler or check the address",
            ) from error
        with client:
            yield client
        return
    asked = batch.parse(spec)
    if asked is not None:
        with batch.open_batch(asked, WORKER_ENVIRONMENT) as cluster, Client(cluster) as client:
            yield client
        return
    with (
        config.set({"distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT}),
        batch.closing(_local(_count(spec))) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _count(spec: str) -> int:
    name, _, count = spec.partition(":")
    if name != "local" or (count and (not count.isdigit() or int(count) < 1)):
        raise RecipeError(
            "unknown cluster",
            where="--cluster",
            expected="local, local:N with N >= 1, slurm, slurm:N, kubernetes, kubernetes:N, or tcp://host:port",
            found=spec,
        )
    return int(count) if count else len(os.sched_getaffinity(0))


def _local(workers: int) -> Any:
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=workers > 1,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
        silence_logs=False,
    )
