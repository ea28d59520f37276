"""`ch4grid doctor` in made-up surroundings: what is told of each, what it ends with, and that no secret is shown."""

import json
import locale
import os
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import documented
import pytest
from packaging.requirements import Requirement

from ch4grid import environment
from ch4grid.environment import Check, machine, optional, software
from ch4grid.environment.devices import devices
from ch4grid.fetching import credentials as held
from ch4grid.fetching import datastore

ROOT = Path(__file__).parents[2]
SECRET = "0123-very-secret"
VARIABLES = (
    "ECMWF_DATASTORES_KEY",
    "ECMWF_DATASTORES_RC_FILE",
    "CDSAPI_KEY",
    "CDSAPI_RC",
    "EARTHDATA_TOKEN",
    "EARTHDATA_USERNAME",
    "EARTHDATA_PASSWORD",
    "NETRC",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any credentials."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def place(archive: str) -> str | None:
    return next(c.place for c in held.credentials() if c.archive == archive)


def states(found: list[Check]) -> dict[str, str]:
    return {c.name: c.state for c in found}


def test_a_home_without_credentials_has_none_and_says_how_to_get_them(home: Path) -> None:
    assert [c.place for c in held.credentials()] == [None, None, None]
    assert all(c.fix for c in held.credentials())


FILES = {
    "a client's file": (".ecmwfdatastoresrc", f"url: x\nkey: {SECRET}\n", "Climate Data Store"),
    "cdsapi's file": (".cdsapirc", f"key: {SECRET}\n", "Climate Data Store"),
    "netrc": (
        ".netrc",
        f"machine urs.earthdata.nasa.gov login a password {SECRET}\n",
        "NASA Earthdata",
    ),
    "the AWS file": (".aws/credentials", f"[default]\naws_secret_access_key={SECRET}\n", "S3"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_credential_in_a_file_is_told_by_its_file_alone(home: Path, case: str) -> None:
    name, content, archive = FILES[case]
    (home / name).parent.mkdir(exist_ok=True)
    (home / name).write_text(content)
    (home / name).chmod(0o600)
    assert place(archive) == f"~/{name}"
    assert SECRET not in repr(held.credentials())


SETTINGS = {
    "Climate Data Store": [{"ECMWF_DATASTORES_KEY": SECRET}, {"CDSAPI_KEY": SECRET}],
    "NASA Earthdata": [
        {"EARTHDATA_TOKEN": SECRET},
        {"EARTHDATA_USERNAME": "a", "EARTHDATA_PASSWORD": SECRET},
    ],
    "S3": [{"AWS_PROFILE": "a"}, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": SECRET}],
}


@pytest.mark.parametrize(
    ("archive", "variables"), [(a, v) for a, all_ in SETTINGS.items() for v in all_]
)
def test_a_credential_in_the_environment_is_told_by_its_variables(
    home: Path, monkeypatch: pytest.MonkeyPatch, archive: str, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert place(archive) == " and ".join(variables)
    assert SECRET not in repr(held.credentials())


@pytest.mark.parametrize("half", ["EARTHDATA_USERNAME", "EARTHDATA_PASSWORD", "AWS_ACCESS_KEY_ID"])
def test_half_of_a_pair_is_no_credential(
    home: Path, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    monkeypatch.setenv(half, "a")
    assert [c.place for c in held.credentials()] == [None, None, None]


@pytest.mark.parametrize("content", ["", "key:\n", "url: x\n", "monkey: a\n"])
def test_a_file_without_a_key_is_no_credential(home: Path, content: str) -> None:
    (home / ".cdsapirc").write_text(content)
    assert place("Climate Data Store") is None


def test_the_doctor_finds_a_key_where_the_fetching_client_finds_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def agree() -> bool:
        return bool(place("Climate Data Store")) == bool(datastore._setting("key", "CDSAPI_KEY"))

    assert agree()
    (home / ".cdsapirc").write_text("url: x\n")
    assert agree()
    (home / ".cdsapirc").write_text(f"key: {SECRET}\n")
    assert agree()
    monkeypatch.setenv("CDSAPI_RC", str(home / "none"))
    assert agree()
    monkeypatch.setenv("ECMWF_DATASTORES_KEY", SECRET)
    assert agree()


@pytest.mark.parametrize(
    ("needed", "state"),
    [("numpy>=1", "ok"), ("numpy>=999", "fail"), ("no-such-package>=1", "fail")],
)
def test_a_requirement_is_compared_with_what_is_installed(needed: str, state: str) -> None:
    found = software.held(Requirement(needed))
    assert found.state == state
    assert bool(found.fix) == (state == "fail")


@pytest.mark.parametrize(
    ("version", "state"), [((3, 10), "fail"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "fail")]
)
def test_python_is_one_that_the_package_supports(version: tuple[int, int], state: str) -> None:
    assert software._python(version).state == state


def test_supported_pythons_and_optional_parts_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    low, high = software.PYTHONS
    assert project["requires-python"] == f">={low[0]}.{low[1]},<{high[0]}.{high[1] + 1}"
    extras = {
        extra: {Requirement(line).name for line in lines}
        for extra, lines in project["optional-dependencies"].items()
        if extra != "test"
    }
    assert {p.extra: set(p.packages) for p in optional.PARTS} == extras


def test_every_package_that_the_installation_names_is_looked_at() -> None:
    asked = {
        r.name
        for r in map(Requirement, metadata.requires("ch4grid") or ())
        if r.marker is None or r.marker.evaluate({"extra": ""})
    }
    assert asked <= {c.name for c in software.software()}


def test_a_package_that_runs_from_a_folder_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> None:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(software, "requires", absent)
    assert states(list(software.software())) == {"python": "ok", "ch4grid": "warn"}


def test_a_part_that_is_not_installed_names_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(_: str) -> None:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(optional, "version", absent)
    found = {c.name: c for c in optional.optional()}
    assert found["fetch"].fix == "pip install 'ch4grid[fetch]'"
    assert found["esmf"].fix == "conda env create -f deploy/environment.yml"
    assert {c.state for c in found.values()} <= {"warn", "ok"}


def test_an_esmpy_that_does_not_find_its_library_is_told_from_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: str) -> None:
        raise KeyError("ESMFMKFILE")

    monkeypatch.setattr(optional, "import_module", broken)
    assert "ESMFMKFILE" in optional._esmf().found


def torch_with(monkeypatch: pytest.MonkeyPatch, *gpus: str, built: str | None) -> None:
    import torch

    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gpus))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(gpus))
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda n: SimpleNamespace(name=gpus[n], total_memory=80 * 2**30),
    )


def test_gpus_are_told_by_name_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_with(monkeypatch, "A", "B", built="12.8")
    found = list(devices())
    assert [c.found for c in found] == ["A, 80 GiB, CUDA 12.8", "B, 80 GiB, CUDA 12.8"]


def test_a_build_for_gpus_without_one_is_a_warning_and_one_for_cpus_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch_with(monkeypatch, built="12.8")
    assert states(list(devices())) == {"gpu": "warn"}
    torch_with(monkeypatch, built=None)
    assert states(list(devices())) == {"gpu": "ok"}


@pytest.mark.parametrize(("size", "state"), [(1e9, "fail"), (4e9, "warn"), (16e9, "ok")])
def test_little_memory_is_a_warning_and_too_little_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: float, state: str
) -> None:
    monkeypatch.setattr(machine, "machine_memory", lambda: int(size))
    assert states(list(machine.machine(tmp_path)))["memory"] == state


