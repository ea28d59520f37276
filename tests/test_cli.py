"""The command line as a user meets it: what a mistake says, how it exits, and that no product suffers from it."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import xarray as xr
import yaml
from filelock import FileLock
from test_end_to_end import objects

import ch4grid
from ch4grid import cli
from ch4grid.drivers import TwinDrivers
from ch4grid.stores import Workspace
from ch4grid.vocabulary import months

RECIPE = {
    "product": "ch4-small",
    "title": "A product of files in the layout of ERA5",
    "period": [2001, 2001],
    "grid": {"resolution": 10.0},
    "drivers": [{"source": "era5", "path": "era5/*.nc", "variables": ["tas", "vpd", "pr", "rsds"]}],
    "sites": [{"source": "twin", "seed": 1, "resolution": 5.0}],
    "ecosystems": {
        "areas": [
            {
                "source": "gridded",
                "path": "areas.nc",
                "variables": {n: n for n in ("land_fraction", "wetland_fraction")},
            }
        ]
    },
    "training": {"period": [2001, 2002], "folds": 2, "fold_members": 1, "seed": 1},
    "discovery": {"settings": {"bootstraps": 2, "driver_bootstraps": 2}},
    "model": {"architecture": "ctgat", "members": 2, "steps": 5},
    "spin_up": 1,
}
COMMANDS = (
    "plan",
    "run",
    "train",
    "benchmark",
    "discover",
    "attribute",
    "inventory",
    "fetch",
    "verify",
    "repair",
    "status",
    "rollback",
    "explain",
    "export",
    "browse",
    "catalog",
)
CATALOG_COMMANDS = ("list", "show", "validate")
DONE, FAILED, USAGE, INPUT = 0, 1, 2, 3


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said; lines of progress are left out of `err`."""

    code: int
    out: str
    err: str


def ch4grid_command(folder: Path, *arguments: str, limit: int | None = None) -> Said:
    """A command in a process of its own; `limit` is the largest file [bytes] that the system lets it write."""

    def restrict() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-m", "ch4grid.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=restrict,
    )
    lines = [line for line in done.stderr.splitlines() if not line.lstrip()[:1].isdigit()]
    return Said(done.returncode, done.stdout, "\n".join(lines))


