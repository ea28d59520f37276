"""A fetch from the recipe to files in place: what lacks comes, what is held stays, and no secret is ever told."""

import json
import logging
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from filelock import FileLock
from planted_archive import PlainArchive
from planted_files import netcdf
from planted_remote import Remote
from planted_sources import Planted

from ch4grid.errors import RunError
from ch4grid.fetching import Archive, Fetched, Offer, Order, Patience, fetch
from ch4grid.fetching.manifest import Manifest
from ch4grid.recipe import Recipe
from ch4grid.redaction import redacted
from ch4grid.stores import Workspace

SECRET = "planted-secret-0123"
SIGNATURE = f"sig={SECRET}"
MONTHS = [f"2024-{m:02d}" for m in range(1, 13)]


def recipe(**changes: Any) -> Recipe:
    """A recipe that holds nothing but its drivers and areas, whatever their kind."""
    document = {
        "product": "planted",
        "title": "planted",
        "period": (2024, 2024),
        "drivers": (Planted(),),
        "spin_up": 0,
        "training": None,
        "sites": (),
    } | changes
    areas = Recipe.model_fields["ecosystems"].annotation
    assert areas is not None
    nothing = areas.model_construct(areas=())
    return Recipe.model_construct(**({"ecosystems": nothing} | document))  # type: ignore[arg-type]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "data", tmp_path / "products")


@pytest.fixture
def archive(server: Remote) -> PlainArchive:
    """An archive with every month of 2024, behind a signature."""
    offers = []
    for month in MONTHS:
        body, name = netcdf(month=month), f"era5_{month}.nc"
        address = server.serve(name, body, signature=SIGNATURE)
        offers.append(Offer(name, address, len(body)))
    return PlainArchive(offers, signatures=[SIGNATURE], known=(SECRET,))


def fetched(archive: Archive, workspace: Workspace, patience: Patience, **changes: Any) -> Fetched:
    return fetch(
        recipe(**changes), workspace, [2024], patience=patience, archives={"cds": lambda: archive}
    )


def held(workspace: Workspace) -> list[str]:
    return sorted(p.name for p in (workspace.data / "era5").iterdir())


def test_a_year_comes_month_by_month_and_a_rerun_brings_nothing(
    archive: PlainArchive, server: Remote, workspace: Workspace, patience: Patience
) -> None:
    done = fetched(archive, workspace, patience)
    assert [f.status for f in done.files] == ["fetched"] * 12
    assert held(workspace) == [f"era5_{m}.nc" for m in MONTHS]
    before = len(server.asked)
    again = fetched(archive, workspace, patience)
    assert again.in_words() == "Nothing to fetch: every month is held and final."
    assert len(server.asked) == before


def test_a_month_that_is_lost_comes_alone(
    archive: PlainArchive, server: Remote, workspace: Workspace, patience: Patience
) -> None:
    fetched(archive, workspace, patience)
    (workspace.data / "era5" / "era5_2024-05.nc").unlink()
    done = fetched(archive, workspace, patience)
    assert [(f.file, f.status) for f in done.files] == [("era5/era5_2024-05.nc", "fetched")]
    assert len(server.requests_of("era5_2024-05.nc")) == 2
    assert len(server.requests_of("era5_2024-06.nc")) == 1


@pytest.mark.parametrize("told", [b"EMPTY", b"EARLY"])
def test_damaged_and_preliminary_months_come_again(
    archive: PlainArchive, workspace: Workspace, patience: Patience, told: bytes
) -> None:
    fetched(archive, workspace, patience)
    path = workspace.data / "era5" / "era5_2024-07.nc"
    whole = path.read_bytes()
    path.write_bytes(told)
    done = fetched(archive, workspace, patience)
    assert [f.file for f in done.files] == ["era5/era5_2024-07.nc"]
    assert path.read_bytes() == whole


def test_what_is_fetched_already_is_not_asked_for_although_the_reader_misses_it(
    archive: PlainArchive, server: Remote, workspace: Workspace, patience: Patience
) -> None:
    blind = Planted(path="era5/*.nc", variables=("tas",))
    fetched(archive, workspace, patience)
    before = archive.searches

    class Blind(Planted):
        def _holding(self, workspace: Workspace, name: str, month: Any) -> Any:
            found = super()._holding(workspace, name, month)
            return replace(found, state="missing", files=())

    again = fetched(archive, workspace, patience, drivers=(Blind(**blind.model_dump()),))
    assert {f.status for f in again.files} == {"held"}
    assert archive.searches == before


