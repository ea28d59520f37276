"""What is told about a published year agrees with the store and says nothing about the machine."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from planted_recipe import publish, recipe, write_inputs

from ch4grid import budgets, catalog, disclosure, production, publication, reports, totals
from ch4grid.assembly import Assembly
from ch4grid.cluster import Workers
from ch4grid.models import Checkpoint
from ch4grid.planning import plan
from ch4grid.progress import silent
from ch4grid.recipe import load
from ch4grid.stores import Workspace
from ch4grid.vocabulary import QUALITY_FLAGS

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = write_inputs(tmp_path_factory.mktemp("made"))
    publish(workspace)
    return workspace


@pytest.fixture(scope="module")
def product(made: Workspace) -> xr.Dataset:
    with xr.open_zarr(made.output / "planted/v1/historical.zarr") as opened:
        return opened.load()


def told_in(workspace: Workspace) -> Path:
    return catalog.product_folder(workspace.catalog, "planted")


def test_the_class_all_is_the_sum_of_the_classes(product: xr.Dataset) -> None:
    found = totals.totals(product, "ch4")
    mean = found.monthly.mean
    classes = mean.drop_sel(ecosystem="all").sum("ecosystem")
    np.testing.assert_allclose(mean.sel(ecosystem="all"), classes, rtol=1e-9)


def test_members_are_summed_before_their_spread_is_taken(product: xr.Dataset) -> None:
    found = totals.totals(product, "ch4").annual
    yearly = product["ch4_budget"].sum(("ecosystem", "time")).sel(region="globe")
    every = {"ecosystem": "all", "region": "globe", "year": 2001}
    np.testing.assert_allclose(found.mean.sel(every), yearly.mean(), rtol=1e-9)
    one = totals.totals(product.assign(ch4_budget=0 * product["ch4_budget"] + 1), "ch4")
    np.testing.assert_array_equal(one.annual.lower, one.annual.upper)


def test_wetlands_beside_published_ranges_are_summed_by_member(product: xr.Dataset) -> None:
    found = totals.totals(product, "ch4")
    rows = {row.reference.source: row for row in totals.beside(found, "ch4")}
    row = rows["Saunois et al. 2025, bottom-up"]
    classes = list(row.reference.ecosystems)
    by_hand = product["ch4_budget"].sel(region="globe", ecosystem=classes)
    members = by_hand.sum(("ecosystem", "time"))
    bounds = [float(b) for b in budgets.interval(members, 0.9, found.inflation)]
    assert [row.lower, row.mean, row.upper] == pytest.approx(bounds, rel=1e-9)
    assert totals.beside(found, "n2o") == ()


def test_a_made_up_earth_stands_beside_nothing_published(made: Workspace) -> None:
    assert "beside published ranges" in (told_in(made) / "v1-historical.html").read_text()
    assert publication.synthetic(load(RECIPES / "tiny.yaml"))
    assert not publication.synthetic(load(RECIPES / "climatology.yaml"))
    assert not publication.synthetic(load(RECIPES / "ch4-ecosystem-monthly.yaml"))


def test_the_budget_table_says_what_the_store_says(made: Workspace, product: xr.Dataset) -> None:
    table = pd.read_csv(told_in(made) / "v1-historical-budget.csv").set_index(
        ["period", "ecosystem", "region"]
    )
    stored = product["ch4_budget"].mean("member")
    march = stored.sel(time="2001-03-01", region="tropics", ecosystem="rice-paddy")
    assert table.loc[("2001-03", "rice-paddy", "tropics"), "mean_tg"] == pytest.approx(
        float(march), rel=1e-5
    )
    whole = stored.sel(region="globe").sum()
    assert table.loc[("2001", "all", "globe"), "mean_tg"] == pytest.approx(float(whole), rel=1e-5)
    assert (table["lower_tg"] <= table["mean_tg"]).all()
    assert (table["mean_tg"] <= table["upper_tg"]).all()


def test_the_limits_count_the_land_outside_applicability(product: xr.Dataset) -> None:
    outside = product["quality_flag"].values == QUALITY_FLAGS["outside_applicability"]
    area = (product["cell_area"] * product["land_fraction"]).values
    share = sum((month * area).sum() for month in outside) / (12 * area.sum())
    assert disclosure.limits(recipe(), product)[0].startswith(f"{share:.0%} of the land area")


def test_the_catalog_is_valid_and_holds_everything(made: Workspace) -> None:
    assert catalog.validate(made.catalog) == []
    assert "Published 2001" in reports.path_of(made).read_text()
    rows = {r["kind"]: r for r in catalog.list_catalog(made.catalog)}
    assert rows["product"]["id"] == "planted"
    assert rows["model"]["id"].startswith("ctgat-ch4-")
    assert (made.catalog / "index.html").is_file()
    trained = catalog.show(made.catalog, rows["model"]["id"])
    assert {"checkpoint", "configuration", "graph"} <= set(trained["assets"])
    graph = Path(trained["assets"]["graph"]).read_text()
    assert graph == Checkpoint.load(made.data / "model").graph.to_json()
    year = catalog.show(made.catalog, "planted-v1-historical-2001")
    wanted = {"data", "ledger", "budget", "page", "recipe", "thumbnail", "quicklook", "overview"}
    assert wanted <= set(year["assets"])
    assert (year["kind"], year["version"], year["years"]) == ("year", "1", [2001])


def test_telling_it_again_changes_no_byte(made: Workspace, tmp_path: Path) -> None:
    shutil.copytree(made.data, tmp_path / "copy")
    copy = Workspace(data=tmp_path / "copy", output=tmp_path / "copy/products")
    before = {p: p.read_bytes() for p in copy.catalog.rglob("*") if p.is_file()}
    folder = copy.data / "model"
    checkpoint = Checkpoint.load(folder)
    model = publication.publish_model(recipe(), copy, folder, checkpoint)
    publication.publish_years(
        recipe(),
        copy,
        copy.output / "planted/v1/historical.zarr",
        {2001: Assembly(recipe(), copy).area_log(2001)},
        model=model,
        checkpoint=checkpoint,
        version=1,
    )
    assert {p: p.read_bytes() for p in copy.catalog.rglob("*") if p.is_file()} == before


def test_a_run_killed_at_any_write_of_the_catalog_ends_the_same(
    made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made.data, tmp_path / "copy")
    copy = Workspace(data=tmp_path / "copy", output=tmp_path / "copy/products")
    expected = {p: p.read_bytes() for p in copy.catalog.rglob("*") if p.is_file()}
    replace, count, deadly = Path.replace, 0, 0

    def killed(self: Path, target: Path) -> Path:
        nonlocal count
        if target.is_relative_to(copy.catalog):
            count += 1
            if count == deadly:
                raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    shutil.rmtree(copy.catalog)
    tell(copy)
    writes = count
    for number in range(writes, 0, -max(4, writes // 8)):
        shutil.rmtree(copy.catalog)
        count, deadly = 0, number
        with pytest.raises(KeyboardInterrupt):
            tell(copy)
        deadly = 0
        tell(copy)
        assert {p: p.read_bytes() for p in copy.catalog.rglob("*") if p.is_file()} == expected


def tell(workspace: Workspace) -> None:
    """The end of a run, without workers."""
    todo = plan(recipe(), workspace)
    if not todo.complete:
        alone = Workers(None, silent)
        production.tell(Assembly(recipe(), workspace), todo, workspace.data / "model", alone)
    publication.write_index(workspace)


def test_nothing_told_names_the_machine(made: Workspace) -> None:
    for path in made.catalog.rglob("*"):
        if path.suffix in (".json", ".html", ".csv"):
            assert str(made.data) not in path.read_text(), path.name


def test_the_software_that_determines_values_is_told_with_versions() -> None:
    told = publication.software()
    assert {"ch4grid", "torch", "numpy", "zarr"} <= set(told)
    assert all(v[0].isdigit() for v in told.values())


def test_a_damaged_map_of_the_page_is_named(made: Workspace, tmp_path: Path) -> None:
    shutil.copytree(made.data, tmp_path / "copy")
    copy = Workspace(data=tmp_path / "copy", output=tmp_path / "copy/products")
    output = copy.output
    folder = output / "catalog/products/planted/v1-historical"
    (folder / "maps/flux-2001.js").write_bytes(b"something else")
    block = next((folder / "cells/2001").iterdir())
    block.unlink()
    found = "\n".join(catalog.validate(output / "catalog"))
    assert "v1-historical/maps/flux-2001.js: is not the file that the page" in found
    assert f"v1-historical/cells/2001/{block.name}: is missing" in found
    shutil.rmtree(folder)
    assert "the page's folder has no files.json" in "\n".join(catalog.validate(output / "catalog"))
    publish(copy)
    assert catalog.validate(output / "catalog") == []
    drawn = (f.relative_to(folder) for f in folder.rglob("*") if f.is_file())
    told = told_in(made) / folder.name
    assert all((folder / f).read_bytes() == (told / f).read_bytes() for f in drawn)
