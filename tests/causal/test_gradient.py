"""The urban gradient: its mixed model against statsmodels, intervals against their definition, claims against truth."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from real_files import DATA, real

from ch4grid.causal.gradient import Gradient, gradient
from ch4grid.causal.gradient_checks import NAMES
from ch4grid.causal.gradient_report import report_gradient
from ch4grid.causal.mixed import mixed
from ch4grid.causal.reversals import fieller
from ch4grid.causal.rows import Setting, rows_of
from ch4grid.causal.slopes import slopes_of
from ch4grid.errors import InputError
from ch4grid.twin import Twin, laboratory, reversal
from ch4grid.vocabulary import GASES

DRIVERS = ("tas", "ps", "sfcWind", "tsl", "mrsos", "evi")


def _series(reverses: bool = True) -> xr.Dataset:
    twin = Twin(seed=11, urban_reversal=reverses)
    return laboratory(twin, ecosystems=("urban", "coastal"), gradient=True)


@pytest.fixture(scope="module")
def series() -> xr.Dataset:
    return _series()


@pytest.fixture(scope="module")
def result(series) -> Gradient:
    return gradient(series, flux="ch4_flux", drivers=DRIVERS, seed=1)


@pytest.fixture(scope="module")
def table(result) -> pd.DataFrame:
    return result.table


def made(frequency: str, steps: int, *, weekend: float = 0.0, sites: int = 12) -> xr.Dataset:
    """Towers whose flux follows tas with a reversal at 0.4 and soil moisture of the step before; vpd follows both."""
    rng = np.random.default_rng(3)
    time = pd.date_range("2001-01-01", periods=steps, freq=frequency, unit="s")
    urban = np.linspace(0.0, 0.8, sites)
    tas, wet, vpd, noise = rng.normal(size=(4, sites, steps))
    before = np.concatenate([wet[:, :1], wet[:, :-1]], axis=1)
    rest = weekend * np.asarray(time.day_of_week >= 5) * urban[:, None]
    star = 2 + (0.2 - 0.5 * urban[:, None]) * tas + 0.3 * before + rest + 0.1 * noise
    drivers = {"tas": 280 + tas, "mrsos": 20 + wet, "vpd": 500 + 100 * (tas - before + 0.5 * vpd)}
    flux = 10 * GASES["ch4"].kg_per_nmol * np.sinh(star)
    data = {name: (("site", "time"), values) for name, values in drivers.items()}
    return xr.Dataset(
        data | {"ch4_flux": (("site", "time"), flux), "urban_fraction": ("site", urban)},
        coords={
            "site": [f"XX-{i:03d}" for i in range(sites)],
            "time": time,
            "ecosystem": ("site", ["urban"] * sites),
        },
        attrs={"step": "month" if frequency == "MS" else "day"},
    )


@st.composite
def _grouped(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    groups, steps, slopes = draw(st.integers(6, 10)), 30, 2
    x = rng.normal(size=(groups * steps, slopes))
    group = np.repeat(np.arange(groups), steps)
    urban = np.linspace(0, 0.7, groups)[group]
    design = np.concatenate([x, x * urban[:, None]], axis=1)
    own = rng.normal(size=(groups, slopes)) * [0.6, 0.9]
    y = (x * (0.3 + own[group])).sum(axis=1) - 0.5 * urban * x[:, 0]
    return design, y + rng.normal(size=len(y)) * 0.3, group, x


@settings(max_examples=10, deadline=None)
@given(_grouped())
def test_the_mixed_model_scales_with_its_data_and_forgets_a_group_that_is_left_out(case) -> None:
    design, y, group, _ = case
    model = mixed(design, y, group, slopes=2)
    twice = mixed(design, 2 * y, group, slopes=2)
    assert twice.coefficient == pytest.approx(2 * model.coefficient, rel=1e-3, abs=1e-3)
    kept = group != group.max()
    coefficient, covariance = model.without(int(group.max()))
    refit = mixed(design[kept], y[kept], group[kept], slopes=2)
    error = np.sqrt(np.diag(covariance))
    assert np.all(np.abs(coefficient - refit.coefficient) < error)


def test_the_mixed_model_agrees_with_statsmodels() -> None:
    from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams

    rng = np.random.default_rng(5)
    x = rng.normal(size=(600, 2))
    group = np.repeat(np.arange(15), 40)
    own = rng.normal(size=(15, 2)) * [0.6, 0.9]
    design = np.concatenate([x, x * np.linspace(0, 0.7, 15)[group, None]], axis=1)
    y = (x * (0.3 + own[group])).sum(axis=1) + rng.normal(size=600) * 0.4
    ours = mixed(design, y, group, slopes=2)
    free = MixedLMParams.from_components(np.ones(4), np.eye(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = MixedLM(y, design, group, exog_re=x).fit(free=free, reml=True)
    assert ours.coefficient == pytest.approx(theirs.fe_params, abs=2e-3)
    assert np.sqrt(np.diag(ours.covariance)) == pytest.approx(theirs.bse_fe, rel=0.02)
    assert ours.scale == pytest.approx(theirs.scale, rel=0.01)
    assert ours.spread**2 * ours.scale == pytest.approx(np.diag(theirs.cov_re), rel=0.05)


@settings(max_examples=50, deadline=None)
@given(
    b=st.floats(-2, 2),
    d=st.floats(-2, 2),
    errors=st.tuples(st.floats(0.05, 0.8), st.floats(0.05, 0.8)),
    correlation=st.floats(-0.9, 0.9),
)
def test_the_bounds_of_fieller_are_where_the_slope_just_differs_from_zero(
    b, d, errors, correlation
) -> None:
    cross = correlation * errors[0] * errors[1]
    covariance = np.array([[errors[0] ** 2, cross], [cross, errors[1] ** 2]])
    bounds = fieller(np.array([b]), np.array([d]), covariance[None], 1.8)[0]
    if abs(d) <= 1.8 * errors[1] * (1 - 1e-9):
        assert np.isnan(bounds).all()
    elif abs(d) > 1.8 * errors[1] * (1 + 1e-3):
        for u in bounds:
            error = np.sqrt(np.array([1, u]) @ covariance @ np.array([1, u]))
            assert abs(b + d * u) == pytest.approx(1.8 * error, rel=1e-5, abs=1e-9)
        assert bounds[0] <= -b / d <= bounds[1]


def test_levels_of_sites_do_not_move_the_slopes(series) -> None:
    moved = series.copy(deep=True)
    moved["tas"] = moved["tas"] + 5.0 * moved["urban_fraction"]
    how = Setting("ch4_flux", DRIVERS)
    first, second = slopes_of(rows_of(series, how)), slopes_of(rows_of(moved, how))
    assert second.change == pytest.approx(first.change, rel=1e-6, abs=1e-9)


def test_planted_reversals_are_claimed_with_the_true_point_near(table) -> None:
    plain = table[table["scale"] == "plain"].set_index(["ecosystem", "driver"])
    planted = [(e, d) for e in ("urban", "coastal") for d in ("tas", "sfcWind")]
    claimed = {case for case in plain.index[plain["claimed"]] if case[0] != "pool"}
    assert claimed == set(planted)
    for case in planted:
        row = plain.loc[case]
        # one interval in ten misses the truth, by not much
        half = (row["upper"] - row["lower"]) / 2
        assert abs(row["reversal"] - reversal(*case)) < 2.5 * half
    inside = [plain.loc[c, "lower"] <= reversal(*c) <= plain.loc[c, "upper"] for c in planted]
    assert sum(inside) >= 3


def test_false_discovery_rates_are_those_of_statsmodels(table) -> None:
    from statsmodels.stats.multitest import multipletests

    for _, family in table.groupby("scale"):
        expected = multipletests(family["p"], method="fdr_bh")[1]
        assert family["q"].to_numpy() == pytest.approx(expected)


def test_no_reversal_is_claimed_where_none_is_planted() -> None:
    result = gradient(_series(reverses=False), flux="ch4_flux", drivers=DRIVERS, seed=1)
    assert not result.table["claimed"].any()
    finding = report_gradient(result)
    assert finding.answers[0].startswith("No reversal is claimed")


def test_a_reversal_that_rests_on_one_city_is_not_claimed(series) -> None:
    # one very urban tower whose flux falls with temperature, fifteen green ones and two towns without any change
    rng = np.random.default_rng(0)
    part = series.isel(site=range(18)).copy(deep=True)
    urban = np.r_[0.7, 0.21, 0.2, np.linspace(0.0, 0.1, 15)]
    tas = part["tas"].values - part["tas"].values.mean(axis=1, keepdims=True)
    star = 2.0 + np.where(urban > 0.5, -0.4, 0.1)[:, None] * tas + rng.normal(0, 0.1, tas.shape)
    part["ch4_flux"] = (("site", "time"), 10 * GASES["ch4"].kg_per_nmol * np.sinh(star))
    part["urban_fraction"] = ("site", urban)
    part["ecosystem"] = ("site", ["urban"] * 18)
    found = gradient(part, flux="ch4_flux", drivers=("tas", "ps"), seed=1)
    row = found.table.query("driver == 'tas' and scale == 'plain'").iloc[0]
    assert row["q"] < 0.05
    assert not row["claimed"]
    assert row["kept"] < 1


def test_a_driver_that_acts_late_biases_the_others_unless_its_past_is_held() -> None:
    series, drivers = made("MS", 120), ("tas", "mrsos", "vpd")
    wide, narrow = (
        slopes_of(rows_of(series, Setting("ch4_flux", drivers, memory=memory))) for memory in (1, 0)
    )
    assert wide.nature[0] == pytest.approx(0.2, abs=0.02)
    assert abs(narrow.nature[0] - 0.2) > 0.1
    assert -wide.nature[0] / wide.change[0] == pytest.approx(0.4, abs=0.03)


def test_a_weekly_rhythm_that_grows_with_the_city_is_noticed_in_daily_data() -> None:
    for weekend, passed in ((0.0, True), (0.2, False)):
        found = gradient(made("D", 400, weekend=weekend), flux="ch4_flux", drivers=("tas",))
        check = next(c for c in found.checks if c.name == "weekend and holiday contrast")
        assert check.passed is passed
        assert "24 December" in check.told


@pytest.mark.parametrize("heating", [False, True])
def test_a_reversal_that_heating_explains_fails_its_check(heating: bool) -> None:
    series = made("MS", 120)
    rng = np.random.default_rng(6)
    tas = 291.15 + 4 * rng.normal(size=(12, 120))
    acts = np.minimum(tas - 291.15, 0) if heating else tas - 291.15
    slope = 0.1 - 0.25 * series["urban_fraction"].values[:, None]
    star = 2 + slope * acts + 0.1 * rng.normal(size=tas.shape)
    flux = 10 * GASES["ch4"].kg_per_nmol * np.sinh(star)
    series = series.assign(tas=(("site", "time"), tas), ch4_flux=(("site", "time"), flux))
    finding = report_gradient(gradient(series, flux="ch4_flux", drivers=("tas", "mrsos")))
    told = {check.name: check for check in finding.checks}
    assert told["heating degree days for temperature"].passed is not heating


def test_every_required_check_is_printed_with_its_outcome_or_the_reason(result) -> None:
    finding = report_gradient(result)
    told = {check.name: check for check in finding.checks}
    assert tuple(told) == NAMES
    for name in ("leave one urban site out", "heating degree days for temperature"):
        assert told[name].passed is True
    for name in ("weekend and holiday contrast", "wind sectors"):
        assert told[name].passed is None
        assert told[name].told.startswith("could not be run")


def test_wind_sectors_run_where_the_wind_direction_is_known() -> None:
    rng = np.random.default_rng(2)
    direction = (("site", "time"), rng.uniform(0, 360, (12, 240)))
    blown = made("MS", 240).assign(wind_direction=direction)
    found = gradient(blown, flux="ch4_flux", drivers=("tas",), seed=1)
    assert next(c for c in found.checks if c.name == "wind sectors").passed is True


def test_the_same_seed_gives_the_same_table() -> None:
    one, two = (gradient(made("MS", 60), flux="ch4_flux", drivers=("tas",), seed=4) for _ in "ab")
    assert one.table.equals(two.table)


def test_towers_without_an_urban_fraction_cannot_answer_and_do_not_fail(series) -> None:
    finding = report_gradient(
        gradient(series.drop_vars("urban_fraction"), flux="ch4_flux", drivers=DRIVERS)
    )
    assert "cannot be answered with these data" in finding.answers[0]
    assert "12 of 24" in finding.answers[0]
    assert all(check.passed is None for check in finding.checks)


def test_an_absent_class_is_named(series) -> None:
    with pytest.raises(InputError, match="rice-paddy"):
        gradient(series, flux="ch4_flux", drivers=DRIVERS, ecosystems=("rice-paddy",))


def test_real_daily_towers_cannot_answer_the_question() -> None:
    real("fluxnet_ch4/daily")
    from ch4grid.sites.fluxnet_ch4 import FluxnetCH4
    from ch4grid.stores import Workspace

    source = FluxnetCH4(
        source="fluxnet_ch4",
        path="fluxnet_ch4/daily",
        sites="fluxnet_ch4/sites.csv",
        frequency="daily",
        step="week",
    )
    towers = source.open(Workspace(DATA, DATA), GASES["ch4"])
    finding = report_gradient(gradient(towers, flux="ch4_flux", drivers=("tas", "ps")))
    assert "0 of" in finding.answers[0]
    assert f"{towers.sizes['site']} towers" in finding.data
