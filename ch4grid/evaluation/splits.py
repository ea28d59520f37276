"""Splits: what is trained on and what is scored, from the kindest (random months) to the hardest (an unseen class).

A split is a pair of masks (site, time). Only leaving whole clusters of towers out says anything about a map; the others
are reported beside it to show how much kinder they are. Towers of two clusters may still be near to each other, as
complete linkage bounds the distance within a cluster and not between clusters: `near_pairs` counts such pairs, and a
buffer takes their training towers out.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import RecipeError
from ch4grid.evaluation.knndm import FOLDS, matched
from ch4grid.grid import great_circle_km

SplitKind = Literal["random", "temporal", "loso", "loco", "class", "region", "knndm"]
KINDS: tuple[str, ...] = get_args(SplitKind)

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

# Towers nearer than this measure the same weather [km] (methods 14.5).
NEAR_KM = 300.0

# Kinds that hold out months and not towers.
BY_MONTH = ("random", "temporal")
RANDOM_FOLDS = 5
# The last seventh of a record, but never less than a year, and nothing of a record shorter than two.
TEMPORAL_SHARE = 1 / 7
MIN_TEST_MONTHS = 12
# (west, south, east, north) of coarse continents, first match; what is in none is oceania [degrees].
REGIONS = {
    "north-america": (-170.0, 13.0, -30.0, 90.0),
    "south-america": (-95.0, -60.0, -30.0, 13.0),
    "europe": (-30.0, 36.0, 60.0, 90.0),
    "africa": (-30.0, -40.0, 60.0, 36.0),
    "asia": (60.0, 0.0, 180.0, 90.0),
}


class Split(NamedTuple):
    """One fold: its name, the months that may be trained on and those that are scored, (site, time)."""

    name: str
    train: Mask
    test: Mask


def splits(
    samples: xr.Dataset,
    kind: SplitKind,
    *,
    seed: int = 0,
    groups: int | None = None,
    distances: Floats | None = None,
    buffer_km: float | None = None,
) -> Iterator[Split]:
    """The folds of a split; every month is scored at most once over all folds.

    Args:
        samples: Points (site, time) with coordinates cluster, ecosystem, latitude and longitude (site).
        kind: random months, the last months of each record, one site, cluster, class or region at a time, or groups of
            clusters as far from each other as a map is from the towers (knndm).
        seed: Seed of random months and of the grouping.
        groups: Leave out so many groups of sites or clusters in turn, of about equal size, instead of one at a time;
            the number of folds of random and knndm.
        distances: From each cell of a map to its nearest tower [km]; knndm needs them.
        buffer_km: Do not train on towers within this distance of a tower that is held out [km].

    Raises:
        RecipeError: The kind is unknown, knndm lacks distances, or a buffer is asked for where no tower is held out.
        InputError: The distances cannot be matched.
    """
    if kind not in KINDS:
        raise RecipeError("unknown split", expected=", ".join(KINDS), found=repr(kind))
    if buffer_km is not None and kind in BY_MONTH:
        raise RecipeError(
            "a buffer needs towers that are held out",
            where=f"split {kind}",
            expected=", ".join(k for k in KINDS if k not in BY_MONTH),
            found=f"a buffer of {buffer_km:g} km",
        )
    if kind == "random":
        yield from _random(samples, groups or RANDOM_FOLDS, seed)
    elif kind == "temporal":
        test = _last_months(samples)
        yield Split("last-months", ~test, test)
    else:
        shape = (samples.sizes["site"], samples.sizes["time"])
        labels = _labels(samples, kind, seed=seed, groups=groups, distances=distances)
        for label in sorted(set(labels.tolist())):
            out = np.broadcast_to((labels == label)[:, None], shape)
            fold = Split(str(label), ~out, out)
            yield fold if buffer_km is None else buffered(samples, fold, buffer_km)


def buffered(samples: xr.Dataset, split: Split, distance_km: float = NEAR_KM) -> Split:
    """The fold without training months of towers nearer than a distance [km] to one that is wholly held out."""
    near = _between(samples, split).min(axis=0, initial=np.inf) < distance_km
    return split._replace(train=split.train & ~near[:, None])


def near_pairs(samples: xr.Dataset, split: Split, distance_km: float = NEAR_KM) -> int:
    """Number of pairs of a wholly held-out and a training tower nearer to each other than a distance [km]."""
    trained = split.train.any(axis=1)
    return int((_between(samples, split)[:, trained] < distance_km).sum())


def training_km(samples: xr.Dataset, split: Split) -> Floats:
    """Distance of each scored tower to the nearest training tower of the fold (site,) [km], NaN if it is not scored.

    It is 0 for a tower that is itself trained on, and infinite when there is no training tower.
    """
    lat, lon = samples["latitude"].values, samples["longitude"].values
    trained = split.train.any(axis=1)
    between = great_circle_km(lat[:, None], lon[:, None], lat[trained], lon[trained])
    nearest = between.min(axis=1, initial=np.inf)
    return np.where(split.test.any(axis=1), np.where(trained, 0.0, nearest), np.nan)


def without(samples: xr.Dataset, flux: str, split: Split) -> xr.Dataset:
    """Training samples of a fold: flux only where it may be seen, sites that have none left dropped."""
    seen = xr.DataArray(split.train, dims=("site", "time"))
    names = [name for name in (flux, f"{flux}_coverage") if name in samples]
    hidden = samples.assign({name: samples[name].where(seen) for name in names})
    hidden[flux].attrs |= samples[flux].attrs
    return hidden.isel(site=np.flatnonzero(split.train.any(axis=1)))


def series_without(series: xr.Dataset, samples: xr.Dataset, flux: str, split: Split) -> xr.Dataset:
    """The discovery series of a fold: only training sites, and their flux hidden in every month that is scored.

    A site of the series that is no sample is dropped, as nothing says whether its neighbours are held out.
    """
    sites = {str(name): i for i, name in enumerate(samples["site"].values)}
    home = np.array([sites.get(str(n), -1) for n in series["site"].values], dtype=np.intp)
    trained: Mask = np.asarray(split.train.any(axis=1))
    kept = np.flatnonzero((home >= 0) & trained[home])
    rows = home[kept]
    months = pd.DatetimeIndex(samples["time"].values).to_period("M")
    column = months.get_indexer(pd.DatetimeIndex(series["time"].values).to_period("M"))
    # A step outside the sample months is never scored.
    hidden = split.test[rows][:, column] & (column >= 0)
    out = series.isel(site=kept)
    return out.assign({flux: out[flux].where(~xr.DataArray(hidden, dims=("site", "time")))})


def _last_months(samples: xr.Dataset) -> Mask:
    """The last part of every site's record, from its first to its last measured month."""
    flux = next(n for n in samples.data_vars if f"{n}_coverage" in samples)
    measured = np.isfinite(samples[flux].transpose("site", "time").values)
    test = np.zeros(measured.shape, dtype=bool)
    for site, row in enumerate(measured):
        at = np.flatnonzero(row)
        length = at[-1] - at[0] + 1 if len(at) else 0
        if length >= 2 * MIN_TEST_MONTHS:
            test[site, at[-1] + 1 - max(MIN_TEST_MONTHS, round(length * TEMPORAL_SHARE)) :] = True
    return test


