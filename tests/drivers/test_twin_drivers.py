import numpy as np
import pytest
import xarray as xr
from pydantic import TypeAdapter, ValidationError

from ch4grid.drivers.twin import (
    ERA5_VARIABLES,
    MODIS_VARIABLES,
    MONTHLY_LAYER,
    STATICS,
    TwinDrivers,
)
from ch4grid.errors import InputError
from ch4grid.schema import check_range
from ch4grid.stores import Workspace
from ch4grid.twin import folder
from ch4grid.twin.lattice import Lattice
from ch4grid.vocabulary import AREA_LAYERS, DYNAMIC, VARIABLES, months


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    base = tmp_path_factory.mktemp("twin")
    return Workspace(base, base)


def drivers(*variables: str) -> TwinDrivers:
    return TwinDrivers(variables=variables, seed=5, resolution=4.0)


def year(source: TwinDrivers, workspace: Workspace, first: int, last: int) -> xr.Dataset:
    """All that changes and all that does not, in the order of the source."""
    monthly = [name for name in source.variables if name in DYNAMIC or name == MONTHLY_LAYER]
    parts = [source.open(workspace, monthly, months(first, last))] if monthly else []
    return xr.merge([*parts, source.statics(workspace)], join="exact")[list(source.variables)]


def test_reanalysis_files_give_back_the_planet_on_their_nodes(workspace: Workspace) -> None:
    source = drivers(*ERA5_VARIABLES)
    ds = year(source, workspace, 2001, 2001)
    assert ds["latitude"].values[[0, -1]].tolist() == [90.0, -90.0]
    assert ds["longitude"].values[[0, -1]].tolist() == [0.0, 356.0]
    view = source.twin.view(Lattice.nodes(4.0))
    steps = source.twin.steps(months(2001, 2001))
    for name in ERA5_VARIABLES:
        truth = view.driver(name, steps)[:, 1:-1]
        # another formula of the saturation pressure, over ice as well, moves the deficit by a few Pa
        tolerance = {"rtol": 0.06, "atol": 8.0} if name == "vpd" else {"rtol": 2e-6}
        np.testing.assert_allclose(ds[name].values[:, 1:-1], truth, **tolerance)
        assert ds[name].attrs["units"] == VARIABLES[name].units


def test_a_pole_has_one_value(workspace: Workspace) -> None:
    tas = drivers("tas").open(workspace, ["tas"], months(2001, 2001))["tas"]
    assert np.ptp(tas.values[:, [0, -1]], axis=2).max() == 0


def test_satellite_files_give_back_the_planet_within_their_packing(workspace: Workspace) -> None:
    source = drivers(*MODIS_VARIABLES)
    ds = year(source, workspace, 2001, 2001).load()
    lattice = Lattice.pixels(2.0)
    np.testing.assert_array_equal(ds["latitude"].values, lattice.latitude)
    steps = source.twin.steps(months(2001, 2001))
    for name, packing in (("evi", 0.5e-4), ("lst_day", 0.01), ("lst_night", 0.01)):
        error = ds[name].values - source.twin.view(lattice).driver(name, steps)
        assert np.nanmax(np.abs(error)) <= packing * 1.01 + 2e-5
        lost = np.isnan(error)
        assert lost[:, lattice.land <= 0].all()
        assert 0.05 < lost[:, lattice.land > 0].mean() < 0.11


def test_area_layers_are_those_of_the_planet(workspace: Workspace) -> None:
    source = drivers(*STATICS)
    ds = year(source, workspace, 2001, 2002)
    layers = source.twin.statics()
    for name in STATICS:
        field = ds[name].isel(time=slice(0, 12)) if "time" in ds[name].dims else ds[name]
        np.testing.assert_array_equal(field.values, layers[name].values)
    np.testing.assert_array_equal(ds["wetland_fraction"][12:], ds["wetland_fraction"][:12])
    total = sum(ds[name] for name in AREA_LAYERS)
    assert float((total - ds["land_fraction"]).max()) < 1e-6


