"""A mirror is the store or its older state at every moment, wherever it stops; laws on a file system in memory."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import planted_product as planted
import pytest
import xarray as xr
from catalogued_product import publish
from fsspec.implementations.memory import MemoryFileSystem
from typer.testing import CliRunner

import ch4grid
from ch4grid import catalog as stac
from ch4grid import cube
from ch4grid.cli import app
from ch4grid.errors import InputError, RecipeError, RunError
from ch4grid.grid import Grid
from ch4grid.mirroring import mirror, sending
from ch4grid.remote import attempts
from ch4grid.running import verify

GRID = Grid(20.0)
URL = "memory://bucket/output/planted/v1/historical.zarr"
ROOT = "/bucket/output/planted/v1/historical.zarr/zarr.json"


@pytest.fixture(scope="module")
def one_year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("one")
    planted.write_years(output, 2001, grid=GRID)
    return output


@pytest.fixture(scope="module")
def two_years(one_year: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("two")
    shutil.copytree(one_year, output, dirs_exist_ok=True)
    planted.write_years(output, 2001, 2002, grid=GRID)
    return output


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    monkeypatch.setattr(attempts, "FIRST_PAUSE", 0.0)
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    yield fs
    fs.store.clear()


def store_in(output: Path) -> Path:
    return planted.store_path(output)


def files(output: Path) -> dict[str, bytes]:
    """What a mirror should hold: store and ledger, nothing of a run's own and nothing that only a repair needs."""
    return planted.mirrored(output / "planted")


def held(fs: MemoryFileSystem, folder: str = "/bucket/output/planted") -> dict[str, bytes]:
    return {
        p.removeprefix(f"{folder}/"): fs.cat_file(p)
        for p in list(fs.store)
        if p.startswith(f"{folder}/")
    }


