"""A checkpoint over a region: every value in its place, however the work is cut, and a reason for every doubt."""

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from planted_model import fitted

from ch4grid import drivers as drivers_package
from ch4grid import inference
from ch4grid.cube.block import cell_block, check_block
from ch4grid.drivers.kept import keep
from ch4grid.grid import Grid
from ch4grid.inference import Region, predict_region, prediction
from ch4grid.models.checkpoint import Applicability
from ch4grid.scenarios import Scenario
from ch4grid.testing import CLIMATE, drivers
from ch4grid.uncertainty import QUANTILES, UNCALIBRATED, Calibration
from ch4grid.vocabulary import ECOSYSTEMS, GASES, QUALITY_FLAGS, SCENARIO_FLAGS, months

GRID = Grid(30.0)
GAS = GASES["ch4"]
YEARS = (1999, 2001)
DENSITY = "ch4_flux_density"
LAWS = (DENSITY, f"{DENSITY}_variance", f"{DENSITY}_quantile", "dissimilarity_index")


def made_up_areas(*, by_month: bool = False) -> xr.Dataset:
    """Fractions with holes; the southern row is ocean, the next one land without a class."""
    random = np.random.default_rng(4)
    shape = (len(ECOSYSTEMS), *((12,) if by_month else ()), *GRID.shape)
    fraction = random.random(shape) * (random.random(shape) < 0.3) / len(ECOSYSTEMS)
    fraction[..., :2, :] = 0.0
    land = np.ones(GRID.shape)
    land[0] = 0.0
    dims = ("ecosystem", *(("time",) if by_month else ()), "latitude", "longitude")
    return xr.Dataset(
        {
            "ecosystem_fraction": (dims, fraction.astype(np.float32)),
            "land_fraction": (dims[-2:], land.astype(np.float32)),
            "area_filled": ("time", np.zeros(12, np.uint8)),
        },
        coords=GRID.coords | {"ecosystem": list(ECOSYSTEMS), "time": months(YEARS[1], YEARS[1])},
    )


def region_of(folder: Path, cube: xr.Dataset, areas: xr.Dataset) -> Region:
    """The inputs written as the assembly writes them."""
    normals = drivers_package.normals(cube).assign(elevation=cube["elevation"])
    return Region(
        drivers=keep(folder / "drivers", lambda: cube),
        years=YEARS,
        areas=keep(folder / "areas", lambda: areas),
        normals=keep(folder / "normals", lambda: normals),
        scenario=Scenario(),
        resolution=GRID.resolution,
    )


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    return drivers(GRID, *YEARS)


