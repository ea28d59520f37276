from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ch4grid import twin
from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace, sha256_file
from ch4grid.twin import TRUE_PARENTS, Twin, true_graph, true_links
from ch4grid.twin.anomalies import simulate
from ch4grid.twin.causes import (
    DRIVER_CAUSES,
    DRIVERS,
    FLUX_CAUSES,
    RESPONSE_UNIT,
    URBAN_CHANGE,
    lasting_response,
    reduced_form,
    reversal,
)
from ch4grid.twin.lattice import LAND_SAMPLES, Bump, Lattice
from ch4grid.twin.planet import View
from ch4grid.vocabulary import ECOSYSTEMS, GASES, KG_PER_TG, VARIABLES, months

# Coarse enough for a second per planet, fine enough to hold every class.
COARSE = Twin(seed=5, resolution=4.0, first_year=2000, last_year=2003)
RESOLUTIONS = st.sampled_from([1.0, 2.0, 2.5, 4.0])


def transformed(density: np.ndarray) -> np.ndarray:
    return np.arcsinh(density / GASES["ch4"].kg_per_nmol / GASES["ch4"].asinh_scale)


@settings(max_examples=3)
@given(st.integers(0, 10**6))
def test_a_planet_is_a_function_of_its_seed(seed: int) -> None:
    same = [simulate(seed, 2001, 2001) for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], simulate(seed + 1, 2001, 2001))


def test_a_year_does_not_depend_on_the_years_asked_for() -> None:
    alone, inside = COARSE.drivers(2001, 2001), COARSE.drivers(2000, 2003).sel(time="2001")
    xr.testing.assert_identical(alone, inside)


def test_a_changed_copy_is_another_planet() -> None:
    COARSE.true_total(2001)
    changed = COARSE.model_copy(update={"seed": 6})
    fresh = Twin(seed=6, resolution=4.0, first_year=2000, last_year=2003)
    assert changed.true_total(2001) == fresh.true_total(2001) != COARSE.true_total(2001)


def test_a_longer_planet_begins_like_a_shorter_one() -> None:
    longer = COARSE.model_copy(update={"last_year": 2004})
    xr.testing.assert_identical(COARSE.drivers(2002, 2003), longer.drivers(2002, 2003))


def test_a_place_is_the_same_at_every_resolution() -> None:
    at = COARSE.steps(months(2001, 2001))
    coarse = View(COARSE, Lattice(np.array([10.0, 50.0]), np.array([20.0, 100.0]), 2.0))
    other = View(COARSE, Lattice(np.array([50.0, 10.0]), np.array([380.0, -260.0]), 2.0))
    first, second = (view.driver("pr", at) for view in (coarse, other))
    np.testing.assert_allclose(first, second[:, ::-1], rtol=1e-9)


def test_files_of_one_seed_are_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        workspace = Workspace(tmp_path, tmp_path / name)
        planet = COARSE.model_copy()
        files = twin.era5_files(planet, workspace, 2001, 2001)
        files += twin.modis_files(planet, workspace, 2001, 2001)
        files += twin.tower_files(planet, workspace, 2001, 2002)
        files.append(twin.area_file(planet, workspace))
        digests.append({file.name: sha256_file(file) for file in files})
    assert digests[0] == digests[1]
    assert len(digests[0]) == 1 + 24 + 2 + 1


def test_files_that_are_there_are_left_alone_and_lost_ones_return(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, tmp_path)
    files = twin.modis_files(COARSE, workspace, 2001, 2001)
    written = [file.stat().st_mtime_ns for file in files]
    assert [
        f.stat().st_mtime_ns for f in twin.modis_files(COARSE, workspace, 2001, 2001)
    ] == written
    digest = sha256_file(files[3])
    files[3].unlink()
    twin.modis_files(COARSE, workspace, 2001, 2001)
    assert sha256_file(files[3]) == digest
    assert not list(tmp_path.rglob("*.partial"))


def test_years_that_were_not_simulated_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"within 2000 to 2003\. Found 2003 to 2004"):
        twin.era5_files(COARSE, Workspace(tmp_path, tmp_path), 2003, 2004)


def test_an_intervention_on_what_cannot_be_forced_is_refused() -> None:
    with pytest.raises(ValidationError, match="found vpd"):
        Twin(intervention={"vpd": 1.0})


@given(RESOLUTIONS)
def test_land_keeps_its_area_on_every_grid(resolution: float) -> None:
    grid, finest = Grid(resolution), Grid(0.25)
    land = (Lattice.cells(resolution).land * grid.cell_area).sum()
    assert land == pytest.approx((Lattice.cells(0.25).land * finest.cell_area).sum(), rel=3e-4)
    assert land / grid.cell_area.sum() == pytest.approx(0.29, abs=0.01)


