"""The catalog: what it publishes, that it agrees with stores and ledgers, and that it survives crashes and moves."""

import hashlib
import json
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pystac
import pytest
import xarray as xr
from pystac.validation import validate_dict
from synthetic_product import model, record, write_ledger, write_store

from ch4grid import catalog as stac
from ch4grid.catalog.records import INPUT_COLLECTIONS
from ch4grid.errors import InputError

FILES = Path(__file__).resolve().parents[1] / "catalog"


def publish(output: Path, years: tuple[int, int], **named: object) -> Path:
    product = record(output, **named)
    write_store(product.store, *years)
    write_ledger(product.ledger, *years)
    for year in range(years[0], years[1] + 1):
        stac.publish_item(
            output / "catalog", product, year, files=small_files(output, product, year)
        )
    return output / "catalog"


def small_files(output: Path, product: stac.ProductRecord, year: int) -> dict[str, Path]:
    folder = stac.item_folder(output / "catalog", product, year)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "thumbnail.png").write_bytes(b"\x89PNG")
    (folder / "budget.csv").write_text(f"period,region,mean_tg\n{year},globe,1\n")
    page = product.store.with_suffix(".html")
    page.write_text("<!doctype html>")
    return {"thumbnail": folder / "thumbnail.png", "budget": folder / "budget.csv", "page": page}


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def edit(path: Path, change: dict[str, object]) -> None:
    document = json.loads(path.read_text())
    document["properties"] |= change
    path.write_text(json.dumps(document))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with two published years, to be copied."""
    output = tmp_path_factory.mktemp("published") / "products"
    publish(output, (2001, 2002))
    return output


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder whose store has a year more than its catalog, to be copied."""
    output = tmp_path_factory.mktemp("growing") / "products"
    publish(output, (2001, 2001))
    product = record(output)
    write_store(product.store, 2001, 2002)
    write_ledger(product.ledger, 2001, 2002)
    return output


@pytest.fixture
def output(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "products"))


# Collections of inputs that come with the package.
INPUTS = len(set(INPUT_COLLECTIONS.values()))
ITEM = (
    "catalog/products/ch4-made-up/ch4-made-up-v1-historical-{0}/ch4-made-up-v1-historical-{0}.json"
)


def test_the_static_tree_is_valid_and_every_link_in_it_resolves() -> None:
    assert stac.static_catalog() == FILES
    assert stac.validate(FILES) == []


@pytest.mark.parametrize(
    "path", sorted(FILES.rglob("*.json")), ids=lambda p: str(p.relative_to(FILES))
)
def test_every_document_of_the_static_tree_names_its_licence_or_is_a_plain_catalog(
    path: Path,
) -> None:
    document = json.loads(path.read_text())
    validate_dict(document | {"stac_extensions": []})
    assert document["type"] == "Catalog" or (document["license"] and document["providers"])


def test_a_published_catalog_has_no_problems(output: Path) -> None:
    assert stac.validate(output) == []
    assert stac.published_years(output / "catalog", "ch4-made-up", 1, "historical") == (2001, 2002)
    assert stac.published_years(output / "catalog", "ch4-made-up", 2, "historical") == ()


def test_pystac_walks_from_the_root_to_the_store(output: Path) -> None:
    root = pystac.Catalog.from_file(str(output / "catalog" / "catalog.json"))
    items = {item.id: item for item in root.get_items(recursive=True)}
    assert sorted(items) == ["ch4-made-up-v1-historical-2001", "ch4-made-up-v1-historical-2002"]
    asset = items["ch4-made-up-v1-historical-2002"].assets["data"]
    assert asset.media_type == "application/vnd.zarr"
    with xr.open_zarr(asset.get_absolute_href(), consolidated=True) as ds:
        assert ds.sizes["time"] == 24
    collection = root.get_child("ch4-made-up", recursive=True)
    assert isinstance(collection, pystac.Collection)
    assert Path(collection.assets["data"].get_absolute_href() or "").samefile(record(output).store)


def test_the_cube_is_described_as_the_store_has_it(output: Path) -> None:
    properties = json.loads((output / ITEM.format(2002)).read_text())["properties"]
    dimensions, variables = properties["cube:dimensions"], properties["cube:variables"]
    assert dimensions["time"]["extent"] == ["2002-01-01T00:00:00Z", "2002-12-31T23:59:59Z"]
    assert dimensions["latitude"]["extent"] == [-90, 90]
    assert dimensions["ecosystem"]["values"] == ["tropical-floodplain", "upland"]
    assert variables["ch4_flux"]["unit"] == "kg m-2 s-1"
    assert variables["ch4_budget"]["dimensions"] == ["member", "time", "ecosystem", "region"]


