"""A small benchmark with and without files, models that cost nothing, and workers that are a loop."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.benchmarking import harness
from ch4grid.benchmarking.experiment import Experiment
from ch4grid.benchmarking.recipe import BenchmarkRecipe, SplitSection
from ch4grid.models.learner import Law, Learner, TrainingSet
from ch4grid.models.tabular import Climatology, Ridge
from ch4grid.stores import Workspace
from ch4grid.testing import CLIMATE, samples
from ch4grid.vocabulary import GASES

GAS = GASES["ch4"]
MODELS: dict[str, Learner] = {"climatology": Climatology(), "ridge": Ridge()}
# Keys of a row that other programs rely on.
CONTRACT = {
    *("model", "split", "n", "nse", "asinh_nse", "r2", "mae", "rmse", "coverage90"),
    *("interval", "seconds"),
}
CLASSIFICATIONS = ("Bog", "Fen", "Rice", "Salt marsh")


@dataclass
class Loop:
    """Workers that do things one after the other, and remember the files of jobs that were done."""

    done: list[Path] = field(default_factory=list)

    def map(self, stage: str, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Results in order."""
        found = []
        for item in items:
            found.append(function(item))
            self.done += [job.path for job in item] if isinstance(item, list) else []
        return found


class Oracle(Learner):
    """Knows the planted function but for its noise."""

    architecture: Literal["oracle"] = "oracle"

    def fit(self, training: TrainingSet) -> "Oracle":
        """Nothing to learn."""
        return self

    @property
    def parameters(self) -> int:
        """None."""
        return 0

    def predict(self, points: xr.Dataset) -> Law:
        """The planted location."""
        assert GAS.flux not in points
        return Law(planted(points))


def planted(points: xr.Dataset) -> np.ndarray:
    """The location that `testing.samples` plants (site, time), but for the wrapped first month."""
    drivers = {n: points[n].values.astype(np.float64) for n in ("tas", "mrsos")}
    score = {n: (v - v.mean(axis=1, keepdims=True)) / CLIMATE[n][1] for n, v in drivers.items()}
    north = points["latitude"].values[:, None] / 60
    return 1.0 + 0.5 * north + 0.6 * score["tas"] + 0.4 * np.roll(score["mrsos"], 1, axis=1)


@cache
def towers(sites: int = 20, months: int = 36, seed: int = 4) -> xr.Dataset:
    """Towers in pairs that share a cluster."""
    return samples(sites=sites, months=months, seed=seed)


def others(sites: int = 6) -> xr.Dataset:
    """Towers of other names at other places."""
    found = samples(sites=sites, months=36, seed=99)
    return found.assign_coords(site=[f"Z{i:02d}" for i in range(sites)])


def experiment(data: xr.Dataset | None = None, **changes: Any) -> Experiment:
    """What a benchmark of these towers works on."""
    data = towers() if data is None else data
    settings = {
        "samples": data,
        "series": data,
        "simulation": None,
        "distances": np.linspace(50.0, 5000.0, 200),
        "inputs": {},
    }
    return Experiment(**(settings | changes))


def recipe(**changes: Any) -> BenchmarkRecipe:
    """A benchmark of a tower table that leaves groups of clusters out."""
    document = {
        "benchmark": "planted",
        "title": "Planted towers",
        "period": [2002, 2003],
        "spin_up": 1,
        "sites": [source()],
        "discovery": {"settings": {"bootstraps": 2, "driver_bootstraps": 1}},
        "tuning": {"candidates": 1, "groups": 2},
        "splits": [{"split": "loco", "groups": 3}],
        "reference": "climatology",
        "seed": 3,
    }
    return BenchmarkRecipe.model_validate(document | changes)


def jobs(
    folder: Path,
    models: dict[str, Learner] | None = None,
    data: xr.Dataset | None = None,
    **changes: Any,
) -> list[harness.Job]:
    """The fits of a recipe with some keys changed."""
    asked = recipe(**changes)
    return harness.jobs(
        asked, experiment(data), MODELS if models is None else models, asked.splits, folder
    )


def section(kind: str, **more: Any) -> SplitSection:
    """A split."""
    return SplitSection.model_validate({"split": kind, **more})


def source(folder: str = "planted/") -> dict[str, Any]:
    """The site source of the files of `write_towers`."""
    return {
        "source": "table",
        "path": f"{folder}towers.csv",
        "sites": f"{folder}stations.csv",
        "coverage_column": "f",
        "drivers": {n: n for n in CLIMATE},
        "statics": {"elevation": {"column": "ELEVATION", "units": "m"}},
    }


def write_towers(folder: Path, data: xr.Dataset | None = None) -> None:
    """Samples as a tower table and a site table."""
    data = towers() if data is None else data
    folder.mkdir(parents=True, exist_ok=True)
    names = {GAS.flux: "FCH4_nmol", f"{GAS.flux}_coverage": "f"}
    table = data[[*names, *CLIMATE]].reset_coords(drop=True).to_dataframe().reset_index()
    table = table.rename(columns={"site": "site_id", **names})
    table["FCH4_nmol"] /= GAS.kg_per_nmol
    table.to_csv(folder / "towers.csv", index=False, float_format="%.9g")
    wetland = [CLASSIFICATIONS[i] for i in data["ecosystem"].values % len(CLASSIFICATIONS)]
    pd.DataFrame(
        {
            "SITE_ID": data["site"].values,
            "LAT": data["latitude"].values,
            "LON": data["longitude"].values,
            "SITE_CLASSIFICATION": wetland,
            "IGBP": "WET",
            "ELEVATION": data["elevation"].values,
        }
    ).to_csv(folder / "stations.csv", index=False)


def workspace(folder: Path) -> Workspace:
    """Folders with the files of the recipe."""
    write_towers(folder / "data" / "planted")
    return Workspace(folder / "data", folder / "products")


@contextmanager
def counted(learner: type[Learner], monkeypatch: Any) -> Iterator[list[frozenset[str]]]:
    """The towers of every fit of a kind of model."""
    seen: list[frozenset[str]] = []
    real = learner.fit

    def fit(self: Learner, training: TrainingSet) -> Any:
        seen.append(frozenset(training.samples["site"].values.astype(str).tolist()))
        return real(self, training)

    with monkeypatch.context() as patch:
        patch.setattr(learner, "fit", fit)
        yield seen