def test_variables_of_several_origins_come_on_the_cells_of_the_twin(workspace: Workspace) -> None:
    source = drivers("evi", "tas", "elevation", "pr")
    ds = year(source, workspace, 2001, 2001).load()
    assert list(ds.data_vars) == ["evi", "tas", "elevation", "pr"]
    truth = source.twin.drivers(2001, 2001)
    np.testing.assert_array_equal(ds["latitude"], truth["latitude"])
    for name, worst in (("tas", 1.5), ("evi", 0.05)):
        field = check_range_of(ds, name)
        error = (field - truth[name].values).where(source.twin.cells.land == 1)
        assert float(np.sqrt((error**2).mean())) < worst


def check_range_of(ds: xr.Dataset, name: str) -> xr.DataArray:
    check_range(ds[name], "twin")
    return ds[name]


def test_a_year_alone_is_the_year_among_others(workspace: Workspace) -> None:
    source = drivers(*DYNAMIC.keys() & {*ERA5_VARIABLES, *MODIS_VARIABLES})
    alone = year(source, workspace, 2002, 2002).load()
    xr.testing.assert_equal(alone, year(source, workspace, 2001, 2002).sel(time="2002").load())


def test_months_come_as_they_are_asked_for(workspace: Workspace) -> None:
    wanted = months(2001, 2002)[[3, 11, 12]]
    source = drivers("tas", "lst_day")
    some = source.open(workspace, ["lst_day"], wanted).load()
    assert list(some.data_vars) == ["lst_day"]
    assert (some.indexes["time"] == wanted).all()
    whole = year(source, workspace, 2001, 2002)[["lst_day"]].sel(time=wanted).load()
    xr.testing.assert_equal(some, whole)


def test_everything_is_held_for_good_in_files_that_exist(workspace: Workspace) -> None:
    source = drivers("tas", "lst_day", "urban_fraction", "wetland_fraction")
    wanted = months(2001, 2002)
    held = source.survey(workspace, wanted)
    expected = {(n, m) for n in ("tas", "lst_day", "wetland_fraction") for m in wanted}
    assert {(h.variable, h.month) for h in held} == expected | {("urban_fraction", None)}
    assert len(held) == 3 * 24 + 1
    assert {(h.source, h.state) for h in held} == {("twin", "final")}
    files = {file for h in held for file in h.files}
    # a file of ERA5 per year, a granule of temperature per month, one file of areas
    assert len(files) == 2 + 24 + 1
    assert all(file.exists() for file in files)
    assert all(file.is_relative_to(folder(source.twin, workspace)) for file in files)


def test_years_that_were_not_simulated_are_missing_with_a_reason(workspace: Workspace) -> None:
    source = drivers("tas", "evi", "wetland_fraction")
    held = source.survey(workspace, months(2008, 2009))
    absent = [h for h in held if h.state == "missing"]
    assert {(h.variable, h.month.year) for h in absent if h.month} == {("tas", 2009), ("evi", 2009)}
    assert len(absent) == 24
    assert {h.reason for h in absent} == {"the twin is simulated from 1999 to 2008"}
    with pytest.raises(InputError, match="within 1999 to 2008"):
        source.open(workspace, ["tas"], months(2009, 2009))


def test_unknown_variables_and_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match="no variable npp"):
        drivers("tas", "npp")
    with pytest.raises(ValidationError, match="Extra inputs"):
        TypeAdapter(TwinDrivers).validate_python(
            {"source": "twin", "variables": ["tas"], "colour": "blue"}
        )


def test_a_recipe_line_decodes() -> None:
    line = {"source": "twin", "variables": ["tas", "evi"], "seed": 3, "resolution": 2}
    assert TypeAdapter(TwinDrivers).validate_python(line).twin.key.startswith("seed3-2deg-")
