"""A published product in good hands: damage is named and mended, values are explained, years go only with a reason."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from planted_product import tree
from planted_recipe import publish, recipe, write_drivers, write_inputs
from typer.testing import CliRunner

from ch4grid import catalog, cli, cube, ledger, production, reports
from ch4grid.cube import layout
from ch4grid.errors import InputError, RecipeError, RunError
from ch4grid.grid import Grid
from ch4grid.ledger import Row
from ch4grid.stewardship import drift
from ch4grid.stewardship import rollback as rollback_module
from ch4grid.stewardship.explanation import explain
from ch4grid.stewardship.repair import Repaired, repair
from ch4grid.stewardship.rollback import rollback
from ch4grid.stewardship.status import status
from ch4grid.stores import Workspace
from ch4grid.vocabulary import QUALITY_FLAGS

YEARS = {"period": [2001, 2002]}
# One chunk of every kind of variable in the first region of 2002: floats, flags, dates, tables.
HURT = {
    "ch4_flux": "ch4_flux/c/1/0/0",
    "ch4_flux_density": "ch4_flux_density/c/3/1/0/0",
    "ch4_flux_member": "ch4_flux_member/c/0/1/0/0",
    "quality_flag": "quality_flag/c/1/0/0",
    "ch4_budget": "ch4_budget/c/0/1/0/0",
    "time": "time/c/1",
}
# Chunks of another year or region that they are swapped with.
OTHERS = {
    "ch4_flux": "ch4_flux/c/0/0/0",
    "ch4_flux_density": "ch4_flux_density/c/3/0/0/0",
    "ch4_flux_member": "ch4_flux_member/c/0/0/0/0",
    "quality_flag": "quality_flag/c/1/0/1",
    "ch4_budget": "ch4_budget/c/0/0/0/0",
    "time": "time/c/0",
}


@pytest.fixture(scope="module", autouse=True)
def two_regions() -> Iterator[None]:
    """Write regions of six columns, so that the small globe has two."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Grid.tiles, "__defaults__", (6,))
        patched.setattr(layout, "MEMBER_TILE", 6)
        patched.setitem(layout.Shape.chunk.__kwdefaults__, "tile", 6)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = write_inputs(tmp_path_factory.mktemp("made"))
    publish(workspace, YEARS)
    return workspace