def test_publishing_again_touches_no_file(output: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (output / "catalog").rglob("*.json")}
    product = record(output)
    stac.publish_item(output / "catalog", product, 2001, files=item_files(output, product, 2001))
    assert {p: p.stat().st_mtime_ns for p in (output / "catalog").rglob("*.json")} == before


def item_files(output: Path, product: stac.ProductRecord, year: int) -> dict[str, Path]:
    folder = stac.item_folder(output / "catalog", product, year)
    return {
        "thumbnail": folder / "thumbnail.png",
        "budget": folder / "budget.csv",
        "page": product.store.with_suffix(".html"),
    }


def test_the_catalog_says_the_same_wherever_it_was_made(output: Path, tmp_path: Path) -> None:
    publish(tmp_path / "elsewhere" / "deeper", (2001, 2002))
    assert digest(output / "catalog") == digest(tmp_path / "elsewhere" / "deeper" / "catalog")
    assert str(tmp_path) not in "".join(p.read_text() for p in (output / "catalog").rglob("*.json"))


def test_the_output_folder_can_be_moved(output: Path, tmp_path: Path) -> None:
    shutil.move(output, tmp_path / "moved")
    assert stac.validate(tmp_path / "moved" / "catalog") == []


def test_adding_a_year_refreshes_the_ledger_checksum_of_the_years_before(output: Path) -> None:
    publish(output, (2001, 2003))
    assert stac.validate(output) == []


@pytest.mark.parametrize("crash_at", range(8))
def test_a_crash_at_any_write_leaves_the_old_state_and_a_rerun_heals_it(
    growing: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    broken, product = tmp_path / "broken", record(tmp_path / "broken")
    shutil.copytree(growing, broken)
    files = small_files(broken, product, 2002)
    writes = iter(range(99))
    real = stac.tree.write_json

    def dying(path: Path, document: dict[str, object]) -> None:
        if next(writes) == crash_at:
            raise KeyboardInterrupt
        real(path, document)

    monkeypatch.setattr(stac.tree, "write_json", dying)
    try:
        stac.publish_item(broken / "catalog", product, 2002, files=files)
    except KeyboardInterrupt:
        assert stac.published_years(broken / "catalog", "ch4-made-up", 1, "historical") == (2001,)
        root = pystac.Catalog.from_file(str(broken / "catalog" / "catalog.json"))
        assert len(list(root.get_items(recursive=True))) == 1
    monkeypatch.undo()
    stac.publish_item(broken / "catalog", product, 2002, files=files)
    assert digest(published / "catalog") == digest(broken / "catalog")
    assert stac.validate(broken) == []


def test_a_new_version_deprecates_the_year_before_it_and_becomes_the_collections_data(
    output: Path,
) -> None:
    publish(output, (2001, 2002), version=2)
    old = json.loads((output / ITEM.format(2001)).read_text())
    assert old["properties"]["deprecated"] is True
    assert [e["title"] for e in old["links"] if e["rel"] == "successor-version"] == [
        "ch4-made-up-v2-historical-2001"
    ]
    collection = json.loads((output / "catalog/products/ch4-made-up/collection.json").read_text())
    assert collection["version"] == "2"
    assert collection["assets"]["data"]["href"].endswith("ch4-made-up/v2/historical.zarr")
    assert stac.validate(output) == []


def test_scenarios_are_items_of_the_same_collection(output: Path) -> None:
    publish(output, (2001, 2002), scenario="warming-2k")
    collection = json.loads((output / "catalog/products/ch4-made-up/collection.json").read_text())
    assert {"data", "data-warming-2k"} <= set(collection["assets"])
    assert collection["summaries"]["ch4grid:scenario"] == ["historical", "warming-2k"]
    assert stac.validate(output) == []


def test_a_model_is_an_item_that_products_derive_from(output: Path) -> None:
    trained = model(output)
    path = stac.publish_model(output / "catalog", trained)
    assert set(json.loads(path.read_text())["assets"]) == {"checkpoint", "configuration", "graph"}
    publish(output, (2001, 2002), model=trained.id)
    assert stac.validate(output) == []
    shown = stac.show(output, "ch4-made-up")
    assert shown["derived_from"] == ["twin", trained.id]
    assert stac.show(output, trained.id)["skill"][0]["asinh_nse"] == 0.5


def test_a_withdrawn_year_leaves_the_catalog_as_it_was_without_it(
    output: Path, tmp_path: Path
) -> None:
    publish(tmp_path / "shorter", (2001, 2001))
    product = record(output)
    write_store(product.store, 2001, 2001)
    write_ledger(product.ledger, 2001, 2001)
    stac.withdraw(output / "catalog", "ch4-made-up", 1, "historical", 2002)
    stac.withdraw(output / "catalog", "ch4-made-up", 1, "historical", 1999)
    assert stac.validate(output) == []
    after, expected = digest(output / "catalog"), digest(tmp_path / "shorter" / "catalog")
    assert {k: v for k, v in after.items() if k.endswith(".json")} == {
        k: v for k, v in expected.items() if k.endswith(".json")
    }


def test_withdrawing_the_last_year_takes_the_product_out(output: Path) -> None:
    for year in (2001, 2002):
        stac.withdraw(output / "catalog", "ch4-made-up", 1, "historical", year)
    assert [r["kind"] for r in stac.list_catalog(output)] == ["input"] * INPUTS
    assert stac.validate(output) == []


def test_a_year_that_the_store_lacks_is_refused(output: Path) -> None:
    product = record(output)
    with pytest.raises(
        InputError, match=r"cannot publish 2009.*twelve months of 2009.*\[2001, 2002\]"
    ):
        stac.publish_item(output / "catalog", product, 2009, files={})


def test_a_missing_asset_is_refused_by_name(output: Path) -> None:
    with pytest.raises(InputError, match="asset 'thumbnail' is missing"):
        stac.publish_item(
            output / "catalog", record(output), 2001, files={"thumbnail": output / "none.png"}
        )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"ch4grid:year": 2009}, "year 2009 is not in the store, which holds [2001, 2002]"),
        ({"start_datetime": "2001-02-01T00:00:00Z"}, 'found ["2001-02-01T00:00:00Z"'),
        ({"version": 1}, "version extension: properties/version: 1 is not of type 'string'"),
        (
            {"processing:software": {"ch4grid": 1}},
            "processing extension: properties/processing:software/ch4grid: 1 is not of type 'string'",
        ),
        ({"sci:doi": "doi:10.1/x"}, "scientific extension: properties/sci:doi: 'doi:10.1/x' does"),
        ({"cube:dimensions": {}}, "datacube extension: properties/cube:dimensions: {} should be"),
        (
            {"cube:variables": {"x": {"type": "data", "dimensions": ["z"]}}},
            "cube:variables/x: expected dimensions among ['bounds', 'ecosystem'",
        ),
        (
            {"datetime": "yesterday"},
            "not valid STAC: properties/datetime: 'yesterday' does not match",
        ),
    ],
)
def test_validate_names_what_disagrees(
    output: Path, change: dict[str, object], problem: str
) -> None:
    edit(output / ITEM.format(2001), change)
    assert any(problem in p for p in stac.validate(output)), stac.validate(output)


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


