"""Telling the world about a published year: budget table, thumbnail, page, the Items of the catalog, and the index.

It reads the published store only, so what people see is what the store holds. The Item comes after what it refers to:
its presence is what "published" means. The index page follows the catalog at the end of every run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid import __version__, budgets, catalog, cube, ledger, pages
from ch4grid.graph import CausalGraph
from ch4grid.recipe import Recipe
from ch4grid.references import REFERENCES
from ch4grid.scenarios import STRUCTURAL, followers, response_in_words
from ch4grid.stores import Workspace, sha256_json, write_atomic, write_json

if TYPE_CHECKING:
    from ch4grid.models import Checkpoint

LEVEL = 0.9
# Regions on a page, the globe and the latitude bands first; the table beside it has all.
PAGE_REGIONS = 12
# Share of the upper end of a map's colours from which on sinks have colours of their own.
DISPLAY_SINKS = 0.05
# The scenario that others are compared with.
HISTORY = "historical"
# What no scenario shows, one sentence each.
SCENARIO_LIMITS = (
    "It is the answer of a statistical model to changed inputs, consistent with the towers, and no forecast.",
    "The change is lasting and the same in every month; how the world gets there is not part of it.",
    "Climate normals, soils and cities stay as they were: ecosystems do not move or adapt.",
    "New wetland emits like the wetland that the cell has, drained land like its upland, both at once.",
    "Cells that the change takes out of what the towers cover are left out: totals of the two cubes do not compare, "
    "the paired difference over the cells that both have does.",
)
# What besides no scenario shows by the way in which the flux answers changed drivers.
RESPONSE_LIMITS = {
    "structural": "The flux equations are straight lines in asinh space, fitted to departures from the mean year: a "
    "lasting change is taken to act like a passing one, and a driver with little chance in the causal graph does "
    "nothing. The interval holds what is not known of these equations, not of those among drivers.",
    "model": "The model is fitted to predict and may read one cause through another that moves with it, so it can "
    "answer the change of a single driver too weakly.",
}
# What a product of a gas must not be used for besides.
GAS_LIMITS: dict[str, tuple[str, ...]] = {
    "ch4": (
        "Upland fluxes are of the size of the measurement noise; do not read single upland cells.",
        "Urban fluxes overlap with the waste and gas sectors of inventories; do not add them up.",
    ),
    "co2": (
        "The flux is net ecosystem exchange: totals are small differences of uptake and respiration, and fire, harvest "
        "and rivers are not in them.",
        "Urban fluxes overlap with the fossil fuel sectors of inventories; do not add them up.",
    ),
    "n2o": (
        "The flux comes in pulses: which month has one is hardly foreseen, so do not read single cell-months. A total "
        "rests on the few towers of the classes that carry it; on twins it was 0.8 to 1.3 times the truth.",
        "Urban and paddy fluxes overlap with the sectors of inventories; do not add them up.",
    ),
}
# Packages whose version can change a value.
SOFTWARE = ("torch", "torch-geometric", "tigramite", "numpy", "xarray", "zarr")


@dataclass(frozen=True)
class Totals:
    """Monthly and annual budgets with their 90 % intervals [Tg], the class `all` included.

    Args:
        monthly: By month.
        annual: By year.
        members: The annual budgets of the members.
        inflation: Factor on the half width of intervals.
    """

    monthly: pages.Interval
    annual: pages.Interval
    members: xr.DataArray
    inflation: float


def totals(product: xr.Dataset, gas: str) -> Totals:
    """Budgets of an opened product: members are summed first, then their spread is taken (methods 3.9).

    Args:
        product: The opened product.
        gas: Row of the gas table.
    """
    table = product[f"{gas}_budget"].load()
    # years of the axis that nobody has made yet have no sum, rather than one of zero
    everything = table.sum("ecosystem", keep_attrs=True, min_count=1)
    everything = everything.expand_dims(ecosystem=["all"])
    members = xr.concat([table, everything], dim="ecosystem").transpose(*table.dims)
    members = members.dropna("time", how="all")
    inflation = float(product.attrs.get(budgets.INFLATION, 1.0))
    yearly = budgets.annual(members)
    return Totals(
        monthly=pages.Interval(*budgets.interval(members, LEVEL, inflation)),
        annual=pages.Interval(*budgets.interval(yearly, LEVEL, inflation)),
        members=yearly,
        inflation=inflation,
    )


def beside(found: Totals, gas: str) -> tuple[pages.Beside, ...]:
    """Global sums of classes, mean of all years, beside published ranges of the gas; absent classes are left out.

    Args:
        found: Budgets of a product.
        gas: Row of the gas table.
    """
    globe = found.members.sel(region="globe").mean("year")
    rows = []
    for reference in REFERENCES.get(gas, ()):
        summed = globe.sel(ecosystem=list(reference.ecosystems)).sum("ecosystem", min_count=1)
        if bool(summed.notnull().all()) and bool((summed != 0).any()):
            bounds = budgets.interval(summed, LEVEL, found.inflation)
            rows.append(pages.Beside(reference, *(float(b) for b in bounds)))
    return tuple(rows)


def publish_model(
    recipe: Recipe, workspace: Workspace, folder: Path, checkpoint: "Checkpoint"
) -> str:
    """Publish the model in the catalog and return the id of its Item."""
    identifier = f"{checkpoint.architecture}-{recipe.gas}-{checkpoint.digest[:8]}"
    place = workspace.catalog / "models" / identifier
    graph, skill = place / "graph.json", place / "skill.csv"
    training = recipe.training.period if recipe.training else recipe.period
    record = catalog.ModelRecord(
        id=identifier,
        title=f"{checkpoint.architecture} for {recipe.gas_row.formula}, {recipe.product}",
        description=" ".join(
            text for text in (_described(checkpoint), recipe.choice, recipe.summary) if text
        ),
        architecture=checkpoint.architecture,
        gas=recipe.gas,
        digest=checkpoint.digest,
        folder=folder,
        period=training,
        inputs=_input_collections(recipe),
        drivers=(*checkpoint.drivers, *checkpoint.statics),
        software=software(),
        skill=tuple(checkpoint.skill),
        files={"graph": graph} | ({"skill": skill} if checkpoint.skill else {}),
        framework="torch" if checkpoint.architecture == "ctgat" else "",
    )
    with catalog.lock(workspace.catalog):
        write_atomic(graph, checkpoint.graph.to_json().encode())
        if checkpoint.skill:
            table = pd.DataFrame([dict(row) for row in checkpoint.skill])
            write_atomic(skill, table.to_csv(index=False, float_format="%.6g").encode())
        catalog.publish_model(workspace.catalog, record)
    return identifier


def _described(checkpoint: "Checkpoint") -> str:
    """What kind of model it is, in a sentence."""
    if checkpoint.architecture == "ctgat":
        return (
            "Causal temporal graph attention network: an ensemble fitted to measured tower fluxes under a discovered "
            "causal graph."
        )
    if checkpoint.parts:
        parts = zip(checkpoint.weights, checkpoint.parts, strict=True)
        told = ", ".join(f"{part.architecture} {weight:.2f}" for weight, part in parts)
        return f"Weighted mean of models fitted to measured tower fluxes: {told}."
    return f"Ensemble of {checkpoint.architecture} models fitted to measured tower fluxes."


def publish_years(
    recipe: Recipe,
    workspace: Workspace,
    store: Path,
    years: Mapping[int, Mapping[str, Any]],
    *,
    model: str,
    checkpoint: "Checkpoint",
    version: int,
    difference: Path | None = None,
) -> None:
    """Publish years of a store in the catalog.

    Args:
        recipe: The recipe.
        workspace: Its folders.
        store: The published store.
        years: Years that get an Item, each with the log of its class areas.
        model: Id of the model's Item.
        checkpoint: The model.
        version: Version of the store.
        difference: Report of what changed since the version before.
    """
    record = record_of(recipe, store, version, store.stem, model)
    with catalog.lock(workspace.catalog), catalog.open_store(store) as product:
        written = describe(recipe, workspace, record, product, checkpoint.skill, difference)
        for year, areas in years.items():
            folder = catalog.item_folder(workspace.catalog, record, year)
            log = folder / "areas.json"
            write_json(log, areas)
            flux = product[recipe.gas_row.flux].sel(time=str(year)).load()
            pictures = _draw(folder, flux, recipe, f"{recipe.title}, {year}")
            catalog.publish_item(
                workspace.catalog,
                record,
                year,
                files=written | pictures | {"areas": log},
                display=display_of(flux),
            )


def _draw(folder: Path, flux: xr.DataArray, recipe: Recipe, title: str) -> dict[str, Path]:
    """Draw the maps of a year into its Item's folder; their files by asset key."""
    drawn = {key: folder / f"{key}.png" for key in ("thumbnail", "quicklook", "overview")}
    formula = recipe.gas_row.formula
    mean = flux.mean("time", skipna=True)
    write_atomic(drawn["thumbnail"], pages.thumbnail_png(mean, formula=formula, title=title))
    write_atomic(drawn["quicklook"], pages.quicklook_png(flux, formula=formula, title=title))
    write_atomic(drawn["overview"], pages.overview_png(mean, formula=formula))
    return drawn