@pytest.mark.parametrize(("free", "state"), [(1e8, "fail"), (4e9, "warn"), (4e11, "ok")])
def test_little_space_is_a_warning_and_too_little_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: float, state: str
) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    found = {c.name: c for c in machine.machine(tmp_path / "not" / "there")}
    assert found["disk"].state == state
    assert not (tmp_path / "not").exists()


def test_an_output_that_is_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert states(list(machine.machine(tmp_path / "file")))["output"] == "fail"


def test_an_output_that_cannot_be_written_fails_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryDirectory", refused)
    found = {c.name: c for c in machine.machine(tmp_path)}
    assert found["output"].state == "fail"
    assert "Permission denied" in found["output"].found
    assert "locks" not in found


def test_a_file_system_without_locks_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(machine, "FileLock", refused)
    assert states(list(machine.machine(tmp_path)))["locks"] == "fail"


def test_a_small_limit_of_files_and_a_narrow_locale_are_warnings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _: (256, 256))
    monkeypatch.setattr(locale, "getpreferredencoding", lambda do_setlocale=True: "ASCII")
    found = states(list(machine.machine(tmp_path)))
    assert (found["open files"], found["locale"]) == ("warn", "warn")


def test_nothing_is_left_in_the_folder_that_was_looked_at(tmp_path: Path) -> None:
    list(machine.machine(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_json_without_secrets_and_ends_well_when_nothing_needed_is_missing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", SECRET)
    monkeypatch.chdir(home)
    code, out, err = documented.called(["doctor", "--json"])
    told = json.loads(out)
    assert SECRET not in out + err
    assert told["ok"] == (code == 0)
    assert {c["group"] for c in told["checks"]} == set(environment.CHECKS)
    assert all(c["fix"] for c in told["checks"] if c["state"] != "ok")


def test_the_command_ends_with_a_failure_and_a_way_out_when_something_needed_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lacking = Check("machine", "memory", "fail", "none", "Buy ch4grid[some]")
    monkeypatch.setattr(environment, "CHECKS", {"machine": lambda _: [lacking]})
    code, out, _ = documented.called(["doctor", "--output", os.fspath(tmp_path)])
    assert code == 1
    assert "Buy ch4grid[some]" in out
    assert "0 ok, 0 warn, 1 fail" in out
