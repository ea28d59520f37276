"""Hours and days to months: what an accumulation counts, which times make a month, what is refused."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.drivers.era5 import ERA5
from ch4grid.drivers.era5.accumulation import times_of
from ch4grid.errors import InputError
from ch4grid.stores import Workspace

UNITS = {"t2m": "K", "d2m": "K", "tp": "m", "ssrd": "J m**-2", "u10": "m s**-1", "v10": "m s**-1"}
FEBRUARY = pd.DatetimeIndex(["2003-02-01"])
LATITUDE, LONGITUDE = np.array([10.0, 9.75]), np.array([0.0, 0.25, 0.5])


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path, tmp_path / "out")


def hours(first="2003-01-31T00", last="2003-03-02T00"):
    return pd.date_range(first, last, freq="h")


def fields(times, **values):
    """Fields (time, 2, 3), each value given per time; the cells differ by a factor."""
    cell = 1 + np.arange(6).reshape(2, 3) / 100
    return xr.Dataset(
        {
            name: (
                ("valid_time", "latitude", "longitude"),
                np.asarray(series, np.float64)[:, None, None] * cell,
                {"units": UNITS[name]},
            )
            for name, series in values.items()
        },
        coords={"valid_time": times, "latitude": LATITUDE, "longitude": LONGITUDE},
    )


def amounts(times, seed=1):
    """Rain of the hour before each time [m]."""
    rng = np.random.default_rng(seed)
    return rng.gamma(0.3, 1e-3, len(times))


def since_midnight(times, amount):
    """What ERA5-Land writes: all since 00 UTC, the value at 00 UTC being the total of the day before."""
    day = (times - pd.Timedelta("1h")).floor("D")
    return pd.Series(amount).groupby(day).cumsum().to_numpy()


def era5(*variables, path="*.nc", **more):
    return ERA5(path=path, variables=variables, **more)


def held(source, workspace, wanted=FEBRUARY):
    return source.survey(workspace, wanted)[0]


def in_february(times, *, ending=False):
    """Hours of the month; those of an amount are labelled by their end."""
    shifted = times - pd.Timedelta("1h") if ending else times
    return (shifted.year == 2003) & (shifted.month == 2)


# -- which times make a month


def test_a_month_of_instants_is_its_own_hours_and_one_of_amounts_ends_at_the_next_midnight():
    month = np.datetime64("2004-02-01")
    instants, rain = (times_of(month, "hourly", m) for m in ("instant", "amount"))
    assert instants.size == rain.size == 29 * 24
    assert str(instants[0]) == "2004-02-01T00:00:00"
    assert str(instants[-1]) == "2004-02-29T23:00:00"
    assert str(rain[0]) == "2004-02-01T01:00:00"
    assert str(rain[-1]) == "2004-03-01T00:00:00"
    totals = times_of(month, "hourly", "since-midnight")
    assert [str(totals[0]), str(totals[-1])] == ["2004-02-02T00:00:00", "2004-03-01T00:00:00"]


@given(
    year=st.integers(1950, 2050), meaning=st.sampled_from(["instant", "amount", "since-midnight"])
)
def test_every_hour_belongs_to_exactly_one_month(year, meaning):
    months = [np.datetime64(f"{year}-{m:02d}") for m in range(1, 13)]
    together = np.concatenate([times_of(m, "hourly", meaning) for m in months])
    step = 24 if meaning == "since-midnight" else 1
    assert (np.diff(together) == np.timedelta64(step, "h")).all()
    days = 366 if pd.Timestamp(f"{year}-01-01").is_leap_year else 365
    assert together.size == days * 24 // step


# -- means and sums


def test_instants_become_the_mean_of_the_hours_of_the_month(workspace):
    times = hours()
    t2m = 280 + 10 * np.sin(np.arange(len(times)) / 24 * 2 * np.pi) + np.arange(len(times)) / 100
    fields(times, t2m=t2m).to_netcdf(workspace.data / "a.nc")
    tas = era5("tas").open(workspace, ["tas"], FEBRUARY)["tas"]
    assert list(tas["time"].values) == [np.datetime64("2003-02-01")]
    assert float(tas[0, 0, 0]) == pytest.approx(t2m[in_february(times)].mean(), abs=1e-4)


def test_amounts_per_hour_become_a_rate_and_the_midnight_value_belongs_to_the_day_before(workspace):
    times = hours()
    rain = amounts(times)
    rain[times == "2003-02-01T00:00"] = 0.05  # the last hour of January
    rain[times == "2003-03-01T00:00"] = 0.03  # the last hour of February
    fields(times, tp=rain).to_netcdf(workspace.data / "a.nc")
    pr = era5("pr").open(workspace, ["pr"], FEBRUARY)["pr"]
    total = rain[in_february(times, ending=True)].sum()
    assert float(pr[0, 0, 0]) == pytest.approx(total * 1000 / (28 * 86400), rel=1e-5)
    assert total > 0.03


def test_radiation_per_hour_becomes_watts(workspace):
    times = hours()
    ssrd = np.where((times.hour > 6) & (times.hour < 19), 1.8e6, 0.0)
    fields(times, ssrd=ssrd).to_netcdf(workspace.data / "a.nc")
    rsds = era5("rsds").open(workspace, ["rsds"], FEBRUARY)["rsds"]
    assert float(rsds[0, 0, 0]) == pytest.approx(12 * 1.8e6 / 86400, rel=1e-6)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000))
def test_amounts_since_midnight_and_per_hour_give_the_same_month(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("land")
    times = hours()
    rain = amounts(times, seed)
    for name, values in (("hour", rain), ("land", since_midnight(times, rain))):
        fields(times, tp=values).to_netcdf(folder / f"{name}.nc")
    workspace = Workspace(folder, folder / "out")
    per_hour = era5("pr", path="hour.nc").open(workspace, ["pr"], FEBRUARY)
    land = era5("pr", path="land.nc", dataset="era5-land").open(workspace, ["pr"], FEBRUARY)
    xr.testing.assert_allclose(per_hour, land, rtol=1e-5)


@pytest.mark.parametrize("day", ["2003-02-01", "2003-02-14", "2003-02-28"])
def test_rain_in_the_last_hour_of_a_day_counts_for_that_day_and_month(workspace, day):
    times = hours()
    rain = np.zeros(len(times))
    rain[times == pd.Timestamp(day) + pd.Timedelta("1D")] = 0.028
    fields(times, tp=since_midnight(times, rain)).to_netcdf(workspace.data / "a.nc")
    pr = era5("pr", dataset="era5-land").open(workspace, ["pr"], FEBRUARY)["pr"]
    assert float(pr[0, 0, 0]) * 86400 == pytest.approx(1.0, rel=1e-5)


def test_rain_in_the_last_hour_of_january_is_not_of_february(workspace):
    times = hours()
    rain = np.zeros(len(times))
    rain[times == "2003-02-01T00:00"] = 0.028
    fields(times, tp=since_midnight(times, rain)).to_netcdf(workspace.data / "a.nc")
    pr = era5("pr", dataset="era5-land").open(workspace, ["pr"], FEBRUARY)["pr"]
    np.testing.assert_array_equal(pr, 0.0)


def test_totals_at_midnight_alone_serve_for_accumulations_of_era5_land(workspace):
    times = hours()
    values = since_midnight(times, amounts(times))
    whole = fields(times, tp=values)
    whole.to_netcdf(workspace.data / "whole.nc")
    whole.isel(valid_time=times.hour == 0).to_netcdf(workspace.data / "midnight.nc")
    source = {"dataset": "era5-land", "frequency": "hourly"}
    one, other = (
        era5("pr", path=f"{n}.nc", **source).open(workspace, ["pr"], FEBRUARY)
        for n in ("whole", "midnight")
    )
    xr.testing.assert_identical(one, other)


def test_a_month_of_several_files_with_scales_of_their_own(workspace):
    times = hours()
    t2m = np.linspace(260, 300, len(times))
    whole = fields(times, t2m=t2m)
    for i, part in enumerate(np.array_split(np.arange(len(times)), 3)):
        low, high = t2m[part].min(), t2m[part].max() * 1.06
        packed = {"dtype": "int16", "add_offset": (low + high) / 2, "_FillValue": -32767}
        whole.isel(valid_time=part).to_netcdf(
            workspace.data / f"{i}.nc",
            encoding={"t2m": packed | {"scale_factor": (high - low) / 65000}},
        )
    tas = era5("tas").open(workspace, ["tas"], FEBRUARY)["tas"]
    assert float(tas[0, 0, 0]) == pytest.approx(t2m[in_february(times)].mean(), abs=1e-2)


def test_humidity_and_wind_are_made_from_the_hours_and_then_averaged(workspace):
    times = hours()
    t2m = 290 + 10 * np.sin(np.arange(len(times)) / 24 * 2 * np.pi)
    turning = np.deg2rad(np.arange(len(times)) * 15.0)
    ds = fields(
        times, t2m=t2m, d2m=np.full(len(times), 278.0), u10=np.cos(turning), v10=np.sin(turning)
    )
    ds.to_netcdf(workspace.data / "a.nc")
    source = era5("vpd", "hurs", "sfcWind")
    ours = source.open(workspace, source.variables, FEBRUARY).isel(time=0, latitude=0, longitude=0)

    def saturation(kelvin):  # Buck (1981)
        c = kelvin - 273.15
        return 611.21 * np.exp(17.502 * c / (c + 240.97))

    now = t2m[in_february(times)]
    assert float(ours["vpd"]) == pytest.approx(
        (saturation(now) - saturation(278.0)).mean(), rel=1e-5
    )
    assert float(ours["hurs"]) == pytest.approx(
        (saturation(278.0) / saturation(now)).mean(), rel=1e-5
    )
    assert float(ours["sfcWind"]) == pytest.approx(1.0, rel=1e-5)
    # the mean state would give a clearly smaller deficit, and no wind at all
    assert float(ours["vpd"]) > 1.05 * (saturation(now.mean()) - saturation(278.0))


def test_daily_means_and_sums_become_a_month(workspace):
    days = pd.date_range("2003-02-01", "2003-02-28", freq="D")
    t2m, rain = np.linspace(270, 290, 28), np.linspace(0, 0.01, 28)
    fields(days, t2m=t2m, tp=rain).to_netcdf(workspace.data / "a.nc")
    source = era5("tas", "pr", frequency="daily")
    ours = source.open(workspace, ["tas", "pr"], FEBRUARY)
    assert float(ours["tas"][0, 0, 0]) == pytest.approx(t2m.mean(), abs=1e-4)
    assert float(ours["pr"][0, 0, 0]) == pytest.approx(rain.sum() * 1000 / (28 * 86400), rel=1e-5)


def test_hours_where_a_cell_has_no_value_leave_it_missing(workspace):
    times = hours()
    ds = fields(times, t2m=np.full(len(times), 280.0))
    ds["t2m"][100, 0, 0] = np.nan
    ds.to_netcdf(workspace.data / "a.nc")
    tas = era5("tas").open(workspace, ["tas"], FEBRUARY)["tas"]
    assert np.isnan(tas[0, 0, 0])
    assert int(tas.isnull().sum()) == 1


# -- incomplete months


@pytest.mark.parametrize(
    ("variable", "last", "reason"),
    [
        ("tas", "2003-02-28T22", "671 of 672 hours; no 2003-02-28 23:00"),
        (
            "pr",
            "2003-02-28T23",
            "671 of 672 hours; no 2003-03-01 00:00; the value at 2003-03-01 00:00",
        ),
    ],
)
def test_a_month_without_all_hours_is_missing_with_the_count(workspace, variable, last, reason):
    times = hours(last=last)
    fields(times, t2m=np.full(len(times), 280.0), tp=amounts(times)).to_netcdf(
        workspace.data / "a.nc"
    )
    found = held(era5(variable), workspace)
    assert found.state == "missing"
    assert found.reason.startswith(reason)
    with pytest.raises(InputError, match=f"'{variable}' of 2003-02 is missing"):
        era5(variable).open(workspace, [variable], FEBRUARY)


def test_a_month_of_era5_land_needs_the_midnight_after_it(workspace):
    times = hours(last="2003-02-28T23")
    values = since_midnight(times, amounts(times))
    fields(times, tp=values).to_netcdf(workspace.data / "a.nc")
    found = held(era5("pr", dataset="era5-land"), workspace)
    assert found.state == "missing"
    assert found.reason == (
        "27 of 28 days; no 2003-03-01 00:00; the value at 2003-03-01 00:00 counts the last day of the month"
    )


def test_a_missing_day_in_the_middle_is_missing(workspace):
    times = hours()
    gap = times[(times < "2003-02-10") | (times >= "2003-02-11")]
    fields(gap, t2m=np.full(len(gap), 280.0)).to_netcdf(workspace.data / "a.nc")
    assert held(era5("tas"), workspace).reason == "648 of 672 hours; no 2003-02-10 00:00"


def test_one_preliminary_hour_makes_the_month_preliminary(workspace):
    times = hours()
    version = np.where(times >= "2003-02-28T23", "0005", "0001")
    ds = fields(times, t2m=np.full(len(times), 280.0)).assign_coords(expver=("valid_time", version))
    ds.to_netcdf(workspace.data / "a.nc")
    found = held(era5("tas"), workspace)
    assert (found.state, "ERA5T" in found.reason) == ("preliminary", True)


# -- conventions that are not to be guessed


def test_totals_since_midnight_taken_for_amounts_per_hour_are_refused(workspace):
    times = hours()
    values = since_midnight(times, amounts(times))
    fields(times, tp=values).to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match=r"another convention.*per hour.*since-midnight"):
        era5("pr").open(workspace, ["pr"], FEBRUARY)
    pr = era5("pr", accumulation="since-midnight").open(workspace, ["pr"], FEBRUARY)
    assert float(pr["pr"].max()) > 0


def test_amounts_per_hour_taken_for_totals_since_midnight_are_refused(workspace):
    times = hours()
    fields(times, tp=amounts(times)).to_netcdf(workspace.data / "a.nc")
    with pytest.raises(InputError, match=r"another convention.*since 00 UTC.*fall.*per-hour"):
        era5("pr", dataset="era5-land").open(workspace, ["pr"], FEBRUARY)


def test_monthly_means_per_day_mixed_with_totals_since_midnight_are_refused(workspace):
    times = hours()
    fields(times, tp=since_midnight(times, amounts(times))).to_netcdf(workspace.data / "hourly.nc")
    means = pd.date_range("2003-01-01", "2003-03-01", freq="MS")
    fields(means, tp=np.full(3, 0.002)).to_netcdf(workspace.data / "monthly.nc")
    source = era5("pr", dataset="era5-land")
    found = held(source, workspace)
    assert found.state == "damaged"
    assert "conventions are mixed: hourly in hourly.nc and monthly in monthly.nc" in found.reason
    with pytest.raises(InputError, match="conventions are mixed"):
        source.open(workspace, ["pr"], FEBRUARY)


def test_hours_of_era5_and_of_era5_land_in_one_path_are_refused_for_amounts(workspace):
    times = hours()
    ds = fields(times, tp=amounts(times))
    ds.to_netcdf(workspace.data / "a.nc")
    ds.assign_attrs(history="reanalysis-era5-land").to_netcdf(workspace.data / "b.nc")
    found = held(era5("pr"), workspace)
    assert found.state == "damaged"
    assert "ERA5 and of ERA5-Land" in found.reason


def test_a_variable_made_from_fields_of_different_frequency_is_refused(workspace):
    times = hours()
    fields(times, u10=np.ones(len(times))).to_netcdf(workspace.data / "u.nc")
    fields(pd.DatetimeIndex(FEBRUARY), v10=[1.0]).to_netcdf(workspace.data / "v.nc")
    found = held(era5("sfcWind"), workspace)
    assert (found.state, found.reason) == (
        "damaged",
        "made from u10 hourly and v10 monthly: fetch both at one frequency",
    )


def test_one_value_a_day_is_not_guessed(workspace):
    days = pd.date_range("2003-02-01", "2003-02-28", freq="D")
    fields(days, t2m=np.full(28, 280.0)).to_netcdf(workspace.data / "a.nc")
    found = held(era5("tas"), workspace)
    assert found.state == "missing"
    assert "write `frequency: daily` if they are daily means" in found.reason
    found = held(era5("tas", frequency="hourly"), workspace)
    assert found.reason.startswith("28 of 672 hours")
    assert held(era5("tas", frequency="daily"), workspace).state == "final"


def test_hours_stated_as_monthly_means_are_refused(workspace):
    times = hours()
    fields(times, t2m=np.full(len(times), 280.0)).to_netcdf(workspace.data / "a.nc")
    found = held(era5("tas", frequency="monthly"), workspace)
    assert found.state == "damaged"
    assert found.reason == "more than one field of it, in a.nc"


def test_an_instant_beside_monthly_means_is_not_taken_for_one(workspace):
    fields(pd.DatetimeIndex(["2003-02-01"]), t2m=[280.0]).to_netcdf(workspace.data / "a.nc")
    fields(pd.DatetimeIndex(["2003-02-01T12"]), t2m=[290.0]).to_netcdf(workspace.data / "b.nc")
    assert held(era5("tas"), workspace).state == "damaged"
    # alone, the field of the first midnight of a month is a monthly mean, that of noon is not
    assert held(era5("tas", path="a.nc"), workspace).state == "final"
    noon = held(era5("tas", path="b.nc"), workspace)
    assert (noon.state, "instant 2003-02-01T12:00" in noon.reason) == ("missing", True)


# -- monthly means of ERA5-Land whose accumulations are wrong


def land_months(workspace, name="land.nc", rain=0.002):
    months = pd.date_range("2022-08-01", "2024-03-01", freq="MS")
    number = len(months)
    ds = fields(months, tp=np.full(number, rain), t2m=np.full(number, 280.0))
    ds = ds.assign_coords(latitude=[10.0, 9.9], longitude=[0.0, 0.1, 0.2])
    ds.to_netcdf(workspace.data / name)
    return months


def test_accumulations_of_era5_land_are_damaged_in_the_wrong_months_and_nothing_else(workspace):
    months = land_months(workspace)
    source = era5("pr", "tas")
    states = {(h.variable, f"{h.month:%Y-%m}"): h for h in source.survey(workspace, months)}
    wrong = [m for (n, m), h in states.items() if h.state == "damaged"]
    assert (wrong[0], wrong[-1], len(wrong)) == ("2022-09", "2024-02", 18)
    assert {h.state for (n, _), h in states.items() if n == "tas"} == {"final"}
    assert "by_hour_of_day at 00:00" in states["pr", "2023-01"].reason
    with pytest.raises(InputError, match="'pr' of 2022-09 is damaged"):
        source.open(workspace, ["pr"], months[:2])


def test_the_same_months_of_era5_are_right(workspace):
    months = land_months(workspace)
    held = era5("pr", dataset="era5").survey(workspace, months)
    assert {h.state for h in held} == {"final"}


def test_means_of_the_totals_at_midnight_take_the_place_of_the_wrong_months(workspace):
    months = land_months(workspace)
    land_months(workspace, "land_monthly_averaged_reanalysis_by_hour_of_day_0000.nc", rain=0.003)
    source = era5("pr", "tas")
    held = [h for h in source.survey(workspace, months) if h.variable == "pr"]
    assert {h.state for h in held} == {"final"}
    pr = source.open(workspace, ["pr"], months)["pr"][:, 0, 0] * 86.4
    np.testing.assert_allclose(pr[1:-1], 0.003, rtol=1e-5)
    np.testing.assert_allclose(pr[[0, -1]], 0.002, rtol=1e-5)


def test_means_of_one_hour_of_the_day_are_no_means_of_the_day(workspace):
    months = land_months(workspace, "era5_land_by_hour_of_day.nc")
    held = era5("tas").survey(workspace, months)
    assert {h.state for h in held} == {"missing"}
    assert "by hour of day" in held[0].reason


# -- pressure anomaly


def pressure(workspace, first=2001, last=2006):
    months = pd.date_range(f"{first}-01-01", f"{last}-12-01", freq="MS")
    ps = 95000 + np.arange(len(months)) * 10.0
    ds = xr.Dataset(
        {
            "sp": (
                ("valid_time", "latitude", "longitude"),
                np.broadcast_to(ps[:, None, None], (len(ps), 2, 3)),
            )
        },
        coords={"valid_time": months, "latitude": LATITUDE, "longitude": LONGITUDE},
    )
    ds["sp"].attrs["units"] = "Pa"
    ds.to_netcdf(workspace.data / "sp.nc")
    return months, ps


def test_the_pressure_anomaly_is_against_the_mean_of_the_stated_years_weighted_by_days(workspace):
    months, ps = pressure(workspace)
    source = era5("psa", reference=(2002, 2004))
    inside = (months.year >= 2002) & (months.year <= 2004)
    mean = np.average(ps[inside], weights=months[inside].days_in_month)
    for wanted in (months[:5], months[60:61], months[60:61]):
        psa = source.open(workspace, ["psa"], wanted)["psa"]
        np.testing.assert_allclose(psa[:, 0, 0], ps[months.isin(wanted)] - mean, atol=0.02)


def test_nothing_after_the_reference_years_changes_a_pressure_anomaly(workspace):
    months, _ = pressure(workspace, 2001, 2006)
    source = era5("psa", reference=(2001, 2003))
    before = source.open(workspace, ["psa"], months[:12])
    pressure(workspace, 2001, 2004)
    with xr.open_dataset(workspace.data / "sp.nc") as ds:
        later = ds.load()
    later["sp"][36:] += 3000.0
    later.to_netcdf(workspace.data / "sp.nc")
    xr.testing.assert_identical(source.open(workspace, ["psa"], months[:12]), before)


def test_a_reference_year_that_changes_is_read_anew(workspace):
    months, _ = pressure(workspace)
    source = era5("psa", reference=(2001, 2001))
    before = source.open(workspace, ["psa"], months[12:13])["psa"]
    with xr.open_dataset(workspace.data / "sp.nc") as ds:
        changed = ds.load()
    changed["sp"][:12] += 100.0
    changed.to_netcdf(workspace.data / "sp.nc")
    after = source.open(workspace, ["psa"], months[12:13])["psa"]
    np.testing.assert_allclose(before - after, 100.0, atol=0.02)


def test_a_missing_month_of_the_reference_is_told(workspace):
    months, _ = pressure(workspace, 2001, 2003)
    found = held(era5("psa", reference=(2003, 2004)), workspace, months[:1])
    assert found.state == "missing"
    assert found.reason.startswith("reference: reference 2004-01") or "2004-01" in found.reason


def test_without_reference_years_the_standard_atmosphere_at_the_surface_is_the_reference(workspace):
    months, ps = pressure(workspace)
    assert "no reference years" in held(era5("psa"), workspace, months[:1]).reason
    # ISO 2533: 89875 Pa at 1000 m of geopotential height
    z = xr.DataArray(
        np.full((2, 3), 9806.65), dims=("latitude", "longitude"), attrs={"units": "m**2 s**-2"}
    )
    z.rename("z").assign_coords(latitude=LATITUDE, longitude=LONGITUDE).to_netcdf(
        workspace.data / "z.nc"
    )
    psa = era5("psa").open(workspace, ["psa"], months[:1])["psa"]
    np.testing.assert_allclose(psa, ps[0] - 89875, atol=2.0)
