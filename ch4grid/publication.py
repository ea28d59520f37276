"""Telling the world about a published year: budget table, thumbnail, page, the Items of the catalog, and the index.

It reads the published store only, so what people see is what the store holds. The Item comes after what it refers to:
its presence is what "published" means. The index page follows the catalog at the end of every run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid import __version__, catalog, ledger, pages
from ch4grid.disclosure import change_of, limits
from ch4grid.graph import CausalGraph
from ch4grid.recipe import Recipe
from ch4grid.stores import Workspace, sha256_json, write_atomic, write_json
from ch4grid.totals import LEVEL, Totals, beside, totals, write_totals

if TYPE_CHECKING:
    from ch4grid.models import Checkpoint

# Regions on a page, the globe and the latitude bands first; the table beside it has all.
PAGE_REGIONS = 12
# Share of the upper end of a map's colours from which on sinks have colours of their own.
DISPLAY_SINKS = 0.05
# Packages whose version can change a value.
SOFTWARE = ("torch", "torch-geometric", "tigramite", "numpy", "xarray", "zarr")


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
        "budget": write_totals(folder / f"{stem}-budget.csv", found),
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
        change=change_of(recipe, product, store),
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