def losing_network(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """From one write on every write fails."""
    count, guard, whole = iter(range(10**6)), threading.Lock(), MemoryFileSystem.pipe_file

    def put(self: MemoryFileSystem, path: str, value: bytes, *rest: object, **told: object) -> None:
        with guard:
            turn = next(count)
        if turn >= after:
            raise ConnectionResetError("the network is gone")
        whole(self, path, value, *rest, **told)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", put)


def test_a_mirror_holds_every_byte_of_the_store_and_its_ledger_and_nothing_else(
    one_year: Path, memory: MemoryFileSystem
) -> None:
    done = mirror(store_in(one_year), URL)
    assert held(memory) == files(one_year)
    assert done.sent == len(files(one_year))
    assert done.sent_bytes == sum(map(len, files(one_year).values()))
    assert (done.years, done.skipped, done.unknown, done.catalog) == ((2001,), 0, (), False)


def test_a_second_mirror_sends_nothing(one_year: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = mirror(store_in(one_year), URL)
    losing_network(monkeypatch, 0)
    again = mirror(store_in(one_year), URL + "/")
    assert (again.sent, again.sent_bytes) == (0, 0)
    assert (again.skipped, again.skipped_bytes) == (first.sent, first.sent_bytes)


def test_plain_xarray_ch4grid_and_verify_read_a_mirror(one_year: Path) -> None:
    mirror(store_in(one_year), URL)
    with xr.open_zarr(store_in(one_year)) as expected:
        xr.testing.assert_identical(xr.open_zarr(URL).load(), expected.load())
        xr.testing.assert_identical(ch4grid.open(URL).load(), expected.load())
    assert verify(URL) == []


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths in the order in which they are written."""
    paths: list[str] = []
    whole = MemoryFileSystem.pipe_file
    monkeypatch.setattr(
        MemoryFileSystem,
        "pipe_file",
        lambda self, path, value: (paths.append(path), whole(self, path, value)),
    )
    return paths


def test_objects_are_sent_before_the_metadata_that_shows_them(
    one_year: Path, order: list[str]
) -> None:
    mirror(store_in(one_year), URL)
    kinds = ["chunk" if "/c/" in p or p.endswith("/c") else p.rsplit("/", 1)[1] for p in order]
    assert order[-1] == ROOT
    assert kinds[-2] == "historical.ledger.parquet"
    arrays = [i for i, kind in enumerate(kinds[:-2]) if kind == "zarr.json"]
    assert "chunk" not in kinds[arrays[0] :]


def test_wherever_the_network_is_lost_readers_see_the_old_state_and_a_rerun_ends_the_same(
    one_year: Path, two_years: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = files(two_years)
    mirror(store_in(one_year), URL)
    old = dict(memory.store)
    root = memory.cat_file(ROOT)
    writes = len({k for k, v in expected.items() if files(one_year).get(k) != v})
    for k in range(writes):
        memory.store.clear()
        memory.store.update(old)
        with monkeypatch.context() as patch:
            losing_network(patch, k)
            with pytest.raises(RunError, match=r"does not answer as it should.*run it again"):
                mirror(store_in(two_years), URL)
        assert memory.cat_file(ROOT) == root
        mirror(store_in(two_years), URL)
        assert held(memory) == expected, f"lost at write {k}"


def test_wherever_a_first_mirror_is_lost_there_is_no_product_and_a_rerun_sends_only_the_rest(
    one_year: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = files(one_year)
    for k in range(0, len(expected), 5):
        memory.store.clear()
        with monkeypatch.context() as patch:
            losing_network(patch, k)
            with pytest.raises(RunError):
                mirror(store_in(one_year), URL)
        with pytest.raises(InputError, match="no product here"):
            ch4grid.open(URL)
        done = mirror(store_in(one_year), URL)
        assert held(memory) == expected
        assert done.sent == len(expected) - k


def test_a_year_is_added_and_objects_of_before_are_not_sent_again(
    one_year: Path, two_years: Path, memory: MemoryFileSystem
) -> None:
    mirror(store_in(one_year), URL)
    done = mirror(store_in(two_years), URL)
    assert held(memory) == files(two_years)
    new = {k for k, v in files(two_years).items() if files(one_year).get(k) != v}
    assert done.sent == len(new)
    assert done.years == (2001, 2002)
    assert verify(URL) == []


def test_a_lost_and_a_flipped_object_are_sent_again(
    one_year: Path, memory: MemoryFileSystem
) -> None:
    mirror(store_in(one_year), URL)
    lost, flipped = (
        ROOT.replace("zarr.json", f"ch4_flux{n}/c/0/0/0") for n in ("", "_standard_error")
    )
    memory.rm_file(lost)
    content = memory.cat_file(flipped)
    memory.pipe_file(flipped, content[:-1] + bytes([content[-1] ^ 1]))
    assert verify(URL) == [
        "ch4_flux/c/0/0/0: the chunk c/0/0/0 of ch4_flux, year 2001, is gone (missing)",
        "ch4_flux_standard_error/c/0/0/0: the chunk c/0/0/0 of ch4_flux_standard_error, year 2001, "
        "has other bytes than published (changed)",
    ]
    assert mirror(store_in(one_year), URL).sent == 2
    assert held(memory) == files(one_year)


def test_verify_of_a_url_names_what_verify_of_a_folder_names(
    two_years: Path, memory: MemoryFileSystem, tmp_path: Path
) -> None:
    shutil.copytree(two_years, tmp_path, dirs_exist_ok=True)
    mirror(store_in(tmp_path), URL)
    store, key = store_in(tmp_path), ROOT.removesuffix("zarr.json")
    swap = [f"ch4_flux/c/{year}/0/0" for year in (0, 1)]
    first, second = ((store / k).read_bytes() for k in swap)
    for k, content in zip([*swap, "stray"], [second, first, b"x"], strict=True):
        (store / k).write_bytes(content)
        memory.pipe_file(key + k, content)
    assert sorted(verify(URL)) == sorted(verify(store))
    assert {p.kind for p in cube.verify_remote(URL)} == {"swapped", "unexpected"}


def test_changed_metadata_of_a_mirror_is_named(one_year: Path, memory: MemoryFileSystem) -> None:
    mirror(store_in(one_year), URL)
    memory.pipe_file(ROOT, memory.cat_file(ROOT) + b" ")
    assert verify(URL)[0].startswith("zarr.json: the group metadata is not what was published")


def test_a_mirror_that_stopped_before_its_last_write_is_told_by_verify_and_seen_by_nobody(
    one_year: Path, two_years: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror(store_in(one_year), URL)
    new = {k for k, v in files(two_years).items() if files(one_year).get(k) != v}
    with monkeypatch.context() as patch:
        losing_network(patch, len(new) - 1)
        with pytest.raises(RunError):
            mirror(store_in(two_years), URL)
    assert ch4grid.open(URL).sizes["time"] == 12
    (told,) = verify(URL)
    assert "a mirror stopped just before it; run that again (metadata)" in told


def test_objects_that_no_row_knows_are_told_and_left_alone(
    one_year: Path, memory: MemoryFileSystem
) -> None:
    mirror(store_in(one_year), URL)
    stray = ROOT.replace("zarr.json", "ch4_flux/c/9/0/0")
    memory.pipe_file(stray, b"of another mirror")
    done = mirror(store_in(one_year), URL)
    assert done.unknown == ("historical.zarr/ch4_flux/c/9/0/0",)
    assert "1 objects that no ledger row names" in done.in_words()
    assert memory.cat_file(stray) == b"of another mirror"


def test_a_mirror_takes_no_year_away(one_year: Path, two_years: Path) -> None:
    mirror(store_in(two_years), URL)
    with pytest.raises(RunError, match=r"shows years that the store does not.*Found \[2002\]"):
        mirror(store_in(one_year), URL)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"seed": 1}, "ch4_budget/c/0/0/0/0"),
        ({"inputs": "other"}, "inputs of 2001"),
        ({"parts": {"grid": "a", "model": "c"}}, "part 'model'"),
    ],
)
def test_published_cells_of_a_mirror_never_change(
    one_year: Path, tmp_path: Path, memory: MemoryFileSystem, changes: dict, found: str
) -> None:
    mirror(store_in(one_year), URL)
    before = dict(held(memory))
    planted.write_years(tmp_path, 2001, grid=GRID, **changes)
    with pytest.raises(RunError, match=f"published cells never change.*{found}"):
        mirror(store_in(tmp_path), URL)
    assert held(memory) == before


def test_what_an_unpublished_mirror_left_may_be_replaced(
    one_year: Path, tmp_path: Path, memory: MemoryFileSystem
) -> None:
    planted.write_years(tmp_path, 2001, grid=GRID, seed=1)
    mirror(store_in(tmp_path), URL)
    memory.rm_file(ROOT)
    mirror(store_in(one_year), URL)
    assert held(memory) == files(one_year)


def test_a_damaged_object_of_the_store_is_named_and_nothing_is_published(
    one_year: Path, tmp_path: Path, memory: MemoryFileSystem
) -> None:
    shutil.copytree(one_year, tmp_path, dirs_exist_ok=True)
    (store_in(tmp_path) / "ch4_flux/c/0/0/0").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"ch4_flux/c/0/0/0: the object is not what the ledger"):
        mirror(store_in(tmp_path), URL)
    assert ROOT not in memory.store


def test_a_year_in_work_stays_out_of_the_mirror(
    one_year: Path, tmp_path: Path, memory: MemoryFileSystem
) -> None:
    shutil.copytree(one_year, tmp_path, dirs_exist_ok=True)
    store, spec, static = store_in(tmp_path), planted.spec(), planted.planes(GRID)
    with cube.lock(store):
        cube.begin(store, spec, {2001: "i-2001", 2002: "i-2002"})
        for tile in GRID.tiles():
            planted.write_tile(store, GRID, tile, 2002, static=static)
        mirror(store, URL)
    assert held(memory) == files(one_year)


def test_two_mirrors_at_once_end_as_one(two_years: Path, memory: MemoryFileSystem) -> None:
    failures: list[Exception] = []

    def once() -> None:
        try:
            mirror(store_in(two_years), URL)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=once) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert held(memory) == files(two_years)


def test_an_older_mirror_that_is_overtaken_takes_nothing_back(
    one_year: Path, two_years: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = sending.send

    def overtaken(stage: str, *rest: object) -> None:
        slow(stage, *rest)
        if stage == "send array metadata":
            with monkeypatch.context() as patch:
                patch.setattr("ch4grid.mirroring.mirrored.send", slow)
                mirror(store_in(two_years), URL)

    monkeypatch.setattr("ch4grid.mirroring.mirrored.send", overtaken)
    with pytest.raises(RunError, match="somebody else has changed the target meanwhile"):
        mirror(store_in(one_year), URL)
    assert ch4grid.open(URL).sizes["time"] == 24
    monkeypatch.undo()
    mirror(store_in(two_years), URL)
    assert held(memory) == files(two_years)


@pytest.fixture
def told(one_year: Path, tmp_path: Path) -> Path:
    """An output folder with a catalogued product."""
    shutil.copytree(one_year, tmp_path, dirs_exist_ok=True)
    publish(tmp_path, 2001)
    return tmp_path


def test_the_catalog_goes_along_and_is_valid_where_it_arrives(
    told: Path, memory: MemoryFileSystem, tmp_path_factory: pytest.TempPathFactory
) -> None:
    done = mirror(store_in(told), URL, catalog=told / "catalog")
    assert done.catalog
    assert held(memory, "/bucket/output") == planted.mirrored(told)
    back = tmp_path_factory.mktemp("back")
    for key, content in held(memory, "/bucket/output").items():
        (back / key).parent.mkdir(parents=True, exist_ok=True)
        (back / key).write_bytes(content)
    assert stac.validate(back) == []
    assert stac.validate("memory://bucket/output/catalog") == []
    assert mirror(store_in(told), URL, catalog=told / "catalog").sent == 0


def test_items_follow_the_store_and_lead_nowhere_that_is_not_there(
    told: Path, memory: MemoryFileSystem, order: list[str]
) -> None:
    mirror(store_in(told), URL, catalog=told / "catalog")
    at = {path.removeprefix("/bucket/output/"): place for place, path in enumerate(order)}
    item = "catalog/products/planted/planted-v1-historical-2001"
    chain = [
        "planted/v1/historical.zarr/zarr.json",
        f"{item}/page.html",
        f"{item}/planted-v1-historical-2001.json",
        "catalog/products/planted/collection.json",
        "catalog/products/catalog.json",
        "catalog/catalog.json",
    ]
    assert [at[key] for key in chain] == sorted(at[key] for key in chain)
    assert at["catalog/catalog.json"] == len(order) - 1


def test_a_url_that_breaks_the_references_of_the_catalog_is_refused(told: Path) -> None:
    with pytest.raises(RecipeError, match=r"URL that ends in planted/v1/historical\.zarr"):
        mirror(store_in(told), "memory://bucket/other.zarr", catalog=told / "catalog")
    with pytest.raises(InputError, match="no catalog here"):
        mirror(store_in(told), URL, catalog=told / "nothing")


def test_a_catalog_of_stores_that_are_not_there_is_refused(
    told: Path, memory: MemoryFileSystem
) -> None:
    planted.write_years(told, 2001, grid=GRID, version=2)
    with pytest.raises(RunError, match=r"stores that the target does not hold.*planted/v1/hist"):
        mirror(
            planted.store_path(told, 2),
            URL.replace("v1", "v2"),
            catalog=told / "catalog",
        )
    assert not [key for key in memory.store if "/catalog/" in key]


def test_nothing_published_cannot_be_mirrored(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no published product to mirror.*no ledger"):
        mirror(tmp_path / "no.zarr", URL)
    with pytest.raises(InputError, match="no published product to verify"):
        verify(URL)


def test_the_command_reports_for_people_and_for_machines(one_year: Path) -> None:
    run = CliRunner().invoke
    first = run(app, ["mirror", str(store_in(one_year)), URL])
    assert first.exit_code == 0
    assert f"sent     {len(files(one_year))} objects" in first.stdout
    told = json.loads(run(app, ["mirror", str(store_in(one_year)), URL, "--json"]).stdout)
    assert told["skipped"] == len(files(one_year))
    assert told["years"] == [2001]
    checked = run(app, ["verify", URL])
    assert (checked.exit_code, checked.stdout.split(":")[0]) == (0, "memory")