def test_a_preliminary_month_comes_again_although_it_is_what_was_fetched(
    archive: PlainArchive, workspace: Workspace, patience: Patience
) -> None:
    class Early(Planted):
        def _holding(self, workspace: Workspace, name: str, month: Any) -> Any:
            found = super()._holding(workspace, name, month)
            return replace(found, state="preliminary") if month.month == 7 else found

    fetched(archive, workspace, patience)
    again = fetched(archive, workspace, patience, drivers=(Early(),))
    assert [(f.file, f.status) for f in again.files] == [("era5/era5_2024-07.nc", "fetched")]


def test_a_dry_run_says_what_it_would_bring_and_asks_no_remote(
    server: Remote, workspace: Workspace
) -> None:
    done = fetch(recipe(), workspace, [2024], dry_run=True, archives={})
    assert len(done.orders) == 12
    words = done.in_words().splitlines()[0]
    assert words == (
        "would fetch cds reanalysis-era5-single-levels-monthly-means (2m_temperature) 2024-01 "
        "to era5/era5_2024-01.nc: tas missing"
    )
    assert not workspace.data.exists()


def test_spin_up_years_are_fetched_too(workspace: Workspace) -> None:
    done = fetch(recipe(spin_up=2), workspace, [2024], dry_run=True)
    assert [o.period for o in done.orders][::12] == ["2022-01", "2023-01", "2024-01"]


def test_sources_of_one_path_share_one_request(workspace: Workspace) -> None:
    two = (Planted(variables=("tas",)), Planted(variables=("pr",)))
    done = fetch(recipe(drivers=two), workspace, [2024], dry_run=True)
    assert [o.asked for o in done.orders] == [("2m_temperature", "total_precipitation")] * 12


def test_paths_that_share_a_file_share_one_request(workspace: Workspace) -> None:
    two = (Planted(variables=("tas",)), Planted(path="era5/era5_*.nc", variables=("pr",)))
    done = fetch(recipe(drivers=two), workspace, [2024], dry_run=True)
    assert [o.asked for o in done.orders] == [("2m_temperature", "total_precipitation")] * 12


def test_another_request_for_the_same_file_is_not_taken_for_done(
    tmp_path: Path, order: Order, workspace: Workspace
) -> None:
    Manifest(order, workspace).entry(order.target).done(5, "digest")
    assert Manifest(order, workspace).entry(order.target).is_done(5, "digest")
    other = replace(order, asked=("total_precipitation",))
    assert not Manifest(other, workspace).entry(order.target).is_done(5, "digest")


def test_one_month_that_fails_does_not_stop_the_others(
    archive: PlainArchive, server: Remote, workspace: Workspace, patience: Patience
) -> None:
    server.serve("era5_2024-03.nc", netcdf(month="2024-04"), signature=SIGNATURE)
    archive.offered[2] = replace(archive.offered[2], bytes=None)
    done = fetched(archive, workspace, patience)
    (failed,) = done.failed
    assert failed.file == "era5/era5_2024-03.nc"
    assert "one record of 2024-03 was asked for" in failed.reason
    assert len(held(workspace)) == 11


def test_a_month_that_is_not_out_yet_is_said(
    archive: PlainArchive, workspace: Workspace, patience: Patience
) -> None:
    archive.offered.pop()
    (missing,) = fetched(archive, workspace, patience).failed
    assert missing.status == "not offered"
    assert "has no file of 2024-12 yet" in missing.reason


def test_the_manifest_tells_stage_status_bytes_and_digest(
    archive: PlainArchive, workspace: Workspace, patience: Patience
) -> None:
    fetched(archive, workspace, patience)
    (file,) = (workspace.cache / "fetch" / "cds").glob("*2024-05*.json")
    entry = json.loads(file.read_text())["era5/era5_2024-05.nc"]
    assert (entry["stage"], entry["status"]) == ("place", "done")
    assert entry["bytes"] == (workspace.data / "era5" / "era5_2024-05.nc").stat().st_size
    assert len(entry["sha256"]) == 64
    assert str(workspace.data) not in file.read_text()


