import zipfile
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace, sha256_file
from ch4grid.twin import Faults, Twin, era5_name, granule_name, network, write_archive
from ch4grid.twin.archive import REVISED
from ch4grid.twin.lattice import Lattice
from ch4grid.twin.maps import (
    GLWD,
    GLWD_CLASSES,
    GLWD_MEMBER,
    GLWD_NODATA,
    SMOD,
    WAD2M,
    glwd_classes,
)
from ch4grid.twin.pixels import RANK, SIDE, percentages, sea, textured
from ch4grid.vocabulary import months

PLANET = Twin(seed=3, resolution=4.0, towers=14)
BROKEN = Faults(
    missing=("modis/MOD13C2.A2003121.*",),
    truncated=("era5/era5_2003-03.nc",),
    preliminary=("2003-11", "2003-12"),
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    write_archive(PLANET, folder, 2003, 2003)
    return folder


def blocks(pixels: np.ndarray) -> np.ndarray:
    """Pixels (n, m) as (cells, cells, 25)."""
    rows, columns = pixels.shape[0] // SIDE, pixels.shape[1] // SIDE
    cut = pixels.reshape(rows, SIDE, columns, SIDE).swapaxes(1, 2)
    return cut.reshape(rows, columns, SIDE**2)


def hdf(path: Path, name: str) -> tuple[np.ndarray, dict[str, object]]:
    from pyhdf.SD import SD

    file = SD(str(path))
    data = file.select(name)
    values, attributes = np.asarray(data.get()), data.attributes()
    file.end()
    return values, attributes


def test_every_pixel_of_a_block_has_a_rank_of_its_own() -> None:
    assert sorted(RANK.ravel()) == list(range(25))


@given(st.integers(0, 2**32 - 1))
def test_pixels_of_a_cell_have_its_mean(seed: int) -> None:
    cells = np.random.default_rng(seed).uniform(0, 1, (3, 4))
    found = blocks(textured("evi", cells))
    np.testing.assert_allclose(found.mean(axis=2), cells, atol=1e-6)
    assert np.ptp(found, axis=2).min() > 0.015


@given(st.integers(0, 2**32 - 1))
def test_land_pixels_keep_the_area_of_the_land_to_half_a_pixel(seed: int) -> None:
    land = np.random.default_rng(seed).uniform(0, 1, (3, 4))
    share = 1 - blocks(sea(land)).mean(axis=2)
    assert np.abs(share - land).max() <= 0.5 / 25 + 1e-12


@given(st.integers(0, 2**32 - 1))
def test_whole_percents_keep_every_class_and_never_exceed_the_pixel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(6, 0.3), (3, 4))
    classes = {number: shares[..., number] for number in range(5)}
    found = dict(percentages(classes))
    assert sum(p.astype(int) for p in found.values()).max() <= 100
    for number, fraction in classes.items():
        np.testing.assert_allclose(
            blocks(found[number]).mean(axis=2), 100 * fraction, atol=0.04 * 2 + 1e-3
        )


