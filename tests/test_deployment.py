"""Files of deploy/: scripts are linted, manifests hold against schemas, images are pinned and unprivileged.

Nothing names a registry. No container engine, cluster or conda runs here; what can be checked without them is.
"""

import configparser
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import documented
import jsonschema
import pytest
import yaml

import ch4grid

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SCRIPTS = sorted([*DEPLOY.glob("*.sh"), *DEPLOY.rglob("*.sbatch")])
CONTAINERS = sorted((DEPLOY / "container").iterdir())
KUBERNETES = DEPLOY / "kubernetes"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DASK_KINDS = {"DaskCluster": "daskcluster", "DaskWorkerGroup": "daskworkergroup"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize(
    ("linter", "path"),
    [
        pytest.param(linter, path, id=name(path))
        for linter, paths in (
            ("shellcheck --external-sources", SCRIPTS),
            ("hadolint --no-color", CONTAINERS),
        )
        for path in paths
    ],
)
def test_a_file_is_without_a_finding_of_its_linter(linter: str, path: Path) -> None:
    program, option = linter.split()
    done = subprocess.run(
        [Path(sys.executable).with_name(program), option, name(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_a_script_can_be_parsed_by_plain_shells(script: Path) -> None:
    for shell in ("sh", "bash"):
        subprocess.run([shell, "-n", script], check=True)


@pytest.mark.parametrize("script", sorted(DEPLOY.rglob("*.sbatch")), ids=name)
def test_a_job_calls_commands_that_exist(script: Path) -> None:
    text = script.read_text().replace("exec ", "").replace('"$@"', "RECIPE")
    text = re.sub(r"\$\{WORKERS:-(\d+)\}", r"\1", text)
    for command in documented.commands(text):
        documented.parse(documented.arguments(command))


# Containers


def instructions(path: Path) -> list[tuple[str, str]]:
    """Instructions of a container file in order, continued lines joined, comments left out."""
    lines = [x for x in path.read_text().splitlines() if x.strip() and not x.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(x.split(None, 1)[0], x.split(None, 1)[1]) for x in joined.splitlines()]


@pytest.mark.parametrize("path", CONTAINERS, ids=name)
def test_an_image_is_pinned_unprivileged_and_starts_the_command(path: Path) -> None:
    found = instructions(path)
    stages = [i for i, (word, _) in enumerate(found) if word == "FROM"]
    assert len(stages) == 2
    for _, rest in (found[i] for i in stages):
        image = rest.split()[0]
        assert re.fullmatch(r"[a-z]+:[\w.-]+", image), "a name and a tag, no registry"
        version = re.search(r":(\d+)\.(\d+)", image)
        assert version is not None
        assert (3, 11) <= (int(version[1]), int(version[2])) <= (3, 13)
    last = found[stages[-1] :]
    assert [rest for word, rest in last if word == "USER"] == ["1000:1000"]
    assert ("ENTRYPOINT", '["ch4grid"]') in last
    installs = [rest for word, rest in found if word == "RUN" and "pip install" in rest]
    assert installs
    assert all("--constraint deploy/constraints.txt" in rest for rest in installs)


@pytest.mark.parametrize("path", CONTAINERS, ids=name)
def test_an_image_names_no_host_and_copies_what_is_there(path: Path) -> None:
    assert "://" not in path.read_text()
    for word, rest in instructions(path):
        words = [w for w in rest.split() if not w.startswith("--")]
        if word == "COPY" and "--from" not in rest:
            assert all((ROOT / w).exists() for w in words[:-1]), rest
        if word == "ARG" and rest.startswith("EXTRAS"):
            assert set(rest.split('"')[1].split(",")) <= set(PROJECT["optional-dependencies"])


def test_images_for_cpus_and_gpus_differ_in_torch_and_in_nothing_else() -> None:
    cpu, gpu = (
        instructions(DEPLOY / "container" / n) for n in ("Containerfile", "Containerfile.gpu")
    )
    different = [(a, b) for a, b in zip(cpu, gpu, strict=True) if a != b]
    assert all("torch" in b[1].lower() or "NVIDIA" in b[1] for _, b in different)
    index = next(rest for word, rest in gpu if word == "RUN" and "torch" in rest)
    assert 'test -n "$TORCH_INDEX"' in index
    assert "torch.version.cuda is None" in index


# Conda


def test_the_conda_environment_asks_for_what_the_project_asks_for() -> None:
    told = yaml.safe_load((DEPLOY / "environment.yml").read_text())
    plain = [x for x in told["dependencies"] if isinstance(x, str)]
    needed = {re.split("[>=<]", x)[0]: x for x in PROJECT["dependencies"]}
    for line in plain:
        package = re.split("[>=<]", line)[0]
        if package in needed and ">=" in line:
            assert line == needed[package]
    assert {"esmpy>=8.6", "xesmf>=0.9"} <= set(plain)
    (pip,) = (x["pip"] for x in told["dependencies"] if isinstance(x, dict))
    extras = re.fullmatch(r"-e \.\.\[([\w,]+)\]", pip[0])
    assert extras is not None
    assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])


# Kubernetes


def manifests() -> Iterator[dict[str, Any]]:
    for path in sorted(KUBERNETES.glob("*.yaml")):
        if path.name not in ("kustomization.yaml", "images.yaml"):
            yield from yaml.safe_load_all(path.read_text())


def pods(node: object) -> Iterator[dict[str, Any]]:
    """Every specification of a pod within a manifest."""
    if isinstance(node, dict):
        if "containers" in node:
            yield node
        for value in node.values():
            yield from pods(value)
    elif isinstance(node, list):
        for value in node:
            yield from pods(value)


def test_the_kustomization_lists_every_manifest_and_names_no_namespace() -> None:
    told = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    listed = {*told["resources"], *told["configurations"], "kustomization.yaml"}
    assert listed == {p.name for p in KUBERNETES.iterdir()}
    assert "namespace" not in told
    assert all("namespace" not in m["metadata"] for m in manifests())


def test_pods_are_unprivileged_share_the_volume_and_run_an_image_of_the_kustomization() -> None:
    images = {
        x["name"]: x["newTag"]
        for x in yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["images"]
    }
    claim = next(m for m in manifests() if m["kind"] == "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    found = [(m["kind"], pod) for m in manifests() for pod in pods(m)]
    assert len(found) == 4
    for _, pod in found:
        assert pod["securityContext"]["runAsNonRoot"]
        for volume in pod.get("volumes", ()):
            assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        for container in pod["containers"]:
            image, _, tag = container["image"].partition(":")
            assert images[image] == tag == ch4grid.__version__
            mounted = {x["name"] for x in container.get("volumeMounts", ())}
            assert mounted == {x["name"] for x in pod.get("volumes", ())}


def test_gpu_workers_ask_for_one_gpu_each_and_belong_to_the_cluster() -> None:
    cluster, group = (next(m for m in manifests() if m["kind"] == kind) for kind in DASK_KINDS)
    assert group["spec"]["cluster"] == cluster["metadata"]["name"]
    (pod,) = pods(group)
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    for args in (
        c["args"] for m in (cluster, group) for p in pods(m) for c in p["containers"] if "args" in c
    ):
        assert args[args.index("--nthreads") + 1] == "1"


def test_the_nightly_job_calls_the_script_with_options_that_it_has_and_never_twice_at_once() -> (
    None
):
    job = next(m for m in manifests() if m["kind"] == "CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    (pod,) = pods(job)
    container = pod["containers"][0]
    usage = (DEPLOY / "new-year.sh").read_text()
    options = [a for a in container["args"] if a.startswith("--")]
    assert options
    assert all(f"{o} " in usage for o in options)
    copied = (DEPLOY / "container" / "Containerfile").read_text()
    assert f"deploy/new-year.sh {container['command'][1]}" in copied
    cluster = next(m for m in manifests() if m["kind"] == "DaskCluster")
    scheduler = f"tcp://{cluster['metadata']['name']}-scheduler:8786"
    assert container["args"][container["args"].index("--cluster") + 1] == scheduler


def strict(schema: Any) -> Any:
    """A schema that refuses properties which it does not name."""
    if isinstance(schema, list):
        return [strict(x) for x in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {k: strict(v) for k, v in schema.items()}
    open_ended = "additionalProperties" in schema or schema.get(
        "x-kubernetes-preserve-unknown-fields"
    )
    if isinstance(schema.get("properties"), dict) and not open_ended:
        closed["additionalProperties"] = False
    return closed


def test_manifests_hold_against_the_schemas_of_dask_and_of_pods() -> None:
    operator = pytest.importorskip("dask_kubernetes", reason="the extra 'cluster' is not installed")
    chart = Path(operator.__file__).parent / "operator/deployment/helm/dask-kubernetes-operator"
    folder = chart / "crds"
    schemas = {}
    for kind, file in DASK_KINDS.items():
        told = yaml.load((folder / f"{file}.yaml").read_text(), yaml.CSafeLoader)
        schemas[kind] = told["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    worker = schemas["DaskCluster"]["properties"]["spec"]["properties"]["worker"]
    pod_schema = strict(worker["properties"]["spec"])
    checked = 0
    for manifest in manifests():
        if manifest["kind"] in schemas:
            spec = strict(schemas[manifest["kind"]]["properties"]["spec"])
            jsonschema.Draft202012Validator(spec).validate(manifest["spec"])
        for pod in pods(manifest):
            jsonschema.Draft202012Validator(pod_schema).validate(pod)
            checked += 1
    assert checked == 4
    wrong = {"containers": [{"name": "a", "image": "b", "comand": ["c"]}]}
    with pytest.raises(jsonschema.ValidationError, match="comand"):
        jsonschema.Draft202012Validator(pod_schema).validate(wrong)


# SLURM and systemd


def test_the_description_of_a_job_has_keys_that_dask_jobqueue_knows() -> None:
    library = pytest.importorskip("dask_jobqueue", reason="the extra 'cluster' is not installed")
    known = yaml.safe_load((Path(library.__file__).parent / "jobqueue.yaml").read_text())
    told = yaml.safe_load((DEPLOY / "slurm" / "jobqueue.yaml").read_text())
    assert set(told) == {"jobqueue"}
    assert set(told["jobqueue"]["slurm"]) <= set(known["jobqueue"]["slurm"])
    assert told["jobqueue"]["slurm"]["cores"] == told["jobqueue"]["slurm"]["processes"]


def scheduled() -> Iterator[tuple[str, str]]:
    """Where a scheduler calls new-year.sh, and what follows it."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "systemd" / "ch4grid-new-year.service")
    yield "systemd", unit["Service"]["ExecStart"].split("new-year.sh", 1)[1]
    for line in (DEPLOY / "slurm" / "scrontab").read_text().splitlines():
        if not line.startswith("#"):
            yield "scrontab", line.split("new-year.sh", 1)[1]


@pytest.mark.parametrize(("place", "words"), list(scheduled()))
def test_a_scheduler_calls_the_script_with_options_that_it_has(place: str, words: str) -> None:
    usage = (DEPLOY / "new-year.sh").read_text()
    recipe, *rest = shlex.split(words)
    assert (ROOT / recipe).is_file(), place
    assert all(f"{o} " in usage for o in rest if o.startswith("--")), place


def test_the_timer_belongs_to_its_service() -> None:
    timer = configparser.ConfigParser(interpolation=None)
    timer.read(DEPLOY / "systemd" / "ch4grid-new-year.timer")
    assert timer["Install"]["WantedBy"] == "timers.target"
    assert "OnCalendar" in timer["Timer"]
    assert (DEPLOY / "systemd" / "ch4grid-new-year.service").is_file()


def test_nothing_in_deploy_names_the_host_of_a_registry_or_an_index() -> None:
    for path in (p for p in DEPLOY.rglob("*") if p.is_file()):
        assert not re.search(
            r"https?://|\w+\.io/\w|index-url\s+\w",
            path.read_text().replace("kustomize.config.k8s.io/", ""),
        ), path