def display_of(flux: xr.DataArray) -> catalog.Display | None:
    """Ends of the colours of a map of a flux (time, latitude, longitude) [kg m-2 s-1]; None where there is none.

    The upper end is the 98th percentile, rounded to two digits; the lower one mirrors it where sinks reach a twentieth
    of it, else it is zero.
    """
    values = flux.values[np.isfinite(flux.values)].astype(np.float64)
    if not values.size:
        return None
    low, high = np.quantile(values, (0.02, 0.98))
    end = float(f"{max(abs(low), abs(high)):.2g}")
    if end == 0:
        return None
    return catalog.Display(-end if low < -DISPLAY_SINKS * end else 0.0, end)


def describe(
    recipe: Recipe,
    workspace: Workspace,
    record: catalog.ProductRecord,
    product: xr.Dataset,
    skill: Sequence[Mapping[str, Any]],
    difference: Path | None,
) -> dict[str, Path]:
    """Write budget table, recipe and page of a version and scenario; they and the report of changes by asset key.

    Args:
        recipe: The recipe.
        workspace: Its folders.
        record: The version and scenario.
        product: Its opened store.
        skill: Scores of the model.
        difference: Report of what changed since the version before.
    """
    found = totals(product, recipe.gas)
    folder = catalog.product_folder(workspace.catalog, recipe.product)
    stem = f"v{record.version}-{record.scenario}"
    written = {
        "budget": _write_budget(folder / f"{stem}-budget.csv", found),
        "recipe": _write_recipe(folder / f"{stem}-recipe.json", recipe),
    }
    if difference is not None:
        written["difference"] = difference
    page = folder / f"{stem}.html"
    told = _page(recipe, product, found, record.store, written, record, skill)
    pages.write_product_page(page, replace(told, index=workspace.catalog / "index.html"))
    return written | {"page": page}


