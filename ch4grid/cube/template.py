"""The template of a product: every array's metadata, the coordinates and statics, the attributes of the group.

All of it is computed from the specification alone; nothing of the clock, the machine or the user enters.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.cube.layout import MONTHS, QUANTILES, Layout, Shape, arrays
from ch4grid.cube.objects import (
    METADATA,
    ChunkObject,
    Document,
    dims_of,
    document,
    encode,
    serialised,
)
from ch4grid.errors import RecipeError
from ch4grid.grid import Grid
from ch4grid.vocabulary import ECOSYSTEMS, GASES, Gas, months

FORMAT = "ch4grid-product-1"
CONVENTIONS = "CF-1.11, ACDD-1.3"


@dataclass(frozen=True)
class ProductSpec:
    """What a product version and scenario is.

    Args:
        name: Product name, lower case with hyphens.
        title: One line for people.
        summary: One paragraph for people.
        version: Version number N of `v<N>`.
        scenario: Scenario name.
        first_year: Year at which the time axis starts; years are blocks counted from it.
        members: Number of ensemble members.
        recipe: The resolved recipe, JSON values.
        checkpoint: Digest of the checkpoint.
        graph: Causal graph as JSON text.
        parts: Digest by name of everything that determines a cell besides the inputs of a year (see `version`).
        licence: SPDX expression of the data.
        gas: The gas.
        ecosystems: Class names.
        static_fraction: True when class areas do not change in time.
        attributes: Further attributes of the group, such as creator_name, institution, references, doi.
        intervened: True when drivers or areas are not those of history.
    """

    name: str
    title: str
    summary: str
    version: int
    scenario: str
    first_year: int
    members: int
    recipe: Mapping[str, Any]
    checkpoint: str
    graph: str
    parts: Mapping[str, str]
    licence: str = "CC-BY-4.0"
    gas: Gas = GASES["ch4"]
    ecosystems: tuple[str, ...] = ECOSYSTEMS
    static_fraction: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    intervened: bool = False

    def __post_init__(self) -> None:
        if self.members < 2:
            raise RecipeError(
                "a product needs an ensemble",
                where="model.members",
                expected="2 members or more",
                found=self.members,
            )


def year_slice(year: int, first_year: int) -> slice:
    """Positions of a year's months on the time axis."""
    start = (year - first_year) * MONTHS
    return slice(start, start + MONTHS)


def layouts(spec: ProductSpec, grid: Grid, regions: int) -> dict[str, Layout]:
    """Arrays of the product by name."""
    shape = Shape(grid, spec.members, len(spec.ecosystems), regions)
    return arrays(spec.gas, shape, static_fraction=spec.static_fraction, intervened=spec.intervened)


def documents(spec: ProductSpec, grid: Grid, regions: int) -> dict[str, Document]:
    """Metadata of every array with an empty time axis."""
    shape = Shape(grid, spec.members, len(spec.ecosystems), regions)
    return {
        name: document(layout, tuple(shape.size(d) for d in layout.dims))
        for name, layout in layouts(spec, grid, regions).items()
    }


def static_objects(
    spec: ProductSpec, grid: Grid, docs: Mapping[str, Document], planes: xr.Dataset
) -> list[ChunkObject]:
    """Objects of the coordinates and of `land_fraction`, `region_fraction` and, when static, `ecosystem_fraction`.

    Args:
        spec: The product.
        grid: Its grid.
        docs: Metadata of the arrays.
        planes: The static variables on the grid, `region_fraction` with coordinate `region`; those that are not given
            are left out.
    """
    values: dict[str, NDArray[Any]] = {
        "latitude": grid.latitude,
        "longitude": grid.longitude,
        "latitude_bnds": grid.latitude_bounds,
        "longitude_bnds": grid.longitude_bounds,
        "cell_area": grid.cell_area,
        "crs": np.array(0, dtype=np.int32),
        "member": np.arange(spec.members, dtype=np.int32),
        "quantile": np.asarray(QUANTILES),
        "ecosystem": np.array(spec.ecosystems, dtype=object),
        "region": np.array([str(r) for r in planes["region"].values], dtype=object),
    }
    for name in ("land_fraction", "region_fraction", "ecosystem_fraction"):
        if name in planes and "time" not in dims_of(docs[name]):
            values[name] = planes[name].transpose(*dims_of(docs[name])).values
    return [
        o
        for name, v in sorted(values.items())
        for o in encode(name, docs[name], _typed(v, docs[name]), (0,) * v.ndim)
    ]


def _typed(values: NDArray[Any], doc: Document) -> NDArray[Any]:
    kind = doc["data_type"]
    return values if kind == "string" else values.astype(kind)


