"""A catalog behind a URL is listed, shown and proved as a folder is; documented lines open it wherever it lies."""

import json
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import fsspec
import pystac
import pystac_client
import pytest
import xarray as xr
from synthetic_product import model, record, write_ledger, write_store
from typer.testing import CliRunner

from ch4grid import catalog as stac
from ch4grid.catalog import ProductRecord
from ch4grid.cli import app
from ch4grid.errors import InputError, RecipeError
from ch4grid.pages.server import Handler
from ch4grid.remote import attempts

README = Path(__file__).resolve().parents[1] / "README.md"
# The product of the README, which `deploy/run.sh` makes.
NAME = "ch4-twin-tiny"
ITEM = f"{NAME}-v1-historical-2002"


# pystac-client tells that a static catalog is no API.
static = pytest.mark.filterwarnings("ignore::pystac_client.warnings.PystacClientWarning")


def product_in(output: Path) -> ProductRecord:
    folder = output / NAME / "v1"
    return replace(
        record(output),
        product=NAME,
        store=folder / "historical.zarr",
        ledger=folder / "historical.ledger.parquet",
    )


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder as a run leaves it: a product of two years and its model; only read."""
    output = tmp_path_factory.mktemp("catalogued") / "products"
    trained = model(output)
    stac.publish_model(output / "catalog", trained)
    product = replace(product_in(output), model=trained.id)
    write_store(product.store, 2001, 2002)
    write_ledger(product.ledger, 2001, 2002)
    for year in (2001, 2002):
        thumbnail = stac.item_folder(output / "catalog", product, year) / "thumbnail.png"
        thumbnail.parent.mkdir(parents=True, exist_ok=True)
        thumbnail.write_bytes(b"\x89PNG")
        stac.publish_item(
            output / "catalog",
            product,
            year,
            files={"thumbnail": thumbnail},
            display=stac.Display(0.0, 1e-9),
        )
    return output


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "FIRST_PAUSE", 0.0)


@pytest.fixture
def memory(output: Path) -> Iterator[str]:
    """The output folder in an object store; the URL of its catalog."""
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    for path in output.rglob("*"):
        if path.is_file():
            fs.pipe_file(f"/bucket/out/{path.relative_to(output).as_posix()}", path.read_bytes())
    yield "memory://bucket/out/catalog"
    fs.store.clear()


@pytest.fixture(scope="module")
def web(output: Path) -> Iterator[str]:
    """The output folder behind http; its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(output)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def command(*arguments: str) -> tuple[int, str]:
    run = CliRunner().invoke(app, ["catalog", *arguments])
    return run.exit_code, run.stdout


@pytest.mark.parametrize("tail", ["", "/", "/catalog.json"])
def test_a_catalog_in_an_object_store_is_valid_by_any_of_its_names(memory: str, tail: str) -> None:
    assert stac.validate(memory + tail) == []


def test_the_output_folder_of_a_catalog_names_it_too(memory: str) -> None:
    assert stac.validate(memory.removesuffix("/catalog")) == []


def test_a_catalog_behind_http_is_valid(web: str) -> None:
    assert stac.validate(f"{web}/catalog") == []


def test_a_url_says_the_same_as_the_folder_with_places_of_its_own(
    output: Path, memory: str, web: str
) -> None:
    assert stac.list_catalog(memory) == stac.list_catalog(output)
    assert stac.list_catalog(f"{web}/catalog") == stac.list_catalog(output)
    here, there = stac.show(output, NAME), stac.show(memory, NAME)
    put_back = json.dumps(there).replace("memory://bucket/out", str(output))
    assert json.loads(put_back) == here
    assert str(output) not in json.dumps(there)


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (f"catalog/products/{NAME}/{ITEM}/thumbnail.png", "asset 'thumbnail' leads to"),
        (f"{NAME}/v1/historical.ledger.parquet", "asset 'ledger' leads to"),
        (f"{NAME}/v1/historical.zarr/zarr.json", "asset 'data' leads to"),
        (f"{NAME}/v1/historical.zarr/ch4_flux/c/1/0/0", "ch4_flux/c/1/0/0: expected"),
        (f"catalog/products/{NAME}/{ITEM}/{ITEM}.json", "link 'item' leads to"),
        ("models/ctgat-ch4-0a1b2c3d/weights.safetensors", "asset 'checkpoint' leads to"),
    ],
)
def test_what_a_url_lacks_is_named_without_a_path_of_this_machine(
    memory: str, key: str, problem: str
) -> None:
    fsspec.filesystem("memory").rm_file(f"/bucket/out/{key}")
    problems = "\n".join(stac.validate(memory))
    assert problem in problems
    assert "found none" in problems
    assert "/tmp" not in problems


def test_altered_bytes_behind_a_url_are_named(memory: str) -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe_file(f"/bucket/out/catalog/products/{NAME}/{ITEM}/thumbnail.png", b"\x89PNF")
    assert sorted(re.sub("[0-9a-f]{64}", "*", p) for p in stac.validate(memory)) == [
        f"products/{NAME}/{ITEM}/{ITEM}.json: asset 'thumbnail' (./thumbnail.png): "
        "expected SHA-256 *, found *",
        f"products/{NAME}/collection.json: asset 'thumbnail' (./{ITEM}/thumbnail.png): "
        "expected SHA-256 *, found *",
    ]


