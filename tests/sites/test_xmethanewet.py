import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from pydantic import ValidationError

from ch4grid.errors import InputError
from ch4grid.grid import Grid, great_circle_km
from ch4grid.models.samples import Targets, predictor_names
from ch4grid.schema import check_sites
from ch4grid.sites import assemble
from ch4grid.sites.xmethanewet import Native, XMethaneWet, clustered_folds, near_pairs
from ch4grid.stores import Workspace
from ch4grid.vocabulary import GASES

CH4 = GASES["ch4"]
STATIONS = """SITE_ID,LAT,LON,SITE_CLASSIFICATION,UPLAND_CLASS,IGBP
FI-Sii,61.8327,24.1929,Fen,,WET
FI-Si2,61.8375,24.1699,Bog,,WET
US-Myb,38.0498,-121.7651,Marsh,,WET
"""
GRID = Grid(10)
CELLS = ((0, 0), (9, 18), (15, 20), (17, 35))


def days(site, first, last, flux=10.0, **columns):
    time = pd.date_range(first, last)
    table = pd.DataFrame({"SITE_ID": site, "TIMESTAMP": time.strftime("%Y%m%d"), "FCH4": flux})
    return table.assign(FCH4_F=999.0, FCH4_F_ANNOPTLM=999.0, **columns)


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "sites.csv").write_text(STATIONS)
    return Workspace(tmp_path, tmp_path / "out")


def write(workspace, *tables):
    pd.concat(tables).to_csv(workspace.data / "FLUXNET_T1_DD.csv", index=False, na_rep="-9999")


def source(**more):
    return XMethaneWet(path="FLUXNET_T1_DD.csv", sites="sites.csv", **more)


def simulation(workspace, years=(2003, 2004), **change):
    """Planted files: a label and a temperature by day, production by month, height of the cell; four cells on land."""
    shape = (len(years), 12, 31, *GRID.shape)
    day = np.full(shape, np.nan, np.float32)
    month = np.full((len(years), 12, *GRID.shape), np.nan, np.float32)
    height = np.full(GRID.shape, np.nan, np.float32)
    step = np.arange(12)[:, None] + np.zeros(31)
    for n, (r, c) in enumerate(CELLS):
        day[..., r, c] = 1 + n + step + 100 * np.arange(len(years))[:, None, None]
        month[..., r, c] = n
        height[r, c] = 10 * n
    for i, year in enumerate(years):
        for m in range(12):
            # padding after the end of the month, which no mean may see
            day[i, m, pd.Timestamp(year, m + 1, 1).days_in_month :] = 1e6
    coords = {"year": list(years), "lat": GRID.latitude, "lon": GRID.longitude}
    daily = ("year", "month", "day", "lat", "lon")
    files = {
        "CH4_emission": (daily, day),
        "TAIR": (daily, day),
        "NPP": (("year", "month", "lat", "lon"), month),
        "elevation": (("lat", "lon"), height),
    }
    ds = xr.Dataset(files, coords=coords | change)
    ds.to_netcdf(workspace.data / "tem.nc", engine="netcdf4")


SIMULATED = {
    "simulation": "tem.nc",
    "resolution": 10.0,
    "label": Native(name="CH4_emission", factor=1e-10),
    "variables": {
        "tas": Native(name="TAIR", offset=273.15),
        "npp": Native(name="NPP", factor=1e-9),
        "elevation": Native(name="elevation"),
    },
}


def test_the_target_is_the_mean_of_measured_days_and_never_the_filled_column(workspace):
    table = days("fi-sii", "2003-05-01", "2003-06-30")
    table.loc[10:30, "FCH4"] = -9999
    table.loc[:9, "FCH4"] = np.arange(10)
    write(workspace, table)
    sites = source().open(workspace, CH4)
    np.testing.assert_allclose(sites[CH4.flux][0, 0], 4.5 * CH4.kg_per_nmol)
    np.testing.assert_allclose(sites[f"{CH4.flux}_coverage"][0], [10 / 31, 1])
    assert sites["site"].values.tolist() == ["FI-Sii"]