@given(RESOLUTIONS, st.floats(-60, 60), st.floats(-180, 180), st.floats(0.5, 6))
def test_a_hill_keeps_its_volume_on_every_lattice(
    resolution: float, latitude: float, longitude: float, width: float
) -> None:
    hill = [Bump(latitude, longitude, width, 2 * width, 3.0)]
    volume = Lattice.cells(resolution).hills(hill).sum() * resolution**2
    assert volume == pytest.approx(3.0 * 2 * np.pi * width * 2 * width, rel=1e-3)


@pytest.mark.slow
def test_the_land_file_is_the_one_kilometre_mask_sampled() -> None:
    from global_land_mask import globe

    offset = (np.arange(5) + 0.5) / 20
    latitude, longitude = np.arange(10.0, 20.0, 0.25), np.arange(30.0, 50.0, 0.25)
    north, east = np.meshgrid(
        (latitude[:, None] + offset).ravel(), (longitude[:, None] + offset).ravel(), indexing="ij"
    )
    counts = globe.is_land(north, east).reshape(40, 5, 80, 5).sum(axis=(1, 3))
    land = Lattice.cells(0.25).land[400:440, 840:920]
    np.testing.assert_allclose(land, counts / LAND_SAMPLES, atol=1e-9)


@settings(max_examples=6)
@given(st.integers(0, 1000), RESOLUTIONS)
def test_class_fractions_are_disjoint_and_lie_on_land(seed: int, resolution: float) -> None:
    surface = Twin(seed=seed, resolution=resolution).surface
    assert surface.fractions.min() >= 0
    assert (surface.fractions.sum(axis=0) <= surface.lattice.land + 1e-12).all()
    rest = surface.lattice.land - surface.layers["open_water_fraction"]
    np.testing.assert_allclose(surface.fractions.sum(axis=0), np.stack([rest] * 12), atol=1e-12)


def test_wetland_classes_follow_latitude() -> None:
    surface = COARSE.surface
    degrees = np.broadcast_to(surface.lattice.parallel, surface.lattice.shape)
    reach = {
        name: degrees[surface.fractions[ECOSYSTEMS.index(name)].max(axis=0) > 0]
        for name in ("tropical-floodplain", "boreal-peatland", "temperate-wetland")
    }
    assert np.abs(reach["tropical-floodplain"]).max() < 30
    assert reach["boreal-peatland"].min() >= 55
    assert np.abs(reach["temperate-wetland"]).min() >= 30
    assert reach["temperate-wetland"].max() < 55


def test_anomalies_have_unit_variance_and_the_stated_causes() -> None:
    transition, loading = reduced_form()
    rng = np.random.default_rng(0)
    state, series = np.zeros((len(DRIVERS), 400)), []
    for _ in range(600):
        state = transition @ state + loading @ rng.standard_normal(state.shape)
        series.append(state)
    data = np.stack(series[20:])
    np.testing.assert_allclose(data.var(axis=(0, 2)), 1.0, atol=0.02)
    for name, causes in DRIVER_CAUSES.items():
        lagged = [
            data[1 - cause.lag : len(data) - cause.lag, DRIVERS.index(cause.driver)].ravel()
            for cause in causes
        ]
        found = np.linalg.lstsq(np.stack(lagged, 1), data[1:, DRIVERS.index(name)].ravel())[0]
        np.testing.assert_allclose(found, [cause.size for cause in causes], atol=0.01)


def test_drivers_lie_in_their_plausible_ranges() -> None:
    for name, field in COARSE.drivers(2000, 2003).items():
        low, high = VARIABLES[str(name)].valid_range
        assert low <= float(field.min())
        assert float(field.max()) <= high


def test_seasons_and_poles_are_the_right_way_round() -> None:
    tas = COARSE.drivers(2001, 2001)["tas"].mean("longitude")
    summer = tas.isel(time=6) - tas.isel(time=0)
    assert float(summer.sel(latitude=50, method="nearest")) > 10
    assert float(summer.sel(latitude=-50, method="nearest")) < 0
    year = tas.mean("time")
    assert float(year.sel(latitude=0, method="nearest")) > 295
    assert float(year.sel(latitude=-84)) < float(year.sel(latitude=84)) - 5


@pytest.mark.parametrize("ecosystem", ECOSYSTEMS)
def test_the_flux_of_a_class_responds_to_its_parents_at_their_lags_as_stated(
    ecosystem: str,
) -> None:
    steps = COARSE.steps(months(2001, 2003))
    urban = COARSE.surface.layers["urban_fraction"]
    place = np.unravel_index(
        int(np.argmin(np.where(COARSE.cells.land > 0.9, urban, 1))), urban.shape
    )
    flux = transformed(COARSE.native.density(ecosystem, steps)[:, *place])
    columns = []
    for cause in FLUX_CAUSES[ecosystem]:
        cycle = COARSE.native.climate.cycles[cause.driver]
        value = COARSE.native.driver(cause.driver, steps - cause.lag)
        inner = value if cause.driver == "rsds" else cycle.from_units(value)
        columns.append(inner[:, *place] / RESPONSE_UNIT[cause.driver])
    noise = COARSE.native._anomaly(len(DRIVERS) + ECOSYSTEMS.index(ecosystem), steps)
    design = np.stack([*columns, noise[:, *place], np.ones(len(steps))], axis=1)
    found, residual, *_ = np.linalg.lstsq(design, flux)
    assert residual.sum() < 1e-20
    expected = [cause.size for cause in FLUX_CAUSES[ecosystem]]
    np.testing.assert_allclose(found[: len(expected)], expected, atol=2e-3)


