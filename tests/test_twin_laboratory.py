"""The laboratory and the interventions of the twin keep what a method that is held to the truth relies on."""

import numpy as np
import pytest
import xarray as xr

from ch4grid.errors import InputError
from ch4grid.twin import DRIVERS, Twin, laboratory
from ch4grid.twin.causes import FLUX_CAUSES, RESPONSE_UNIT, URBAN_CHANGE
from ch4grid.vocabulary import ECOSYSTEMS, GASES, VARIABLES

COARSE = Twin(seed=11, resolution=4.0, first_year=2000, last_year=2003)
CLASSES = ("boreal-peatland", "urban")
CH4 = GASES["ch4"]


@pytest.fixture(scope="module")
def bench() -> xr.Dataset:
    return laboratory(COARSE, ecosystems=CLASSES, towers=4)


def places(samples: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    return samples["latitude"].drop_vars("ecosystem"), samples["longitude"].drop_vars("ecosystem")


def test_a_tower_measures_the_same_in_a_year_of_any_period(bench: xr.Dataset) -> None:
    short = laboratory(COARSE, ecosystems=CLASSES, towers=4, period=(2002, 2003))
    xr.testing.assert_identical(short, bench.sel(time=slice("2002", "2003")))
    assert np.isnan(bench["ch4_flux"]).any()


def test_a_class_is_measured_the_same_whatever_other_classes_are(bench: xr.Dataset) -> None:
    alone = laboratory(COARSE, ecosystems=("urban",), towers=4)
    both = bench.isel(site=np.flatnonzero(bench["ecosystem"] == "urban"))
    # a cluster is numbered among those that are there
    xr.testing.assert_identical(alone.drop_vars("cluster"), both.drop_vars("cluster"))


def test_without_noise_the_towers_measure_the_truth(bench: xr.Dataset) -> None:
    clean = laboratory(COARSE, ecosystems=CLASSES, towers=4, period=(2001, 2001), noise=False)
    truth = COARSE.truth(2001)["ch4_flux_density"]
    latitude, longitude = places(clean)
    for name in CLASSES:
        at = np.flatnonzero(clean["ecosystem"] == name)
        there = truth.sel(ecosystem=name, latitude=latitude[at], longitude=longitude[at])
        np.testing.assert_allclose(
            clean["ch4_flux"][at].values, there.transpose("site", "time").values, rtol=1e-9
        )
    assert (clean["ch4_flux_coverage"] == 1).all()
    noisy = bench["ch4_flux"].sel(time="2001")
    assert not np.allclose(clean["ch4_flux"], noisy, equal_nan=True)


def test_the_drivers_are_those_of_the_planet_at_the_towers(bench: xr.Dataset) -> None:
    latitude, longitude = places(bench)
    planet = COARSE.drivers(2000, 2003).sel(latitude=latitude, longitude=longitude)
    for name in DRIVERS:
        seen = planet[name].transpose("site", "time").values
        np.testing.assert_allclose(bench[name].values, seen, rtol=1e-6)
        assert bench[name].attrs == VARIABLES[name].attrs


def test_towers_stand_in_cells_of_their_class_each_in_its_own(bench: xr.Dataset) -> None:
    fractions = COARSE.surface.fractions.mean(axis=1)
    cells = COARSE.cells
    for name in CLASSES:
        own = bench.isel(site=np.flatnonzero(bench["ecosystem"] == name))
        row = [int(np.abs(cells.latitude - v).argmin()) for v in own["latitude"].values]
        column = [int(np.abs(cells.longitude - v).argmin()) for v in own["longitude"].values]
        assert len(set(zip(row, column, strict=True))) == 4
        assert (fractions[ECOSYSTEMS.index(name), row, column] > 0).all()


def test_the_gradient_spans_none_to_the_most_urban_cell() -> None:
    lab = laboratory(
        COARSE, ecosystems=("coastal",), towers=9, gradient=True, period=(2001, 2001), noise=False
    )
    urban = COARSE.surface.layers["urban_fraction"]
    seen = np.sort(lab["urban_fraction"].values)
    assert seen[-1] == urban.max()
    assert seen[0] == urban[urban > 0].min()
    # an even ladder, as far as there are cells near a rung
    assert np.diff(seen).max() < 3 * (seen[-1] - seen[0]) / 8


def test_more_towers_than_cells_and_years_beyond_the_planet_are_refused() -> None:
    with pytest.raises(ValueError, match=r"has .* cells for 9999 towers"):
        laboratory(COARSE, ecosystems=("coastal",), towers=9999)
    with pytest.raises(InputError, match="within 2000 to 2003"):
        laboratory(COARSE, ecosystems=("coastal",), towers=2, period=(2003, 2004))


def test_warming_alone_changes_temperature_and_no_other_driver() -> None:
    alone = Twin(**COARSE.model_dump() | {"intervention": {"tas": 2.0}, "propagate": False})
    change = alone.drivers(2001, 2001) - COARSE.drivers(2001, 2001)
    np.testing.assert_allclose(change["tas"], 2.0, atol=1e-3)
    for name in DRIVERS:
        # the deficit is computed from temperature and depression, not caused by it
        if name not in ("tas", "vpd"):
            assert float(np.abs(change[name]).max()) == 0, name


@pytest.mark.parametrize("ecosystem", ["tropical-floodplain", "upland"])
def test_warming_alone_moves_the_flux_by_the_direct_effect(ecosystem: str) -> None:
    before = laboratory(COARSE, ecosystems=(ecosystem,), towers=3, noise=False)
    warm = Twin(**COARSE.model_dump() | {"intervention": {"tas": 2.0}, "propagate": False})
    after = laboratory(warm, ecosystems=(ecosystem,), towers=3, noise=False)
    moved = star(after) - star(before)
    size = next(c.size for c in FLUX_CAUSES[ecosystem] if c.driver == "tas")
    np.testing.assert_allclose(moved, 2.0 * size / RESPONSE_UNIT["tas"], rtol=1e-6)


def test_warming_reaches_a_flux_without_temperature_as_parent_only_when_propagated() -> None:
    towers = [
        laboratory(
            Twin(**COARSE.model_dump() | {"intervention": {"tas": 2.0}, "propagate": propagate}),
            ecosystems=("boreal-peatland",),
            towers=3,
            noise=False,
        )
        for propagate in (False, True)
    ]
    base = star(laboratory(COARSE, ecosystems=("boreal-peatland",), towers=3, noise=False))
    alone, onward = (star(t) - base for t in towers)
    np.testing.assert_allclose(alone, 0.0, atol=1e-12)
    assert (onward > 0.05).all()


def test_without_a_reversal_the_effect_is_the_same_in_every_city() -> None:
    for reversal in (True, False):
        flat = Twin(**COARSE.model_dump() | {"urban_reversal": reversal})
        warm = Twin(**flat.model_dump() | {"intervention": {"tas": 2.0}, "propagate": False})
        labs = [
            laboratory(t, ecosystems=("urban",), towers=6, gradient=True, noise=False)
            for t in (flat, warm)
        ]
        moved = (star(labs[1]) - star(labs[0])).mean(axis=1)
        size = next(c.size for c in FLUX_CAUSES["urban"] if c.driver == "tas")
        urban = labs[0]["urban_fraction"].values
        expected = size + URBAN_CHANGE["tas"] * urban * reversal
        np.testing.assert_allclose(moved, expected * 2.0 / RESPONSE_UNIT["tas"], rtol=1e-6)
        assert (moved.min() < 0) == reversal


def star(samples: xr.Dataset) -> np.ndarray:
    return np.arcsinh(samples["ch4_flux"].values / (10.0 * CH4.kg_per_nmol))
