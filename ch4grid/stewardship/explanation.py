"""Why a value is what it is: its uncertainty, the objects that hold it, and everything that it was made from."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ch4grid import catalog, cube
from ch4grid.cube.layout import QUANTILES
from ch4grid.errors import InputError, RecipeError
from ch4grid.graph import CausalGraph
from ch4grid.grid import Grid
from ch4grid.stewardship.cell import Cell, Holder, cell_at
from ch4grid.stewardship.origin import Origin, origin_of
from ch4grid.vocabulary import ECOSYSTEMS, FLUX_UNITS, QUALITY_FLAGS, QUALITY_WORDS

# Causes of the flux that are shown: the most probable ones, from the probability at which a link enters an equation.
PARENTS, PROBABLE = 5, 0.2
# Input files that are shown to people; JSON has all of them.
SHOWN_FILES = 8


@dataclass(frozen=True)
class ClassValue:
    """An ecosystem class in the cell.

    Args:
        ecosystem: Name of the class.
        fraction: Share of the cell area [1].
        density: Flux per area of the class [kg m-2 s-1]; None where missing.
        parents: Most probable causes of its flux, e.g. `tas lag 0 (0.90)`.
    """

    ecosystem: str
    fraction: float
    density: float | None
    parents: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """A value and where it comes from.

    Args:
        product: Product, version and scenario.
        store: The store.
        month: `YYYY-MM`.
        latitude: Centre of the cell [degrees].
        longitude: Centre of the cell [degrees].
        value: Flux, standard error, quantiles and dissimilarity index; None where missing or damaged.
        quality: Name of the quality flag and what it says.
        classes: Classes with area in the cell.
        objects: Chunk objects that hold the values, with their ledger rows.
        damaged: Keys of objects that are not as published; their values are not told.
        sources: Sources of the recipe.
        inputs: Input files of the year with their SHA-256; empty where the product has no record of them.
        fingerprint: Fingerprint of the inputs of the year.
        checkpoint: SHA-256 of the checkpoint.
        model: Id of the model in the catalog; empty where there is none.
        parts: Digests of what determines a cell besides the inputs.
        software: Package versions.
        version_reason: Why the version is what it is.
    """

    product: str
    store: Path
    month: str
    latitude: float
    longitude: float
    value: dict[str, Any]
    quality: tuple[str, str]
    classes: tuple[ClassValue, ...]
    objects: tuple[Holder, ...]
    damaged: tuple[str, ...]
    sources: tuple[dict[str, Any], ...]
    inputs: dict[str, str]
    fingerprint: str
    checkpoint: str
    model: str
    parts: dict[str, str]
    software: dict[str, str]
    version_reason: str

    def as_dict(self) -> dict[str, Any]:
        """The explanation as JSON values."""
        objects = [asdict(h.row) | {"sound": h.sound} for h in self.objects]
        quality = dict(zip(("flag", "meaning"), self.quality, strict=True))
        return asdict(self) | {"store": str(self.store), "objects": objects, "quality": quality}

    def in_words(self) -> str:
        """The explanation as lines for people."""
        v, main = self.value, self.objects[0]
        lines = [
            f"{self.product}, {self.month}, cell {self.latitude:g} N {self.longitude:g} E",
            _flux_in_words(v),
            f"quality   {self.quality[0]}: {self.quality[1]}; dissimilarity index {_number(v['dissimilarity_index'])}",
        ]
        lines += [
            f"class     {c.ecosystem}: {c.fraction:.2%} of the cell at {_number(c.density)} {FLUX_UNITS}; causes: "
            + (", ".join(c.parents) or "none known")
            for c in self.classes
        ]
        lines += [
            f"damaged   {key}: its values are not told; run `ch4grid repair`"
            for key in self.damaged
        ]
        row = main.row
        lines += [
            f"object    {row.key}, sha256 {row.sha256}",
            f"ledger    {row.state}, {row.bytes} bytes, {row.n_valid} values, {_number(row.min)} to "
            f"{_number(row.max)}, mean {_number(row.mean)}, from {row.inputs[:16]}",
            f"inputs    fingerprint {self.fingerprint}",
        ]
        files = sorted(self.inputs.items())
        lines += [f"          {name} {digest[:16]}" for name, digest in files[:SHOWN_FILES]]
        lines += (
            [f"          and {len(files) - SHOWN_FILES} more, see --json"]
            if files[SHOWN_FILES:]
            else []
        )
        lines += [] if files else ["          the files are not recorded"]
        lines += [
            f"source    {s['source']} of {s['gives']} {s['path']}".rstrip() for s in self.sources
        ]
        lines += [
            f"model     {self.model or 'not in the catalog'}, checkpoint {self.checkpoint}",
            "parts     " + ", ".join(f"{n} {d[:20]}" for n, d in sorted(self.parts.items())),
            "software  " + ", ".join(f"{n} {x}" for n, x in sorted(self.software.items())),
            f"version   {self.version_reason}",
            f"store     {self.store}",
        ]
        return "\n".join(lines)


def explain(store: Path, *, lat: float, lon: float, month: str) -> Explanation:
    """Why the value of a cell and month is what it is.

    Args:
        store: A published store.
        lat: Latitude [degrees north].
        lon: Longitude [degrees east], -180 to 360.
        month: `YYYY-MM`, of a published year.

    Raises:
        RecipeError: A coordinate is out of range or the month is not one.
        InputError: There is no published product, or the month is not published.
    """
    origin = origin_of(store)
    year, number = _month(month, origin)
    grid = origin.recipe.product_grid
    row, column = _cell(lat, lon, grid)
    first = int(origin.attributes["ch4grid_first_year"])
    position = (year - first) * 12 + number - 1
    index = {"time": position, "latitude": row, "longitude": column}
    cell = cell_at(origin.store, index, (max(origin.years) - first + 1) * 12)
    gas = origin.recipe.gas_row
    names = (
        gas.flux,
        f"{gas.flux}_standard_error",
        f"{gas.flux}_quantile",
        f"{gas.flux}_density",
        "ecosystem_fraction",
        "dissimilarity_index",
        "quality_flag",
        f"{gas.flux}_member",
    )
    holders = tuple(h for name in names for h in cell.holders(name))
    return Explanation(
        product=origin.name,
        store=origin.store,
        month=month,
        latitude=float(grid.latitude[row]),
        longitude=float(grid.longitude[column]),
        value=_value(cell, gas.flux),
        quality=_quality(cell),
        classes=_classes(cell, gas.flux, str(origin.attributes["ch4grid_graph"])),
        objects=holders,
        damaged=tuple(h.row.key for h in holders if not h.sound),
        sources=_sources(origin),
        inputs=cube.recorded_inputs(origin.store, origin.fingerprints).get(year, {}),
        fingerprint=origin.fingerprints[year],
        checkpoint=str(origin.attributes["ch4grid_checkpoint"]),
        model=catalog.model_of(origin.workspace.catalog, origin.attributes["ch4grid_checkpoint"])[
            0
        ],
        parts=origin.parts,
        software=_software(origin, year),
        version_reason=_version_reason(origin),
    )


def _month(text: str, origin: Origin) -> tuple[int, int]:
    """Year and month of `YYYY-MM`."""
    found = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", text)
    if found is None:
        raise RecipeError("no such month", where="--month", expected="YYYY-MM", found=text)
    year = int(found[1])
    if year not in origin.years:
        raise InputError(
            f"{year} is not published",
            where=origin.store,
            expected=f"a month of {', '.join(map(str, origin.years))}",
            found=text,
        )
    return year, int(found[2])


def _cell(lat: float, lon: float, grid: Grid) -> tuple[int, int]:
    """Row and column of the cell that holds a place."""
    if not (-90 <= lat <= 90 and -180 <= lon <= 360):
        raise RecipeError(
            "no such place",
            where="--lat, --lon",
            expected="latitude -90 to 90, longitude -180 to 360",
            found=f"{lat:g}, {lon:g}",
        )
    row, column = grid.cell_of(np.array(lat), np.array(lon))
    return int(row), int(column)


def _value(cell: Cell, flux: str) -> dict[str, Any]:
    quantiles = cell.values(f"{flux}_quantile")
    known = {} if quantiles is None else dict(zip(QUANTILES, quantiles.tolist(), strict=True))
    return {
        "units": FLUX_UNITS,
        "flux": cell.value(flux),
        "standard_error": cell.value(f"{flux}_standard_error"),
        "quantiles": {f"{q:g}": v for q, v in known.items() if np.isfinite(v)},
        "dissimilarity_index": cell.value("dissimilarity_index"),
    }


def _quality(cell: Cell) -> tuple[str, str]:
    flag = cell.value("quality_flag")
    if flag is None:
        return "unknown", "the object that holds it is damaged"
    name = {v: n for n, v in QUALITY_FLAGS.items()}[int(flag)]
    return name, QUALITY_WORDS[name]


def _classes(cell: Cell, flux: str, graph: str) -> tuple[ClassValue, ...]:
    """Classes with area in the cell; none where the objects that hold the areas are damaged."""
    fractions, densities = cell.values("ecosystem_fraction"), cell.values(f"{flux}_density")
    if fractions is None:
        return ()
    try:
        known = CausalGraph.from_json(graph)
    except (ValueError, KeyError):  # a product whose model has no graph
        known = None
    return tuple(
        ClassValue(
            name,
            float(fractions[i]),
            None if densities is None or not np.isfinite(densities[i]) else float(densities[i]),
            _parents(known, name),
        )
        for i, name in enumerate(ECOSYSTEMS)
        if fractions[i] > 0
    )


def _parents(graph: CausalGraph | None, ecosystem: str) -> tuple[str, ...]:
    if graph is None or ecosystem not in graph.ecosystems:
        return ()
    links = graph.parents(ecosystem, graph.target, top=PARENTS, floor=PROBABLE)
    return tuple(f"{p.driver} lag {p.lag} ({p.probability:.2f})" for p in links)


def _sources(origin: Origin) -> tuple[dict[str, Any], ...]:
    """Kind and path of every source of the recipe, by what it gives."""
    recipe = origin.recipe
    given = {
        "drivers": recipe.drivers,
        "areas": (*recipe.ecosystems.areas, *recipe.ecosystems.wetlands.values()),
        "towers": recipe.sites,
    }
    return tuple(
        {"gives": kind, "source": s.source, "path": str(getattr(s, "path", ""))}
        for kind, sources in given.items()
        for s in sources
    )


def _software(origin: Origin, year: int) -> dict[str, str]:
    """Package versions of the year's Item; that of ch4grid alone where the catalog has none."""
    told = {"ch4grid": str(origin.attributes["ch4grid_version"])}
    folder = catalog.product_folder(origin.workspace.catalog, origin.recipe.product)
    name = f"{origin.recipe.product}-v{origin.version}-{origin.scenario}-{year}"
    path = folder / name / f"{name}.json"
    if not path.is_file():
        return told
    properties = json.loads(path.read_bytes()).get("properties", {})
    return told | dict(properties.get("processing:software", {}))


def _version_reason(origin: Origin) -> str:
    """Why the version is what it is, by the report of changes or by what differs from the version before."""
    version = f"v{origin.version}"
    for path in origin.store.parent.glob(f"diff-v*-{version}.{origin.scenario}.json"):
        report = json.loads(path.read_bytes())
        return f"{version} replaces {report['from']}: {report['reason']}"
    older = [
        v
        for v in cube.versions(origin.store.parents[2], origin.recipe.product)
        if v < origin.version
    ]
    return f"{version} follows v{max(older)}" if older else f"{version}, first version"


def _flux_in_words(value: Mapping[str, Any]) -> str:
    if value["flux"] is None:
        return "flux      missing, see quality"
    lower, upper = (_number(value["quantiles"].get(q)) for q in ("0.05", "0.95"))
    return (
        f"flux      {_number(value['flux'])} {FLUX_UNITS}, 90 % interval {lower} to {upper}, "
        f"standard error {_number(value['standard_error'])}"
    )


def _number(value: float | None) -> str:
    return "missing" if value is None else f"{value:.4g}"