def _random(samples: xr.Dataset, folds: int, seed: int) -> Iterator[Split]:
    """Months dealt out at random, neighbours in time and all."""
    shape = (samples.sizes["site"], samples.sizes["time"])
    fold = np.random.default_rng(seed).integers(0, folds, shape)
    for k in range(folds):
        yield Split(f"random-{k}", fold != k, fold == k)


def _labels(
    samples: xr.Dataset, kind: str, *, seed: int, groups: int | None, distances: Floats | None
) -> NDArray[np.str_]:
    """What each site is left out with (site,)."""
    if kind == "region":
        places = zip(samples["latitude"].values, samples["longitude"].values, strict=True)
        return np.array([_region(float(lat), float(lon)) for lat, lon in places])
    if kind == "knndm":
        return _matched(samples, groups or FOLDS, distances)
    name = {"loso": "site", "loco": "cluster", "class": "ecosystem"}[kind]
    labels = np.asarray(samples[name].values).astype(str)
    return labels if groups is None or kind == "class" else _grouped(labels, groups, seed)


def _matched(samples: xr.Dataset, folds: int, distances: Floats | None) -> NDArray[np.str_]:
    """Fold of each site, matched to a map (site,)."""
    if distances is None or not distances.size:
        raise RecipeError(
            "knndm folds match the distances of a map and none are given",
            where="split knndm",
            expected="distances [km] from each land cell to its nearest tower",
            found="none",
            fix="Give `distances`, or leave clusters out with loco",
        )
    found = matched(
        samples["latitude"].values.astype(np.float64),
        samples["longitude"].values.astype(np.float64),
        samples["cluster"].values,
        np.asarray(distances, np.float64),
        folds=folds,
    )
    return np.array([f"knndm-{k}" for k in found.fold])


def _between(samples: xr.Dataset, split: Split) -> Floats:
    """Distances from towers that are scored and not trained on to all towers (held out, site) [km]."""
    lat, lon = samples["latitude"].values, samples["longitude"].values
    out = split.test.any(axis=1) & ~split.train.any(axis=1)
    return great_circle_km(lat[out][:, None], lon[out][:, None], lat, lon)


def _region(latitude: float, longitude: float) -> str:
    for name, (west, south, east, north) in REGIONS.items():
        if west <= longitude < east and south <= latitude < north:
            return name
    return "oceania"


def _grouped(labels: NDArray[np.str_], groups: int, seed: int) -> NDArray[np.str_]:
    """Labels merged into groups of about equal numbers of sites: the largest first, each to the smallest group."""
    names, counts = np.unique(labels, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    size, home = np.zeros(groups), {}
    for i in order:
        home[str(names[i])] = int(size.argmin())
        size[size.argmin()] += counts[i]
    return np.array([f"group-{home[str(label)]}" for label in labels])