@pytest.fixture
def copy(made: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(made.data, tmp_path / "copy")
    return Workspace(data=tmp_path / "copy", output=tmp_path / "copy/products")


def store_of(workspace: Workspace) -> Path:
    return workspace.output / "planted/v1/historical.zarr"


def repaired(workspace: Workspace, **settings: object) -> Repaired:
    return repair(
        store_of(workspace),
        **({"data": workspace.data, "cluster": "local:1", "device": "cpu"} | settings),
    )


def delete(store: Path, name: str) -> None:
    (store / HURT[name]).unlink()


def flip(store: Path, name: str) -> None:
    content = bytearray((store / HURT[name]).read_bytes())
    content[len(content) // 2] ^= 4
    (store / HURT[name]).write_bytes(content)


def truncate(store: Path, name: str) -> None:
    content = (store / HURT[name]).read_bytes()
    (store / HURT[name]).write_bytes(content[: len(content) // 2])


def swap(store: Path, name: str) -> None:
    one, other = store / HURT[name], store / OTHERS[name]
    held = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(held)


@pytest.mark.parametrize(
    ("damage", "kind"),
    [(delete, "missing"), (flip, "changed"), (truncate, "truncated"), (swap, "swapped")],
)
def test_damage_is_named_and_mended_to_the_published_digests(
    copy: Workspace, damage: object, kind: str
) -> None:
    store = store_of(copy)
    published = tree(store)
    keys = sorted([*HURT.values(), *(OTHERS.values() if damage is swap else ())])
    for name in HURT:
        damage(store, name)
    problems = cube.verify(store, identities=False)
    assert sorted(p.key for p in problems) == keys
    assert {p.kind for p in problems} == {kind}
    untouched = {k: (store / k).stat().st_mtime_ns for k in published if k not in keys}
    done = repaired(copy)
    assert sorted(done.written) == keys
    assert sorted(p.key for p in done.problems) == keys
    assert tree(store) == published
    assert {k: (store / k).stat().st_mtime_ns for k in untouched} == untouched
    assert cube.verify(store) == []


def test_a_region_alone_is_computed_again_and_a_sound_store_is_left_alone(copy: Workspace) -> None:
    store = store_of(copy)
    (store / "ch4_flux_quantile/c/2/0/0/1").unlink()
    done = repaired(copy)
    assert done.written == ("ch4_flux_quantile/c/2/0/0/1",)
    assert [(y, t[1].start) for y, t in done.regions] == [(2001, 6)]
    again = repaired(copy)
    assert (again.problems, again.written, again.regions) == ((), (), ())


def test_metadata_coordinates_and_calendar_need_neither_inputs_nor_model(
    copy: Workspace, tmp_path: Path
) -> None:
    store = store_of(copy)
    published = tree(store)
    for key in ("zarr.json", "ch4_flux/zarr.json", "time/zarr.json"):
        (store / key).write_text("{")
    for key in ("time/c/0", "latitude/c/0", "member/c/0", "region/c/0", "region_fraction/c/0/0/0"):
        (store / key).unlink()
    (tmp_path / "nothing").mkdir()
    shutil.rmtree(copy.data / "model")
    done = repaired(copy, data=tmp_path / "nothing")
    assert done.regions == ()
    assert len(done.written) == 8
    assert tree(store) == published


def test_land_is_made_from_the_areas_again(copy: Workspace) -> None:
    store = store_of(copy)
    published = tree(store)
    (store / "land_fraction/c/0/0").write_bytes(b"")
    assert repaired(copy).written == ("land_fraction/c/0/0",)
    assert tree(store) == published


def test_a_lost_chunk_of_flags_reads_as_never_written(copy: Workspace) -> None:
    (store_of(copy) / "quality_flag/c/1/0/0").unlink()
    with xr.open_zarr(store_of(copy), chunks=None) as ds:
        flag = ds["quality_flag"].values
    assert (flag[12:, :, :6] == 255).all()
    assert (flag[:12] < 255).all()
    assert (flag[12:, :, 6:] < 255).all()


def hurt(workspace: Workspace) -> dict[str, bytes]:
    """Damage a chunk of 2002; everything as it is then."""
    (store_of(workspace) / HURT["ch4_flux"]).unlink()
    return tree(store_of(workspace))


def test_a_changed_input_makes_repair_refuse_and_is_named(copy: Workspace) -> None:
    before = hurt(copy)
    write_drivers(copy.data, 2000, warmer=1.0)
    with pytest.raises(InputError, match=r"drivers-2000\.nc changed"):
        repaired(copy)
    assert tree(store_of(copy)) == before
    (copy.data / "drivers-2002.nc").unlink()
    with pytest.raises(InputError, match="2002"):
        repaired(copy)
    assert tree(store_of(copy)) == before


def test_a_checkpoint_that_is_gone_or_another_makes_repair_refuse(copy: Workspace) -> None:
    before = hurt(copy)
    document = copy.data / "model/checkpoint.json"
    document.write_bytes(document.read_bytes() + b" ")
    with pytest.raises(InputError, match="the checkpoint of the product is another one"):
        repaired(copy)
    document.unlink()
    with pytest.raises(InputError, match=r"the checkpoint of the product is gone.*sha256"):
        repaired(copy)
    assert tree(store_of(copy)) == before


def test_another_version_of_the_package_makes_repair_refuse(
    copy: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurt(copy)
    monkeypatch.setattr("ch4grid.planning.identity.__version__", "9.9")
    monkeypatch.setattr(drift, "__version__", "9.9")
    with pytest.raises(InputError, match=r"ch4grid is 9\.9 now"):
        repaired(copy)


def test_other_values_are_not_written(copy: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hurt(copy)
    computed = production.computed

    def warmer(job: production.Job) -> tuple[xr.Dataset, xr.DataArray]:
        block, table = computed(job)
        return block.assign(ch4_flux=block["ch4_flux"] * 2), table

    monkeypatch.setattr(production, "computed", warmer)
    with pytest.raises(RunError, match="the recomputed object is not the published one"):
        repaired(copy)
    assert tree(store_of(copy)) == before


def test_repair_and_a_run_never_hold_a_store_at_once(copy: Workspace) -> None:
    hurt(copy)
    with cube.hold(store_of(copy)):
        assert status(store_of(copy)).running
        with pytest.raises(RunError, match="another run is writing this product"):
            repaired(copy)
    assert not status(store_of(copy)).running


def test_group_metadata_lost_with_its_copy_is_told_and_costs_no_chunk(copy: Workspace) -> None:
    store = store_of(copy)
    (store / "zarr.json").unlink()
    before = tree(store)
    with pytest.raises(RunError, match=r"gone.*ledger has.*`ch4grid repair`"):
        publish(copy, YEARS)
    assert tree(store) == before
    assert [p.key for p in cube.verify(store)] == ["zarr.json"]
    store.with_name("historical.metadata.json").write_text("{}")
    with pytest.raises(RunError, match=r"and so is its copy.*Restore either file from a copy"):
        repaired(copy)
    assert tree(store) == before


def test_a_group_that_shows_fewer_years_by_damage_takes_no_year_back(copy: Workspace) -> None:
    store = store_of(copy)
    published = tree(store)
    root = json.loads((store / "zarr.json").read_bytes())
    root["attributes"]["published_years"] = [2001]
    (store / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(RunError, match="the group metadata is damaged"), cube.lock(store):
        pass
    assert repaired(copy).written == ("zarr.json",)
    assert tree(store) == published


def test_a_published_extent_never_shrinks_without_a_reason(copy: Workspace) -> None:
    before = tree(store_of(copy))
    with pytest.raises(RecipeError, match="not taken back without a reason"):
        rollback(store_of(copy), reason=" ")
    refused = CliRunner().invoke(cli.app, ["rollback", str(store_of(copy))])
    assert refused.exit_code == 2
    with pytest.raises(RecipeError, match=r"--to: that is no year to go back to.*one of 2001"):
        rollback(store_of(copy), reason="a wrong map", to=1999)
    assert tree(store_of(copy)) == before


def test_after_a_rollback_catalog_store_and_ledger_agree(copy: Workspace) -> None:
    store = store_of(copy)
    published, told = tree(store), tree(copy.catalog)
    done = rollback(store, reason="a wrong map of 2002")
    assert (done.retracted, done.published, done.withdrawn) == ((2002,), (2001,), (2002,))
    assert ledger.published_years(store) == (2001,)
    assert cube.verify(store) == []
    assert catalog.validate(copy.catalog) == []
    assert catalog.published_years(copy.catalog, "planted", 1, "historical") == (2001,)
    assert not list(copy.catalog.rglob("*-2002"))
    budget = pd.read_csv(copy.catalog / "products/planted/v1-historical-budget.csv")
    assert not budget["period"].astype(str).str.startswith("2002").any()
    (entry,) = cube.retractions(store)
    assert (entry.years, entry.reason) == ((2002,), "a wrong map of 2002")
    assert "taken back: 2002, a wrong map of 2002" in status(store).in_words()
    assert publish(copy, YEARS).made == (2002,)
    assert tree(store) == published
    assert tree(copy.catalog) == told


def test_a_rollback_that_ended_before_the_catalog_followed_is_completed_and_goes_no_further(
    copy: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object) -> tuple[int, ...]:
        if ledger.published_years(store_of(copy)) == (2001,):
            raise KeyboardInterrupt
        return ()

    with monkeypatch.context() as patched:
        patched.setattr(rollback_module, "withdraw", ended)
        with pytest.raises(KeyboardInterrupt):
            rollback(store_of(copy), reason="a wrong map")
    assert catalog.validate(copy.catalog) != []
    assert rollback(store_of(copy), reason="a wrong map").published == (2001,)
    assert catalog.validate(copy.catalog) == []
    assert rollback(store_of(copy), reason="a wrong map", to=2001).retracted == (2002,)
    with pytest.raises(RunError, match="no earlier state"):
        rollback(store_of(copy), reason="a wrong map")


def test_an_explanation_has_the_value_and_where_it_comes_from(made: Workspace) -> None:
    store = store_of(made)
    found = explain(store, lat=50, lon=-100, month="2002-07")
    with xr.open_zarr(store, chunks=None) as ds:
        at = ds.sel(latitude=50, longitude=-100, method="nearest").sel(time="2002-07-01").load()
    assert found.value["flux"] == pytest.approx(float(at["ch4_flux"]))
    assert found.value["quantiles"]["0.95"] == pytest.approx(float(at["ch4_flux_quantile"][-1]))
    assert found.value["standard_error"] == pytest.approx(float(at["ch4_flux_standard_error"]))
    assert QUALITY_FLAGS[found.quality[0]] == int(at["quality_flag"])
    here = at["ecosystem"].values[at["ecosystem_fraction"].values > 0].tolist()
    assert [c.ecosystem for c in found.classes] == here
    total = sum(c.density * c.fraction for c in found.classes)
    assert total == pytest.approx(found.value["flux"], rel=1e-5)
    assert found.classes[0].parents[0].startswith("tas lag 0 (0.9")
    holder = found.objects[0]
    assert holder.row.key == "ch4_flux/c/1/0/0"
    assert holder.row in ledger.rows_of(store)
    assert sorted(found.inputs)[-1] == "drivers-2002.nc"
    assert len(found.inputs["drivers-2002.nc"]) == 64
    assert found.model.startswith("ctgat-ch4-")
    assert {"ch4grid", "torch"} <= set(found.software)
    assert found.version_reason == "v1, first version"
    words = found.in_words()
    for part in (holder.row.sha256, found.checkpoint, "drivers-1999.nc", "90 % interval"):
        assert part in words
    told = CliRunner().invoke(
        cli.app,
        ["explain", str(store), "--lat", "50", "--lon", "260", "--month", "2002-07", "--json"],
    )
    assert json.loads(told.output)["value"]["flux"] == found.value["flux"]


def test_an_explanation_of_a_damaged_chunk_tells_no_value(copy: Workspace) -> None:
    delete(store_of(copy), "ch4_flux")
    flip(store_of(copy), "quality_flag")
    found = explain(store_of(copy), lat=50, lon=-100, month="2002-07")
    assert found.value["flux"] is None
    assert found.quality[0] == "unknown"
    assert found.damaged == (HURT["ch4_flux"], HURT["quality_flag"])
    assert "run `ch4grid repair`" in found.in_words()


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        ((95, 0, "2002-07"), RecipeError, "no such place"),
        ((0, -190, "2002-07"), RecipeError, "no such place"),
        ((0, 0, "2002-7"), RecipeError, "expected YYYY-MM|Expected YYYY-MM"),
        ((0, 0, "2003-01"), InputError, "2003 is not published"),
    ],
)
def test_what_cannot_be_explained_is_told(
    made: Workspace, place: tuple[float, float, str], error: type[Exception], words: str
) -> None:
    lat, lon, month = place
    with pytest.raises(error, match=words):
        explain(store_of(made), lat=lat, lon=lon, month=month)


def test_a_status_names_the_change_that_makes_years_stale(copy: Workspace) -> None:
    sound = status(store_of(copy), data=copy.data)
    assert sound.stale == ()
    assert [(y.year, y.state) for y in sound.years] == [(2001, "published"), (2002, "published")]
    rows = ledger.rows_of(store_of(copy))
    assert (sound.objects, sound.bytes) == (len(rows), sum(r.bytes for r in rows))
    write_drivers(copy.data, 2002, warmer=1.0)
    found = status(store_of(copy), data=copy.data)
    assert found.stale_years() == (2002,)
    assert [c.what.split(",")[0] for c in found.stale or ()] == ["drivers-2002.nc changed"]
    write_drivers(copy.data, 2000, warmer=1.0)
    assert status(store_of(copy), data=copy.data).stale_years() == (2001, 2002)
    told = CliRunner().invoke(
        cli.app, ["status", str(store_of(copy)), "--data", str(copy.data), "--json"]
    )
    assert json.loads(told.output)["stale_years"] == [2001, 2002]
    assert (
        "stale: 2001, 2002: drivers-2000.nc changed"
        in status(store_of(copy), data=copy.data).in_words()
    )


def test_a_status_of_twenty_years_takes_less_than_two_seconds(copy: Workspace) -> None:
    store = store_of(copy)
    rows = [
        Row(
            "ch4_flux",
            f"ch4_flux/c/{y}/0/{n}",
            y,
            "published",
            "0" * 64,
            1000,
            1,
            0.0,
            0.0,
            0.0,
            "i",
        )
        for y in range(2003, 2023)
        for n in range(1000)
    ]
    digest = ledger.root_digest(store)
    ledger.write(store, [*ledger.rows_of(store), *rows], root_sha256=digest)
    start = time.process_time()
    found = status(store)
    assert time.process_time() - start < 2
    assert len(found.years) == 22
    assert found.objects > 20_000


def test_a_status_of_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no product here"):
        status(tmp_path / "products/none/v1/historical.zarr")


@pytest.fixture
def fresh(made: Workspace, tmp_path: Path) -> Workspace:
    """Inputs, model and cache of the product, and no product yet."""
    shutil.copytree(made.data, tmp_path / "fresh")
    for name in ("planted", "catalog"):
        shutil.rmtree(tmp_path / "fresh/products" / name)
    return Workspace(data=tmp_path / "fresh", output=tmp_path / "fresh/products")


def breaking(monkeypatch: pytest.MonkeyPatch, *broken: tuple[int, int]) -> list[tuple[int, int]]:
    """Have regions fail, by year and first column; the list of those that are computed grows as they are."""
    predict, seen = production.predict_region, []

    def predicted(checkpoint: object, region: object, **settings: object) -> xr.Dataset:
        seen.append((region.years[1], region.tile[1].start))
        if seen[-1] in broken:
            raise ArithmeticError("the flux is not finite")
        return predict(checkpoint, region, **settings)

    monkeypatch.setattr(production, "predict_region", predicted)
    return seen


def test_a_region_that_fails_is_in_quarantine_and_a_rerun_computes_it_alone(
    made: Workspace, fresh: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(fresh)
    with monkeypatch.context() as patched:
        seen = breaking(patched, (2002, 0))
        with pytest.raises(
            RunError, match=r"1 region\(s\) could.* 1 year\(s\).*: 2002.*not finite"
        ):
            publish(fresh, YEARS)
    assert sorted(seen) == [(2001, 0), (2001, 6), (2002, 0), (2002, 6)]
    assert ledger.published_years(store) == (2001,)
    assert catalog.published_years(fresh.catalog, "planted", 1, "historical") == (2001,)
    with xr.open_zarr(store, chunks=None) as ds:
        assert ds.sizes["time"] == 12
        assert int(ds["quality_flag"].max()) < 255
    found = status(store)
    assert [(y.year, y.state, y.done) for y in found.years] == [
        (2001, "published", 0),
        (2002, "quarantined", 1),
    ]
    reason = "year 2002, rows 0:6, columns 0:6: ArithmeticError: the flux is not finite"
    assert reason in found.in_words()
    report = reports.path_of(fresh).read_text()
    assert "Published 2001. 1 region(s) are in quarantine; not published: 2002." in report
    assert "ArithmeticError: the flux is not finite" in report
    seen = breaking(monkeypatch)
    assert publish(fresh, YEARS).made == (2002,)
    assert seen == [(2002, 0)]
    assert "quarantine" not in reports.path_of(fresh).read_text()
    assert tree(store.parent) == tree(store_of(made).parent)
    assert catalog.validate(fresh.catalog) == []


def test_years_after_one_in_quarantine_wait_so_that_no_reader_sees_half_of_it(
    made: Workspace, fresh: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(fresh)
    with monkeypatch.context() as patched:
        breaking(patched, (2001, 0), (2001, 6))
        with pytest.raises(RunError, match=r"2 region\(s\) could.* 2 year\(s\).*: 2001, 2002"):
            publish(fresh, YEARS)
    assert not (store / "zarr.json").exists()
    first, second = status(store).years
    assert (first.state, first.done, first.regions, len(first.quarantined)) == (
        "quarantined",
        0,
        2,
        2,
    )
    assert (second.state, second.done) == ("in work", 2)
    with pytest.raises(InputError, match="no published product to repair"):
        repaired(fresh)
    seen = breaking(monkeypatch)
    assert publish(fresh, YEARS).made == (2001, 2002)
    assert seen == [(2001, 0), (2001, 6)]
    assert tree(store.parent) == tree(store_of(made).parent)


def test_inputs_that_move_under_a_planned_run_are_refused(tmp_path: Path) -> None:
    store = tmp_path / "historical.zarr"
    with pytest.raises(RunError, match="inputs changed while the run was planned"):
        cube.record_inputs(store, {2001: {"a.nc": "0"}}, {2001: "f" * 64})
    assert os.listdir(tmp_path) == []


def test_the_recipe_in_the_attributes_is_the_recipe(made: Workspace) -> None:
    told = cube.attributes(store_of(made))
    again = type(recipe()).model_validate(json.loads(told["ch4grid_recipe"]))
    assert again == recipe(**YEARS)
    assert np.array_equal(again.product_grid.latitude, recipe().product_grid.latitude)