def redraw(
    recipe: Recipe,
    workspace: Workspace,
    store: Path,
    version: int,
    product: xr.Dataset,
    difference: Path | None,
) -> None:
    """Write budget table, recipe and page of a published version and scenario anew from what store and catalog hold.

    Args:
        recipe: The recipe.
        workspace: Its folders.
        store: The published store.
        version: Its version.
        product: The opened store.
        difference: Report of what changed since the version before.
    """
    model, skill = catalog.model_of(workspace.catalog, product.attrs["ch4grid_checkpoint"])
    record = record_of(recipe, store, version, store.stem, model)
    describe(recipe, workspace, record, product, skill, difference)


def mend_page(recipe: Recipe, workspace: Workspace, store: Path, version: int) -> None:
    """Draw the page of a published version and scenario anew if data of its map are missing or cut."""
    folder = catalog.product_folder(workspace.catalog, recipe.product)
    page = folder / f"v{version}-{store.stem}.html"
    if page.is_file() and not pages.has_its_map(page):
        found = sorted(store.parent.glob(f"diff-v*-v{version}.{store.stem}.json"))
        with catalog.lock(workspace.catalog), catalog.open_store(store) as product:
            redraw(recipe, workspace, store, version, product, found[-1] if found else None)


def write_index(workspace: Workspace) -> None:
    """Bring the index page to what the catalog lists; a run that was killed before this leaves it to the next one."""
    with catalog.lock(workspace.catalog):
        rows = [r for r in catalog.list_catalog(workspace.catalog) if r["kind"] == "product"]
        entries = [entry for row in rows for entry in _entries(workspace, row)]
        pages.write_index(
            workspace.catalog / "index.html", entries, catalog=workspace.catalog / "catalog.json"
        )


def software() -> dict[str, str]:
    """Versions of the packages that determine values."""
    return {"ch4grid": __version__} | {name: metadata.version(name) for name in SOFTWARE}


def _input_collections(recipe: Recipe) -> tuple[str, ...]:
    areas = (*recipe.ecosystems.areas, *recipe.ecosystems.wetlands.values())
    sources = (*recipe.drivers, *recipe.sites, *recipe.discovery.sites, *areas)
    return catalog.input_collections(tuple(s.source for s in sources))


