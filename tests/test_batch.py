"""Workers as jobs of a queue or pods: what is asked of the libraries, and what is said when they cannot give it.

No SLURM and no Kubernetes is at hand here: cluster classes are replaced, only the job script is the library's own.
"""

import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dask import config
from distributed import LocalCluster

from ch4grid import batch
from ch4grid.cluster import WORKER_ENVIRONMENT, check, open_workers
from ch4grid.errors import RecipeError, RunError
from ch4grid.progress import silent


class Asked(LocalCluster):
    """A cluster class that remembers what it was asked for and works in this process."""

    def __init__(self, **told: Any) -> None:
        self.told = told
        self.scaled: list[tuple[tuple, dict]] = []
        super().__init__(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        )
        made.append(self)

    def scale(self, *numbers: int, **named: int) -> None:
        self.scaled.append((numbers, named))


made: list[Asked] = []


@pytest.fixture(autouse=True)
def libraries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Replaced cluster classes and a command sbatch."""
    made.clear()
    found = SimpleNamespace(SLURMCluster=Asked, KubeCluster=Asked)
    monkeypatch.setattr(batch, "import_module", lambda _: found)
    monkeypatch.setattr(batch, "find_spec", lambda _: True)
    command = tmp_path / "sbatch"
    command.write_text("#!/bin/sh\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("spec", "kind", "workers"),
    [
        ("slurm", "slurm", None),
        ("slurm:8", "slurm", 8),
        ("kubernetes", "kubernetes", None),
        ("kubernetes:12", "kubernetes", 12),
    ],
)
def test_a_specification_names_a_kind_and_a_number(
    spec: str, kind: str, workers: int | None
) -> None:
    assert batch.parse(spec) == batch.Batch(kind, workers)
    check(spec)


@pytest.mark.parametrize("spec", ["slurm:", "slurm:0", "slurm:x", "kubernetes:-1"])
def test_a_wrong_number_is_refused(spec: str) -> None:
    with pytest.raises(RecipeError, match=r"--cluster: unknown number of workers.*with N >= 1"):
        check(spec)


@pytest.mark.parametrize("spec", ["local", "local:2", "tcp://host:1"])
def test_other_specifications_are_left_to_others(spec: str) -> None:
    assert batch.parse(spec) is None


@pytest.mark.parametrize("kind", ["slurm", "kubernetes"])
def test_a_missing_library_is_told_with_the_command_that_installs_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "find_spec", lambda _: None)
    with pytest.raises(RecipeError, match=r"is not installed.*pip install 'ch4grid\[cluster\]'"):
        check(f"{kind}:2")


def test_slurm_gets_the_number_of_workers_and_their_environment_after_the_configured_prologue() -> (
    None
):
    with (
        config.set({"jobqueue.slurm.job-script-prologue": ["module load python"]}),
        open_workers("slurm:8", silent) as workers,
    ):
        assert workers.map("abs", abs, [-1, 2]) == [1, 2]
    (cluster,) = made
    prologue = cluster.told["job_script_prologue"]
    assert cluster.scaled[0] == ((8,), {})
    assert prologue[0] == "module load python"
    assert set(prologue[1:]) == {f"export {k}={v}" for k, v in WORKER_ENVIRONMENT.items()}
    assert cluster.status.name == "closed"


def test_slurm_without_a_number_is_one_job_as_configured() -> None:
    with open_workers("slurm", silent):
        pass
    assert made[0].scaled[0] == ((), {"jobs": 1})


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ({"A": "1"}, WORKER_ENVIRONMENT | {"A": "1"}),
        (
            [{"name": "A", "value": "1"}],
            [
                *({"name": n, "value": v} for n, v in WORKER_ENVIRONMENT.items()),
                {"name": "A", "value": "1"},
            ],
        ),
    ],
)
def test_kubernetes_gets_the_number_of_workers_and_their_environment(
    configured: Any, expected: Any
) -> None:
    with (
        config.set({"kubernetes.env": configured}),
        open_workers("kubernetes:3", silent) as workers,
    ):
        assert workers.map("abs", abs, [-3]) == [3]
    assert made[0].told["n_workers"] == 3
    assert made[0].told["env"] == expected


@pytest.mark.parametrize(("start", "workers"), [(5, 5), (0, 1)])
def test_kubernetes_without_a_number_takes_that_of_the_configuration(
    start: int, workers: int
) -> None:
    with config.set({"kubernetes.count.start": start}), open_workers("kubernetes", silent):
        pass
    assert made[0].told["n_workers"] == workers


def test_a_cluster_whose_loop_is_slow_to_end_fails_nothing() -> None:
    closed = []

    def close() -> None:
        closed.append(True)
        raise TimeoutError("join timed out")

    with batch.closing(SimpleNamespace(close=close)) as cluster:
        assert cluster.close is close
    assert closed == [True]
    with pytest.raises(RunError, match="lost"), batch.closing(SimpleNamespace(close=close)):
        raise RunError("lost")


def failing(error: Exception) -> SimpleNamespace:
    def cluster(**_: Any) -> None:
        raise error

    return SimpleNamespace(SLURMCluster=cluster, KubeCluster=cluster)


def test_a_configuration_that_lacks_something_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    library = failing(ValueError("You must specify how much cores per job"))
    monkeypatch.setattr(batch, "import_module", lambda _: library)
    with (
        pytest.raises(RecipeError, match=r"section jobqueue\.slurm: no workers.*Found You must"),
        open_workers("slurm:2", silent),
    ):
        pass


def test_a_kubernetes_that_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    library = failing(ConnectionError("no kubeconfig"))
    monkeypatch.setattr(batch, "import_module", lambda _: library)
    with (
        pytest.raises(RunError, match=r"kubernetes does not give a cluster.*no kubeconfig"),
        open_workers("kubernetes:2", silent),
    ):
        pass


def test_a_machine_without_slurm_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with (
        pytest.raises(RunError, match=r"there is no SLURM here.*login node"),
        open_workers("slurm:2", silent),
    ):
        pass


def test_the_job_script_of_the_real_library_starts_a_worker_with_our_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobqueue = pytest.importorskip("dask_jobqueue")
    monkeypatch.setattr(jobqueue.SLURMCluster, "scale", lambda *_, **__: None)
    monkeypatch.setattr(batch, "import_module", lambda _: jobqueue)
    settings = {
        "jobqueue.slurm.cores": 4,
        "jobqueue.slurm.memory": "16GB",
        "jobqueue.slurm.processes": 4,
        "jobqueue.slurm.account": "methane",
        "jobqueue.slurm.walltime": "02:00:00",
        "jobqueue.slurm.interface": "lo",
        "jobqueue.slurm.scheduler-options": {"dashboard_address": "127.0.0.1:0"},
    }
    with (
        config.set(settings),
        batch.open_batch(batch.Batch("slurm", 8), WORKER_ENVIRONMENT) as cluster,
    ):
        script = cluster.job_script()
    assert "#SBATCH -A methane" in script
    assert "#SBATCH -t 02:00:00" in script
    assert "export OMP_NUM_THREADS=1" in script
    assert script.index("export OMP_NUM_THREADS=1") < script.index("distributed.cli.dask_worker")
    assert "--nworkers 4" in script
    assert sys.executable in script


# the library leaves a cluster whose construction failed to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_real_library_says_what_its_configuration_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobqueue = pytest.importorskip("dask_jobqueue")
    monkeypatch.setattr(batch, "import_module", lambda _: jobqueue)
    with (
        config.set({"jobqueue.slurm.cores": None}),
        pytest.raises(RecipeError, match=r"no workers can be asked for.*cores"),
        batch.open_batch(batch.Batch("slurm", 1), {}),
    ):
        pass


def test_the_real_operator_takes_what_is_given_to_it() -> None:
    import inspect

    operator = pytest.importorskip("dask_kubernetes.operator")
    assert {"n_workers", "env", "quiet"} <= set(inspect.signature(operator.KubeCluster).parameters)