@settings(max_examples=2)
@given(st.sampled_from([0, 7]))
def test_the_same_planet_gives_the_same_bytes_wherever_it_lies(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    planet = Twin(seed=seed, resolution=10.0, towers=14)
    digests = []
    for name in ("here", "a-longer-name-of-a-folder"):
        folder = tmp_path_factory.mktemp(name)
        files = write_archive(planet, folder, 2003, 2003, parts=("era5", "modis", "areas"))
        digests.append({f.relative_to(folder).as_posix(): sha256_file(f) for f in files})
    assert digests[0] == digests[1]
    assert len(digests[0]) == 12 + 24 + 4


def test_a_month_does_not_depend_on_the_years_written_with_it(
    archive: Path, tmp_path: Path
) -> None:
    write_archive(PLANET, tmp_path, 2002, 2003, parts=("era5", "modis"))
    for name in (f"era5/{era5_name('2003-08')}", f"modis/{granule_name('MOD11C3', '2003-08')}"):
        assert sha256_file(tmp_path / name) == sha256_file(archive / name)


def test_reanalysis_has_the_layout_of_the_climate_data_store(archive: Path) -> None:
    with netCDF4.Dataset(archive / "era5" / era5_name("2003-02")) as file:
        assert file["t2m"].dimensions == ("valid_time", "latitude", "longitude")
        assert file["t2m"].shape == (1, 46, 90)
        assert file["t2m"].filters()["zlib"]
        assert file["t2m"].dtype == np.float32
        assert file["latitude"][[0, -1]].tolist() == [90.0, -90.0]
        assert file["longitude"][[0, -1]].tolist() == [0.0, 356.0]
        assert file["expver"][:].tolist() == ["0001"]
        stamp = netCDF4.num2date(file["valid_time"][0], file["valid_time"].units)
        assert stamp.isoformat() == "2003-02-01T00:00:00"


def test_granules_hold_the_planet_where_nothing_hides_it(archive: Path) -> None:
    name = "CMG 0.05 Deg Monthly EVI"
    path = archive / "modis" / granule_name("MOD13C2", "2003-05")
    assert path.name.startswith("MOD13C2.A2003121.061.")
    packed, attributes = hdf(path, name)
    rank, _ = hdf(path, "CMG 0.05 Deg Monthly pixel reliability")
    assert packed.shape == (45 * SIDE, 90 * SIDE)
    assert (attributes["_FillValue"], attributes["scale_factor"]) == (-3000, 10000.0)
    view = PLANET.view(Lattice.pixels(PLANET.resolution))
    truth = view.driver("evi", PLANET.steps(pd.DatetimeIndex(["2003-05-01"])))[0]
    land = ~sea(view.lattice.land)
    assert (packed[~land] == -3000).all()
    assert 0.02 < (rank[land] == 3).mean() < 0.06
    assert 0.02 < (rank[land] == -1).mean() < 0.06
    good = rank == 0
    error = packed / 10000 - textured("evi", truth)
    assert np.abs(error[good]).max() <= 0.5e-4 + 1e-6
    assert np.abs(error[rank == 3]).mean() > 0.05


def test_temperatures_come_with_quality_bits(archive: Path) -> None:
    path = archive / "modis" / granule_name("MOD11C3", "2003-01")
    day, attributes = hdf(path, "LST_Day_CMG")
    night, _ = hdf(path, "LST_Night_CMG")
    quality, _ = hdf(path, "QC_Day")
    assert attributes["scale_factor"] == 0.02
    good = (quality == 0) & (night > 0)
    assert 200 < (day[good] * 0.02).min() < (day[good] * 0.02).max() < 335
    assert (day[quality == 0b10] == 0).all()
    assert set(np.unique(quality)) == {0b00, 0b10, 0b11000001}


def test_wetlands_by_month_repeat_the_mean_year(archive: Path) -> None:
    layers = PLANET.surface.layers
    with netCDF4.Dataset(archive / WAD2M) as file:
        extent = file["Fw"]
        assert extent.dimensions == ("time", "lat", "lon")
        assert extent.shape == (21 * 12, 45, 90)
        stamps = netCDF4.num2date(file["time"][[0, -1]], file["time"].units)
        assert [f"{s:%Y-%m}" for s in stamps] == ["2000-01", "2020-12"]
        for year in (0, 20):
            found = np.ma.filled(extent[12 * year + 6], np.nan)
            land = PLANET.cells.land > 0
            np.testing.assert_allclose(found[land], layers["wetland_fraction"][6][land], atol=1e-6)
            assert np.isnan(found[~land]).all()


def test_percents_by_class_are_the_layers_of_the_planet(archive: Path, tmp_path: Path) -> None:
    import rasterio

    with zipfile.ZipFile(archive / GLWD) as members:
        assert members.namelist() == [GLWD_MEMBER.format(n) for n in range(1, GLWD_CLASSES + 1)]
        members.extractall(tmp_path)
    surface = PLANET.view(Lattice.pixels(PLANET.resolution)).surface
    for number, fraction in glwd_classes(surface).items():
        with rasterio.open(tmp_path / GLWD_MEMBER.format(number)) as map_:
            assert (map_.dtypes[0], map_.nodata) == ("uint8", GLWD_NODATA)
            assert tuple(round(b, 9) for b in map_.bounds) == (-180.0, -54.0, 180.0, 82.0)
            percent = map_.read(1)
        rows = np.abs(surface.lattice.latitude - 14) < 68
        land = surface.lattice.land[rows] > 0
        found = blocks(np.where(percent == GLWD_NODATA, 0, percent)).mean(axis=2) / 100
        np.testing.assert_allclose(found[land], fraction[rows][land], atol=9e-4)
        assert (blocks(percent)[~land] == GLWD_NODATA).all()
    with rasterio.open(tmp_path / GLWD_MEMBER.format(2)) as empty:
        assert set(np.unique(empty.read(1))) == {0, GLWD_NODATA}


def test_cities_have_their_area_in_pixels_of_the_settlement_layer(archive: Path) -> None:
    import rasterio

    with rasterio.open(archive / SMOD) as map_:
        assert (map_.dtypes[0], map_.nodata) == ("int16", -200)
        assert map_.shape == (45 * 30 - 216, 90 * 30 + 2)
        west, north = map_.bounds.left, map_.bounds.top
        codes = map_.read(1)
    step = 4.0 / 30
    assert (west + 180) / step == pytest.approx(-0.95)
    assert (90 - north) / step == pytest.approx(108.05)
    assert set(np.unique(codes)) == {10, 11, 30}
    np.testing.assert_array_equal(codes[:, :2], codes[:, -2:])
    # the whole rows of cells between the rows that are left out
    rows = slice(4, 41)
    inner = codes[4 * 30 - 108 : 41 * 30 - 108, 1:-1].reshape(37, 30, 90, 30)
    surface = PLANET.view(Lattice.pixels(PLANET.resolution)).surface
    urban = surface.layers["urban_fraction"][rows]
    np.testing.assert_allclose((inner == 30).mean(axis=(1, 3)), urban, atol=0.51 / 900)
    land = (inner != 10).mean(axis=(1, 3))
    np.testing.assert_allclose(land, surface.lattice.land[rows], atol=0.51 / 900)


def test_towers_read_back_as_a_compiled_table(archive: Path) -> None:
    from ch4grid.sites.table import TowerTable
    from ch4grid.vocabulary import GASES

    source = TowerTable(
        path="fluxnet_ch4/monthly.csv.gz",
        sites="fluxnet_ch4/sites.csv",
        coverage_column="coverage",
    )
    towers = source.open(Workspace(archive, archive), GASES["ch4"])
    expected = network(PLANET).set_index("site")
    assert towers.sizes == {"site": 14, "time": 12}
    for site in expected.index:
        tower = towers.sel(site=site)
        assert str(tower["ecosystem"].values) == expected.loc[site, "ecosystem"]
        row, column = Grid(4.0).cell_of(tower["latitude"].values, tower["longitude"].values)
        assert (int(row), int(column)) == tuple(expected.loc[site, ["row", "column"]])
    assert 0.5 < float(towers["ch4_flux"].notnull().mean()) < 1


def test_what_is_there_is_left_alone_and_what_is_lost_returns(archive: Path) -> None:
    files = write_archive(PLANET, archive, 2003, 2003)
    times = {f: f.stat().st_mtime_ns for f in files}
    lost = archive / "modis" / granule_name("MOD13C2", "2003-04")
    digest = sha256_file(lost)
    lost.unlink()
    write_archive(PLANET, archive, 2003, 2003)
    assert sha256_file(lost) == digest
    assert {f for f in files if f.stat().st_mtime_ns != times[f]} == {lost}
    assert not list(archive.rglob("*.partial"))


def test_faults_are_left_as_asked_and_mended_when_no_longer_asked_for(
    archive: Path, tmp_path: Path
) -> None:
    parts = ("era5", "modis")
    files = write_archive(PLANET, tmp_path, 2003, 2003, faults=BROKEN, parts=parts)
    whole = {f.relative_to(archive).as_posix(): f for p in parts for f in archive.glob(f"{p}/*")}
    named = {f.relative_to(tmp_path).as_posix(): f for f in files}
    missing = f"modis/{granule_name('MOD13C2', '2003-05')}"
    short = f"era5/{era5_name('2003-03')}"
    early = {f"era5/{era5_name(m)}" for m in BROKEN.preliminary}
    assert set(whole) - set(named) == {missing}
    assert named[short].stat().st_size == whole[short].stat().st_size // 2
    other = {n for n in named if sha256_file(named[n]) != sha256_file(whole[n])}
    assert other == {short, *early}
    before = {n: f.stat().st_mtime_ns for n, f in named.items()}
    write_archive(PLANET, tmp_path, 2003, 2003, parts=parts)
    assert {n: sha256_file(tmp_path / n) for n in whole} == {
        n: sha256_file(f) for n, f in whole.items()
    }
    assert {n for n in named if named[n].stat().st_mtime_ns != before[n]} == other


def test_a_preliminary_month_says_so_and_differs_in_one_region_only(
    archive: Path, tmp_path: Path
) -> None:
    write_archive(PLANET, tmp_path, 2003, 2003, faults=BROKEN, parts=("era5", "modis"))
    name = f"era5/{era5_name('2003-11')}"
    with netCDF4.Dataset(tmp_path / name) as early, netCDF4.Dataset(archive / name) as final:
        assert early["expver"][:].tolist() == ["0005"]
        warmer = early["t2m"][0] - final["t2m"][0]
        latitude, longitude = final["latitude"][:].data, final["longitude"][:].data
        south, north, west, east = REVISED
        inside = ((latitude >= south) & (latitude <= north))[:, None] & (
            (longitude >= west) & (longitude <= east)
        )
        assert inside.any()
        np.testing.assert_array_equal(warmer != 0, inside)
        np.testing.assert_array_equal(early["sp"][:], final["sp"][:])


def test_a_fault_that_no_file_would_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file of the archive is called modis/MOD09"):
        write_archive(PLANET, tmp_path, 2003, 2003, faults=Faults(missing=("modis/MOD09*",)))


def test_years_that_were_not_simulated_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="within 1999 to 2008"):
        write_archive(PLANET, tmp_path, 2008, 2009)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_at_a_quarter_degree_files_have_the_sizes_of_the_originals(tmp_path: Path) -> None:
    planet = Twin(seed=1, resolution=0.25)
    others = Faults(missing=tuple(f"*2003-{m:02d}.nc" for m in range(2, 13)))
    write_archive(planet, tmp_path, 2003, 2003, faults=others, parts=("era5",))
    with netCDF4.Dataset(tmp_path / "era5" / era5_name("2003-01")) as file:
        assert file["t2m"].shape == (1, 721, 1440)
    days = [f"modis/*.A2003{m.day_of_year:03d}.*" for m in months(2003, 2003)[1:]]
    write_archive(planet, tmp_path, 2003, 2003, faults=Faults(tuple(days)), parts=("modis",))
    packed, _ = hdf(
        tmp_path / "modis" / granule_name("MOD13C2", "2003-01"), "CMG 0.05 Deg Monthly EVI"
    )
    assert packed.shape == (3600, 7200)


