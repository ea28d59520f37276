"""The two association baselines."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.errors import InputError
from ch4grid.models.baselines import (
    ClassMonthClimatology,
    RandomForest,
    features,
)
from ch4grid.models.samples import Targets, class_codes, flux_scale, predictor_names
from ch4grid.vocabulary import ECOSYSTEMS, GASES

GAS = GASES["ch4"]


def _samples(sites: int = 6, steps: int = 36, seed: int = 0) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    time = pd.date_range("2001-01-01", periods=steps, freq="MS", unit="s")
    tas = 280 + 8 * np.sin(2 * np.pi * np.arange(steps) / 12) + rng.normal(size=(sites, steps))
    mean = 0.1 * (np.roll(tas, 1, axis=1) - 280) + rng.normal(scale=0.1, size=(sites, steps))
    flux = flux_scale(GAS) * np.sinh(mean)
    flux[rng.random(flux.shape) < 0.2] = np.nan
    dims = ("site", "time")
    return xr.Dataset(
        {
            "tas": (dims, tas),
            "elevation": ("site", rng.uniform(0, 900, sites)),
            "ch4_flux": (dims, flux),
            "ch4_flux_coverage": (dims, np.where(np.isfinite(flux), 0.7, 0.0)),
        },
        coords={
            "site": [f"XX-{i}" for i in range(sites)],
            "time": time,
            "ecosystem": ("site", (np.arange(sites) % 2).astype(np.int8)),
            "cluster": ("site", np.arange(sites)),
        },
    )


def test_the_climatology_is_the_mean_of_class_and_month() -> None:
    samples = _samples()
    samples["ch4_flux_coverage"][:] = 1.0
    table = ClassMonthClimatology().fit(samples, GAS).predict(samples)
    target = Targets.of(samples, GAS).transformed
    march = np.asarray(samples["time"].dt.month == 3)
    good = np.isfinite(samples["ch4_flux"].values)[::2][:, march]
    expected = target[::2][:, march][good].mean()
    np.testing.assert_allclose(table[0, march], expected)


def test_an_unseen_class_takes_the_mean_month_and_an_unseen_month_the_class_mean() -> None:
    samples = _samples()
    samples["ch4_flux"][0::2, np.asarray(samples["time"].dt.month == 5)] = np.nan
    model = ClassMonthClimatology().fit(samples, GAS)
    unseen = samples.assign_coords(ecosystem=("site", np.full(6, 4, dtype=np.int8)))
    assert np.isfinite(model.predict(unseen)).all()
    seen = model.table[0, [m for m in range(12) if m != 4]]
    assert seen.min() <= model.table[0, 4] <= seen.max()


def test_class_names_and_indices_are_the_same_class() -> None:
    samples = _samples()
    named = samples.assign_coords(
        ecosystem=("site", [ECOSYSTEMS[i] for i in samples["ecosystem"].values])
    )
    np.testing.assert_array_equal(class_codes(samples), class_codes(named))


def test_months_measured_too_little_are_no_targets() -> None:
    samples = _samples()
    samples["ch4_flux_coverage"][0] = 0.1
    targets = Targets.of(samples, GAS)
    assert (targets.weight[0] == 0).all()


def test_no_target_at_all_is_named() -> None:
    with pytest.raises(InputError, match=r"coverage of at least 0\.2"):
        Targets.of(_samples().assign(ch4_flux_coverage=_samples()["ch4_flux_coverage"] * 0), GAS)


def test_the_forest_learns_a_lagged_driver_better_than_the_climatology() -> None:
    samples, new = _samples(), _samples(seed=1)
    targets = Targets.of(new, GAS)
    truth, ok = targets.transformed, targets.weight > 0

    def error(model: ClassMonthClimatology | RandomForest) -> float:
        return float(((model.fit(samples, GAS).predict(new) - truth)[ok] ** 2).mean())

    assert error(RandomForest(trees=50)) < error(ClassMonthClimatology())


def test_the_forest_gives_the_same_numbers_twice_and_bears_missing_drivers() -> None:
    samples = _samples()
    samples["tas"][2, 5:9] = np.nan
    first = RandomForest(trees=10, seed=3).fit(samples, GAS).predict(samples)
    again = RandomForest(trees=10, seed=3).fit(samples, GAS).predict(samples)
    np.testing.assert_array_equal(first, again)
    assert np.isfinite(first).all()


def test_a_missing_predictor_is_named() -> None:
    model = RandomForest(trees=5).fit(_samples(), GAS)
    with pytest.raises(InputError, match="elevation"):
        model.predict(_samples().drop_vars("elevation"))


def test_neither_flux_nor_coverage_is_a_predictor() -> None:
    assert predictor_names(_samples(), GAS) == (("tas",), ("elevation",))
    assert RandomForest(trees=2).fit(_samples(), GAS).names == ("tas", "elevation")


@settings(max_examples=10, deadline=None)
@given(month=st.integers(1, 30))
def test_features_do_not_see_the_future(month: int) -> None:
    samples = _samples()
    later = samples.copy(deep=True)
    later["tas"][:, month:] += 5.0
    shape = (samples.sizes["site"], samples.sizes["time"], -1)
    before = features(samples, ("tas",)).reshape(shape)[:, :month]
    after = features(later, ("tas",)).reshape(shape)[:, :month]
    np.testing.assert_array_equal(before, after)
