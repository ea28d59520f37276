"""The folder of an investigation: report, prior, tables, Zarr group and pictures, written whole or not at all."""

import json
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr

from ch4grid.graph import CausalGraph
from ch4grid.pages.causal import CausalPage, graphs, write_causal_page
from ch4grid.stores import exclusive, unwritable

# What determined the folder and what it says, so that a rerun need not do it again.
RECORD = "investigation.json"
# Names of the parts of `discovery.zarr`, with their meaning.
MEASURES = {
    "frequency": "share of resampled records in which the link into the flux was found",
    "strength": "partial correlation of driver and flux given the conditions of the test",
    "p": "p value of the conditional independence test",
    "q": "false discovery rate over all tests into the flux",
}


def record(folder: Path) -> Mapping[str, Any]:
    """What is written about the folder; empty where there is none."""
    path = folder / RECORD
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def write(
    folder: Path,
    page: CausalPage,
    graph: CausalGraph,
    links: pd.DataFrame,
    about: Mapping[str, Any],
) -> None:
    """Write the folder beside its place and rename it.

    Args:
        folder: Where it lies.
        page: The report.
        graph: The prior.
        links: Columns ecosystem, source, target, lag, frequency, strength, p and q.
        about: The record: fingerprint and what was said.

    Raises:
        RunError: The folder cannot be written.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    with exclusive(folder.with_name(f".{folder.name}.lock")):
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            _fill(partial, page, graph, links, about)
            _replace(partial, folder)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise unwritable(folder, error) from error


def _fill(
    folder: Path,
    page: CausalPage,
    graph: CausalGraph,
    links: pd.DataFrame,
    about: Mapping[str, Any],
) -> None:
    write_causal_page(folder / "report.html", page)
    for finding in (page.overview, page.claims, *page.findings):
        text = finding.table.to_csv(index=False, lineterminator="\n")
        (folder / f"{finding.key}.csv").write_text(text, encoding="utf-8")
    for name, drawn in graphs(page).items():
        (folder / f"graph-{name}.svg").write_text(drawn.svg(), encoding="utf-8")
    document = json.loads(graph.to_json()) | {"description": _described(graph)}
    (folder / "prior.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    _write_store(folder / "discovery.zarr", discovery(graph, links, page.step))
    (folder / RECORD).write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")


def _replace(partial: Path, folder: Path) -> None:
    """Put the new folder in the place of the old one."""
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.replace(old)
    partial.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def _described(graph: CausalGraph) -> str:
    return (
        "Link probabilities, dims ecosystem x to x from x lag [months]: nodes are the drivers and, last, the target;"
        f" 'from' runs over the drivers. Link frequencies in resampled records, drawn from class to pool to expert."
        f" Read with ch4grid.graph.CausalGraph.from_json. Lags 0 to {graph.max_lag}."
    )


def discovery(graph: CausalGraph, links: pd.DataFrame, step: str) -> xr.Dataset:
    """What was found about the links into the flux (ecosystem, driver, lag) and the prior (ecosystem, driver, month).

    Args:
        graph: The prior.
        links: Columns ecosystem, source, target, lag, frequency, strength, p and q.
        step: What a lag counts, "months" or "weeks".
    """
    into = links[links["target"] == graph.target]
    classes = list(dict.fromkeys([*into["ecosystem"], *graph.ecosystems]))
    lags = sorted(set(into["lag"].astype(int)))
    index = pd.MultiIndex.from_product(
        [classes, graph.drivers, lags], names=["ecosystem", "driver", "lag"]
    )
    keyed = into.rename(columns={"source": "driver"}).set_index(["ecosystem", "driver", "lag"])
    shape = (len(classes), len(graph.drivers), len(lags))
    dims = ("ecosystem", "driver", "lag")
    data: dict[str, Any] = {
        name: (
            dims,
            keyed[name].reindex(index).to_numpy(np.float64).reshape(shape),
            {"units": "1", "long_name": meaning},
        )
        for name, meaning in MEASURES.items()
    }
    prior = np.full((len(classes), len(graph.drivers), graph.max_lag + 1), np.nan)
    for e, name in enumerate(graph.ecosystems):
        prior[classes.index(name)] = graph.probability[e, -1]
    data["probability"] = (
        ("ecosystem", "driver", "lag_month"),
        prior,
        {"units": "1", "long_name": "probability that the link into the flux exists, the prior"},
    )
    return xr.Dataset(
        data,
        coords={
            "ecosystem": ("ecosystem", np.array(classes, object), {"long_name": "ecosystem class"}),
            "driver": ("driver", np.array(graph.drivers, object), {"long_name": "driver"}),
            "lag": ("lag", np.array(lags, np.int64), {"units": "1", "long_name": f"lag in {step}"}),
            "lag_month": (
                "lag_month",
                np.arange(graph.max_lag + 1),
                {"units": "1", "long_name": "lag in months"},
            ),
        },
        attrs={
            "Conventions": "CF-1.11",
            "title": f"Links into {graph.target}",
            "target": graph.target,
        },
    )


def _write_store(path: Path, ds: xr.Dataset) -> None:
    ds.to_zarr(path, zarr_format=3, consolidated=False)
    with warnings.catch_warnings():
        # consolidated metadata are read by every Zarr library that users open stores with, specified or not
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(str(path))
