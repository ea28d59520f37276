"""Causal discovery for models in a benchmark, each graph kept: models of one fold share what took seconds to find."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from ch4grid import __version__
from ch4grid.causal import Discovery, discover
from ch4grid.graph import CausalGraph
from ch4grid.stores import sha256_json, write_atomic
from ch4grid.vocabulary import ECOSYSTEMS


@dataclass(frozen=True)
class KeptDiscovery:
    """Discovers the graph of a series once and finds it again by the content of the series.

    Args:
        folder: Where graphs are kept.
        flux: Name of the flux variable.
        drivers: Names of the drivers.
        config: Settings of discovery.
        seed: Seed of its bootstrap.
    """

    folder: Path
    flux: str
    drivers: tuple[str, ...]
    config: Discovery
    seed: int

    def __call__(self, series: xr.Dataset) -> CausalGraph:
        """The causal graph of a series (site, time)."""
        told = [__version__, self.flux, self.drivers, self.config.model_dump(), self.seed]
        path = self.folder / f"{sha256_json([told, digest(series)])[:24]}.json"
        if path.is_file():
            return CausalGraph.from_json(path.read_text(encoding="utf-8"))
        graph = discover(
            series.assign_attrs(step=series.attrs.get("step", "month")),
            flux=self.flux,
            drivers=self.drivers,
            ecosystems=ECOSYSTEMS,
            config=self.config,
            seed=self.seed,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, graph.to_json().encode())
        # what later models read is what this one gets: probabilities as they stand in the file
        return CausalGraph.from_json(graph.to_json())


def digest(dataset: xr.Dataset, names: Sequence[str] | None = None) -> str:
    """SHA-256 of the values and coordinates of a dataset, whatever order its variables stand in."""
    found = hashlib.sha256()
    chosen = sorted(map(str, [*dataset.data_vars, *dataset.coords] if names is None else names))
    for name in chosen:
        values = dataset[name].values
        # names as objects: their bytes would be addresses
        values = np.ascontiguousarray(values.astype(str) if values.dtype == object else values)
        found.update(f"{name} {dataset[name].dims} {values.dtype} {values.shape}".encode())
        found.update(values.tobytes())
    return found.hexdigest()