def time_objects(docs: Mapping[str, Document], year: int, first_year: int) -> list[ChunkObject]:
    """Objects of `time` and `time_bnds` of one year: first days of the months and of those that follow."""
    starts = months(year, year)
    ends = starts + pd.offsets.MonthBegin()
    days = [index.values.astype("datetime64[D]").astype(np.int64) for index in (starts, ends)]
    block = year - first_year
    return encode("time", docs["time"], days[0], (block,)) + encode(
        "time_bnds", docs["time_bnds"], np.stack(days, axis=1), (block, 0)
    )


def group_attributes(spec: ProductSpec, grid: Grid, inputs: Mapping[int, str]) -> dict[str, Any]:
    """Attributes of the group once the years of `inputs` (year to fingerprint) are published."""
    half = grid.resolution / 2
    known: dict[str, Any] = {
        "Conventions": CONVENTIONS,
        "title": spec.title,
        "summary": spec.summary,
        "id": f"{spec.name}/v{spec.version}/{spec.scenario}",
        "product": spec.name,
        "product_version": f"v{spec.version}",
        "scenario": spec.scenario,
        "keywords": f"{spec.gas.long_name}, {spec.gas.formula}, flux, wetlands, emissions, budget, causal graph",
        "license": spec.licence,
        "source": "eddy-covariance towers upscaled with a graph network under a discovered causal graph",
        "history": f"made by ch4grid {_package_version()} from the recipe in ch4grid_recipe",
        "comment": "To sum over cells, sum every member first and take the spread of the sums; standard errors of "
        "cells do not add. quality_flag says what each value rests on.",
        "acknowledgement": "Rests on the towers, drivers and maps that ch4grid_recipe names; cite them as the catalog "
        "says.",
        "project": "ch4grid",
        "processing_level": "L4",
        "cdm_data_type": "Grid",
        "standard_name_vocabulary": "CF Standard Name Table v93",
        "geospatial_lat_min": -90.0,
        "geospatial_lat_max": 90.0,
        "geospatial_lat_units": "degrees_north",
        "geospatial_lat_resolution": f"{grid.resolution:g} degree",
        "geospatial_lon_min": -180.0,
        "geospatial_lon_max": 180.0,
        "geospatial_lon_units": "degrees_east",
        "geospatial_lon_resolution": f"{grid.resolution:g} degree",
        "geospatial_bounds": "POLYGON ((-90 -180, 90 -180, 90 180, -90 180, -90 -180))",
        "geospatial_bounds_crs": "EPSG:4326",
        "time_coverage_resolution": "P1M",
        "first_cell": f"latitude {-90 + half:g}, longitude {-180 + half:g}",
        "ch4grid_format": FORMAT,
        "ch4grid_version": _package_version(),
        "ch4grid_first_year": spec.first_year,
        "ch4grid_checkpoint": spec.checkpoint,
        "ch4grid_graph": spec.graph,
        "ch4grid_recipe": json.dumps(spec.recipe, sort_keys=True),
        "ch4grid_parts": json.dumps(dict(spec.parts), sort_keys=True),
    }
    return known | coverage(inputs) | dict(spec.attributes)


def coverage(inputs: Mapping[int, str]) -> dict[str, Any]:
    """Attributes that change with every published year; `inputs` maps year to fingerprint."""
    years = sorted(inputs)
    return {
        "ch4grid_inputs": json.dumps({str(y): inputs[y] for y in years}, sort_keys=True),
        "published_years": years,
        "time_coverage_start": f"{years[0]}-01-01",
        "time_coverage_end": f"{years[-1]}-12-31",
        "time_coverage_duration": f"P{years[-1] - years[0] + 1}Y",
    }


def _package_version() -> str:
    from ch4grid import __version__

    return __version__


def group_document(attributes: Mapping[str, Any], docs: Mapping[str, Document]) -> Document:
    """The `zarr.json` of the group with the metadata of all arrays inside: what a reader opens."""
    return {
        "attributes": dict(attributes),
        "zarr_format": 3,
        "consolidated_metadata": {
            "kind": "inline",
            "must_understand": False,
            "metadata": {name: docs[name] for name in sorted(docs)},
        },
        "node_type": "group",
    }


def template_objects(
    docs: Mapping[str, Document], objects: Sequence[ChunkObject]
) -> dict[str, bytes]:
    """Everything of a new store but the group's own metadata: path to bytes."""
    metadata = {f"{name}/{METADATA}": serialised(doc) for name, doc in docs.items()}
    return {o.key: o.content for o in objects} | metadata