def test_the_leap_day_counts(workspace):
    table = days("FI-Sii", "2004-01-01", "2004-03-31")
    leap = table["TIMESTAMP"] == "20040229"
    table.loc[leap, "FCH4"] = 39.0
    write(workspace, table)
    sites = source().open(workspace, CH4)
    np.testing.assert_allclose(sites[CH4.flux][0, 1], (28 * 10 + 39) / 29 * CH4.kg_per_nmol)
    assert sites[f"{CH4.flux}_coverage"][0, 1] == 1
    write(workspace, table[~leap])
    sites = source().open(workspace, CH4)
    np.testing.assert_allclose(sites[f"{CH4.flux}_coverage"][0, 1], 28 / 29)


def test_months_of_little_coverage_are_not_measured_and_partial_years_stay(workspace):
    write(workspace, days("FI-Sii", "2003-05-27", "2003-07-10"))
    sites = source(min_coverage=0.2).open(workspace, CH4)
    assert np.isfinite(sites[CH4.flux][0]).values.tolist() == [True, True]
    np.testing.assert_allclose(sites[f"{CH4.flux}_coverage"][0], [1, 10 / 31])


def test_meteorology_comes_in_our_units_and_the_wire_holds(workspace):
    towers = days("FI-Sii", "2003-05-01", "2003-05-31", TA=10.0, VPD=5.0, P=8.64, TA_F=11.0)
    towers.loc[:15, "TA"] = -9999
    write(workspace, towers, days("US-Myb", "2003-05-01", "2003-05-31", TA=20.0))
    sites = check_sites(assemble([source()], workspace, CH4), CH4)
    np.testing.assert_allclose(sites["tas"][0, 0], 273.15 + (16 * 11 + 15 * 10) / 31)
    np.testing.assert_allclose(sites["vpd"][0, 0], 500)
    np.testing.assert_allclose(sites["pr"][0, 0], 1e-4)
    assert sites["ecosystem"].values.tolist() == ["boreal-peatland", "temperate-wetland"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: pd.concat([t, t.head(1)]), "a day stands twice"),
        (lambda t: t.drop(columns="FCH4"), "FCH4 is missing"),
        (lambda t: t.assign(TIMESTAMP="May"), "a day cannot be read"),
        (lambda t: t.assign(FCH4="much"), "not numeric"),
        (lambda t: t.assign(SITE_ID="XX-Xxx"), "not in the site table"),
    ],
)
def test_a_bad_daily_table_is_refused(workspace, change, message):
    write(workspace, change(days("FI-Sii", "2003-05-01", "2003-05-31")))
    with pytest.raises(InputError, match=message):
        source().open(workspace, CH4)


def test_simulated_cells_become_samples(workspace):
    simulation(workspace)
    samples = source(**SIMULATED).simulated(workspace, CH4)
    assert samples.sizes == {"site": 4, "time": 24}
    assert samples["site"].values[2] == "TEM-015-020"
    np.testing.assert_allclose(samples["latitude"], GRID.latitude[[r for r, _ in CELLS]])
    np.testing.assert_allclose(samples["longitude"], GRID.longitude[[c for _, c in CELLS]])
    # cell 2, April of the second year: the padding of the 31st would be seen at once
    np.testing.assert_allclose(samples["tas"][2, 15], 273.15 + 1 + 2 + 3 + 100, rtol=1e-6)
    np.testing.assert_allclose(samples[CH4.flux][2, 15], 106e-10, rtol=1e-6)
    np.testing.assert_allclose(samples["npp"][3], 3e-9, rtol=1e-6)
    assert samples["elevation"].values.tolist() == [0, 10, 20, 30]
    assert predictor_names(samples, CH4) == (
        ("npp", "tas"),
        ("elevation", "npp_mean", "tas_mean"),
    )
    assert (Targets.of(samples, CH4).weight == 1).all()


def test_half_degree_cells_are_the_default_and_others_are_refused(workspace):
    simulation(workspace, years=(2003,))
    settings = {n: v for n, v in SIMULATED.items() if n != "resolution"}
    with pytest.raises(InputError, match="360 cell centres"):
        source(**settings).simulated(workspace, CH4)