@pytest.fixture
def here(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Callable[..., Said]:
    """A command inside this process, for mistakes that are found before any work."""

    def command(folder: Path, *arguments: str) -> Said:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["ch4grid", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert caplog.messages == []
        return Said(int(ended.value.code or 0), said.out, said.err.rstrip("\n"))

    return command


def is_one_paragraph(said: Said) -> bool:
    """Whether standard error holds one line that begins with the program's name and reads like sentences."""
    line = said.err
    return (
        line.startswith("ch4grid: ") and "\n" not in line and line[-1] == "." and ".." not in line
    )


def write_recipe(folder: Path, **changes: object) -> None:
    (folder / "small.yaml").write_text(yaml.safe_dump(RECIPE | changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, its data and the product of 2001; the files of 2002 are there for a second year."""
    folder = tmp_path_factory.mktemp("made")
    planet = Workspace(folder / "planet", folder / "planet")
    twin = TwinDrivers(variables=("tas", "land_fraction"), seed=1, resolution=5.0)
    held = twin.survey(planet, months(2000, 2002))
    files = sorted({f for h in held for f in h.files})
    (folder / "data" / "era5").mkdir(parents=True)
    for path in files:
        shutil.move(path, folder / "data" / ("" if path.name == "areas.nc" else "era5"))
    shutil.rmtree(folder / "planet")
    write_recipe(folder)
    done = ch4grid_command(
        folder, "run", "small.yaml", "--data", "data", "--cluster", "local:1", "--json"
    )
    assert (done.code, done.err) == (DONE, "")
    assert json.loads(done.out)["made"] == [2001]
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A copy of the folder that a test may break."""
    shutil.copytree(made, tmp_path / "made")
    return tmp_path / "made"


def published(folder: Path) -> dict[str, str]:
    """Every file of the product and of the catalog with its digest."""
    output = folder / "products"
    return objects(output / "ch4-small" / "v1") | objects(output / "catalog")


RUN = ("run", "small.yaml", "--data", "data", "--cluster", "local:1", "--device", "cpu")
ANOTHER_YEAR = (*RUN, "--year", "2002")
ATTRIBUTE = ("attribute", "small.yaml", "--data", "data", "--cluster", "local:1")


def change(name: str, how: Callable[[xr.Dataset], xr.Dataset]) -> Callable[[Path], None]:
    """A mistake in a file of ERA5."""

    def make(folder: Path) -> None:
        path = folder / "data" / "era5" / name
        broken = how(xr.load_dataset(path, decode_timedelta=False))
        path.unlink()
        broken.to_netcdf(path)

    return make


def cut_short(folder: Path) -> None:
    path = folder / "data" / "era5" / "era5_2002.nc"
    os.truncate(path, path.stat().st_size // 2)


def upside_down(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign_coords(latitude=ds["latitude"].values[::-1])


def in_celsius(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(t2m=(ds["t2m"] - 273.15).assign_attrs(units="degC"))


def in_celsius_unsaid(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(t2m=(ds["t2m"] - 273.15).assign_attrs(units="K"))


def without_autumn(ds: xr.Dataset) -> xr.Dataset:
    return ds.isel(valid_time=slice(0, 9))


def nothing(folder: Path) -> None:
    """No change on disk: the mistake is in the arguments."""


def unknown_key(folder: Path) -> None:
    write_recipe(folder, perod=[2001, 2001])


def no_yaml(folder: Path) -> None:
    (folder / "small.yaml").write_text("product: [")


def no_data(folder: Path) -> None:
    shutil.rmtree(folder / "data")


def no_areas(folder: Path) -> None:
    (folder / "data" / "areas.nc").unlink()


def no_file_of_2002(folder: Path) -> None:
    (folder / "data" / "era5" / "era5_2002.nc").unlink()


EARLY = {
    "an unknown recipe key": (unknown_key, RUN, USAGE, "did you mean 'period'"),
    "a recipe that is not YAML": (no_yaml, RUN, USAGE, "the recipe is not YAML"),
    "a missing recipe": (nothing, ("run", "none.yaml"), USAGE, "none.yaml: the recipe cannot be"),
    "a missing data folder": (no_data, RUN, INPUT, "--data data: the data folder does not exist"),
    "a missing area file": (no_areas, RUN, INPUT, "no file at areas.nc"),
    "a missing input file": (no_file_of_2002, ANOTHER_YEAR, INPUT, "2002-01 to 2002-12 missing"),
    "a truncated file": (cut_short, ANOTHER_YEAR, INPUT, "era5_2002.nc: cannot read this file"),
    "missing months": (
        change("era5_2002.nc", without_autumn),
        ANOTHER_YEAR,
        INPUT,
        "2002-10 to 2002-12 missing",
    ),
    "a year beyond the drivers": (
        nothing,
        (*RUN, "--year", "2010"),
        INPUT,
        "2009-01 to 2010-12 missing",
    ),
    "an unknown scenario": (
        nothing,
        (*RUN, "--scenario", "warmer"),
        USAGE,
        "--scenario: unknown scenario. Expected historical. Found warmer.",
    ),
    "a scenario of a driver that the recipe does not have": (
        lambda folder: write_recipe(folder, scenarios={"greener": {"do": {"evi": 0.1}}}),
        (*RUN, "--scenario", "greener"),
        USAGE,
        "scenarios.greener: the scenario changes drivers that the recipe does not have",
    ),
    "a scenario of nothing known": (
        lambda folder: write_recipe(folder, scenarios={"warmer": {"do": {"tass": 2.0}}}),
        RUN,
        USAGE,
        "scenarios.warmer.do",
    ),
    "an attribution of nothing": (nothing, ATTRIBUTE, USAGE, "Expected --from [--to]"),
    "an attribution to an unknown scenario": (
        nothing,
        (*ATTRIBUTE, "--scenario", "warmer"),
        USAGE,
        "unknown scenario",
    ),
    "an attribution to a scenario that nobody made": (
        lambda folder: write_recipe(
            folder, scenarios={"historical": {}, "warmer": {"add": {"tas": 2.0}}}
        ),
        (*ATTRIBUTE, "--scenario", "warmer"),
        INPUT,
        "the warmer product has no published 2001",
    ),
    "an attribution without history": (
        lambda folder: write_recipe(folder, scenarios={"warmer": {"add": {"tas": 2.0}}}),
        (*ATTRIBUTE, "--scenario", "warmer"),
        USAGE,
        "the recipe has no historical scenario",
    ),
    "an attribution of unequal periods": (
        nothing,
        (*ATTRIBUTE, "--from", "2001", "--to", "2001-2002"),
        USAGE,
        "--to: the two periods are of different length",
    ),
    "an attribution of a year that nobody made": (
        nothing,
        (*ATTRIBUTE, "--from", "2001", "--to", "2002"),
        INPUT,
        "the historical product has no published 2002",
    ),
    "an unknown cluster": (nothing, (*RUN, "--cluster", "moon"), USAGE, "Found moon."),
    "no workers": (nothing, (*RUN, "--cluster", "local:0"), USAGE, "Found local:0."),
    "an unknown device": (
        nothing,
        (*RUN, "--device", "tpu"),
        USAGE,
        "--device: no such device. Expected auto, cpu, cuda. Found tpu.",
    ),
    "an unknown split": (
        nothing,
        ("benchmark", "small.yaml", "--data", "data", "--split", "luck"),
        USAGE,
        "--split: unknown split",
    ),
    "an unknown model": (
        nothing,
        ("benchmark", "small.yaml", "--data", "data", "--models", "ridge,lsmt"),
        USAGE,
        "models: unknown model",
    ),
    "a benchmark on an unknown cluster": (
        nothing,
        ("benchmark", "small.yaml", "--data", "data", "--cluster", "moon"),
        USAGE,
        "Found moon.",
    ),
    "training for an unknown cluster": (
        nothing,
        ("train", "small.yaml", "--data", "data", "--cluster", "moon"),
        USAGE,
        "Found moon.",
    ),
    "a file in the place of the output folder": (
        lambda folder: (folder / "file").touch(),
        (*RUN, "--output", "file"),
        FAILED,
        "cannot write. Expected a writable folder",
    ),
    "investigating without a data folder": (
        no_data,
        ("discover", "small.yaml", "--data", "data"),
        INPUT,
        "--data data: the data folder does not exist",
    ),
    "investigating a recipe without towers": (
        lambda folder: write_recipe(folder, sites=[], training=None, model={"checkpoint": "model"}),
        ("discover", "small.yaml", "--data", "data", "--cluster", "local:1"),
        USAGE,
        "sites: the recipe names no towers to learn from",
    ),
    "investigating on an unknown cluster": (
        nothing,
        ("discover", "small.yaml", "--data", "data", "--cluster", "moon"),
        USAGE,
        "Found moon.",
    ),
    "verifying what is no product": (nothing, ("verify", "data"), INPUT, "no product here"),
    "no catalog": (nothing, ("catalog", "list", "--catalog", "data"), INPUT, "no catalog here"),
    "an unknown item": (nothing, ("catalog", "show", "mars"), INPUT, "nothing is called 'mars'"),
    "nothing to browse": (nothing, ("browse", "--catalog", "none"), INPUT, "nothing to browse"),
}


@pytest.mark.parametrize("mistake", EARLY)
def test_a_mistake_found_before_any_work_is_told_in_one_paragraph(
    here: Callable[..., Said], copy: Path, mistake: str
) -> None:
    make, arguments, code, words = EARLY[mistake]
    make(copy)
    before = published(copy)
    said = here(copy, *arguments)
    assert (said.code, said.out) == (code, "")
    assert is_one_paragraph(said), said.err
    assert words in said.err
    assert published(copy) == before
    assert not (copy / "products/ch4-small/v2").exists()


LATE = {
    "swapped latitude": (upside_down, "latitude is swapped"),
    "units that are not those of ERA5": (in_celsius, "Expected 'K'. Found 'degC'."),
    "values that are not in the units stated": (in_celsius_unsaid, "Expected 180 to 335 K."),
}


@pytest.mark.parametrize("mistake", LATE)
def test_a_wrong_value_found_at_work_is_told_in_one_paragraph(
    here: Callable[..., Said], copy: Path, mistake: str
) -> None:
    how, words = LATE[mistake]
    change("era5_2002.nc", how)(copy)
    before = published(copy)
    # the last one in a process of its own: libraries warn of such values
    said = (ch4grid_command if "not in" in mistake else here)(copy, *ANOTHER_YEAR)
    assert (said.code, said.out) == (INPUT, "")
    progress, _, paragraph = said.err.rpartition("\n")
    assert "Error" not in progress
    assert is_one_paragraph(replace(said, err=paragraph)), said.err
    assert words in said.err
    assert published(copy) == before


# What the system refuses to write, by the largest file it still takes [bytes].
FULL = {"the plan of the run": 2500, "a chunk, in a worker": 12_000}


@pytest.mark.parametrize("limit", FULL.values(), ids=FULL)
def test_a_full_disk_leaves_the_product_and_a_rerun_goes_on(
    here: Callable[..., Said], copy: Path, limit: int
) -> None:
    before = published(copy)
    said = ch4grid_command(copy, *ANOTHER_YEAR, limit=limit)
    assert (said.code, said.out) == (FAILED, "")
    assert is_one_paragraph(said), said.err
    assert "cannot write" in said.err
    after = published(copy)
    assert {n: d for n, d in after.items() if ".staging/" not in n and n in before} == before
    assert not list((copy / "products").rglob("*.partial"))
    if limit == max(FULL.values()):
        assert json.loads(here(copy, *ANOTHER_YEAR, "--json").out)["published"] == [2001, 2002]
        assert here(copy, "verify", "products/ch4-small/v1/historical.zarr").code == DONE


def test_a_full_disk_is_told_also_when_the_twin_writes_its_files(tmp_path: Path) -> None:
    twin = {"source": "twin", "variables": ["tas"], "resolution": 5.0}
    write_recipe(tmp_path, drivers=[twin])
    said = ch4grid_command(tmp_path, "plan", "small.yaml", limit=20_000)
    assert said.code == FAILED
    assert is_one_paragraph(said), said.err
    assert "cannot write" in said.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders")
def test_a_read_only_output_is_told(here: Callable[..., Said], copy: Path) -> None:
    closed = copy / "closed"
    closed.mkdir(mode=0o555)
    said = here(copy, *RUN, "--output", "closed")
    assert said.code == FAILED
    assert is_one_paragraph(said)
    assert "Found Permission denied." in said.err


def test_a_second_run_at_once_is_refused(here: Callable[..., Said], copy: Path) -> None:
    before = published(copy)
    with FileLock(copy / "products/ch4-small/v1/historical.lock"):
        said = here(copy, *ANOTHER_YEAR)
    assert said.code == FAILED
    assert is_one_paragraph(said)
    assert "another run is writing this product" in said.err
    assert published(copy) == before


def test_verify_names_a_damaged_chunk(here: Callable[..., Said], copy: Path) -> None:
    store = "products/ch4-small/v1/historical.zarr"
    assert here(copy, "verify", store).code == DONE
    chunk = copy / store / "ch4_flux/c/0/0/0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 0xFF
    chunk.write_bytes(content)
    before = published(copy)
    said = here(copy, "verify", store)
    assert (said.code, said.err) == (FAILED, "")
    assert "ch4_flux/c/0/0/0" in said.out
    assert json.loads(here(copy, "verify", store, "--json").out)
    assert published(copy) == before


def test_catalog_validate_names_a_broken_link(here: Callable[..., Said], copy: Path) -> None:
    assert here(copy, "catalog", "validate").code == DONE
    item = next((copy / "products/catalog/products").rglob("*2001.json"))
    item.unlink()
    before = published(copy)
    said = here(copy, "catalog", "validate")
    assert (said.code, said.err) == (FAILED, "")
    assert item.name in said.out
    assert published(copy) == before


def test_catalog_lists_and_shows_what_was_published(here: Callable[..., Said], made: Path) -> None:
    listed = json.loads(here(made, "catalog", "list", "--json").out)
    assert "ch4-small" in [row["id"] for row in listed]
    assert "ch4-small" in here(made, "catalog", "list").out
    shown = json.loads(here(made, "catalog", "show", "ch4-small", "--json").out)
    assert shown["type"] == "Collection"
    said = here(made, "catalog", "show", "ch4-small").out
    assert shown["citation"] in said
    assert f"ds = xr.open_zarr({shown['assets']['data']!r})" in said


def test_a_plan_computes_nothing_and_says_what_would_run(
    here: Callable[..., Said], copy: Path
) -> None:
    plan = ("plan", "small.yaml", "--data", "data", "--output", "elsewhere")
    said = here(copy, *plan)
    assert (said.code, said.err) == (DONE, "")
    assert "2001   make" in said.out
    told = json.loads(here(copy, *plan, "--json").out)
    assert (told["complete"], told["trained"]) == (False, False)
    assert [year["action"] for year in told["years"]] == ["make"]
    written = {p.name for p in (copy / "elsewhere").iterdir()}
    assert written == {"cache"}
    assert {p.name for p in (copy / "elsewhere/cache").iterdir()} <= {
        "twin",
        "fingerprints.json",
        "headers.json",
    }


def test_a_plan_that_lacks_inputs_is_printed_and_ends_as_the_run_would(
    here: Callable[..., Said], copy: Path
) -> None:
    no_file_of_2002(copy)
    before = published(copy)
    said = here(copy, "plan", "small.yaml", "--data", "data", "--json")
    assert said.code == INPUT
    assert len(json.loads(said.out)["missing"]) == 1
    assert is_one_paragraph(said), said.err
    assert published(copy) == before


def test_a_plan_of_what_is_published_has_nothing_to_do(
    here: Callable[..., Said], made: Path
) -> None:
    said = here(made, "plan", "small.yaml", "--data", "data", "--json")
    assert json.loads(said.out)["complete"] is True


@pytest.mark.parametrize(
    "command", [(), *[(c,) for c in COMMANDS], *[("catalog", c) for c in CATALOG_COMMANDS]]
)
def test_every_command_has_help(
    here: Callable[..., Said], tmp_path: Path, command: tuple[str, ...]
) -> None:
    said = here(tmp_path, *command, "--help")
    assert (said.code, said.err) == (DONE, "")
    assert "Usage: " in said.out


def test_the_version_is_told(here: Callable[..., Said], tmp_path: Path) -> None:
    said = here(tmp_path, "--version")
    assert (said.code, said.out, said.err) == (DONE, f"{ch4grid.__version__}\n", "")


@pytest.mark.parametrize("wrong", [("--yaer", "2001"), ("--year", "never"), ()])
def test_wrong_usage_is_told_with_the_way_to_help(
    here: Callable[..., Said], tmp_path: Path, wrong: tuple[str, ...]
) -> None:
    said = here(tmp_path, "run", *wrong)
    assert said.code == USAGE
    assert "Try 'ch4grid run -h' for help" in said.err
    assert "Traceback" not in said.err


def failing(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_an_exception_nobody_foresaw_is_named_with_the_way_to_its_traceback(
    here: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ch4grid.running.verify", failing(ZeroDivisionError("a\nb")))
    said = here(tmp_path, "verify", "x.zarr")
    assert said.code == FAILED
    assert is_one_paragraph(said)
    assert "ZeroDivisionError: a b" in said.err
    assert "ch4grid --debug" in said.err


def test_a_refusal_of_the_system_names_the_file(
    here: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = OSError(28, "No space left on device", "somewhere/x")
    monkeypatch.setattr("ch4grid.running.verify", failing(refusal))
    said = here(tmp_path, "verify", "x.zarr")
    assert said.code == FAILED
    assert is_one_paragraph(said)
    assert said.err.startswith("ch4grid: somewhere/x: ")
    assert "Found No space left on device." in said.err


def test_a_stop_by_the_user_is_told(
    here: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ch4grid.running.verify", failing(KeyboardInterrupt()))
    said = here(tmp_path, "verify", "x.zarr")
    assert said.code == FAILED
    assert is_one_paragraph(said)
    assert "stopped by the user" in said.err


def test_debug_shows_the_traceback_and_then_the_paragraph(tmp_path: Path) -> None:
    said = ch4grid_command(tmp_path, "--debug", "plan", "none.yaml")
    assert said.code == USAGE
    assert "Traceback (most recent call last)" in said.err
    assert said.err.splitlines()[-1].startswith("ch4grid: none.yaml: the recipe cannot be read.")
