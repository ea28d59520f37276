"""A complete recipe on files of a few kilobytes: gridded drivers by year, areas, towers and a small checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from planted_model import fitted

from ch4grid.grid import Grid
from ch4grid.recipe import Recipe
from ch4grid.running import Outcome, run
from ch4grid.stores import Workspace
from ch4grid.testing import CLIMATE, drivers
from ch4grid.vocabulary import STATIC

GRID = Grid(30.0)
YEARS = range(1999, 2004)
STATIONS = """SITE_ID,LAT,LON,SITE_CLASSIFICATION,UPLAND_CLASS,IGBP
AA-Bog,62.0,24.0,Bog,,WET
AA-Fen,62.5,25.0,Fen,,WET
BB-Ric,38.0,-121.0,Rice,,CRO
CC-Non,10.0,20.0,Rice,,CRO
"""
# One tower beside AA-Bog and one far from all.
OTHER_STATIONS = """SITE_ID,LAT,LON,SITE_CLASSIFICATION,UPLAND_CLASS,IGBP
DD-Nea,62.2,24.3,Bog,,WET
EE-Far,-30.0,140.0,Rice,,CRO
FF-Far,-31.0,-60.0,Rice,,CRO
"""


def write_drivers(folder: Path, year: int, *, warmer: float = 0.0) -> Path:
    """The file of a year; the same year has the same weather whatever else is written."""
    cube = drivers(GRID, year, year, seed=year).drop_vars(["driver_status", "valid_fraction"])
    cube = cube.assign(tas=(cube["tas"] + warmer).assign_attrs(cube["tas"].attrs))
    path = folder / f"drivers-{year}.nc"
    cube.to_netcdf(path)
    return path


def write_areas(folder: Path) -> Path:
    """Wetland and rice on two thirds of the globe, the rest is ocean."""
    share = np.zeros(GRID.shape, np.float32)
    share[:, :8] = 0.9
    layers = {"land_fraction": share, "wetland_fraction": share / 3, "rice_fraction": share / 9}
    areas = xr.Dataset(
        {n: (("latitude", "longitude"), v, STATIC[n].attrs) for n, v in layers.items()},
        coords=GRID.coords,
    )
    path = folder / "areas.nc"
    areas.to_netcdf(path)
    return path


def write_towers(folder: Path) -> None:
    """Fluxes of two towers from 2000 on and of one in 2001; CC-Non measured nothing."""
    rows = [
        f"{s},{y}-{m:02d}-01,{m}"
        for s in ("AA-Bog", "BB-Ric")
        for y in (2000, 2001, 2002)
        for m in range(1, 13)
    ]
    rows += [f"AA-Fen,2001-{m:02d}-01,20" for m in range(5, 10)] + ["CC-Non,2001-06-01,"]
    (folder / "towers.csv").write_text("\n".join(["site_id,time,FCH4_nmol", *rows]) + "\n")
    (folder / "stations.csv").write_text(STATIONS)
    others = [
        f"{s},2001-{m:02d}-01,{m}" for s in ("DD-Nea", "EE-Far", "FF-Far") for m in range(1, 13)
    ]
    (folder / "others.csv").write_text("\n".join(["site_id,time,FCH4_nmol", *others]) + "\n")
    (folder / "other-stations.csv").write_text(OTHER_STATIONS)


def write_inputs(folder: Path) -> Workspace:
    """All files of the recipe, and the workspace around them."""
    for year in YEARS:
        write_drivers(folder, year)
    write_areas(folder)
    write_towers(folder)
    fitted().save(folder / "model")
    return Workspace(data=folder, output=folder / "products")


def document(**changes: Any) -> dict[str, Any]:
    """The recipe as a mapping."""
    return {
        "product": "planted",
        "title": "A planted product",
        "period": [2001, 2001],
        "grid": {"resolution": GRID.resolution},
        "drivers": [
            {
                "source": "gridded",
                "path": "drivers-*.nc",
                "variables": {n: n for n in (*CLIMATE, "elevation")},
            }
        ],
        "sites": [{"source": "table", "path": "towers.csv", "sites": "stations.csv"}],
        "ecosystems": {
            "areas": [
                {
                    "source": "gridded",
                    "path": "areas.nc",
                    "variables": {
                        n: n for n in ("land_fraction", "wetland_fraction", "rice_fraction")
                    },
                }
            ]
        },
        "training": {"period": [2001, 2002]},
        "discovery": {
            "sites": [{"source": "table", "path": "others.csv", "sites": "other-stations.csv"}]
        },
        "model": {"checkpoint": "model"},
        "scenarios": {"historical": {}, "warmer": {"add": {"tas": 2.0}}},
    } | changes


def recipe(**changes: Any) -> Recipe:
    """The recipe with some keys changed."""
    return Recipe.model_validate(document(**changes))


def publish(
    workspace: Workspace, changes: Mapping[str, Any] | None = None, **settings: Any
) -> Outcome:
    """Run the recipe inside this process."""
    return run(recipe(**(changes or {})), workspace, cluster="local:1", device="cpu", **settings)
