"""The benchmark: models against measured flux under one split, one row of scores per model.

Whatever a model learns from (samples, discovery series) has the held-out months or sites removed before it is called,
so no scaler, prior or bank can have seen them. Filled flux is never scored.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ch4grid.errors import InputError
from ch4grid.evaluation.fitters import Fitter
from ch4grid.evaluation.metrics import Pairs, intervals, scores
from ch4grid.evaluation.splits import Split, SplitKind, series_without, splits, without
from ch4grid.models.samples import MIN_COVERAGE, flux_scale
from ch4grid.vocabulary import Gas

Row = dict[str, Any]
Mapper = Callable[..., Iterable[Any]]


@dataclass(frozen=True, eq=False)
class Job:
    """One fit of one model and the months it is scored on.

    Args:
        model: Name of the model.
        fitter: How it is fitted.
        train: Training samples.
        series: What discovery sees.
        test: Held-out sites with drivers, flux and coverage.
        scored: Months of `test` that are scored (site, time).
        gas: The gas.
    """

    model: str
    fitter: Fitter
    train: xr.Dataset
    series: xr.Dataset
    test: xr.Dataset
    scored: xr.DataArray
    gas: Gas


def benchmark(
    samples: xr.Dataset,
    series: xr.Dataset,
    models: Mapping[str, Fitter],
    split: SplitKind,
    *,
    gas: Gas,
    seed: int = 0,
    groups: int | None = None,
    mapper: Mapper = map,
) -> list[Row]:
    """Scores of every model under one split, folds pooled.

    Args:
        samples: Points (site, time) with flux, coverage, and coordinates cluster and ecosystem.
        series: What discovery sees; sites by the same names.
        models: Fitters by name.
        split: Kind of split.
        gas: The gas.
        seed: Seed of the split and of the intervals.
        groups: Leave out so many groups of sites or clusters in turn instead of one at a time.
        mapper: `map`, or a parallel one.

    Returns:
        Rows `{model, split, n, nse, asinh_nse, r2, mae, rmse, coverage90, interval, seconds}`; MAE and RMSE in
        nmol m-2 s-1, `interval` the 90 % interval of each score over clusters, None where a score has no value.
    """
    folds = [
        f for f in splits(samples, split, seed=seed, groups=groups) if _usable(samples, gas, f)
    ]
    if not folds:
        raise InputError(
            "no fold has both months to train on and months to score",
            where=f"split {split}",
            expected="measured months on both sides",
            found=f"{samples.sizes['site']} sites",
        )
    jobs = [
        _job(name, fitter, samples, series, fold, gas)
        for name, fitter in models.items()
        for fold in folds
    ]
    return _rows(jobs, split, seed, mapper)


def holdout(
    samples: xr.Dataset,
    series: xr.Dataset,
    test: xr.Dataset,
    models: Mapping[str, Fitter],
    *,
    gas: Gas,
    seed: int = 0,
    mapper: Mapper = map,
) -> list[Row]:
    """Scores of models trained on all `samples`, once, on the towers of `test`.

    Raises:
        InputError: A tower stands in both.
    """
    both = sorted(set(map(str, samples["site"].values)) & set(map(str, test["site"].values)))
    if both:
        raise InputError(
            "towers are both trained on and held out",
            where="holdout",
            expected="disjoint sets of towers",
            found=", ".join(both),
        )
    scored = xr.ones_like(test[gas.flux].transpose("site", "time"), dtype=bool)
    jobs = [
        Job(name, fitter, samples, series, test, scored, gas) for name, fitter in models.items()
    ]
    return _rows(jobs, "holdout", seed, mapper)


def fitted_pairs(job: Job) -> tuple[Pairs, float]:
    """Fit one job and pair its predictions with the measured months; the seconds are wall clock."""
    start = time.perf_counter()
    flux, coverage = job.gas.flux, f"{job.gas.flux}_coverage"
    points = job.test.drop_vars([flux, coverage])
    predicted = job.fitter(job.train, job.series)(points)
    measured = job.test[flux].transpose("site", "time")
    good = measured.notnull() & (job.test[coverage] >= MIN_COVERAGE) & job.scored
    at = good.transpose("site", "time").values
    cluster = np.broadcast_to(job.test["cluster"].values[:, None], at.shape)
    columns = {n: predicted[n].transpose("site", "time").values[at] for n in predicted.data_vars}
    nowhere = np.full(int(at.sum()), np.nan)
    nmol = job.gas.kg_per_nmol
    truth = measured.values[at].astype(np.float64)
    pairs = Pairs(
        measured=truth / nmol,
        predicted=columns["flux"] / nmol,
        measured_asinh=np.arcsinh(truth / flux_scale(job.gas)),
        predicted_asinh=columns["location"],
        lower=columns.get("lower", nowhere) / nmol,
        upper=columns.get("upper", nowhere) / nmol,
        cluster=cluster[at].astype(np.int64),
    )
    return pairs, time.perf_counter() - start


def _rows(jobs: list[Job], split: str, seed: int, mapper: Mapper) -> list[Row]:
    results = list(mapper(fitted_pairs, jobs))
    rows = []
    for name in dict.fromkeys(job.model for job in jobs):
        parts = [result for job, result in zip(jobs, results, strict=True) if job.model == name]
        pairs = Pairs.joined([part for part, _ in parts])
        rows.append(
            {"model": name, "split": split, "n": len(pairs.measured)}
            | scores(pairs)
            | {
                "interval": intervals(pairs, seed=seed),
                "seconds": round(sum(seconds for _, seconds in parts), 3),
            }
        )
    return rows


def _job(
    name: str, fitter: Fitter, samples: xr.Dataset, series: xr.Dataset, fold: Split, gas: Gas
) -> Job:
    sites = np.flatnonzero(fold.test.any(axis=1))
    return Job(
        model=name,
        fitter=fitter,
        train=without(samples, gas.flux, fold),
        series=series_without(series, samples, gas.flux, fold),
        test=samples.isel(site=sites),
        scored=xr.DataArray(fold.test[sites], dims=("site", "time")),
        gas=gas,
    )


def _usable(samples: xr.Dataset, gas: Gas, fold: Split) -> bool:
    """Whether a fold has well measured months on both sides."""
    coverage = samples[f"{gas.flux}_coverage"].transpose("site", "time").values
    flux = samples[gas.flux].transpose("site", "time").values
    good = np.isfinite(flux) & (coverage >= MIN_COVERAGE)
    return bool((good & fold.train).any() and (good & fold.test).any())