@pytest.fixture(scope="module")
def region(cube: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Region:
    return region_of(tmp_path_factory.mktemp("region"), cube, made_up_areas())


@pytest.fixture(scope="module")
def whole(region: Region) -> xr.Dataset:
    return predict_region(fitted(), region, gas=GAS)


class Batched:
    """A checkpoint that predicts in batches of another size."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def __getattr__(self, name: str) -> object:
        return getattr(fitted(), name)

    def predict(self, points: xr.Dataset, *, device: str, last: int) -> xr.Dataset:
        return fitted().predict(points, device=device, batch=self.batch, last=last)


@dataclass(frozen=True)
class Echo:
    """A checkpoint of `count` members whose law says where it was asked: see `location`."""

    count: int = 5
    scale: float = 0.0
    drivers: tuple[str, ...] = tuple(CLIMATE)
    statics: tuple[str, ...] = ()
    structure: None = None
    gas: str = "ch4"
    calibration: dict = dataclasses.field(default_factory=UNCALIBRATED.to_json)
    applicability: Applicability = dataclasses.field(
        default_factory=lambda: Applicability(
            features=np.zeros((1, 1), np.float32),
            weights=np.ones(1),
            mean_distance=1.0,
            threshold=0.5,
        )
    )

    @property
    def members(self) -> range:
        return range(self.count)

    def predict(self, points: xr.Dataset, *, device: str, last: int) -> xr.Dataset:
        dims = ("member", "site", "time")
        law = asked(
            self.count,
            points["latitude"].values[:, None],
            points["longitude"].values[:, None],
            points["ecosystem"].values[:, None],
            np.asarray(pd.DatetimeIndex(points["time"].values[-last:]).month),
        )
        return xr.Dataset({"location": (dims, law), "scale": (dims, 0 * law + self.scale)})

    def applicability_features(self, points: xr.Dataset) -> np.ndarray:
        """The pressure in hPa beyond 1000, so that a test can make a place strange."""
        return np.maximum(points["ps"].values[..., None] / 100 - 1000, 0)


def asked(count: int, latitude, longitude, code, month) -> np.ndarray:
    """Location that member m is to give: its flux is the m-th of latitude, longitude, class, month and m itself."""
    parts = np.broadcast_arrays(latitude, longitude, code, month, 4.0)
    return np.arcsinh(np.stack(parts[:count]).astype(float) / 10)


def on_the_grid(count: int) -> np.ndarray:
    """`asked` for every cell, class and month (member, ecosystem, time, latitude, longitude)."""
    return asked(
        count,
        GRID.latitude[:, None],
        GRID.longitude,
        np.arange(len(ECOSYSTEMS))[:, None, None, None],
        np.arange(1, 13)[:, None, None],
    )


@pytest.mark.parametrize("pairs", [1, 7, 100])
def test_every_flux_lands_in_its_cell_class_month_and_member(region: Region, pairs: int) -> None:
    flux = predict_region(Echo(), region, gas=GAS, pairs=pairs)
    there = np.broadcast_to(flux["ecosystem_fraction"].values > 0, flux[DENSITY].shape)
    found = flux[DENSITY].values / GAS.kg_per_nmol
    np.testing.assert_array_equal(np.isfinite(found), there)
    told = 10 * np.sinh(on_the_grid(5))
    np.testing.assert_allclose(found[there], told[there], rtol=1e-6, atol=1e-6)


def test_every_variance_and_quantile_lands_where_its_members_do(region: Region) -> None:
    flux = predict_region(Echo(scale=0.3), region, gas=GAS, pairs=11)
    law = on_the_grid(5)
    told = Calibration.from_json(UNCALIBRATED.to_json()).apply(law, 0 * law + 0.3)
    there = flux["ecosystem_fraction"].values > 0
    unit = GAS.kg_per_nmol
    variance, quantile = flux[f"{DENSITY}_variance"].values, flux[f"{DENSITY}_quantile"].values
    np.testing.assert_allclose(variance[there], told.variance[there] * unit**2, rtol=1e-5)
    np.testing.assert_allclose(quantile[:, there], told.quantile[:, there] * unit, rtol=1e-5)
    assert flux["quantile"].values.tolist() == list(QUANTILES)


def test_coordinates_are_those_of_the_grid_and_of_the_last_year(whole: xr.Dataset) -> None:
    np.testing.assert_array_equal(whole["latitude"], GRID.latitude)
    np.testing.assert_array_equal(whole["longitude"], GRID.longitude)
    assert whole["ecosystem"].values.tolist() == list(ECOSYSTEMS)
    assert pd.DatetimeIndex(whole["time"].values).equals(
        pd.date_range("2001-01", "2001-12", freq="MS")
    )


@pytest.mark.parametrize("pairs", [13, 64])
def test_the_number_of_pairs_at_once_changes_nothing_beyond_rounding(
    region: Region, whole: xr.Dataset, pairs: int
) -> None:
    again = predict_region(fitted(), region, gas=GAS, pairs=pairs)
    for name in LAWS:
        close(again[name], whole[name])
    np.testing.assert_array_equal(again["quality_flag"], whole["quality_flag"])


def test_the_same_call_again_gives_the_same_bits(region: Region, whole: xr.Dataset) -> None:
    xr.testing.assert_identical(predict_region(fitted(), region, gas=GAS), whole)


def test_the_batch_changes_nothing_beyond_rounding(region: Region, whole: xr.Dataset) -> None:
    again = predict_region(Batched(5), region, gas=GAS)
    for name in LAWS:
        close(again[name], whole[name])


def test_the_cut_into_tiles_changes_nothing_beyond_rounding(
    region: Region, whole: xr.Dataset
) -> None:
    tiles = [predict_region(fitted(), region.at(t), gas=GAS) for t in GRID.tiles(4)]
    assert len(tiles) > 2
    joined = xr.combine_by_coords(
        tiles, combine_attrs="override", join="outer", compat="no_conflicts"
    )
    for name in LAWS:
        close(joined[name].transpose(*whole[name].dims), whole[name])
    np.testing.assert_array_equal(joined["quality_flag"], whole["quality_flag"])


def test_the_order_of_the_pairs_changes_nothing_beyond_rounding(
    region: Region, whole: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_order = prediction._chunks

    def shuffled(fraction, pairs):
        ((ecosystem, row, column),) = in_order(fraction, 10**6)
        order = np.random.default_rng(0).permutation(len(row))
        yield ecosystem[order], row[order], column[order]

    monkeypatch.setattr(prediction, "_chunks", shuffled)
    again = predict_region(fitted(), region, gas=GAS)
    for name in LAWS:
        close(again[name], whole[name])


def close(found: xr.DataArray, expected: xr.DataArray) -> None:
    """Equal to 1e-5 of the value, or of the typical value where fluxes of either sign cancel."""
    size = float(abs(expected).median())
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * size)


@pytest.mark.parametrize("month", [1, 6, 11])
def test_months_after_a_month_change_nothing_at_or_before_it(
    cube: xr.Dataset, whole: xr.Dataset, tmp_path: Path, month: int
) -> None:
    later = cube["time"] > cube["time"][24 + month - 1]
    changed = cube.assign({n: cube[n].where(~later, cube[n] * 1.03) for n in CLIMATE})
    normals = drivers_package.normals(cube)
    region = region_of(tmp_path, changed, made_up_areas())
    region = replace(
        region,
        normals=keep(tmp_path / "same", lambda: normals.assign(elevation=cube["elevation"])),
    )
    again = predict_region(fitted(), region, gas=GAS)
    for name in LAWS:
        before, after = (ds[name].transpose("time", ...).values for ds in (whole, again))
        np.testing.assert_array_equal(after[:month], before[:month])
        assert not np.array_equal(after[month:], before[month:], equal_nan=True)


def test_a_month_without_drivers_is_missing_and_says_so(
    cube: xr.Dataset, whole: xr.Dataset, tmp_path: Path
) -> None:
    lost = (cube["time"] == np.datetime64("2001-04-01")) & (cube["longitude"] > 0)
    some = (cube["time"] == np.datetime64("2001-08-01")) & (cube["longitude"] > 0)
    changed = cube.assign({n: cube[n].where(~lost) for n in CLIMATE})
    changed = changed.assign(
        tas=changed["tas"].where(~some),
        driver_status=cube["driver_status"].where(~lost & ~some, np.uint8(2)),
    )
    flux = predict_region(fitted(), region_of(tmp_path, changed, made_up_areas()), gas=GAS)
    there = (flux["ecosystem_fraction"] > 0).any("ecosystem")
    hit = there & (flux["longitude"] > 0)
    flag, density = flux["quality_flag"], flux[DENSITY]
    for month in (3, 7):
        assert bool(
            (flag.isel(time=month) == QUALITY_FLAGS["driver_missing"]).where(hit, True).all()
        )
    alive = density.notnull().any(("member", "ecosystem"))
    assert not bool(alive.isel(time=3).where(hit.isel(time=3), False).any())
    assert bool(alive.where(there, True).drop_isel(time=3).all())
    for name in LAWS[1:3]:
        np.testing.assert_array_equal(
            flux[name].isnull().any(set(flux[name].dims) - {*density.dims[1:]}),
            density.isnull().any("member"),
        )


def test_every_flag_is_where_its_reason_is_and_prevails_in_order(
    cube: xr.Dataset, tmp_path: Path
) -> None:
    random = np.random.default_rng(9)
    shape = (12, *GRID.shape)
    status = random.integers(0, 4, shape).astype(np.uint8)
    strange = random.random(shape) < 0.4
    land = random.random(GRID.shape) < 0.6
    fraction = (random.random((len(ECOSYSTEMS), *shape)) < 0.12) * np.float32(0.1)
    areas = made_up_areas(by_month=True)
    areas["ecosystem_fraction"].values[:] = fraction
    areas["land_fraction"].values[:] = land
    areas["area_filled"].values[5] = 1
    cube = cube.copy(deep=True)
    cube["driver_status"].values[-12:] = status
    cube["ps"].values[:] = 95000.0
    cube["ps"].values[-12:][strange] = 105000.0
    flux = predict_region(Echo(), region_of(tmp_path, cube, areas), gas=GAS)
    found = flux["quality_flag"].values
    for at in np.ndindex(shape):
        present = bool((fraction[(slice(None), *at)] > 0).any())
        reasons = [
            (not present and not land[at[1:]], "ocean"),
            (not present, "no_ecosystem"),
            (status[at] == 2, "driver_missing"),
            (bool(strange[at]), "outside_applicability"),
            (status[at] == 1 or at[0] == 5, "driver_filled"),
            (status[at] == 3, "driver_preliminary"),
            (True, "valid"),
        ]
        expected = next(name for applies, name in reasons if applies)
        assert found[at] == QUALITY_FLAGS[expected], (at, expected)
    of_history = {v for n, v in QUALITY_FLAGS.items() if n not in SCENARIO_FLAGS}
    assert set(np.unique(found)) == of_history
    missing = flux[DENSITY].isnull().all(("member", "ecosystem")).values
    np.testing.assert_array_equal(missing, ~(fraction > 0).any(axis=0))


def test_a_gas_of_twice_the_mass_has_twice_the_flux_and_four_times_the_variance(
    region: Region, whole: xr.Dataset
) -> None:
    heavy = predict_region(fitted(), region, gas=replace(GAS, molar_mass=2 * GAS.molar_mass))
    np.testing.assert_allclose(heavy[DENSITY], 2 * whole[DENSITY], rtol=1e-6)
    name = f"{DENSITY}_variance"
    np.testing.assert_allclose(heavy[name], 4 * whole[name], rtol=1e-6)


def test_a_scenario_changes_what_the_model_sees_and_nothing_else(
    region: Region, whole: xr.Dataset
) -> None:
    warmer = predict_region(fitted(), replace(region, scenario=Scenario(add={"tas": 2.0})), gas=GAS)
    assert not np.array_equal(warmer[DENSITY], whole[DENSITY], equal_nan=True)
    np.testing.assert_array_equal(warmer["ecosystem_fraction"], whole["ecosystem_fraction"])
    still = predict_region(fitted(), replace(region, scenario=Scenario(add={"tas": 0.0})), gas=GAS)
    np.testing.assert_array_equal(still[DENSITY], whole[DENSITY])


def strange_places(cube: xr.Dataset, seed: int) -> tuple[xr.Dataset, np.ndarray]:
    """The cube with a pressure far from the training in some cell-months of the year, and these."""
    strange = np.random.default_rng(seed).random((12, *GRID.shape)) < 0.4
    cube = cube.copy(deep=True)
    cube["ps"].values[:] = 95000.0
    cube["ps"].values[-12:][strange] = 105000.0
    return cube, strange


def test_a_scenario_leaves_out_what_it_takes_out_of_the_training_and_nothing_else(
    cube: xr.Dataset, tmp_path: Path
) -> None:
    cube, strange = strange_places(cube, 2)
    region = region_of(tmp_path, cube, made_up_areas())
    history = predict_region(Echo(), region, gas=GAS)
    # to 101000 Pa everywhere, which is outside as well; beyond that a place was strange before
    warmer = replace(region, scenario=Scenario(add={"ps": 6000.0}, response="model"))
    flux = predict_region(Echo(), warmer, gas=GAS)
    present = (history["ecosystem_fraction"] > 0).any("ecosystem").values
    left = flux["quality_flag"].values == QUALITY_FLAGS["intervention_outside_training"]
    np.testing.assert_array_equal(left, present & ~strange)
    for name in (DENSITY, f"{DENSITY}_variance", f"{DENSITY}_quantile"):
        blank = flux[name].isnull().all(set(flux[name].dims) - {*flux["quality_flag"].dims})
        np.testing.assert_array_equal(blank.values, ~(present & strange))
    kept = present & strange
    assert kept.any()
    assert left.any()
    np.testing.assert_array_equal(
        flux["quality_flag"].values[kept], history["quality_flag"].values[kept]
    )
    np.testing.assert_array_equal(
        flux[DENSITY].values[..., kept], history[DENSITY].values[..., kept]
    )


def test_a_blanked_block_keeps_the_identities_and_its_reason(
    cube: xr.Dataset, tmp_path: Path
) -> None:
    cube, _ = strange_places(cube, 3)
    region = region_of(tmp_path, cube, made_up_areas())
    warmer = replace(region, scenario=Scenario(add={"ps": 6000.0}, response="model"))
    flux = predict_region(Echo(), warmer, gas=GAS)
    whole_grid = (slice(0, GRID.shape[0]), slice(0, GRID.shape[1]))
    block = cell_block(flux, GRID, whole_grid)
    assert check_block(block) == []
    left = block["quality_flag"] == QUALITY_FLAGS["intervention_outside_training"]
    assert bool(left.any())
    assert bool(block["ch4_flux"].where(left).isnull().all())
    silent = block.assign(quality_flag=block["quality_flag"].where(~left, 0).astype(np.uint8))
    assert any("without a reason" in problem for problem in check_block(silent))


def test_a_change_of_area_leaves_nothing_out(cube: xr.Dataset, tmp_path: Path) -> None:
    cube, _ = strange_places(cube, 4)
    region = region_of(tmp_path, cube, made_up_areas())
    flux = predict_region(Echo(), replace(region, scenario=Scenario(drain=0.5)), gas=GAS)
    assert QUALITY_FLAGS["intervention_outside_training"] not in flux["quality_flag"].values


def test_densities_are_those_of_the_product(region: Region, whole: xr.Dataset) -> None:
    """What attribution swaps is what was published: the same pairs give the same numbers."""
    drivers = inference.given(fitted(), region)
    statics = inference.tiled(region.normals, region)
    present = (whole["ecosystem_fraction"] > 0).any("time").values
    law = inference.laws(fitted(), drivers, statics, present)
    found = inference.densities(fitted(), law, statics, present, gas=GAS)
    there = whole[DENSITY].notnull().values
    np.testing.assert_array_equal(found[there], whole[DENSITY].values[there])


def test_a_driver_that_is_no_cause_of_a_class_moves_nothing(region: Region) -> None:
    drivers = inference.given(fitted(), region)
    statics = inference.tiled(region.normals, region)
    present = np.ones((len(ECOSYSTEMS), *GRID.shape), dtype=bool)
    before, after = (
        inference.laws(fitted(), drivers.assign(ps=drivers["ps"] + s), statics, present)
        for s in (0.0, 500.0)
    )
    assert all("ps" not in fitted().causes(k) for k in range(len(ECOSYSTEMS)))
    assert all("tas" in fitted().causes(k) for k in range(len(ECOSYSTEMS)))
    np.testing.assert_array_equal(before, after)
