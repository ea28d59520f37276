"""The harness: every model on every fold of every split, one small file per fit, so that a killed run goes on.

A job knows its training towers and the months that it is scored on. Its file is named by all that determined it: data,
settings, months, versions. A rerun makes the files that are missing and nothing else.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid import __version__
from ch4grid.benchmarking.discovering import KeptDiscovery, digest
from ch4grid.benchmarking.experiment import Experiment
from ch4grid.benchmarking.recipe import BenchmarkRecipe, SplitSection
from ch4grid.conformal import HeldOut, crossed
from ch4grid.errors import InputError, RecipeError
from ch4grid.evaluation import Split, cross_fit, series_without, splits, table, without
from ch4grid.evaluation.crossfit import columns
from ch4grid.grid import great_circle_km
from ch4grid.models.learner import Law, Learner, Regressor, TrainingSet, without_flux
from ch4grid.models.learner import series_without as strangers_without
from ch4grid.models.samples import MIN_COVERAGE, class_codes, flux_scale, predictor_names
from ch4grid.models.stacking import Stack
from ch4grid.models.transfer.domains import away_from
from ch4grid.models.zoo import transfers
from ch4grid.stores import sha256_json, sweep_partial, write_atomic
from ch4grid.vocabulary import ECOSYSTEMS, Gas

Mask = NDArray[np.bool_]
Mapper = Callable[[str, Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

# Changes whenever the meaning of a kept file does.
FORMAT = 1
HOLDOUT = "holdout"


@dataclass(frozen=True, eq=False)
class Job:
    """One fit of one model.

    Args:
        model: Name of the model.
        learner: Its settings.
        split: Kind of the split.
        fold: Name of the fold.
        training: What the model learns from.
        test: Towers with predictors, measured flux and coverage.
        scored: Months of the test that are scored (site, time).
        candidates: Settings tried.
        groups: Groups of training clusters left out in turn; 0 for a fit without tuning and without a law of errors.
        path: File of the result.
    """

    model: str
    learner: Learner
    split: str
    fold: str
    training: TrainingSet
    test: xr.Dataset
    scored: Mask
    candidates: int
    groups: int
    path: Path


def jobs(
    recipe: BenchmarkRecipe,
    experiment: Experiment,
    models: Mapping[str, Learner],
    sections: Sequence[SplitSection],
    folder: Path,
) -> list[Job]:
    """All fits of a benchmark, the cheapest information first: split by split, fold by fold.

    Raises:
        InputError: A split has no fold with months on both sides.
        RecipeError: None of the models runs under any of the splits.
    """
    data = _content(experiment)
    made = []
    for section in sections:
        folds = list(
            splits(
                experiment.samples,
                section.split,
                seed=recipe.seed,
                groups=section.groups,
                distances=experiment.distances,
            )
        )
        usable = [fold for fold in folds if _usable(experiment.samples, recipe.gas_row, fold)]
        if not usable:
            raise InputError(
                "no fold has both months to train on and months to score",
                where=f"split {section.split}",
                expected="measured months on both sides",
                found=f"{experiment.samples.sizes['site']} towers",
            )
        named = {n: m for n, m in models.items() if not section.models or n in section.models}
        for name, learner in named.items():
            made += [
                _of_fold(recipe, experiment, name, learner, section, fold, folder, data)
                for fold in usable
            ]
    if not made:
        raise RecipeError(
            "none of the models runs under these splits",
            where="splits",
            expected=", ".join(sorted({n for section in sections for n in section.models})),
            found=", ".join(models),
        )
    return made


def holdout_jobs(
    recipe: BenchmarkRecipe,
    experiment: Experiment,
    models: Mapping[str, Learner],
    test: xr.Dataset,
    folder: Path,
) -> list[Job]:
    """One fit per model on all towers of the recipe, scored on towers that are none of them.

    Raises:
        InputError: A tower stands in both, or a predictor of the recipe is missing at the others.
    """
    known = {str(name).upper() for name in experiment.samples["site"].values}
    both = sorted(name for name in map(str, test["site"].values) if name.upper() in known)
    if both:
        raise InputError(
            "towers are both trained on and held out",
            where="--holdout",
            expected="disjoint sets of towers",
            found=", ".join(both),
        )
    names = sorted(map(str, experiment.samples.data_vars))
    missing = [name for name in names if name not in test]
    if missing:
        raise InputError(
            "predictors of the recipe are missing",
            where="--holdout",
            expected=", ".join(names),
            found=f"no {', '.join(missing)}",
        )
    if experiment.simulation is not None:
        experiment = replace(experiment, simulation=away_from(experiment.simulation, test))
    data = _content(experiment) + digest(test)
    series = _apart(experiment, test)
    scored = np.ones((test.sizes["site"], test.sizes["time"]), dtype=bool)
    return [
        Job(
            model=name,
            learner=learner,
            split=HOLDOUT,
            fold="all",
            training=_training(recipe, experiment, experiment.samples, series, folder),
            test=test[names],
            scored=scored,
            candidates=recipe.tuning.candidates,
            groups=recipe.tuning.groups,
            path=_path(folder, recipe, name, learner, HOLDOUT, "all", data),
        )
        for name, learner in models.items()
    ]


def run(work: Sequence[Job], mapper: Mapper, folder: Path) -> pd.DataFrame:
    """The predictions of all jobs, those of earlier runs taken as they are.

    Args:
        work: The jobs.
        mapper: Runs a function over jobs: stage, function, jobs.
        folder: Where the parts lie; what a killed writer left there goes first.

    Returns:
        One row per job and scored tower-month; see `run_job`.
    """
    sweep_partial(folder)
    missing = [job for job in work if not job.path.is_file()]
    list(mapper("fit and score", run_together, batches(missing)))
    frame = pd.concat([pd.read_parquet(job.path) for job in work], ignore_index=True)
    return crossed_laws(frame, work[0].training.gas)


def crossed_laws(frame: pd.DataFrame, gas: Gas) -> pd.DataFrame:
    """Predictions with the laws that single fits lack: those of a cluster from the held-out errors of the others.

    Column `calibration` says which: "nested" inside the fold, "crossed" over folds, "none" where there is one cluster.
    """
    names = columns()
    lacking = frame[names].isna().all(axis=1)
    kind = np.where(lacking, "crossed", "nested").astype(object)
    frame = frame.copy()
    for _, part in frame[lacking].groupby(["model", "split"]):
        if part["cluster"].nunique() < 2 or part["split"].iloc[0] == HOLDOUT:
            kind[part.index] = "none"
            continue
        site = part["site"].to_numpy()
        rows = HeldOut(
            location=part["predicted_asinh"].to_numpy(np.float64),
            observed=part["measured_asinh"].to_numpy(np.float64),
            cluster=part["cluster"].to_numpy(np.int64),
            ecosystem=np.array([ECOSYSTEMS.index(e) for e in part["ecosystem"]]),
            site=np.unique(site, return_inverse=True)[1],
        )
        told = crossed(rows, asinh_scale=gas.asinh_scale, method="class")
        frame.loc[part.index, "predicted"] = told.mean
        frame.loc[part.index, names] = gas.asinh_scale * np.sinh(told.quantile).T
    return frame.assign(calibration=kind)


def batches(work: Sequence[Job]) -> list[list[Job]]:
    """Jobs in groups that one process does: a stack with the models that it is made of, on the same fold."""
    bases = {
        base.model_dump_json()
        for job in work
        if isinstance(job.learner, Stack)
        for base in job.learner.of
    }
    found: dict[tuple[str, ...], list[Job]] = {}
    for job in work:
        shared = isinstance(job.learner, Stack) or job.learner.model_dump_json() in bases
        found.setdefault((*_fold_of(job), "" if shared else job.model), []).append(job)
    return list(found.values())


def _fold_of(job: Job) -> tuple[str, ...]:
    """What tells a fold from another: a split may stand twice, with folds of one name that hold out other towers."""
    held = [job.test["site"].values.astype(str).tolist(), np.packbits(job.scored).tolist()]
    return job.split, job.fold, str(job.groups), sha256_json(held)


def run_together(batch: Sequence[Job]) -> None:
    """Run the jobs of one fold one after another; what one model has learnt another need not learn again."""
    learnt: dict[str, tuple[Law, Regressor]] = {}
    for job in batch:
        run_job(replace(job, training=replace(job.training, learnt=learnt)))


def run_job(job: Job) -> None:
    """Fit, predict and keep the rows of a job.

    A row has model, split, fold, site, time, cluster, ecosystem, latitude, longitude, measured, predicted and the
    quantiles q05 to q95 [nmol m-2 s-1], measured_asinh and predicted_asinh [1], distance_km to the nearest training
    tower, settings as JSON, parameters, fit_seconds and predict_seconds.
    """
    fitted = cross_fit(job.learner, job.training, candidates=job.candidates, groups=job.groups)
    gas = job.training.gas
    start = time.perf_counter()
    predicted = fitted.predict(without_flux(job.test, gas))
    seconds = time.perf_counter() - start
    at = _scorable(job.test, gas) & job.scored
    frame = pd.concat([_truth(job, at), table(predicted, at)], axis=1)
    frame = frame.assign(
        settings=fitted.learner.model_dump_json(),
        parameters=int(fitted.regressor.parameters),
        fit_seconds=round(fitted.seconds, 3),
        predict_seconds=round(seconds, 4),
    )
    job.path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(job.path, frame.to_parquet(index=False))


def _truth(job: Job, at: Mask) -> pd.DataFrame:
    """What is known of the scored months without any model."""
    gas, test = job.training.gas, job.test
    site, month = np.nonzero(at)
    flux = test[gas.flux].transpose("site", "time").values[at].astype(np.float64)
    trained = job.training.samples
    distance = great_circle_km(
        test["latitude"].values[:, None],
        test["longitude"].values[:, None],
        trained["latitude"].values,
        trained["longitude"].values,
    ).min(axis=1)
    return pd.DataFrame(
        {
            "model": job.model,
            "split": job.split,
            "fold": job.fold,
            "site": test["site"].values.astype(str)[site],
            "time": test["time"].values.astype("datetime64[s]")[month],
            "cluster": test["cluster"].values.astype(np.int64)[site],
            "ecosystem": np.array(ECOSYSTEMS)[class_codes(test)[site]],
            "latitude": test["latitude"].values[site],
            "longitude": test["longitude"].values[site],
            "measured": flux / gas.kg_per_nmol,
            "measured_asinh": np.arcsinh(flux / flux_scale(gas)),
            "distance_km": distance[site],
        }
    )


def _of_fold(
    recipe: BenchmarkRecipe,
    experiment: Experiment,
    name: str,
    learner: Learner,
    section: SplitSection,
    fold: Split,
    folder: Path,
    data: str,
) -> Job:
    split, groups = section.split, recipe.tuning.groups if section.nested else 0
    flux, samples = recipe.gas_row.flux, experiment.samples
    tested = np.flatnonzero(fold.test.any(axis=1))
    months = sha256_json([np.packbits(fold.train).tolist(), np.packbits(fold.test).tolist()])
    told = data + months + ("" if section.nested else "single")
    return Job(
        model=name,
        learner=learner,
        split=split,
        fold=fold.name,
        training=_training(
            recipe,
            experiment,
            without(samples, flux, fold),
            series_without(experiment.series, samples, flux, fold),
            folder,
        ),
        test=samples.isel(site=tested),
        scored=fold.test[tested],
        candidates=recipe.tuning.candidates,
        groups=groups,
        path=_path(folder, recipe, name, learner, split, fold.name, told),
    )


def _content(experiment: Experiment) -> str:
    """What models learn from, as a digest; simulated sites are in the settings."""
    samples, series = experiment.samples, experiment.series
    return digest(samples) + ("" if series is samples else digest(series))


def _apart(experiment: Experiment, test: xr.Dataset) -> xr.Dataset:
    """The discovery series without held-out towers and without strangers near to one of them."""
    samples = experiment.samples
    places = xr.concat(
        [d[["latitude", "longitude"]].drop_vars("time", errors="ignore") for d in (samples, test)],
        dim="site",
    )
    held = np.arange(samples.sizes["site"], places.sizes["site"])
    return strangers_without(experiment.series, places, held)


def _training(
    recipe: BenchmarkRecipe,
    experiment: Experiment,
    samples: xr.Dataset,
    series: xr.Dataset,
    folder: Path,
) -> TrainingSet:
    drivers, _ = predictor_names(samples, recipe.gas_row)
    return TrainingSet(
        samples=samples,
        series=series,
        gas=recipe.gas_row,
        seed=recipe.seed,
        discoverer=KeptDiscovery(
            folder / "graphs",
            recipe.gas_row.flux,
            drivers,
            recipe.discovery.settings,
            recipe.seed,
        ),
        distances=experiment.distances,
        simulation=experiment.simulation,
    )


def _path(
    folder: Path,
    recipe: BenchmarkRecipe,
    name: str,
    learner: Learner,
    split: str,
    fold: str,
    data: str,
) -> Path:
    told = [
        FORMAT,
        __version__,
        data,
        learner.model_dump(mode="json"),
        recipe.tuning.model_dump(mode="json"),
        recipe.discovery.model_dump(mode="json") if learner.needs_graph else None,
        recipe.simulation.model_dump(mode="json")
        if recipe.simulation and transfers(learner)
        else None,
        recipe.seed,
    ]
    return folder / "parts" / split / name / f"{fold}-{sha256_json(told)[:12]}.parquet"


def _scorable(samples: xr.Dataset, gas: Gas) -> Mask:
    """Months (site, time) measured well enough to be scored."""
    flux = samples[gas.flux].transpose("site", "time").values
    coverage = samples[f"{gas.flux}_coverage"].transpose("site", "time").values
    return np.asarray(np.isfinite(flux) & (coverage >= MIN_COVERAGE))


def _usable(samples: xr.Dataset, gas: Gas, fold: Split) -> bool:
    """Whether a fold has well measured months on both sides."""
    good = _scorable(samples, gas)
    return bool((good & fold.train).any() and (good & fold.test).any())
