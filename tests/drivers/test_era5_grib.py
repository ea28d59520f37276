"""GRIB messages of both editions, written here with ecCodes, and the real ones read a second time by hand."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from real_files import real

from ch4grid.drivers.era5 import ERA5
from ch4grid.errors import InputError
from ch4grid.stores import Workspace

# before ecCodes, see ch4grid.drivers.files.grib
pytest.importorskip("pyproj")
eccodes = pytest.importorskip("eccodes")

ROWS, COLUMNS = 4, 6


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, tmp_path / "out")


def message(short, date, values, *, edition=1, time=0, upwards=False, **keys):
    """One message on a grid of 4 x 6 points from 75N 0E, or from 75S upwards."""
    handle = eccodes.codes_grib_new_from_samples(f"regular_ll_sfc_grib{edition}")
    first, last = (-75.0, 75.0) if upwards else (75.0, -75.0)
    grid = {
        "Ni": COLUMNS,
        "Nj": ROWS,
        "latitudeOfFirstGridPointInDegrees": first,
        "latitudeOfLastGridPointInDegrees": last,
        "longitudeOfFirstGridPointInDegrees": 0.0,
        "longitudeOfLastGridPointInDegrees": 300.0,
        "iDirectionIncrementInDegrees": 60.0,
        "jDirectionIncrementInDegrees": 50.0,
        "jScansPositively": int(upwards),
    }
    local = {"setLocalDefinition": 1, "localDefinitionNumber": 1} if edition == 1 else {}
    mars = {"class": "ea", "type": "an", "stream": "oper", "expver": "0001"}
    rest = {"dataDate": date, "dataTime": time, "shortName": short, "bitsPerValue": 24}
    for name, value in (grid | local | (mars if edition == 1 else {}) | rest | keys).items():
        eccodes.codes_set(handle, name, value)
    field = np.broadcast_to(np.asarray(values, np.float64), (ROWS, COLUMNS)).copy()
    if np.isnan(field).any():
        eccodes.codes_set(handle, "bitmapPresent", 1)
        eccodes.codes_set(handle, "missingValue", -9e9)
        field[np.isnan(field)] = -9e9
    eccodes.codes_set_values(handle, field.ravel())
    content = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return content


def field(offset=0.0):
    return 270.0 + offset + np.arange(ROWS)[:, None] + np.arange(COLUMNS) / 10


def era5(*variables, path="*.grib", **more):
    return ERA5(path=path, variables=variables, **more)


def monthly(number, offset=0.0, **keys):
    return message("2t", 20010000 + number * 100 + 1, field(offset), stream="moda", **keys)


def year(count=3):
    return pd.date_range("2001-01-01", periods=count, freq="MS")


def test_monthly_means_are_read_by_month_under_any_name(workspace):
    (workspace.data / "a.nc").write_bytes(b"".join(monthly(m, m) for m in (3, 1, 2)))
    tas = era5("tas", path="a.nc").open(workspace, ["tas"], year()[1:])["tas"]
    np.testing.assert_allclose(tas, np.stack([field(2), field(3)]), atol=1e-3)
    np.testing.assert_allclose(tas["latitude"], [75, 25, -25, -75])
    np.testing.assert_allclose(tas["longitude"], np.arange(6) * 60)


def test_fields_scanned_from_the_south_keep_their_place(workspace):
    (workspace.data / "a.grib").write_bytes(monthly(1, upwards=True))
    tas = era5("tas").open(workspace, ["tas"], year(1))["tas"]
    np.testing.assert_allclose(tas["latitude"], [-75, -25, 25, 75])
    np.testing.assert_allclose(tas[0], field(), atol=1e-3)


def test_missing_points_are_missing_and_zero_is_not(workspace):
    values = field()
    values[1, 2] = np.nan
    rain = np.zeros((ROWS, COLUMNS))
    rain[0, 0] = 0.001
    content = message("2t", 20010101, values, stream="moda") + message(
        "tp", 20010101, rain, stream="moda"
    )
    (workspace.data / "a.grib").write_bytes(content)
    ds = era5("tas", "pr").open(workspace, ["tas", "pr"], year(1))
    assert int(ds["tas"].isnull().sum()) == 1
    assert bool(np.isnan(ds["tas"][0, 1, 2]))
    assert int((ds["pr"] == 0).sum()) == ROWS * COLUMNS - 1
    assert float(ds["pr"].max()) == pytest.approx(0.001 / 86.4, rel=1e-4)


def test_the_second_edition_is_read_as_the_first(workspace):
    hours = pd.date_range("2001-02-01", "2001-02-28T23", freq="h")
    content = [
        message("2t", int(f"{t:%Y%m%d}"), field(t.hour), time=t.hour * 100, edition=2)
        for t in hours
    ]
    (workspace.data / "a.grib").write_bytes(b"".join(content))
    tas = era5("tas").open(workspace, ["tas"], year(2)[1:])["tas"]
    np.testing.assert_allclose(tas[0], field(11.5), atol=1e-3)


def test_the_version_is_told_by_the_key_and_the_final_one_counts(workspace):
    content = monthly(1) + monthly(2, 5, expver="0005") + monthly(3, 5, expver="0005") + monthly(3)
    (workspace.data / "a.grib").write_bytes(content)
    held = era5("tas").survey(workspace, year())
    assert [h.state for h in held] == ["final", "preliminary", "final"]
    tas = era5("tas").open(workspace, ["tas"], year())["tas"]
    np.testing.assert_allclose(tas, np.stack([field(), field(5), field()]), atol=1e-3)


def test_the_same_field_twice_is_damaged(workspace):
    (workspace.data / "era5_2001.grib").write_bytes(monthly(1) + monthly(1))
    (held,) = era5("tas").survey(workspace, year(1))
    assert (held.state, "more than one field" in held.reason) == ("damaged", True)


@pytest.mark.parametrize("left", [0.4, 0.9, 0.999])
def test_a_truncated_file_is_damaged(workspace, left):
    content = b"".join(monthly(m) for m in (1, 2, 3))
    path = workspace.data / "era5_2001.grib"
    path.write_bytes(content[: int(len(content) * left)])
    assert {h.state for h in era5("tas").survey(workspace, year())} == {"damaged"}
    with pytest.raises(InputError, match="cannot read this GRIB file"):
        era5("tas").open(workspace, ["tas"], year())


def test_only_the_messages_of_the_months_asked_for_are_decoded(workspace, monkeypatch):
    (workspace.data / "a.grib").write_bytes(b"".join(monthly(m) for m in (1, 2, 3)))
    source = era5("tas")
    source.survey(workspace, year())
    seen = []
    whole = eccodes.codes_get_values
    monkeypatch.setattr(eccodes, "codes_get_values", lambda h: seen.append(h) or whole(h))
    source.open(workspace, ["tas"], year()[1:2])
    assert len(seen) == 1


def test_instants_are_never_monthly_means(workspace):
    (workspace.data / "a.grib").write_bytes(message("2t", 20010101, field()))
    (held,) = era5("tas").survey(workspace, year(1))
    assert held.reason.startswith("1 of 744 hours")
    (held,) = era5("tas", frequency="monthly").survey(workspace, year(1))
    assert "holds instants or forecasts" in held.reason


def test_a_grid_off_latitude_and_longitude_is_told(workspace):
    handle = eccodes.codes_grib_new_from_samples("reduced_gg_pl_32_grib2")
    (workspace.data / "era5_2001.grib").write_bytes(eccodes.codes_get_message(handle))
    eccodes.codes_release(handle)
    (held,) = era5("tas").survey(workspace, year(1))
    assert (held.state, "no latitude-longitude grid" in held.reason) == ("damaged", True)


def test_map_projections_still_work_after_grib_has_been_read(workspace):
    (workspace.data / "a.grib").write_bytes(monthly(1))
    script = (
        "import sys; from pathlib import Path; from ch4grid.drivers.files import grib\n"
        "grib.read_headers(Path(sys.argv[1]))\n"
        "import pyproj; move = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform\n"
        "print(round(move(180.0, 0.0)[0]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(workspace.data / "a.grib")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "20037508"), done.stderr


# -- the real files


def real_era5(name):
    return real(f"era5/{name}")


def by_hand(path, short):
    """All fields of a short name, in file order."""
    out = []
    with path.open("rb") as stream:
        while (handle := eccodes.codes_grib_new_from_file(stream)) is not None:
            if eccodes.codes_get(handle, "shortName") == short:
                shape = [eccodes.codes_get(handle, k) for k in ("Nj", "Ni")]
                out.append(eccodes.codes_get_values(handle).reshape(shape))
            eccodes.codes_release(handle)
    return np.stack(out)


def test_a_real_month_of_hours_is_the_mean_of_its_744_messages(tmp_path):
    path = real_era5("ERA5_t2m_hourly_2019-03_UK.grib")
    workspace = Workspace(path.parent, tmp_path)
    wanted = pd.date_range("2019-02-01", "2019-04-01", freq="MS")
    source = era5("tas", path=path.name)
    held = source.survey(workspace, wanted)
    assert [h.state for h in held] == ["missing", "final", "missing"]
    tas = source.open(workspace, ["tas"], wanted[1:2])["tas"]
    fields = by_hand(path, "2t")
    assert len(fields) == 744
    np.testing.assert_allclose(tas[0], fields.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(tas["latitude"], np.arange(58, 49.9, -0.25))
    np.testing.assert_allclose(tas["longitude"], np.arange(-10, 2.1, 0.25))


LAND = "ERA5Land_daily_Jan2020_allvars_1cell.grib"
JANUARY = pd.DatetimeIndex(["2020-01-01"])


def test_a_real_file_of_midnights_is_no_month_of_temperature_and_lacks_the_last_day_of_rain(
    tmp_path,
):
    path = real_era5(LAND)
    workspace = Workspace(path.parent, tmp_path)
    held = {h.variable: h for h in era5("tas", "pr", path=LAND).survey(workspace, JANUARY)}
    assert held["tas"].state == held["pr"].state == "missing"
    assert held["tas"].reason.startswith("31 of 744 hours")
    assert held["pr"].reason.startswith("30 of 31 days; no 2020-02-01 00:00")


def test_real_totals_at_midnight_with_the_one_after_the_month_give_its_sum(tmp_path):
    path = real_era5(LAND)
    content = [path.read_bytes()]
    extra = {"tp": 0.0123, "ssrd": 2.5e6}
    with path.open("rb") as stream:
        while (handle := eccodes.codes_grib_new_from_file(stream)) is not None:
            short = eccodes.codes_get(handle, "shortName")
            if short in extra and eccodes.codes_get(handle, "dataDate") == 20200130:
                eccodes.codes_set(handle, "dataDate", 20200131)
                eccodes.codes_set_values(handle, np.array([extra[short]]))
                content.append(eccodes.codes_get_message(handle))
            eccodes.codes_release(handle)
    (tmp_path / "land.grib").write_bytes(b"".join(content))
    workspace = Workspace(tmp_path, tmp_path / "out")
    source = era5("pr", "rsds", path="land.grib")
    assert {h.state for h in source.survey(workspace, JANUARY)} == {"final"}
    ds = source.open(workspace, ["pr", "rsds"], JANUARY)
    # the value of 1 January 00 UTC is the total of 31 December
    rain = by_hand(path, "tp")[1:].sum() + extra["tp"]
    sun = by_hand(path, "ssrd")[1:].sum() + extra["ssrd"]
    assert float(ds["pr"].squeeze()) == pytest.approx(rain * 1000 / (31 * 86400), rel=1e-5)
    assert float(ds["rsds"].squeeze()) == pytest.approx(sun / (31 * 86400), rel=1e-5)