def test_no_secret_reaches_files_logs_or_words(
    archive: PlainArchive,
    server: Remote,
    workspace: Workspace,
    patience: Patience,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    # busy, refused, cut, a page, and an address that carries the secret itself
    server.files["/era5_2024-01.nc"].first = [(503, {})]
    server.files["/era5_2024-02.nc"].signature = "sig=other"
    server.files["/era5_2024-03.nc"].cuts = [10] * 9
    server.files["/era5_2024-04.nc"].kind = "text/html"
    nowhere = f"http://user:{SECRET}@127.0.0.1:9/x?sig={SECRET}"
    archive.offered[4] = replace(archive.offered[4], address=nowhere)
    done = fetched(archive, workspace, patience)
    assert len(done.failed) == 4
    assert any(SECRET in a.query for a in server.asked)  # it was used
    told = [done.in_words(), json.dumps(done.as_dict()), caplog.text, repr(done)]
    told += [str([r.__dict__ for r in caplog.records])]
    written = [p for base in (workspace.data, workspace.output) for p in base.rglob("*")]
    told += [p.name for p in written]
    assert not [t for t in told if SECRET in t]
    assert not [p for p in written if p.is_file() and SECRET.encode() in p.read_bytes()]


def test_an_unexpected_error_of_a_client_is_told_without_the_secret(
    workspace: Workspace, patience: Patience
) -> None:
    def maker() -> Archive:
        raise requests.HTTPError(f"401 for url: https://host/login?token={SECRET}")

    with pytest.raises(RunError, match="cannot sign in") as ended:
        fetch(recipe(), workspace, [2024], patience=patience, archives={"cds": maker})
    assert SECRET not in str(ended.value)


def test_a_client_that_is_not_installed_is_named_with_the_command(
    workspace: Workspace, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ecmwf.datastores", None)
    with pytest.raises(RunError, match=r"pip install 'ch4grid\[fetch\]'"):
        fetch(recipe(), workspace, [2024], patience=patience)


def test_a_second_fetch_at_the_same_time_stops(
    archive: PlainArchive, workspace: Workspace, patience: Patience
) -> None:
    lock = workspace.cache / "fetch" / "lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock), pytest.raises(RunError, match="another fetch is at work"):
        fetched(archive, workspace, patience)


def test_a_full_disk_stops_the_fetch(
    archive: PlainArchive,
    workspace: Workspace,
    patience: Patience,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ch4grid.fetching.download.os", SimpleNamespace(fsync=full))
    with pytest.raises(RunError, match="No space left on device"):
        fetched(archive, workspace, patience)
    assert held(workspace) == []


def test_a_fetch_that_is_stopped_waits_for_no_queue(
    archive: PlainArchive, workspace: Workspace, server: Remote
) -> None:
    server.files["/era5_2024-01.nc"].first = [(503, {"Retry-After": "200"})]

    def stopped(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch(recipe(), workspace, [2024], archives={"cds": lambda: archive}, report=stopped)
    assert time.monotonic() - begun < 5.0


def test_what_has_no_remote_is_named(workspace: Workspace) -> None:
    class Soil(Planted):
        source: Any = "gridded"

    done = fetch(recipe(drivers=(Soil(path="soil.nc"),)), workspace, [2024])
    assert done.orders == ()
    assert done.by_hand[0].startswith("gridded, soil.nc: no remote is known for this source")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"GET https://a.b/c.tif?se=1&sig={SECRET} failed", "GET https://a.b/c.tif failed"),
        (f"/c.tif?sig={SECRET}", "/c.tif"),
        (f"https://edh:{SECRET}@a.b/c.zarr", "https://a.b/c.zarr"),
        (f"Authorization: Bearer {SECRET}", "Authorization: Bearer ***"),
        (f"key {SECRET} is wrong", "key *** is wrong"),
        ("plain words, and 2 > 1?", "plain words, and 2 > 1?"),
    ],
)
def test_words_lose_their_secrets(text: str, told: str) -> None:
    assert redacted(text, (SECRET,)) == told


def test_an_order_is_told_in_words(order: Order) -> None:
    assert order.in_words() == "cds reanalysis (2m_temperature) 2024-05 to era5/era5_2024-05.nc"
