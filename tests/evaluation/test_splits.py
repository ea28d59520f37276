"""Splits hide what is scored, whole clusters stay together, and buffers keep near towers apart."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.errors import InputError, RecipeError
from ch4grid.evaluation.knndm import wasserstein
from ch4grid.evaluation.splits import (
    KINDS,
    NEAR_KM,
    Split,
    buffered,
    near_pairs,
    series_without,
    splits,
    training_km,
    without,
)
from ch4grid.grid import great_circle_km
from ch4grid.sites.clusters import clusters

WHOLE = [kind for kind in KINDS if kind not in ("random", "temporal")]
CELLS = np.linspace(0.0, 5000.0, 200)


def _samples(sites: int = 24, steps: int = 36, seed: int = 0, prefix: str = "XX") -> xr.Dataset:
    """Towers in pairs a few hundred kilometres apart, so that clusters have near neighbours."""
    rng = np.random.default_rng(seed)
    lat = np.repeat(rng.uniform(-40, 60, sites // 4), 4) + rng.normal(0, 2, sites)
    lon = np.repeat(rng.uniform(-160, 160, sites // 4), 4) + rng.normal(0, 2, sites)
    flux = rng.normal(size=(sites, steps))
    flux[rng.random(flux.shape) < 0.2] = np.nan
    dims = ("site", "time")
    return xr.Dataset(
        {
            "tas": (dims, rng.normal(size=(sites, steps))),
            "ch4_flux": (dims, flux, {"units": "kg m-2 s-1"}),
            "ch4_flux_coverage": (dims, np.where(np.isfinite(flux), 0.7, 0.0)),
        },
        coords={
            "site": [f"{prefix}-{i:02d}" for i in range(sites)],
            "time": pd.date_range("2001-01-01", periods=steps, freq="MS", unit="s"),
            "latitude": ("site", lat),
            "longitude": ("site", lon),
            "ecosystem": ("site", (np.arange(sites) % 3).astype(np.int8)),
            "cluster": ("site", clusters(lat, lon)),
        },
    )


def _folds(samples: xr.Dataset, kind: str, **how) -> list[Split]:
    return list(splits(samples, kind, distances=CELLS, **how))


@pytest.mark.parametrize("kind", KINDS)
def test_no_month_is_trained_on_and_scored_or_scored_twice(kind: str) -> None:
    folds = _folds(_samples(), kind, seed=1)
    assert all(not (fold.train & fold.test).any() for fold in folds)
    scored = np.sum([fold.test for fold in folds], axis=0)
    assert scored.max() == 1
    if kind != "temporal":
        assert scored.min() == 1


@pytest.mark.parametrize("kind", ["loco", "knndm"])
@settings(max_examples=10)
@given(seed=st.integers(0, 99), groups=st.integers(2, 6))
def test_leaving_clusters_out_never_cuts_a_cluster(kind: str, seed: int, groups: int) -> None:
    samples = _samples(seed=seed)
    cluster = samples["cluster"].values
    folds = _folds(samples, kind, seed=seed, groups=groups)
    assert len(folds) == groups
    for fold in folds:
        trained, tested = fold.train.any(axis=1), fold.test.any(axis=1)
        assert not set(cluster[trained]) & set(cluster[tested])


@pytest.mark.parametrize("kind", KINDS)
def test_training_samples_of_a_fold_do_not_depend_on_held_out_flux(kind: str) -> None:
    samples = _samples()
    for fold in _folds(samples, kind, seed=2):
        changed = samples.copy(deep=True)
        changed["ch4_flux"] = changed["ch4_flux"].where(~fold.test, 1.0)
        for cut in (without, lambda s, f, k: series_without(s, samples, f, k)):
            xr.testing.assert_identical(
                cut(samples, "ch4_flux", fold), cut(changed, "ch4_flux", fold)
            )


@pytest.mark.parametrize("kind", WHOLE)
def test_with_a_buffer_no_training_tower_is_near_to_a_held_out_one(kind: str) -> None:
    samples = _samples()
    lat, lon = samples["latitude"].values, samples["longitude"].values
    between = great_circle_km(lat[:, None], lon[:, None], lat, lon)
    for plain, fold in zip(
        _folds(samples, kind), _folds(samples, kind, buffer_km=NEAR_KM), strict=True
    ):
        np.testing.assert_array_equal(plain.test, fold.test)
        out, kept = fold.test.any(axis=1), fold.train.any(axis=1)
        assert between[np.ix_(out, kept)].min(initial=np.inf) >= NEAR_KM
        assert near_pairs(samples, fold) == 0
        # nobody else is lost
        far = between[out].min(axis=0) >= NEAR_KM
        np.testing.assert_array_equal(fold.train, plain.train & far[:, None])


def test_clusters_alone_leave_pairs_of_near_towers_across_folds() -> None:
    samples = _samples()
    lat, lon = samples["latitude"].values, samples["longitude"].values
    near = great_circle_km(lat[:, None], lon[:, None], lat, lon) < NEAR_KM
    cluster = samples["cluster"].values
    expected = int((near & (cluster[:, None] != cluster)).sum())
    assert expected > 0
    assert sum(near_pairs(samples, fold) for fold in _folds(samples, "loco")) == expected


def test_a_buffer_of_nothing_changes_nothing() -> None:
    samples = _samples()
    fold = _folds(samples, "loco")[0]
    np.testing.assert_array_equal(buffered(samples, fold, 0.0).train, fold.train)


@pytest.mark.parametrize("kind", ["random", "temporal"])
def test_a_buffer_where_no_tower_is_held_out_is_a_recipe_error(kind: str) -> None:
    with pytest.raises(RecipeError, match="held out"):
        _folds(_samples(), kind, buffer_km=300.0)


def test_the_distance_to_training_towers_is_that_of_the_fold() -> None:
    samples = _samples()
    lat, lon = samples["latitude"].values, samples["longitude"].values
    fold = _folds(samples, "loco")[0]
    out, found = fold.test.any(axis=1), training_km(samples, fold)
    assert np.isnan(found[~out]).all()
    brute = [
        min(float(great_circle_km(lat[i], lon[i], lat[j], lon[j])) for j in np.flatnonzero(~out))
        for i in np.flatnonzero(out)
    ]
    np.testing.assert_allclose(found[out], brute)
    assert (training_km(samples, _folds(samples, "random")[0]) == 0).all()
    empty = fold._replace(train=np.zeros_like(fold.train))
    assert np.isinf(training_km(samples, empty)[out]).all()


def test_matched_folds_are_closer_to_the_map_than_towers_left_out_one_by_one() -> None:
    samples = _samples(40)
    found = {
        kind: wasserstein(
            np.nanmin([training_km(samples, fold) for fold in _folds(samples, kind)], axis=0), CELLS
        )
        for kind in ("loso", "knndm")
    }
    assert found["knndm"] < 0.7 * found["loso"]


@pytest.mark.parametrize("distances", [None, np.zeros(0)])
def test_matched_folds_without_distances_are_a_recipe_error_that_says_what_to_give(
    distances: np.ndarray | None,
) -> None:
    with pytest.raises(RecipeError, match="Give `distances`"):
        next(splits(_samples(), "knndm", distances=distances))


def test_missing_distances_are_an_input_error() -> None:
    with pytest.raises(InputError, match="1 missing"):
        next(splits(_samples(), "knndm", distances=np.array([1.0, np.nan])))


def test_groups_of_clusters_are_balanced() -> None:
    sizes = [f.test.any(axis=1).sum() for f in _folds(_samples(40), "loso", groups=4)]
    assert sizes == [10] * 4


def test_the_temporal_split_holds_out_the_last_year_of_every_long_record() -> None:
    (fold,) = splits(_samples(), "temporal")
    assert fold.test[:, -13:].sum(axis=1).min() >= 11
    assert not fold.test[:, :20].any()


def test_a_series_of_unknown_sites_is_not_trained_on() -> None:
    samples = _samples()
    stranger = xr.concat([samples, _samples(4, prefix="ZZ")], dim="site")
    fold = next(splits(samples, "loco"))
    kept = series_without(stranger, samples, "ch4_flux", fold)["site"].values
    assert set(kept) == set(samples["site"].values[fold.train.any(axis=1)])


def test_an_unknown_split_is_a_recipe_error() -> None:
    with pytest.raises(RecipeError, match="loco"):
        next(splits(_samples(), "kfold"))  # type: ignore[arg-type]
