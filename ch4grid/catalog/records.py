"""What the catalog is told: a product, a model and the people behind them, as frozen values.

Nothing here knows STAC; `publish` turns these records into Collections, Items and assets. All texts and numbers must
be the same on every run of the same recipe: no clock, host or user enters a catalog.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Collection of an input by the `source` key of a recipe; sources that read a user's own files have none.
INPUT_COLLECTIONS = {
    "era5": "era5-monthly",
    "modis": "modis-cmg",
    "wetlands": "wetland-series",
    "glwd": "glwd-v2",
    "ghsl": "ghsl-settlement",
    "fluxnet_ch4": "fluxnet-ch4",
    "twin": "twin",
}

# Words to search any product by, beside its gas.
KEYWORDS = ("flux", "emission", "uncertainty", "ecosystem")

SOFTWARE_PROVIDER = {
    "name": "ch4grid",
    "roles": ["producer", "processor"],
    "description": "Open software for global monthly methane flux products",
}


def input_collections(sources: tuple[str, ...]) -> tuple[str, ...]:
    """Ids of the input Collections of recipe sources, each once, in the order given; unknown sources are left out."""
    return tuple(dict.fromkeys(INPUT_COLLECTIONS[s] for s in sources if s in INPUT_COLLECTIONS))


@dataclass(frozen=True)
class Display:
    """Ends of the colours of a map.

    Args:
        low: Lower end [kg m-2 s-1]; below zero where there are sinks.
        high: Upper end [kg m-2 s-1].
    """

    low: float
    high: float


@dataclass(frozen=True)
class ProductRecord:
    """One version and scenario of a product, as it is described to the world.

    Args:
        product: Identifier of the product and its Collection, lower case with hyphens.
        title: One line.
        summary: One paragraph, Markdown allowed.
        gas: Row of the gas table, e.g. `ch4`.
        version: Number N of `v<N>`.
        scenario: Name of the scenario; `historical` gives the Collection its `data` asset.
        store: The Zarr group.
        ledger: The Parquet ledger beside it.
        inputs: Ids of input Collections (`input_collections`).
        model: Id of the model Item, or empty.
        citation: How to cite the product.
        lineage: What was done, one paragraph, Markdown allowed.
        software: Package names and versions that determine the values.
        licence: SPDX identifier of the product's licence.
        doi: DOI of the product, without a resolver address, or empty.
        keywords: Words to search by.
        providers: STAC providers besides the software itself.
    """

    product: str
    title: str
    summary: str
    gas: str
    version: int
    scenario: str
    store: Path
    ledger: Path
    inputs: tuple[str, ...]
    model: str
    citation: str
    lineage: str
    software: Mapping[str, str]
    licence: str = "CC-BY-4.0"
    doi: str = ""
    keywords: tuple[str, ...] = ("methane", *KEYWORDS)
    providers: tuple[Mapping[str, Any], ...] = ()

    @property
    def flux(self) -> str:
        """Name of the flux in the store, the variable that maps show."""
        return f"{self.gas}_flux"

    def item_id(self, year: int) -> str:
        """Id of the Item of a year; readable, never parsed."""
        return f"{self.product}-v{self.version}-{self.scenario}-{year}"


@dataclass(frozen=True)
class ModelRecord:
    """A trained model.

    Args:
        id: Id of its Item, such as `ctgat-ch4-<first eight digits of the digest>`.
        title: One line.
        description: One paragraph: architecture, drivers, what it was trained on.
        architecture: Name of the architecture, e.g. `ctgat`.
        gas: Row of the gas table.
        digest: SHA-256 of the checkpoint.
        folder: The checkpoint's folder; its files become assets by name.
        period: First and last year of the training months.
        inputs: Ids of input Collections.
        drivers: Names of dynamic and static predictors.
        software: Package names and versions.
        skill: Rows of split, n, asinh_nse, nse, coverage90, ... as plain JSON values.
        files: Further files by asset key: `graph`, `skill`, ...
        framework: Package of `software` that runs the model; empty where none does in particular.
        licence: SPDX identifier.
    """

    id: str
    title: str
    description: str
    architecture: str
    gas: str
    digest: str
    folder: Path
    period: tuple[int, int]
    inputs: tuple[str, ...]
    drivers: tuple[str, ...]
    software: Mapping[str, str]
    skill: tuple[Mapping[str, Any], ...] = field(default=())
    files: Mapping[str, Path] = field(default_factory=dict)
    framework: str = ""
    licence: str = "CC-BY-4.0"
