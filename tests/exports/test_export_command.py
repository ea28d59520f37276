"""What an export is asked for, by the command and from Python: choices are told, nothing unpublished is written."""

import json
from pathlib import Path

import netCDF4
import numpy as np
import planted_cells as cells
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import ch4grid
from ch4grid import cli, exports
from ch4grid.errors import InputError, RecipeError
from ch4grid.exports import EXPORTS, years_of


def run(*arguments: str):
    return CliRunner().invoke(cli.app, ["export", *arguments])


@given(st.sets(st.integers(1900, 2100), min_size=1))
def test_years_are_read_as_they_are_written(years):
    assert years_of(",".join(map(str, years))) == tuple(sorted(years))


@given(st.integers(1900, 2100), st.integers(0, 50))
def test_a_period_is_all_its_years(first, more):
    assert years_of(f"{first}-{first + more}") == tuple(range(first, first + more + 1))


@pytest.mark.parametrize("text", ["", "2003-2001", "01", "2001-", "all", "2001;2002"])
def test_what_is_no_year_is_refused(text):
    with pytest.raises(RecipeError, match="these are no years"):
        years_of(text)


def test_an_unpublished_year_is_refused_with_those_that_are(store, tmp_path):
    with pytest.raises(InputError, match=r"Expected some of 2001, 2002\. Found 2003"):
        ch4grid.export(store, "icos", years=range(2002, 2004), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("consumer", "asked", "words"),
    [
        ("tm5", {}, r"no such consumer\. Expected cf-netcdf, geoschem, imi,"),
        (
            "icos",
            {"ecosystems": ["bog"]},
            r"unknown name\. Expected tropical-floodplain, .* Found bog",
        ),
        ("icos", {"member": 9}, r"Expected 0, 1, 2\. Found 9"),
        ("imi", {"grid": "1x1"}, r"Expected 2x2\.5, 0\.25x0\.3125, .* Found 1x1"),
        ("geoschem", {"grid": "4x5"}, r"geoschem takes no grid"),
        ("cf-netcdf", {"member": 1}, r"cf-netcdf takes no member"),
        ("icos", {"member": 1, "ecosystems": ["urban"]}, "stored without classes"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_choices(store, tmp_path, consumer, asked, words):
    with pytest.raises(RecipeError, match=words):
        ch4grid.export(store, consumer, output=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("consumer", ["geoschem", "imi"])
def test_a_gas_that_the_consumer_does_not_model_is_refused(consumer, monkeypatch):
    source = cells.of_gas(cells.source(1, 30.0), "n2o")
    monkeypatch.setattr(exports, "source_of", lambda ds, store: source)
    with pytest.raises(
        RecipeError, match=rf"{consumer} is for other gases\. Expected ch4\. Found n2o"
    ):
        exports.export(source.ds, "x.zarr", consumer)


def test_a_member_is_exported_as_it_is_stored(store, tmp_path):
    done = ch4grid.export(store, "icos", years=2001, member=2, output=tmp_path)
    assert done.files[0].name == "CH4-member02_2001_1000_monthly.nc"
    flux = ch4grid.open(store)["ch4_flux_member"].sel(member=2, time="2001").values
    with xr.open_dataset(tmp_path / done.files[0].name) as read:
        np.testing.assert_array_equal(read["CH4"].values, flux)
        assert "CH4_standard_error" not in read
        assert read.attrs["statistic"] == "member 2"


def test_chosen_classes_are_added_up_and_stand_in_the_name(store, tmp_path):
    names = ["rice-paddy", "boreal-peatland"]
    done = ch4grid.export(store, "openghg", years=2002, ecosystems=names, output=tmp_path)
    path = tmp_path / done.files[0].name
    assert path.name == "ch4-planted-v1-historical-boreal-peatland-rice-paddy_GLOBAL_2002.nc"
    ds = ch4grid.open(store).sel(time="2002", ecosystem=names)
    expected = (ds["ch4_flux_density"].astype(float) * ds["ecosystem_fraction"]).sum("ecosystem")
    with xr.open_dataset(path) as read:
        found = read["flux"].values.astype(float) * 0.0160425
        np.testing.assert_allclose(found, expected.values, rtol=1e-6, atol=1e-20)
        assert read.attrs["ecosystems"] == "boreal-peatland rice-paddy"


@pytest.mark.parametrize("consumer", ["geoschem", "imi"])
def test_a_member_has_one_line_of_hemco(store, tmp_path, consumer):
    grid = "4x5" if consumer == "imi" else ""
    ch4grid.export(store, consumer, years=2001, member=0, grid=grid, output=tmp_path)
    lines = next(tmp_path.glob("*HEMCO_Config.rc")).read_text().splitlines()
    active = [line.split() for line in lines if line.startswith("0 ")]
    path = tmp_path / Path(active[0][2]).name.replace("$YYYY", "2001")
    with netCDF4.Dataset(path) as file:
        assert len(active) == 1
        assert active[0][3] in file.variables
        assert not any("deviation" in n for n in file.variables)


def test_the_command_writes_below_exports_and_tells_json(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = run(str(store), "--for", "icos", "--years", "2001", "--json")
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    folder = tmp_path / "exports" / "planted_v1_historical" / "icos"
    assert sorted(p.name for p in folder.iterdir()) == sorted([*told["files"], told["manifest"]])
    assert told["years"] == [2001]
    assert told["departure"] < 1e-7


@pytest.mark.parametrize("name", EXPORTS)
def test_the_command_describes_every_contract(name):
    said = run("--for", name, "--describe")
    assert said.exit_code == 0
    for part in ("purpose", "files", "variables", "units", "time", "missing", "law", "consumer"):
        assert part in said.stdout
    assert list(json.loads(run("--for", name, "--describe", "--json").stdout)) == [name]


def test_the_command_without_consumer_or_product_says_what_it_wants(store):
    for arguments, words in (
        ((str(store),), "no such consumer"),
        (("--for", "icos"), "no product is given"),
        ((str(store), "--for", "x"), "csv-inventory"),
    ):
        said = run(*arguments)
        assert isinstance(said.exception, RecipeError)
        assert words in str(said.exception)


def test_all_contracts_stand_in_the_guide():
    guide = (Path(__file__).parents[2] / "docs" / "howto" / "exports.md").read_text()
    for name in EXPORTS:
        assert f"`{name}`" in guide
        assert f"--for {name}" in guide
