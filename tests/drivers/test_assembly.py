from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from pydantic import TypeAdapter
from real_files import DATA, real

from ch4grid.drivers import DriverSource, assemble, at_sites, normals
from ch4grid.drivers.source import Holding, Source
from ch4grid.errors import RecipeError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace
from ch4grid.vocabulary import VARIABLES

CLIMATOLOGY = "climatology/drivers_2p5deg_monthly_climatology.nc"


class Fields(Source):
    """A source that gives the fields of functions of latitude and longitude; `tas` has the month number added."""

    source: str = "fields"
    fields: dict[str, Any]

    @property
    def variables(self):
        return tuple(self.fields)

    def survey(self, workspace, wanted):
        held = [(n, m) for n in self.fields for m in (wanted if n in CHANGING else [None])]
        return [Holding("fields", n, m, "final") for n, m in held]

    def open(self, workspace, names, wanted):
        season = xr.DataArray(np.asarray(wanted.month, "float32"), {"time": wanted}, "time")
        return xr.Dataset(
            {
                n: (self._field(n) + (season if n == "tas" else 0 * season))
                .transpose("time", ...)
                .assign_attrs(VARIABLES[n].attrs)
                for n in names
            }
        )

    def statics(self, workspace):
        return xr.Dataset({n: self._field(n) for n in self.fields if n not in CHANGING})

    def _field(self, name):
        latitude, longitude = np.arange(85.0, -90.0, -10.0), np.arange(0.0, 360.0, 10.0)
        values = np.broadcast_to(self.fields[name](latitude[:, None], longitude), (18, 36))
        return xr.DataArray(
            values.astype("float32"),
            dims=("latitude", "longitude"),
            coords={"latitude": latitude, "longitude": longitude},
            attrs=VARIABLES[name].attrs,
        )


CHANGING = ("tas", "evi", "pr")
WORKSPACE = Workspace(Path("data"), Path("out"))
EVERYWHERE = {"tas": lambda lat, lon: 280 + 0 * lat + 0 * lon}
LAND = {"evi": lambda lat, lon: np.where((lon < 90) & (lat > 0), 0.5, np.nan)}


def test_years_follow_each_other_and_statics_stand_once():
    sources = [Fields(fields=EVERYWHERE | {"elevation": lambda lat, lon: 0 * lat * lon + 100.0})]
    ds = assemble(sources, Grid(10.0), 2001, 2003, WORKSPACE)
    assert ds["tas"].dims == ("time", "latitude", "longitude")
    assert ds["elevation"].dims == ("latitude", "longitude")
    assert ds.sizes["time"] == 36
    one = assemble(sources, Grid(10.0), 2002, 2002, WORKSPACE)
    xr.testing.assert_identical(ds["tas"].sel(time="2002"), one["tas"])
    assert {str(v.dtype) for v in ds.data_vars.values()} == {"float32"}


def test_an_area_layer_that_is_missing_at_sea_keeps_its_area():
    wetland = Fields(fields={"wetland_fraction": LAND["evi"]})
    fine = assemble([wetland], Grid(10.0), 2001, 2001, WORKSPACE)["wetland_fraction"]
    coarse = assemble([wetland], Grid(30.0), 2001, 2001, WORKSPACE)["wetland_fraction"]
    zone = lambda d: Grid(180 / d.sizes["latitude"]).cell_area[:, 0]  # noqa: E731
    area = [float((d.sum("longitude").values * zone(d)).sum()) for d in (fine, coarse)]
    assert area[0] == pytest.approx(area[1], rel=1e-6)
    assert float(fine.min()) == 0.0


def test_a_variable_from_two_sources_is_refused():
    with pytest.raises(RecipeError, match="'tas' comes from two"):
        assemble([Fields(fields=EVERYWHERE)] * 2, Grid(30.0), 2001, 2001, WORKSPACE)


def test_normals_are_means_and_seasonal_ranges():
    ds = assemble(
        [Fields(fields=EVERYWHERE), Fields(fields=LAND)], Grid(30.0), 2001, 2002, WORKSPACE
    )
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
    ds = assemble(
        [Fields(fields=EVERYWHERE), Fields(fields=LAND)], Grid(10.0), 2001, 2001, WORKSPACE
    )
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
    real(CLIMATOLOGY)
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
    land = ds["lai"].notnull()
    assert 0.2 < float(land.mean()) < 0.5