def record_of(
    recipe: Recipe, store: Path, version: int, scenario: str, model: str
) -> catalog.ProductRecord:
    """How a version and scenario is described in the catalog; `model` is the id of the model's Item."""
    return catalog.ProductRecord(
        product=recipe.product,
        title=recipe.title,
        summary=recipe.summary or recipe.title,
        gas=recipe.gas,
        version=version,
        scenario=scenario,
        store=store,
        ledger=ledger.path_of(store),
        inputs=_input_collections(recipe),
        model=model,
        citation=f"ch4grid {__version__}: {recipe.title}, version {version}.",
        lineage=(
            "Measured tower fluxes and gridded drivers; causal prior by PCMCI+; ensemble of causal temporal graph "
            f"attention networks ({model}); predicted for every cell and ecosystem class; intervals calibrated on "
            "held-out clusters."
        ),
        software=software(),
        keywords=(recipe.gas_row.long_name, *catalog.KEYWORDS),
    )


def _write_budget(path: Path, found: Totals) -> Path:
    """Annual and monthly budgets as one table: period, ecosystem, region, mean, lower, upper [Tg]."""
    frames = []
    for dim, interval in (("time", found.monthly), ("year", found.annual)):
        columns = zip(("lower_tg", "mean_tg", "upper_tg"), interval, strict=True)
        frame = xr.Dataset({name: values.drop_attrs() for name, values in columns}).to_dataframe()
        frame = frame.reset_index()
        period = frame.pop(dim)
        text = period.dt.strftime("%Y-%m") if dim == "time" else period.astype(str)
        frame.insert(0, "period", text)
        frames.append(frame)
    table = pd.concat(frames).dropna()
    names = ["period", "ecosystem", "region", "mean_tg", "lower_tg", "upper_tg"]
    write_atomic(path, table[names].to_csv(index=False, float_format="%.6g").encode())
    return path


def _write_recipe(path: Path, recipe: Recipe) -> Path:
    write_json(path, recipe.resolved())
    return path


def _shown(interval: pages.Interval) -> pages.Interval:
    """The regions that fit on a page; the table beside it has all."""
    return pages.Interval(*(v.isel(region=slice(PAGE_REGIONS)) for v in interval))


def _page(
    recipe: Recipe,
    product: xr.Dataset,
    found: Totals,
    store: Path,
    files: Mapping[str, Path],
    record: catalog.ProductRecord,
    skill: Sequence[Mapping[str, Any]],
) -> pages.ProductPage:
    return pages.ProductPage(
        title=recipe.title,
        summary=recipe.summary,
        product=recipe.product,
        version=record.version,
        scenario=record.scenario,
        gas=recipe.gas,
        dataset=product,
        monthly=_shown(found.monthly),
        annual=_shown(found.annual),
        store=store,
        files={**files, "ledger": record.ledger},
        skill=skill,
        change=_change(recipe, product, store),
        provenance={
            "model": f"{record.model}, checkpoint {product.attrs['ch4grid_checkpoint'][:16]}",
            **({"choice of the model": recipe.choice} if recipe.choice else {}),
            "inputs": ", ".join(record.inputs) or "files named in the recipe",
            "software": ", ".join(f"{k} {v}" for k, v in record.software.items()),
        },
        causes=_causes(product),
        sources=_sources(store),
        citation=record.citation,
        licence=record.licence,
        limits=limits(recipe, product),
        level=LEVEL,
        beside=() if synthetic(recipe) else beside(found, recipe.gas),
    )


def synthetic(recipe: Recipe) -> bool:
    """Whether the Earth of a recipe is made up, which published budgets say nothing about."""
    return any(source.source.startswith("twin") for source in (*recipe.drivers, *recipe.sites))


def _causes(product: xr.Dataset) -> CausalGraph | None:
    """The causal graph that a store carries; None where it carries an empty one."""
    text = str(product.attrs.get("ch4grid_graph", "{}"))
    return CausalGraph.from_json(text) if json.loads(text) else None


def _sources(store: Path) -> dict[int, str]:
    """Digest of all objects of a year, by year."""
    objects: dict[int, list[tuple[str, str]]] = {}
    for row in ledger.rows_of(store):
        if row.year is not None:
            objects.setdefault(row.year, []).append((row.key, row.sha256))
    return {year: sha256_json(sorted(found)) for year, found in objects.items()}