def test_readers_of_area_maps_give_back_the_planet(archive: Path) -> None:
    from ch4grid.drivers.areas import Settlement, Wetlands, glwd

    workspace, grid = Workspace(archive, archive), Grid(4.0)
    layers = PLANET.surface.layers
    water = glwd.GLWD(path=GLWD, variables=("open_water_fraction", "rice_fraction"))
    maps = water.statics_on_grid(workspace, grid).values
    city = Settlement(path=SMOD).statics_on_grid(workspace, grid).values
    inside = (grid.latitude > -52) & (grid.latitude < 76)
    for found, name, tolerance in (
        (maps, "open_water_fraction", 9e-4),
        (maps, "rice_fraction", 9e-4),
        (city, "urban_fraction", 5e-3),
    ):
        error = found[name].values[inside] - layers[name][inside]
        assert np.abs(error).max() < tolerance, name
    july = pd.DatetimeIndex(["2004-07-01", "2030-07-01"])
    series = Wetlands(path=WAD2M, beyond="climatology")
    assert [h.state for h in series.survey(workspace, july)] == ["final", "climatology"]
    wet = series.on_grid(workspace, ["wetland_fraction"], july, grid).values["wetland_fraction"]
    np.testing.assert_allclose(wet.values, np.stack([layers["wetland_fraction"][6]] * 2), atol=1e-6)


def test_readers_say_what_is_wrong_with_a_faulty_archive(tmp_path: Path) -> None:
    from ch4grid.drivers.era5 import ERA5
    from ch4grid.drivers.modis import MODIS

    write_archive(PLANET, tmp_path, 2003, 2003, faults=BROKEN, parts=("era5", "modis"))
    workspace, year = Workspace(tmp_path, tmp_path), months(2003, 2003)
    sources = (
        ERA5(path="era5/*.nc", variables=("tas",)),
        MODIS(path="modis/*.hdf", variables=("evi", "lst_day")),
    )
    held = {
        (h.variable, h.month.month): h
        for s in sources
        for h in s.survey(workspace, year)
        if h.month
    }
    doubtful = {key: h.state for key, h in held.items() if h.state != "final"}
    assert doubtful == {
        ("tas", 3): "damaged",
        ("evi", 5): "missing",
        ("tas", 11): "preliminary",
        ("tas", 12): "preliminary",
    }
    assert all(held[key].reason for key in doubtful)
    assert len(held) == 36
