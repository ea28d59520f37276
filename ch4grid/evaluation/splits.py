"""Splits: what is trained on and what is scored, from the kindest (random months) to the hardest (an unseen class).

A split is a pair of masks (site, time). Only leaving whole clusters of towers out says anything about a map; the others
are reported beside it to show how much kinder they are.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import RecipeError

SplitKind = Literal["random", "temporal", "loso", "loco", "class", "region"]
KINDS: tuple[str, ...] = get_args(SplitKind)

Mask = NDArray[np.bool_]

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
    samples: xr.Dataset, kind: SplitKind, *, seed: int = 0, groups: int | None = None
) -> Iterator[Split]:
    """The folds of a split; every month is scored at most once over all folds.

    Args:
        samples: Points (site, time) with coordinates cluster, ecosystem, latitude and longitude (site).
        kind: random months, the last months of each record, or one site, cluster, class or region at a time.
        seed: Seed of random months and of the grouping.
        groups: Leave out so many groups of sites or clusters in turn, of about equal size, instead of one at a time.

    Raises:
        RecipeError: The kind is unknown.
    """
    if kind not in KINDS:
        raise RecipeError("unknown split", expected=", ".join(KINDS), found=repr(kind))
    shape = (samples.sizes["site"], samples.sizes["time"])
    if kind == "random":
        fold = np.random.default_rng(seed).integers(0, groups or RANDOM_FOLDS, shape)
        for k in range(groups or RANDOM_FOLDS):
            yield Split(f"random-{k}", fold != k, fold == k)
    elif kind == "temporal":
        test = _last_months(samples)
        yield Split("last-months", ~test, test)
    else:
        labels = _labels(samples, kind)
        if groups is not None and kind in ("loso", "loco"):
            labels = _grouped(labels, groups, seed)
        for label in sorted(set(labels.tolist())):
            out = np.broadcast_to((labels == label)[:, None], shape)
            yield Split(str(label), ~out, out)


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


def _labels(samples: xr.Dataset, kind: str) -> NDArray[np.str_]:
    """What each site is left out with (site,)."""
    if kind == "region":
        places = zip(samples["latitude"].values, samples["longitude"].values, strict=True)
        return np.array([_region(float(lat), float(lon)) for lat, lon in places])
    name = {"loso": "site", "loco": "cluster", "class": "ecosystem"}[kind]
    return np.asarray(samples[name].values).astype(str)


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