ITEM_FOLDER = ITEM.rsplit("/", 1)[0].format(2001)
STORE = "ch4-made-up/v1/historical.zarr"
ASSETS = {
    "thumbnail": f"{ITEM_FOLDER}/thumbnail.png",
    "budget": f"{ITEM_FOLDER}/budget.csv",
    "page": "ch4-made-up/v1/historical.html",
    "ledger": "ch4-made-up/v1/historical.ledger.parquet",
}


@pytest.mark.parametrize("key", ASSETS)
@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (Path.unlink, "expected a file or store there, found none"),
        (grow, r"expected \d+ bytes, found \d+"),
        (flip, "expected SHA-256 [0-9a-f]{64}, found [0-9a-f]{64}"),
    ],
)
def test_an_asset_that_is_missing_or_altered_is_named(
    output: Path, key: str, harm: Callable[[Path], None], problem: str
) -> None:
    harm(output / ASSETS[key])
    told = [p for p in stac.validate(output) if f"asset '{key}'" in p]
    assert any(re.search(problem, p) for p in told), told


@pytest.mark.parametrize(
    ("where", "harm", "problem"),
    [
        ("zarr.json", flip, "historical.zarr: cannot be compared"),
        ("ch4_flux/c/0/0/0", Path.unlink, r"ch4_flux/c/0/0/0: expected \d+ bytes.*found none"),
        ("ch4_flux/c/1/0/0", grow, r"ch4_flux/c/1/0/0: expected \d+ bytes.*found \d+"),
        ("zarr.json", lambda p: p.write_text(p.read_text() + " "), "zarr.json: expected SHA-256"),
    ],
)
def test_a_store_that_is_not_what_its_ledger_says_is_told(
    output: Path, where: str, harm: Callable[[Path], None], problem: str
) -> None:
    harm(output / STORE / where)
    told = "\n".join(p for p in stac.validate(output) if p.startswith("../ch4-made-up"))
    assert re.search(problem, told), told


def test_validate_finds_a_changed_ledger(output: Path) -> None:
    write_ledger(record(output).ledger, 2001, 2001)
    problems = "\n".join(stac.validate(output))
    assert "asset 'ledger' (../../../../ch4-made-up/v1/historical.ledger.parquet)" in problems
    assert "asset 'ledger': expected a row of 2002, found 2001" in problems
    assert "historical.zarr: years: expected [2001] by the ledger, found [2001, 2002]" in problems