@pytest.mark.parametrize("driver", ["tas", "sfcWind"])
@pytest.mark.parametrize("ecosystem", ["coastal", "urban"])
def test_effects_change_sign_along_the_urban_gradient(driver: str, ecosystem: str) -> None:
    turning = reversal(ecosystem, driver)
    size = next(c.size for c in FLUX_CAUSES[ecosystem] if c.driver == driver)
    urban = Twin(seed=5).surface.layers["urban_fraction"]
    assert size > 0
    assert urban.min() < turning < urban.max()
    assert size + URBAN_CHANGE[driver] * urban.max() < -0.5 * size


def test_reversal_of_an_effect_without_gradient_is_refused() -> None:
    with pytest.raises(ValueError, match="does not change along the gradient"):
        reversal("upland", "tas")


def test_true_graph_holds_the_parents_and_nothing_else() -> None:
    graph = true_graph()
    for name, links in TRUE_PARENTS.items():
        parents = graph.parents(name, graph.target, top=99, floor=0.5)
        assert {(p.driver, p.lag) for p in parents} == set(links) == true_links(name)
    assert true_links() == set().union(*(true_links(name) for name in ECOSYSTEMS))
    assert not {"ps", "vpd", "pr", "lst_day", "lst_night"} & {driver for driver, _ in true_links()}


def test_warming_reaches_what_temperature_causes_and_nothing_else() -> None:
    warm = COARSE.model_copy(update={"intervention": {"tas": 2.0}})
    change = warm.drivers(2001, 2001) - COARSE.drivers(2001, 2001)
    np.testing.assert_allclose(change["tas"], 2.0, atol=1e-3)
    for name in ("pr", "ps", "sfcWind", "rsds", "mrsos"):
        assert float(np.abs(change[name]).max()) == 0
    for name in ("tsl", "evi", "lst_day", "lst_night", "vpd"):
        assert float(change[name].mean()) > 0
    # tsl follows by 0.45 / (1 - 0.35) of a standard deviation per standard deviation
    response = lasting_response(["tas"])[DRIVERS.index("tsl"), DRIVERS.index("tas")]
    assert response == pytest.approx(0.45 / 0.65)
    truth = [planet.truth(2001)["ch4_flux_density"] for planet in (COARSE, warm)]
    growth = (truth[1] - truth[0]).mean("time")
    city = np.unravel_index(np.argmax(COARSE.surface.layers["urban_fraction"]), COARSE.cells.shape)
    assert float(growth.sel(ecosystem="boreal-peatland").min()) > 0
    assert float(growth.sel(ecosystem="urban").values[city]) < 0


def test_true_flux_is_the_sum_over_classes_and_its_total_the_sum_over_cells() -> None:
    truth = COARSE.truth(2001)
    parts = (truth["ch4_flux_density"] * truth["ecosystem_fraction"]).sum("ecosystem")
    land = np.isfinite(truth["ch4_flux"])
    np.testing.assert_allclose(parts.values[land], truth["ch4_flux"].values[land], rtol=1e-9)
    days = xr.DataArray(months(2001, 2001).days_in_month.to_numpy(), dims="time")
    total = float((truth["ch4_flux"] * truth["cell_area"] * days * 86400.0).sum()) / KG_PER_TG
    assert COARSE.true_total(2001) == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("seed", [1, 2])
def test_magnitudes_are_those_of_the_earth(seed: int) -> None:
    planet = Twin(seed=seed, resolution=3.0)
    totals = planet.true_totals(2001)
    assert 120 < sum(totals.values()) < 260
    assert 100 < sum(totals[n] for n in ECOSYSTEMS[:3]) < 220
    assert 10 < totals["rice-paddy"] < 60
    assert 0 < totals["coastal"] < 6
    assert 10 < totals["urban"] < 60
    assert -60 < totals["upland"] < -20
    truth = planet.truth(2001)
    monthly = (truth["ch4_flux"] * truth["cell_area"]).sum(("latitude", "longitude"))
    assert int(monthly.argmax("time")) + 1 in (6, 7, 8)


def test_finer_cells_show_the_same_planet() -> None:
    coarse, fine = (Twin(seed=2, resolution=r).true_total(2001) for r in (2.0, 1.0))
    assert coarse == pytest.approx(fine, rel=0.06)