def test_no_catalog_behind_a_url_says_so(memory: str) -> None:
    with pytest.raises(InputError, match=r"no catalog here.*mirror --catalog"):
        stac.validate(f"{memory}/products/{NAME}")
    with pytest.raises(RecipeError, match="credentials"):
        stac.list_catalog("s3://user:secret@bucket/catalog")


def test_the_commands_take_urls_and_end_with_their_exit_code(memory: str) -> None:
    code, said = command("validate", "--catalog", memory)
    assert (code, said.split(":")[0]) == (0, "memory")
    fsspec.filesystem("memory").rm_file(f"/bucket/out/{NAME}/v1/historical.zarr/ch4_flux/c/1/0/0")
    code, said = command("validate", "--catalog", memory, "--json")
    assert code == 1
    assert len(json.loads(said)) == 1


def test_list_is_a_table_for_people_and_rows_for_machines(output: Path) -> None:
    code, said = command("list", "--catalog", str(output))
    assert code == 0
    row = next(line for line in said.splitlines() if NAME in line)
    assert [c.strip() for c in row.strip("│┃ ").split("│")] == [
        "product",
        NAME,
        "1",
        "historical",
        "2001-2002",
        "A made-up product",
    ]
    code, said = command("list", "--catalog", str(output), "--json")
    assert json.loads(said) == stac.list_catalog(output)


def lines_of(said: str, library: str) -> str:
    """The lines that `show` prints for a library."""
    return said.split(f"# with {library}\n")[1].split("\n\n")[0]


@pytest.mark.parametrize("name", [NAME, ITEM])
@pytest.mark.parametrize("library", ["xarray", "ch4grid", "pystac"])
def test_the_lines_that_show_prints_open_the_product(output: Path, name: str, library: str) -> None:
    code, said = command("show", name, "--catalog", str(output))
    assert code == 0
    scope: dict[str, xr.Dataset] = {}
    exec(lines_of(said, library), scope)
    assert scope["ds"].sizes["time"] == (24 if name == NAME else 12)
    assert "ch4_flux" in scope["ds"]


def test_the_lines_that_show_prints_for_a_url_open_it(web: str) -> None:
    _, said = command("show", ITEM, "--catalog", f"{web}/catalog")
    for library in ("xarray", "pystac"):
        scope: dict[str, xr.Dataset] = {}
        exec(lines_of(said, library), scope)
        assert scope["ds"].sizes["time"] == 12


def test_show_tells_facts_scores_and_assets(output: Path) -> None:
    _, said = command("show", "ctgat-ch4-0a1b2c3d", "--catalog", str(output))
    assert "asinh_nse 0.500" in said
    assert re.search(r"graph +/.*graph\.json", said)
    _, said = command("show", NAME, "--catalog", str(output), "--json")
    assert json.loads(said) == stac.show(output, NAME)


def documented() -> list[str]:
    """The Python blocks of the README section that tells how to open a product from the catalog."""
    section = README.read_text().split("\n## Browse\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


@static
@pytest.mark.parametrize("block", documented(), ids=lambda b: b.split("\n")[0])
@pytest.mark.parametrize("moved", [False, True])
def test_the_lines_of_the_readme_open_the_product_where_it_was_made_and_where_it_was_moved(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: str, moved: bool
) -> None:
    shutil.copytree(output, tmp_path / "products")
    if moved:
        shutil.move(tmp_path / "products", tmp_path / "elsewhere")
        (tmp_path / "deep").mkdir()
        shutil.move(tmp_path / "elsewhere", tmp_path / "deep" / "products")
    monkeypatch.chdir(tmp_path / "deep" if moved else tmp_path)
    scope: dict[str, xr.Dataset] = {}
    exec(block, scope)
    with xr.open_zarr(product_in(output).store) as expected:
        xr.testing.assert_identical(scope["ds"].load(), expected.load())
    scope["ds"].close()


@static
def test_pystac_client_reads_the_folder(output: Path) -> None:
    client = pystac_client.Client.open(str(output / "catalog" / "catalog.json"))
    ids = sorted(i.id for i in client.get_items(recursive=True))
    assert ids == [f"{NAME}-v1-historical-2001", ITEM, "ctgat-ch4-0a1b2c3d"]


def test_hints_for_maps_follow_the_render_extension(output: Path) -> None:
    path = output / "catalog" / "products" / NAME / "collection.json"
    collection = pystac.Collection.from_file(str(path))
    assert collection.extra_fields["renders"]["ch4_flux"]["rescale"] == [[0.0, 1e-9]]
    data = collection.assets["data"].extra_fields
    assert list(data["cube:variables"]) == ["ch4_flux"]
    assert len(data["cube:dimensions"]["time"]["values"]) == 24