def left_out(store: Path) -> tuple[str, ...]:
    """What a scenario's store leaves out because it leaves the training, one line by year."""
    with catalog.open_store(store) as product:
        told = json.loads(product.attrs.get(cube.OUTSIDE_TRAINING, "{}"))
    return tuple(
        f"{year}: {found['cell_months']:.1%} of the cell-months left out, outside the training under the scenario"
        + (
            f", with {found['historical_emission']:.1%} of the historical exchange"
            if found["historical_emission"] is not None
            else ""
        )
        for year, found in sorted(told.items())
    )


def paired(store: Path, recipe: Recipe) -> pd.DataFrame | None:
    """The paired difference of a scenario to history beside it; None for history, or where no year is in both."""
    past = store.with_name(f"{HISTORY}.zarr")
    if past == store or not (past / "zarr.json").is_file():
        return None
    with catalog.open_store(store) as new, catalog.open_store(past) as old:
        return budgets.paired_difference(new, old, recipe.gas_row, LEVEL)


def scenario_attributes(recipe: Recipe, name: str, checkpoint: "Checkpoint") -> dict[str, str]:
    """Attributes of a scenario's store: what was changed and what follows from it; none for history."""
    scenario = recipe.scenarios[name]
    if not scenario.changes:
        return {}
    return {
        "scenario_changes": "; ".join(scenario.in_words()),
        "scenario_consequences": _consequences(recipe, name, checkpoint),
        "scenario_response": response_in_words(scenario, checkpoint.structure, checkpoint.drivers),
    }


def _consequences(recipe: Recipe, name: str, checkpoint: "Checkpoint") -> str:
    """What follows from a scenario's change of drivers, in a sentence."""
    scenario = recipe.scenarios[name]
    if not scenario.propagate or checkpoint.structure is None:
        return "All other drivers are those of history: nothing follows from the change."
    names = followers(checkpoint.drivers, scenario, checkpoint.structure)
    return (
        f"By the structural model of the towers' weather, for good: {', '.join(names)} follow."
        if names
        else "The structural model knows no driver that follows from the change."
    )


def _change(recipe: Recipe, product: xr.Dataset, store: Path) -> pages.Change | None:
    """What the page of a scenario says besides; None for history."""
    name = store.stem
    scenario = recipe.scenarios[name]
    if not scenario.changes:
        return None
    told = json.loads(product.attrs.get(cube.OUTSIDE_TRAINING, "{}"))
    found = paired(store, recipe)
    response = str(product.attrs["scenario_response"])
    by = "structural" if STRUCTURAL in response else "model"
    return pages.Change(
        changed=scenario.in_words(),
        follows=str(product.attrs["scenario_consequences"]),
        response=response,
        left_out={int(y): v for y, v in told.items()},
        difference=found,
        limits=(
            *SCENARIO_LIMITS,
            *([RESPONSE_LIMITS[by]] if scenario.forced else []),
        ),
    )


def limits(recipe: Recipe, product: xr.Dataset) -> tuple[str, ...]:
    """What the product must not be used for, one sentence each, with the figures of this product."""
    flags = product["quality_flag"].isel(time=slice(-12, None)).load()
    meanings = str(flags.attrs["flag_meanings"]).split()
    outside = int(
        np.atleast_1d(flags.attrs["flag_values"])[meanings.index("outside_applicability")]
    )
    area = product["cell_area"] * product["land_fraction"]
    share = float(((flags == outside) * area).sum() / (area.sum() * flags.sizes["time"]))
    return (
        f"{share:.0%} of the land area lies outside the conditions that the towers cover (flag outside_applicability).",
        *GAS_LIMITS[recipe.gas],
        "Attention weights are no effects, and nothing here is a causal claim about a single place.",
    )


def _entries(workspace: Workspace, row: Mapping[str, Any]) -> list[pages.IndexEntry]:
    """A card for every scenario of the latest version of a product."""
    folder = catalog.product_folder(workspace.catalog, row["id"])
    version = int(row["version"])
    found = []
    for scenario in row["scenarios"]:
        years = catalog.published_years(workspace.catalog, row["id"], version, scenario)
        page = folder / f"v{version}-{scenario}.html"
        if years and page.is_file():
            last = folder / f"{row['id']}-v{version}-{scenario}-{years[-1]}" / "thumbnail.png"
            found.append(
                pages.IndexEntry(
                    title=row["title"],
                    summary=row.get("summary", ""),
                    product=row["id"],
                    version=version,
                    scenario=scenario,
                    years=years,
                    page=page,
                    thumbnail=last if last.is_file() else None,
                )
            )
    return found