def test_a_budget_table_without_the_year_is_told_although_its_checksum_agrees(
    output: Path,
) -> None:
    product = record(output)
    table = output / ASSETS["budget"]
    table.write_text("period,region,mean_tg\n1999,globe,1\n")
    stac.publish_item(output / "catalog", product, 2001, files=item_files(output, product, 2001))
    assert [p.split(": ", 1)[1] for p in stac.validate(output)] == [
        "asset 'budget': expected a row of 2001, found 1999"
    ]


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("version", "7", 'version: expected "1", found "7"'),
        ("cube:variables", {}, "cube:variables/ch4_flux: expected"),
        ("summaries", {"version": ["1"]}, "summaries/ch4grid:year: expected [2001, 2002]"),
        (
            "extent",
            {
                "spatial": {"bbox": [[-180, -90, 180, 0]]},
                "temporal": {"interval": [["2001-01-01T00:00:00Z", None]]},
            },
            "extent/spatial/bbox: expected [[-180.0, -90.0, 180.0, 90.0]], found [[-180, -90, 180, 0]]",
        ),
    ],
)
def test_a_collection_that_says_other_than_its_items_is_told(
    output: Path, key: str, value: object, problem: str
) -> None:
    path = output / "catalog/products/ch4-made-up/collection.json"
    document = json.loads(path.read_text()) | {key: value}
    path.write_text(json.dumps(document))
    assert any(problem in p for p in stac.validate(output)), stac.validate(output)


def test_a_wrong_order_of_versions_is_told(output: Path) -> None:
    publish(output, (2001, 2002), version=2)
    publish(output, (2001, 2002), version=3)
    old = json.loads((output / ITEM.format(2001)).read_text())
    rels = {e["rel"]: e.get("title") for e in old["links"]}
    assert rels["latest-version"] == "ch4-made-up-v3-historical-2001"
    assert rels["successor-version"] == "ch4-made-up-v2-historical-2001"
    edit(output / ITEM.format(2001), {"deprecated": False})
    assert [p.split(": ", 1)[1] for p in stac.validate(output)] == [
        "deprecated: expected true, found false"
    ]


def test_an_item_that_derives_from_another_model_than_its_store_is_told(output: Path) -> None:
    trained = model(output)
    stac.publish_model(output / "catalog", trained)
    publish(output, (2001, 2002), model=trained.id)
    root = output / STORE / "zarr.json"
    document = json.loads(root.read_text())
    document["attributes"]["ch4grid_checkpoint"] = "f" * 64
    root.write_text(json.dumps(document))
    problem = f'checkpoint of the model {trained.id}: expected "{"f" * 64}", found "{"0" * 64}"'
    assert any(problem in p for p in stac.validate(output))


def test_an_unknown_extension_is_told(output: Path) -> None:
    path = output / ITEM.format(2001)
    document = json.loads(path.read_text())
    document["stac_extensions"].append("https://example.org/other/v1.0.0/schema.json")
    path.write_text(json.dumps(document))
    assert any("found one without bundled schema" in p for p in stac.validate(output))


def test_validating_opens_no_socket(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    stac.publish_model(output / "catalog", model(output))
    assert stac.validate(output) == []


def test_validate_finds_a_missing_store(output: Path) -> None:
    shutil.rmtree(record(output).store)
    assert any("asset 'data' leads to" in p for p in stac.validate(output))


def test_validate_finds_a_year_of_the_store_that_was_never_listed(output: Path) -> None:
    product = record(output)
    write_store(product.store, 2001, 2003)
    assert any("the store holds [2003]" in p for p in stac.validate(output))


def test_validate_finds_an_item_that_no_link_leads_to(output: Path) -> None:
    item = output / ITEM.format(2001)
    stray = item.parent.parent / "stray" / "stray.json"
    stray.parent.mkdir()
    shutil.copy(item, stray)
    assert any("stray.json: no link leads to it" in p for p in stac.validate(output))


def test_list_has_a_row_per_product_model_and_input(output: Path) -> None:
    stac.publish_model(output / "catalog", model(output))
    rows = stac.list_catalog(output)
    assert [r["kind"] for r in rows] == ["product", "model", *["input"] * INPUTS]
    assert rows[0]["years"] == [2001, 2002]
    assert rows[0]["scenarios"] == ["historical"]


def test_show_of_an_unknown_name_says_what_is_known(output: Path) -> None:
    with pytest.raises(InputError, match=r"nothing is called 'nope'.*ch4-made-up"):
        stac.show(output, "nope")


def test_no_catalog_says_where_one_would_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no catalog here.*<output>/catalog"):
        stac.list_catalog(tmp_path)
