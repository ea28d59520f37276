"""A year with a missing month, a truncated file and preliminary months, from the files to the flags of the product."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from planted_model import fitted

from ch4grid.assembly import Assembly
from ch4grid.errors import InputError
from ch4grid.inventory import inventory
from ch4grid.planning import plan
from ch4grid.recipe import Recipe
from ch4grid.running import Outcome, run
from ch4grid.stores import Workspace
from ch4grid.twin import Faults, Twin, write_archive
from ch4grid.vocabulary import QUALITY_FLAGS

PLANET = Twin(seed=3, resolution=4.0, towers=14)
FAULTS = Faults(
    missing=("modis/MOD13C2.A2003121.*",),  # greenness of May
    truncated=("era5/era5_2003-03.nc",),
    preliminary=("2003-12",),
)


def recipe(gaps: str) -> Recipe:
    surface = {"source": "gridded", "path": "surface/*.nc"}
    return Recipe.model_validate(
        {
            "product": f"gaps-{gaps}",
            "title": "A year with gaps",
            "period": [2003, 2003],
            "grid": {"resolution": 12.0},
            "drivers": [
                {"source": "era5", "path": "era5/*.nc", "variables": ["tas", "pr", "ps", "mrsos"]},
                {"source": "modis", "path": "modis/*.hdf", "variables": ["evi"]},
                surface | {"variables": {"elevation": "elevation"}},
            ],
            "gaps": gaps,
            "ecosystems": {
                "areas": [surface | {"variables": {"land_fraction": "land_fraction"}}],
                "wetlands": {
                    "wad2m": {
                        "source": "wetlands",
                        "path": "wad2m/WAD2M_wetlands_2000-2020_025deg_Ver2.0.nc",
                    },
                    "glwd": {
                        "source": "glwd",
                        "path": "glwd/GLWD_v2_0_area_by_class_pct_tif.zip",
                        "variables": ["wetland_fraction"],
                    },
                },
            },
            "sites": [],
            "training": {"period": [2002, 2003]},
            "spin_up": 1,
            "model": {"checkpoint": "model"},
        }
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("gaps")
    near = replace(fitted().applicability, threshold=np.inf)  # no cell is too strange for it
    replace(fitted(), applicability=near).save(folder / "data" / "model")
    write_archive(PLANET, folder / "data", 2002, 2003, parts=("era5", "modis", "areas"))
    write_archive(PLANET, folder / "data", 2002, 2003, parts=("era5", "modis"), faults=FAULTS)
    return Workspace(folder / "data", folder / "products")


def made(workspace: Workspace, gaps: str) -> Outcome:
    return run(recipe(gaps), workspace, cluster="local:1")


def opened(done: Outcome) -> xr.Dataset:
    with xr.open_zarr(done.store) as ds:
        return ds.sel(time="2003").load()


@pytest.fixture(scope="module")
def outcomes(workspace: Workspace) -> dict[str, Any]:
    """Flag and fill on the faulty archive, then strict and both again on the whole one."""
    early = {gaps: made(workspace, gaps) for gaps in ("flag", "fill")}
    found: dict[str, Any] = {f"{g} before": opened(o) for g, o in early.items()}
    found |= {f"{g} doubts": o.doubts for g, o in early.items()}
    stores = workspace.cache / "drivers"
    before = {p: p.read_bytes() for p in stores.rglob("c/*/0/0")}
    write_archive(PLANET, workspace.data, 2002, 2003, parts=("era5", "modis"))
    late = {gaps: made(workspace, gaps) for gaps in ("flag", "fill", "strict")}
    found |= {f"{g} after": opened(o) for g, o in late.items()}
    found["revised"] = late["flag"].revised
    found["touched"] = {p for p, content in before.items() if p.read_bytes() != content}
    return found


def test_inventory_and_plan_name_every_gap_and_strict_stops(workspace: Workspace) -> None:
    entries = inventory(recipe("strict"), workspace, years=[2003]).entries
    doubtful = {(e.variable, e.month): e.state for e in entries if e.state != "final"}
    era5 = ("tas", "pr", "ps", "mrsos")
    assert doubtful == (
        {(n, "2003-03"): "damaged" for n in era5}
        | {(n, "2003-12"): "preliminary" for n in era5}
        | {("evi", "2003-05"): "missing"}
    )
    todo = plan(recipe("strict"), workspace)
    (missing,) = [m for m in todo.missing if "2003-05" in m]
    for words in ("2003-03 damaged", "evi 2003-05 missing", "2003-12 preliminary"):
        assert words in missing, missing
    with pytest.raises(InputError, match="2003-03 damaged") as caught:
        made(workspace, "strict")
    assert caught.value.exit_code == 3
    assert not (workspace.output / "gaps-strict").exists()


@pytest.mark.parametrize("gaps", ["flag", "fill"])
def test_the_product_flags_exactly_the_months_with_gaps(
    outcomes: dict[str, Any], gaps: str
) -> None:
    doubts = "; ".join(outcomes[f"{gaps} doubts"])
    for words in ("2003-03 damaged", "evi 2003-05 missing", "2003-12 preliminary"):
        assert words in doubts
    before, clean = outcomes[f"{gaps} before"], outcomes["strict after"]
    flag, whole = before["quality_flag"].values, clean["quality_flag"].values
    gap = QUALITY_FLAGS["driver_missing" if gaps == "flag" else "driver_filled"]
    # where nothing else is wrong in any month
    sound = (whole == QUALITY_FLAGS["valid"]).all(axis=0)
    assert sound.sum() > 10
    for month in range(12):
        expected = {2: gap, 4: gap, 11: QUALITY_FLAGS["driver_preliminary"]}.get(month, 0)
        assert (flag[month][sound] == expected).all(), month
    # greenness is no driver of this model: the month is marked, and has its flux
    assert np.isfinite(before["ch4_flux"].values[4][sound]).all()
    lost = np.isnan(before["ch4_flux"].values[2][sound])
    assert lost.all() if gaps == "flag" else not lost.any()


def test_final_files_change_the_drivers_of_their_months_alone(outcomes: dict[str, Any]) -> None:
    months = {int(p.parts[-3]) for p in outcomes["touched"]}
    # the axis begins in January 2001, a spin-up before the training
    assert months == {24 + 2, 24 + 4, 24 + 11}
    lines = outcomes["revised"]
    assert [line.split()[2] for line in lines[:-1]] == ["2003-03", "2003-05", "2003-12"]
    assert "(evi " in lines[1]
    # only the cells of Siberia in which the preliminary month differed, and only its two variables
    cells = int(lines[2].split("revised in ")[1].split()[0])
    assert 0 < cells < 15
    assert set(lines[2].split("(")[1].rstrip(")").replace(",", "").split()[::2]) == {"tas", "pr"}


@pytest.mark.parametrize("gaps", ["flag", "fill"])
def test_with_final_files_every_policy_gives_the_same_product(
    outcomes: dict[str, Any], gaps: str
) -> None:
    found, strict = outcomes[f"{gaps} after"], outcomes["strict after"]
    for name in ("ch4_flux", "ch4_flux_member"):
        np.testing.assert_array_equal(found[name].values, strict[name].values)
    # pixels that MODIS lost are gaps as well: strict leaves them, fill takes them from the other year
    lost = strict["quality_flag"].values == QUALITY_FLAGS["driver_missing"]
    kept = ~lost if gaps == "fill" else np.ones_like(lost)
    np.testing.assert_array_equal(
        found["quality_flag"].values[kept], strict["quality_flag"].values[kept]
    )


def test_the_product_rests_on_the_mean_of_both_maps(
    outcomes: dict[str, Any], workspace: Workspace
) -> None:
    (folder,) = workspace.cache.glob("areas/2003-*")
    with xr.open_zarr(folder, consolidated=False) as areas:
        maps = areas["ecosystem_fraction"].transpose("extent", "ecosystem", ...).load()
    assert maps["extent"].values.tolist() == ["wad2m", "glwd"]
    assert float(abs(maps[0] - maps[1]).max()) > 0.01
    found = outcomes["strict after"]["ecosystem_fraction"].values
    np.testing.assert_allclose(found, maps.mean("extent").values, atol=1e-6)


def test_years_beyond_a_wetland_series_follow_the_stated_rule_and_are_marked(
    workspace: Workspace,
) -> None:
    told = recipe("flag").model_dump(mode="json")
    told["ecosystems"]["wetlands"]["wad2m"]["beyond"] = "climatology"
    ruled = Assembly(Recipe.model_validate(told), workspace)
    marks = {}
    for year in (2003, 2021):
        with xr.open_zarr(ruled.areas(year), consolidated=False) as areas:
            marks[year] = areas["area_filled"].values.tolist()
    assert marks == {2003: [0] * 12, 2021: [1] * 12}
    with pytest.raises(InputError, match="2021"):
        Assembly(recipe("flag"), workspace).areas(2021)
