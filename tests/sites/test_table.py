import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from real_files import DATA, real

from ch4grid.errors import InputError
from ch4grid.sites import TowerTable, assemble
from ch4grid.stores import Workspace
from ch4grid.vocabulary import ECOSYSTEMS, GASES

CH4 = GASES["ch4"]
STATIONS = """SITE_ID,LAT,LON,SITE_CLASSIFICATION,UPLAND_CLASS,IGBP
FI-Aaa,62.0,24.0,Bog,,WET
US-Bbb,38.0,-121.0,Rice,,CRO
SE-Lak,60.0,17.0,Lake,,WAT
"""


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "sites.csv").write_text("\ufeff" + STATIONS, encoding="utf-8")
    return Workspace(tmp_path, tmp_path / "out")


def table(folder, rows, header="site_id,time,FCH4_nmol,f"):
    (folder / "t.csv").write_text("\n".join([header, *rows]) + "\n")


def source(**more):
    return TowerTable(path="t.csv", sites="sites.csv", **more)


def test_fluxes_are_of_methane_in_kg_on_one_axis(workspace):
    rows = ["FI-AAA,2001-03-01,10,1", "us-bbb,2001-05-01,-2,1", "US-Bbb,2001-06-01,,0"]
    table(workspace.data, rows)
    sites = assemble([source()], workspace, CH4)
    assert sites["site"].values.tolist() == ["FI-Aaa", "US-Bbb"]
    assert sites["time"].values.astype("datetime64[M]").astype(str).tolist() == [
        "2001-03",
        "2001-04",
        "2001-05",
    ]
    np.testing.assert_allclose(sites["ch4_flux"][0, 0], 10 * 1.60425e-11)
    np.testing.assert_allclose(sites["ch4_flux"][1, 2], -2 * 1.60425e-11)
    assert int(sites["ch4_flux"].notnull().sum()) == 2
    assert sites["ch4_flux_coverage"].values.sum() == 2
    assert sites["ecosystem"].values.tolist() == ["boreal-peatland", "rice-paddy"]
    assert sites["cluster"].values.tolist() == [0, 1]
    assert sites.attrs["step"] == "month"


def test_months_of_little_coverage_are_not_measured(workspace):
    rows = ["FI-Aaa,2001-03-01,10,0.5", "FI-Aaa,2001-04-01,10,0.1", "FI-Aaa,2001-05-01,1,0.9"]
    table(workspace.data, rows)
    sites = source(coverage_column="f", min_coverage=0.2).open(workspace, CH4)
    assert np.isfinite(sites["ch4_flux"][0]).values.tolist() == [True, False, True]
    np.testing.assert_allclose(sites["ch4_flux_coverage"][0], [0.5, 0.1, 0.9])


def test_a_lake_is_left_out_and_said_so(workspace, caplog):
    table(workspace.data, ["FI-Aaa,2001-03-01,10,1", "SE-Lak,2001-03-01,10,1"])
    with caplog.at_level("INFO"):
        sites = assemble([source()], workspace, CH4)
    assert sites["site"].values.tolist() == ["FI-Aaa"]
    assert sites.attrs["left_out"] == "SE-Lak: lake: no class in the scheme"
    assert "no class in the scheme" in caplog.text


@pytest.mark.parametrize("name", ["FCH4_F_nmol", "FCH4_F", "FCH4_ANN_nmol", "FCH4_F_ANNOPTLM"])
def test_a_gap_filled_column_is_refused_as_a_target(name):
    with pytest.raises(ValidationError, match="gap-filled"):
        source(flux_column=name)


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (["XX-Zzz,2001-03-01,1,1"], "site_id,time,FCH4_nmol,f", r"not in the site table.*XX-ZZZ"),
        (["FI-Aaa,2001-03-05,1,1"], "site_id,time,FCH4_nmol,f", "first day"),
        (["FI-Aaa,2001-03-01,1,1"], "site_id,time,FLUX,f", "column FCH4_nmol is missing"),
        (["FI-Aaa,2001-03-01,1,1"] * 2, "site_id,time,FCH4_nmol,f", r"twice.*FI-AAA 2001-03"),
        (["FI-Aaa,2001-03-01,much,1"], "site_id,time,FCH4_nmol,f", "not numeric"),
        (["FI-Aaa,2001-03-01,,1"], "site_id,time,FCH4_nmol,f", "no tower with measurements"),
        ([], "site_id,time,FCH4_nmol,f", "no rows"),
    ],
)
def test_a_bad_table_is_refused(workspace, rows, header, message):
    table(workspace.data, rows, header)
    with pytest.raises(InputError, match=message):
        source().open(workspace, CH4)


def test_a_compressed_table_cut_short_is_refused(workspace):
    frame = pd.DataFrame(
        {
            "site_id": "FI-Aaa",
            "time": "2001-03-01",
            "FCH4_nmol": np.random.default_rng(0).random(500),
        }
    )
    frame.to_csv(workspace.data / "t.csv.gz", index=False)
    path = workspace.data / "t.csv.gz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot read this table"):
        TowerTable(path="t.csv.gz", sites="sites.csv").open(workspace, CH4)


def test_tower_drivers_come_along(workspace):
    table(workspace.data, ["FI-Aaa,2001-03-01,1,2.5"])
    sites = source(drivers={"lai": "f"}).open(workspace, CH4)
    assert float(sites["lai"][0, 0]) == 2.5
    assert sites["lai"].attrs["units"] == "1"


def test_the_same_site_from_two_sources_is_refused(workspace):
    table(workspace.data, ["FI-Aaa,2001-03-01,1,2.5"])
    with pytest.raises(InputError, match=r"two sources.*FI-Aaa"):
        assemble([source(), source()], workspace, CH4)


def test_the_real_table_of_64_towers_is_read():
    real("fluxnet_ch4/monthly.csv.gz")
    towers = TowerTable(path="fluxnet_ch4/monthly.csv.gz", sites="fluxnet_ch4/sites.csv")
    sites = assemble([towers], Workspace(DATA, DATA), CH4)
    assert sites.sizes["site"] == 62
    assert sites.attrs["left_out"].count("lake") == 2
    assert set(sites["ecosystem"].values) == set(ECOSYSTEMS)
    assert sites["ecosystem"].sel(site="UK-LBT") == "urban"
    assert 1700 < int(sites["ch4_flux"].notnull().sum()) <= 1881
    assert int(sites["time"].dt.year.min()) >= 2005
    assert int(sites["time"].dt.year.max()) <= 2018
    assert 25 <= int(sites["cluster"].max()) + 1 <= 35
