"""Clusters of jobs in a queue or of pods: `slurm` by dask-jobqueue, `kubernetes` by the dask-kubernetes operator.

What a worker is (cores, memory, image, account, volumes) stands in Dask's own configuration files, sections
`jobqueue.slurm` and `kubernetes`; only how many there are to be is said here. Workers write blocks into the output
folder, so it must be on a file system that they share with the process that starts them.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ch4grid.errors import RecipeError, RunError
from ch4grid.redaction import redacted, secrets_of_environment

INSTALL = "pip install 'ch4grid[cluster]'"
SLURM, KUBERNETES = "slurm", "kubernetes"
# Package, module and section of Dask's configuration by name.
KNOWN = {
    SLURM: ("dask_jobqueue", "dask_jobqueue", "jobqueue.slurm"),
    KUBERNETES: ("dask_kubernetes", "dask_kubernetes.operator", "kubernetes"),
}


@dataclass(frozen=True)
class Batch:
    """A kind of cluster and how many workers it is to have; None for what its configuration says.

    Args:
        kind: slurm or kubernetes.
        workers: Their number.
    """

    kind: str
    workers: int | None


def parse(spec: str) -> Batch | None:
    """What `slurm`, `slurm:8`, `kubernetes` or `kubernetes:8` asks for; None for other specifications.

    Raises:
        RecipeError: The number is none, or the library is not installed.
    """
    kind, _, count = spec.partition(":")
    if kind not in KNOWN:
        return None
    if (count and (not count.isdigit() or int(count) < 1)) or spec.endswith(":"):
        raise RecipeError(
            "unknown number of workers",
            where="--cluster",
            expected=f"{kind} or {kind}:N with N >= 1",
            found=spec,
        )
    package = KNOWN[kind][0]
    if find_spec(package) is None:
        raise RecipeError(
            f"{package} is not installed",
            where=f"--cluster {spec}",
            expected="the libraries of the extra 'cluster'",
            found=f"no module {package}",
            fix=INSTALL,
        )
    return Batch(kind, int(count) if count else None)


@contextmanager
def open_batch(batch: Batch, environment: Mapping[str, str]) -> Iterator[Any]:
    """The cluster, closed with the block; its workers come as the queue lets them.

    Args:
        batch: What is asked for.
        environment: Variables that every worker starts with.

    Raises:
        RecipeError: Dask's configuration does not say what a worker is.
        RunError: There is no queue or Kubernetes here, or it refuses.
    """
    starting = _slurm if batch.kind == SLURM else _kubernetes
    section = KNOWN[batch.kind][2]
    try:
        cluster = starting(batch, environment)
    except (ValueError, TypeError) as error:
        raise RecipeError(
            f"no workers can be asked for with the configuration of Dask for {batch.kind}",
            where=f"section {section}",
            expected="cores and memory of a job"
            if batch.kind == SLURM
            else "an image and resources",
            found=redacted(error, secrets_of_environment()),
            fix=f"Write them into a file of Dask's configuration, e.g. ~/.config/dask/{batch.kind}.yaml",
        ) from error
    except RunError:
        raise
    except Exception as error:
        told = redacted(error, secrets_of_environment())
        raise RunError(
            f"{batch.kind} does not give a cluster",
            where=f"section {section} of Dask's configuration",
            expected="a scheduler that starts",
            found=f"{type(error).__name__}: {told[:300]}",
            fix="Check that jobs can be submitted from here with the same account",
        ) from error
    with closing(cluster):
        yield cluster


@contextmanager
def closing(cluster: Any) -> Iterator[Any]:
    """A cluster that is closed at the end; what was done does not fail because its event loop is slow to end."""
    try:
        yield cluster
    finally:
        with suppress(TimeoutError):
            cluster.close()


def _slurm(batch: Batch, environment: Mapping[str, str]) -> Any:
    """Jobs of SLURM; without a number one job with as many workers as its configured processes."""
    from dask import config

    if shutil.which("sbatch") is None:
        raise RunError(
            "there is no SLURM here",
            where="--cluster slurm",
            expected="the command sbatch",
            found="none on PATH",
            fix="Run on a machine that submits jobs, e.g. a login node",
        )
    library = import_module(KNOWN[SLURM][1])
    prologue = list(config.get("jobqueue.slurm.job-script-prologue", None) or [])
    exports = [f"export {name}={value}" for name, value in sorted(environment.items())]
    cluster = library.SLURMCluster(job_script_prologue=[*prologue, *exports])
    if batch.workers is None:
        cluster.scale(jobs=1)
    else:
        cluster.scale(batch.workers)
    return cluster


def _kubernetes(batch: Batch, environment: Mapping[str, str]) -> Any:
    """Pods of the operator; without a number as many as `kubernetes.count.start`, one at least."""
    from dask import config

    library = import_module(KNOWN[KUBERNETES][1])
    configured = config.get("kubernetes.env", None) or {}
    if isinstance(configured, list):  # entries as of a pod's specification
        env: Any = [*({"name": n, "value": v} for n, v in environment.items()), *configured]
    else:
        env = dict(environment) | configured
    workers = batch.workers or max(1, int(config.get("kubernetes.count.start", 1) or 1))
    return library.KubeCluster(n_workers=workers, env=env, quiet=True)