def test_fewer_cells_are_drawn_by_seed(workspace):
    simulation(workspace, years=(2003,))
    drawn = [
        source(**SIMULATED).simulated(workspace, CH4, cells=2, seed=s)["site"].values.tolist()
        for s in (0, 0, 1, 2, 3)
    ]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 2
    assert len({tuple(d) for d in drawn}) > 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lat": GRID.latitude[::-1]}, "lat does not hold the centres"),
        ({"lat": GRID.latitude - 5}, "lat does not hold the centres"),
        ({"lon": GRID.longitude + 180}, "lon does not hold the centres"),
        ({"year": [2003, 2003]}, "stands twice"),
        ({"year": [2003, 2005]}, "unbroken"),
    ],
)
def test_a_simulation_on_other_axes_is_refused(workspace, change, message):
    simulation(workspace, **change)
    with pytest.raises(InputError, match=message):
        source(**SIMULATED).simulated(workspace, CH4)


def test_a_missing_variable_and_a_missing_simulation_are_told(workspace):
    simulation(workspace, years=(2003,))
    with pytest.raises(InputError, match="'PREC' is missing"):
        source(**SIMULATED | {"variables": {"pr": Native(name="PREC")}}).simulated(workspace, CH4)
    with pytest.raises(InputError, match="no simulation"):
        source().simulated(workspace, CH4)
    with pytest.raises(ValidationError, match="no variable soilphh"):
        source(variables={"soilphh": Native(name="pH")})


@pytest.mark.parametrize("form", ["json", "csv"])
def test_published_folds_come_from_a_file_of_the_user(workspace, form):
    folds = {"1": ["FI-Sii", "US-Myb"], "2": ["FI-Si2"]}
    path = workspace.data / f"folds.{form}"
    if form == "json":
        path.write_text(json.dumps(folds))
    else:
        pairs = [(s, f) for f, names in folds.items() for s in names]
        pd.DataFrame(pairs, columns=["site", "fold"]).to_csv(path, index=False)
    found = source(folds=path.name).published_folds(workspace)
    assert found == {"FI-SII": "1", "US-MYB": "1", "FI-SI2": "2"}
    with pytest.raises(InputError, match="no file of folds"):
        source().published_folds(workspace)


@pytest.mark.parametrize("text", ["[1]", "{", '{"1": 3}', '{"1": ["A"], "2": ["a"]}'])
def test_bad_folds_are_refused(workspace, text):
    (workspace.data / "folds.json").write_text(text)
    with pytest.raises(InputError, match="folds"):
        source(folds="folds.json").published_folds(workspace)


def test_neighbours_across_published_folds_are_found_and_new_folds_part_none(workspace):
    month = ("2003-05-01", "2003-05-31")
    write(workspace, *(days(s, *month) for s in ("FI-Sii", "FI-Si2", "US-Myb")))
    sites = assemble([source()], workspace, CH4)
    pairs = near_pairs(sites, {"FI-SII": "1", "US-MYB": "1", "FI-SI2": "2"})
    assert set(pairs.loc[0, ["site", "other"]]) == {"FI-Sii", "FI-Si2"}
    assert pairs["km"].tolist() == [pytest.approx(1.32, abs=0.1)]
    folds = clustered_folds(sites, 2)
    assert folds["FI-Sii"] == folds["FI-Si2"] != folds["US-Myb"]
    assert near_pairs(sites, folds).empty


def test_no_towers_of_different_new_folds_are_near_even_along_a_chain():
    # each is 200 km from the next, so complete linkage parts the chain
    latitude = np.concatenate([np.arange(12) * 1.8, -np.arange(9) * 8.0])
    sites = xr.Dataset(
        coords={
            "site": [f"S{i:02d}" for i in range(21)],
            "latitude": ("site", latitude),
            "longitude": ("site", np.r_[np.zeros(12), np.full(9, 90.0)]),
        }
    )
    folds = clustered_folds(sites, 3)
    assert near_pairs(sites, folds).empty
    assert set(folds.values()) == {0, 1, 2}
    assert great_circle_km(*(np.array(v) for v in (0.0, 0.0, 1.8, 0.0))) < 300


def test_all_files_of_the_recipe_are_inputs(workspace):
    write(workspace, days("FI-Sii", "2003-05-01", "2003-05-31"))
    (workspace.data / "f.json").write_text("{}")
    (workspace.data / "tem.nc").write_bytes(b"")
    names = [p.name for p in source(folds="f.json", simulation="*.nc").inputs(workspace)]
    assert names == ["FLUXNET_T1_DD.csv", "f.json", "sites.csv", "tem.nc"]
