import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from pydantic import TypeAdapter

from ch4grid.drivers import DriverSource, assemble, at_sites, normals
from ch4grid.errors import RecipeError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace
from ch4grid.vocabulary import VARIABLES, months

DATA = Path(os.environ.get("CH4GRID_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
CLIMATOLOGY = "climatology/drivers_2p5deg_monthly_climatology.nc"


class Fields:
    """A source that gives what it was given, month numbers from January of the first year."""

    def __init__(self, **fields):
        self.fields = fields

    def open(self, workspace, first_year, last_year):
        time = months(first_year, last_year)
        latitude, longitude = np.arange(85.0, -90.0, -10.0), np.arange(0.0, 360.0, 10.0)
        out = xr.Dataset()
        for name, make in self.fields.items():
            values = np.broadcast_to(make(latitude[:, None], longitude), (18, 36))
            field = xr.DataArray(
                values.astype("float32"),
                dims=("latitude", "longitude"),
                coords={"latitude": latitude, "longitude": longitude},
            )
            if name in ("tas", "evi", "pr"):
                season = xr.DataArray(
                    np.asarray(time.month, "float32"), dims="time", coords={"time": time}
                )
                field = (field + (season if name == "tas" else 0 * season)).transpose("time", ...)
            out[name] = field.assign_attrs(VARIABLES[name].attrs)
        return out


WORKSPACE = Workspace(Path("data"), Path("out"))
EVERYWHERE = {"tas": lambda lat, lon: 280 + 0 * lat + 0 * lon}
LAND = {"evi": lambda lat, lon: np.where((lon < 90) & (lat > 0), 0.5, np.nan)}


def test_years_follow_each_other_and_statics_stand_once():
    sources = [Fields(**EVERYWHERE, elevation=lambda lat, lon: 0 * lat * lon + 100.0)]
    ds = assemble(sources, Grid(10.0), 2001, 2003, WORKSPACE)
    assert ds["tas"].dims == ("time", "latitude", "longitude")
    assert ds["elevation"].dims == ("latitude", "longitude")
    assert ds.sizes["time"] == 36
    one = assemble(sources, Grid(10.0), 2002, 2002, WORKSPACE)
    xr.testing.assert_identical(ds["tas"].sel(time="2002"), one["tas"])
    assert {str(v.dtype) for v in ds.data_vars.values()} == {"float32", "uint8"}


def test_the_status_tells_missing_from_filled_from_valid():
    ds = assemble([Fields(**EVERYWHERE), Fields(**LAND)], Grid(15.0), 2001, 2001, WORKSPACE)
    status = ds["driver_status"][0]
    land = status.sel(latitude=37.5)
    assert int(land.sel(longitude=37.5)) == 0
    assert int(land.sel(longitude=-112.5)) == 2
    # the cell from 75 to 90 E is half covered by the land column that ends at 85 E
    share = ds["valid_fraction"][0].sel(latitude=37.5)
    filled = (share > 0.06) & (share < 0.49)
    assert bool((land.values[filled.values] == 1).all())
    assert np.isfinite(ds["evi"][0].sel(latitude=37.5).values[filled.values]).all()
    assert bool((np.isnan(ds["evi"]) == (ds["driver_status"] == 2)).all())


def test_an_area_layer_that_is_missing_at_sea_keeps_its_area():
    wetland = Fields(**EVERYWHERE, wetland_fraction=LAND["evi"])
    fine = assemble([wetland], Grid(10.0), 2001, 2001, WORKSPACE)["wetland_fraction"]
    coarse = assemble([wetland], Grid(30.0), 2001, 2001, WORKSPACE)["wetland_fraction"]
    zone = lambda d: np.diff(np.sin(np.deg2rad(np.linspace(-90, 90, d.sizes["latitude"] + 1))))  # noqa: E731
    area = [float((d.mean("longitude").values * zone(d)).sum()) for d in (fine, coarse)]
    assert area[0] == pytest.approx(area[1], rel=1e-6)
    assert float(fine.min()) == 0.0


def test_a_variable_from_two_sources_is_refused():
    with pytest.raises(RecipeError, match="'tas' comes from two"):
        assemble([Fields(**EVERYWHERE)] * 2, Grid(30.0), 2001, 2001, WORKSPACE)


def test_normals_are_means_and_seasonal_ranges():
    ds = assemble([Fields(**EVERYWHERE), Fields(**LAND)], Grid(30.0), 2001, 2002, WORKSPACE)
    climate = normals(ds)
    np.testing.assert_allclose(climate["tas_mean"], 286.5, rtol=1e-6)
    np.testing.assert_allclose(climate["tas_range"], 11.0, rtol=1e-5)
    assert "evi_mean" in climate
    assert climate["tas_mean"].attrs == {
        "units": "K",
        "long_name": "mean over 2001-01 to 2002-12 of air temperature at 2 m",
    }


def towers(**places):
    names, points = zip(*places.items(), strict=True)
    return xr.Dataset(
        coords={
            "site": list(names),
            "latitude": ("site", [p[0] for p in points]),
            "longitude": ("site", [p[1] for p in points]),
            "cluster": ("site", np.arange(len(names))),
        }
    )


def test_a_tower_sees_its_own_cell_or_the_nearest_with_data():
    ds = assemble([Fields(**EVERYWHERE), Fields(**LAND)], Grid(10.0), 2001, 2001, WORKSPACE)
    sites = towers(
        inside=(42.0, 41.0), shore=(42.0, 92.0), ocean=(-42.0, -150.0), seam=(42.0, -4.0)
    )
    seen = at_sites(ds, sites)
    assert seen["tas"].dims == ("site", "time")
    assert np.isfinite(seen["evi"]).all("time").values.tolist() == [True, True, False, True]
    assert np.isfinite(seen["tas"]).all()
    assert float(seen["cell_distance_km"].sel(site="inside")) < 700
    assert float(seen["cell_distance_km"].sel(site="shore")) < 1000
    assert seen["latitude"].values.tolist() == [42.0, 42.0, -42.0, 42.0]
    assert "cluster" in seen.coords
    assert "driver_status" not in seen
    climate = at_sites(normals(ds), sites)
    assert climate["tas_mean"].dims == ("site",)


@pytest.mark.parametrize(
    "line",
    [
        {"source": "era5", "path": "a.nc", "variables": ["tas"]},
        {"source": "modis", "path": "a.hdf", "variables": ["evi"]},
        {"source": "gridded", "path": "a.nc", "variables": {"tas": "t2m"}},
    ],
)
def test_a_line_of_a_recipe_is_the_source(line):
    source = TypeAdapter(DriverSource).validate_python(line)
    assert source.source == line["source"]
    assert source == TypeAdapter(DriverSource).validate_json(source.model_dump_json())


def test_a_real_mean_year_becomes_drivers():
    if not (DATA / CLIMATOLOGY).exists():
        pytest.skip(f"no climatology in {DATA}")
    line = {
        "source": "gridded",
        "path": CLIMATOLOGY,
        "variables": {
            "tas": "t2m",
            "pr": "tp",
            "tsl": "stl1",
            "lai": "lai",
            "wetland_fraction": "glowet_frac",
        },
    }
    source = TypeAdapter(DriverSource).validate_python(line)
    ds = assemble([source], Grid(5.0), 2001, 2001, Workspace(DATA, DATA))
    assert 280 < float(ds["tas"].weighted(np.cos(np.deg2rad(ds["latitude"]))).mean()) < 295
    land = ds["driver_status"] < 2
    assert 0.2 < float(land.mean()) < 0.5
