"""Which part of a spread comes from noise, drivers, towers, the model, its structure and the area.

`decompose` splits the variance of predictions that were made for every combination of sources, exactly. `components`
makes the predictions for one model, one source at a time, which needs far fewer fits (methods 3.9, items 1 to 6):

    noise      measured fluxes with Laplace noise          drivers    inputs of the prediction with their own errors
    towers     clusters drawn with replacement             model      other seeds
    structure  other graphs or other learners              area       other maps of the area, if given
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.graph import CausalGraph
from ch4grid.models.learner import Law, Regressor, TrainingSet

Floats = NDArray[np.float64]
Fit = Callable[[TrainingSet], Regressor]
Measure = Callable[[Law], Floats]

FACTORS = ("noise", "drivers", "towers", "model", "structure", "area")
# Standard deviations of errors of gridded drivers: air temperature [K] and vegetation index [1] (McNicol et al. 2023,
# UpCH4, doi:10.1029/2023AV000956). Others come from their own maps.
DRIVER_SPREADS: Mapping[str, float] = {"tas": 0.5, "evi": 0.015}
# Error of a monthly mean flux: a share of the flux, and a share of the gas's asinh scale (1 nmol m-2 s-1 for CH4).
RELATIVE_NOISE = 0.1
ABSOLUTE_NOISE = 0.1


@dataclass(frozen=True)
class Sources:
    """How large the sources of uncertainty are.

    Args:
        relative: Standard deviation of a measured flux as a share of it [1].
        absolute: Standard deviation of a measured flux near zero as a share of the asinh scale of the gas [1].
        spreads: Standard deviation of the error of each driver or static, in its units.
        persistence: Share of a driver's error variance that stays the same over the record of a site [1]: 0 for errors
            that average out over a year, 1 for a wrong elevation.
    """

    relative: float = RELATIVE_NOISE
    absolute: float = ABSOLUTE_NOISE
    spreads: Mapping[str, float] = field(default_factory=lambda: dict(DRIVER_SPREADS))
    persistence: float = 0.0


def decompose(values: xr.DataArray) -> xr.Dataset:
    """Variances of main effects and interactions of sources; they add up to the variance over all combinations.

    Out come `variance (component, ...)` and `share (component, ...)` of the total, one component per set of sources,
    such as `towers` or `towers:model`, with the dims of the values that are no source. It is the analysis of variance
    of a balanced design: the effect of a set is the mean over all other sources less the effects of its subsets. These
    are variances of the levels drawn; the main effect of a source with few levels holds part of its interactions.

    Args:
        values: A quantity with dims among noise, drivers, towers, model, structure and area, one level per draw, and
            any others, such as site and time.

    Raises:
        InputError: No dim is a source.
    """
    factors = [name for name in FACTORS if name in values.dims]
    if not factors:
        raise InputError(
            "nothing to decompose",
            where="values",
            expected=f"a dim among {', '.join(FACTORS)}",
            found=", ".join(map(str, values.dims)),
        )
    sets = [s for n in range(1, len(factors) + 1) for s in combinations(factors, n)]
    rest = [name for name in values.dims if name not in factors]
    array = values.transpose(*factors, *rest).values.astype(np.float64)
    axes = tuple(range(len(factors)))
    parts = [(_effect(array, [name in s for name in factors]) ** 2).mean(axis=axes) for s in sets]
    coords = {n: c for n, c in values.coords.items() if not set(c.dims) & set(factors)}
    variance = xr.DataArray(
        np.stack(parts),
        dims=("component", *rest),
        coords=coords | {"component": [":".join(s) for s in sets]},
    )
    total = variance.sum("component")
    share = (variance / total.where(total > 0)).fillna(0.0)
    return xr.Dataset({"variance": variance, "share": share})


def components(
    fit: Fit,
    training: TrainingSet,
    points: xr.Dataset,
    *,
    draws: int = 8,
    seed: int = 0,
    sources: Sources | None = None,
    structures: Sequence[Fit] = (),
    areas: Floats | None = None,
    measure: Measure | None = None,
) -> pd.DataFrame:
    """Variance of a quantity at points from each source alone: a row per month of a site, or per number of the measure.

    Columns are the sources that were asked for and `total`, their sum: it leaves interactions out. Fits: one, and
    `draws` each for noise, towers and model, and one per structure.

    Args:
        fit: Fits the model, such as the method of a learner.
        training: Towers.
        points: Where to predict.
        draws: Draws of each source, at least two.
        seed: Seed of the draws.
        sources: Sizes of the sources.
        structures: Other ways to fit, as `under_graph` or other learners give; none leaves the source out.
        areas: The quantity's area (map, ...) in several maps, to be broadcast to the quantity, which is taken to be
            proportional to it; None leaves the source out.
        measure: Makes the quantity from a law; the location in asinh space when None.

    Raises:
        InputError: A single draw has no spread.
    """
    if draws < 2:
        raise InputError("a spread needs draws", where="draws", expected="at least 2", found=draws)
    size = sources or Sources()
    say = measure or _location
    base = fit(training)
    seeds = np.random.SeedSequence(seed).generate_state(3 * draws).reshape(3, draws).tolist()

    def told(fits: Fit, towers: TrainingSet) -> Floats:
        return say(fits(towers).predict(points))

    quantity = say(base.predict(points))
    variance = {
        "noise": _variance([told(fit, noisy(training, size, seed=s)) for s in seeds[0]]),
        "drivers": _variance([say(base.predict(p)) for p in _inputs(points, size, seeds[1])]),
        "towers": _variance([told(fit, drawn_clusters(training, seed=s)) for s in seeds[2]]),
        "model": _variance([told(fit, training.reseeded(i)) for i in range(draws)]),
    }
    if structures:
        variance["structure"] = _variance([quantity, *(told(f, training) for f in structures)])
    if areas is not None:
        variance["area"] = _variance(list(quantity * (areas / areas.mean(axis=0))))
    return _framed(variance, quantity, points)


def perturbed(
    points: xr.Dataset, spreads: Mapping[str, float], *, seed: int, persistence: float = 0.0
) -> xr.Dataset:
    """Points with normal errors on their drivers and statics; what is missing stays missing.

    The static `<name>_mean` of a driver moves with the mean of its errors at the site. Predictors that the points do
    not have are passed over.

    Args:
        points: Drivers (site, time) and statics (site).
        spreads: Standard deviation of the error of each predictor, in its units.
        seed: Seed; each predictor draws its own errors, whichever others there are.
        persistence: Share of the error variance of a driver that stays the same over the record of a site [1].
    """
    changed = {}
    for name in sorted(set(spreads) & {str(n) for n in points.data_vars}):
        random = np.random.default_rng([seed, *name.encode()])
        site = random.standard_normal(points.sizes["site"])
        error = xr.DataArray(spreads[name] * site, dims="site")
        if "time" in points[name].dims:
            month = random.standard_normal((points.sizes["site"], points.sizes["time"]))
            passing = xr.DataArray(spreads[name] * month, dims=("site", "time"))
            error = np.sqrt(persistence) * error + np.sqrt(1 - persistence) * passing
            if f"{name}_mean" in points:
                changed[f"{name}_mean"] = _added(points[f"{name}_mean"], error.mean("time"))
        changed[name] = _added(points[name], error)
    return points.assign(changed)


def noisy(training: TrainingSet, sources: Sources, *, seed: int) -> TrainingSet:
    """The training set with Laplace noise on its measured fluxes, whose scale is the standard deviation over sqrt 2."""
    gas = training.gas
    flux = training.samples[gas.flux]
    least = sources.absolute * gas.asinh_scale * gas.kg_per_nmol
    scale = np.sqrt((least**2 + (sources.relative * flux) ** 2) / 2)
    noise = np.random.default_rng(seed).laplace(size=flux.shape)
    changed = flux + scale * noise
    return replace(
        training, samples=training.samples.assign({gas.flux: changed.assign_attrs(flux.attrs)})
    )


def drawn_clusters(training: TrainingSet, *, seed: int) -> TrainingSet:
    """The training set with its clusters drawn with replacement, and one cluster of each class that the draw missed.

    A cluster drawn twice keeps its label, so that inner folds do not hold out one copy and learn from the other; its
    sites get other names.
    """
    random = np.random.default_rng(seed)
    cluster = training.samples["cluster"].values
    labels, ecosystem = np.unique(cluster), training.samples["ecosystem"].values
    drawn = list(random.choice(labels, len(labels)))
    for code in np.unique(ecosystem):
        able = np.unique(cluster[ecosystem == code])
        if not np.isin(able, drawn).any():
            drawn.append(random.choice(able))
    kept = np.concatenate([np.flatnonzero(cluster == label) for label in drawn])
    subset = training.subset(kept)
    names = subset.samples["site"].to_series()
    copy = names.groupby(names.to_numpy()).cumcount().to_numpy()
    unique = [f"{n}~{c}" if c else str(n) for n, c in zip(names, copy, strict=True)]
    return replace(subset, samples=subset.samples.assign_coords(site=unique))


def under_graph(fit: Fit, discoverer: Callable[[xr.Dataset], CausalGraph]) -> Fit:
    """The fit under the graph that another discoverer finds: a structure for `components`."""

    def fitted(training: TrainingSet) -> Regressor:
        return fit(replace(training, discoverer=discoverer))

    return fitted


def _effect(values: Floats, chosen: Sequence[bool]) -> Floats:
    """Effect of the chosen leading axes: departures from the mean along these, means along the others."""
    effect = values
    for axis, own in enumerate(chosen):
        mean = effect.mean(axis=axis, keepdims=True)
        effect = effect - mean if own else mean
    return effect


def _inputs(points: xr.Dataset, sources: Sources, seeds: Sequence[int]) -> list[xr.Dataset]:
    return [
        perturbed(points, sources.spreads, seed=s, persistence=sources.persistence) for s in seeds
    ]


def _location(law: Law) -> Floats:
    return law.location


def _variance(draws: Sequence[Floats]) -> Floats:
    return np.asarray(np.var(np.stack(draws), axis=0, ddof=1), dtype=np.float64)


def _framed(variance: Mapping[str, Floats], quantity: Floats, points: xr.Dataset) -> pd.DataFrame:
    """Components in columns and their sum; rows are named where the quantity is one per month of a site."""
    table = pd.DataFrame({name: np.ravel(v) for name, v in variance.items()})
    table["total"] = table.sum(axis=1)
    if np.shape(quantity) == (points.sizes["site"], points.sizes["time"]):
        axes = [points["site"].values, points["time"].values]
        table.index = pd.MultiIndex.from_product(axes, names=["site", "time"])
    return table


def _added(values: xr.DataArray, error: xr.DataArray) -> xr.DataArray:
    """The values with errors, in their own type, dims and attributes."""
    changed = (values + error).transpose(*values.dims).astype(values.dtype)
    return changed.assign_attrs(values.attrs)
