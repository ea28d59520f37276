"""A download is whole or not there: resumed, retried and checked against a server with the faults of real ones."""

import errno
import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted_archive import PlainArchive, Tickets
from planted_files import netcdf
from planted_remote import Remote, remote

from ch4grid.errors import RunError
from ch4grid.fetching import Offer, Order, Patience
from ch4grid.fetching.download import download
from ch4grid.fetching.offer import RefusedError

WHOLE = netcdf()
NAME = "era5_2024-05.nc"
BLOCK = 100
PAGE = b"<!DOCTYPE html><html><body>Please sign in</body></html>"


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ch4grid.fetching.download.BLOCK", BLOCK)


def offer_for(address: str, **facts: object) -> Offer:
    return replace(Offer(NAME, address, len(WHOLE)), **facts)  # type: ignore[arg-type]


def only(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_arrives_with_its_size_and_digest(
    server: Remote, order: Order, patience: Patience
) -> None:
    offer = offer_for(server.serve(NAME, WHOLE))
    came = download(PlainArchive(), order, offer, Tickets(), patience)
    assert came == (len(WHOLE), hashlib.sha256(WHOLE).hexdigest())
    assert (order.folder / NAME).read_bytes() == WHOLE
    assert only(order.folder) == [NAME]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, len(WHOLE) // 4), max_size=3), ranges=st.booleans())
def test_cut_connections_never_change_the_file(
    tmp_path_factory: pytest.TempPathFactory, order: Order, cuts: list[int], ranges: bool
) -> None:
    here = replace(order, folder=tmp_path_factory.mktemp("cut"))
    with remote() as server:
        offer = offer_for(server.serve(NAME, WHOLE, cuts=list(cuts), ranges=ranges))
        patient = Patience(tries=4, sleep=lambda _: None)
        download(PlainArchive(), here, offer, Tickets(), patient)
        asked = server.requests_of(NAME)
    assert (here.folder / NAME).read_bytes() == WHOLE
    assert len(asked) == len(cuts) + 1
    kept = [cut // BLOCK * BLOCK for cut in cuts]
    starts = [sum(kept[:i]) for i in range(len(cuts) + 1)]
    if ranges:
        assert [a.start for a in asked] == starts


def test_a_server_without_ranges_is_read_from_the_start(
    server: Remote, order: Order, patience: Patience
) -> None:
    offer = offer_for(server.serve(NAME, WHOLE, cuts=[100], ranges=False))
    download(PlainArchive(), order, offer, Tickets(), patience)
    assert (order.folder / NAME).read_bytes() == WHOLE


def test_a_later_run_goes_on_where_the_first_was_cut(
    server: Remote, order: Order, patience: Patience
) -> None:
    offer, ticket = offer_for(server.serve(NAME, WHOLE, cuts=[900])), Tickets()
    with pytest.raises(RefusedError, match="cut after 900 bytes"):
        download(PlainArchive(), order, offer, ticket, replace(patience, tries=1))
    assert not (order.folder / NAME).exists()
    download(PlainArchive(), order, offer, ticket, patience)
    assert [a.start for a in server.requests_of(NAME)] == [0, 900]
    assert (order.folder / NAME).read_bytes() == WHOLE


def test_a_file_that_changed_on_the_server_is_begun_anew(
    server: Remote, order: Order, patience: Patience
) -> None:
    other = netcdf(("t2m",), form="NETCDF4")[:-1] + b"\x00"
    offer, ticket = offer_for(server.serve(NAME, other, cuts=[900])), Tickets()
    with pytest.raises(RefusedError):
        download(PlainArchive(), order, offer, ticket, replace(patience, tries=1))
    server.serve(NAME, WHOLE, etag='"two"')
    download(PlainArchive(), order, offer, ticket, patience)
    assert (order.folder / NAME).read_bytes() == WHOLE


def test_without_a_tag_or_checksum_a_later_run_trusts_no_partial_file(
    server: Remote, order: Order, patience: Patience
) -> None:
    offer, ticket = offer_for(server.serve(NAME, WHOLE, cuts=[900], etag=None)), Tickets()
    with pytest.raises(RefusedError):
        download(PlainArchive(), order, offer, ticket, replace(patience, tries=1))
    download(PlainArchive(), order, offer, ticket, patience)
    assert [a.start for a in server.requests_of(NAME)] == [0, 0]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_after_the_pause_it_wants(
    server: Remote, order: Order, patience: Patience, slept: list[float], status: int
) -> None:
    busy = [(status, {"Retry-After": "7"}), (status, {})]
    offer = offer_for(server.serve(NAME, WHOLE, first=busy))
    download(PlainArchive(), order, offer, Tickets(), patience)
    assert slept == [7.0, 4.0]


def test_pauses_double_and_end(
    server: Remote, order: Order, patience: Patience, slept: list[float]
) -> None:
    offer = offer_for(server.serve(NAME, WHOLE, first=[(503, {})] * 9))
    with pytest.raises(RefusedError, match="answers 503; given up after 4 attempts"):
        download(PlainArchive(), order, offer, Tickets(), patience)
    assert slept == [2.0, 4.0, 8.0]


def test_a_missing_file_is_not_asked_for_twice(
    server: Remote, order: Order, patience: Patience
) -> None:
    with pytest.raises(RefusedError, match="answers 404"):
        download(PlainArchive(), order, offer_for(f"{server.address}/none"), Tickets(), patience)
    assert len(server.requests_of("none")) == 1


def test_an_expired_signature_is_made_anew(
    server: Remote, order: Order, patience: Patience
) -> None:
    archive = PlainArchive(signatures=["sig=old", "sig=new"])
    offer = offer_for(server.serve(NAME, WHOLE, signature="sig=new"))
    download(archive, order, offer, Tickets(), patience)
    assert [a.query for a in server.requests_of(NAME)] == ["sig=old", "sig=new"]


def test_credentials_that_stay_wrong_end_after_two_attempts(
    server: Remote, order: Order, patience: Patience
) -> None:
    archive = PlainArchive(signatures=["sig=SECRET"])
    offer = offer_for(server.serve(NAME, WHOLE, signature="sig=new"))
    with pytest.raises(RefusedError, match="403: the credentials") as ended:
        download(archive, order, offer, Tickets(), patience)
    assert len(server.requests_of(NAME)) == 2
    assert "SECRET" not in str(ended.value)


@pytest.mark.parametrize(
    ("body", "facts", "words"),
    [
        (b"", {"bytes": None}, "empty \\(0 bytes\\)"),
        (PAGE, {"bytes": None}, "an HTML page"),
        (WHOLE[:-400], {}, "not as long as announced"),
        (WHOLE[:-400], {"bytes": None}, "cannot be read"),
        (WHOLE + b"more", {}, "were announced"),
        (b"\x00" * 500, {"bytes": None}, "of an unknown format"),
        (netcdf(months=2), {"bytes": None}, "2 records, 2024-05, 2024-06; one record of 2024-05"),
        (netcdf(month="2024-04"), {"bytes": None}, "1 records, 2024-04"),
        (netcdf(("d2m",)), {"bytes": None}, "not in it: t2m"),
        (WHOLE, {"checksum": ("md5", "0" * 32)}, "md5 checksum is not the one announced"),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_what_is_not_the_file_asked_for_never_takes_its_name(
    server: Remote,
    order: Order,
    patience: Patience,
    body: bytes,
    facts: dict[str, object],
    words: str,
) -> None:
    (order.folder).mkdir()
    (order.folder / NAME).write_bytes(b"what was there before")
    offer = offer_for(server.serve(NAME, body), **facts)
    with pytest.raises(RefusedError, match=words):
        download(PlainArchive(), order, offer, Tickets(), patience)
    assert (order.folder / NAME).read_bytes() == b"what was there before"


def test_a_page_with_status_200_is_rejected_by_its_type(
    server: Remote, order: Order, patience: Patience
) -> None:
    offer = offer_for(server.serve(NAME, WHOLE, kind="text/html; charset=utf-8"))
    with pytest.raises(RefusedError, match="an HTML page instead of the file"):
        download(PlainArchive(), order, offer, Tickets(), patience)


def test_a_body_shorter_than_the_server_states_is_not_taken(
    server: Remote, order: Order, patience: Patience
) -> None:
    address = server.serve(NAME, WHOLE, stated=len(WHOLE) + 50, ranges=False)
    with pytest.raises(RefusedError, match=r"cut after|416"):
        download(PlainArchive(), order, offer_for(address, bytes=None), Tickets(), patience)
    assert not (order.folder / NAME).exists()


def test_a_damaged_transfer_is_made_anew_once_its_checksum_tells(
    server: Remote, order: Order, patience: Patience
) -> None:
    flipped = bytearray(WHOLE)
    flipped[700] ^= 1
    address = server.serve(NAME, bytes(flipped))
    offer = offer_for(address, checksum=("sha256", hashlib.sha256(WHOLE).hexdigest()))

    def mend(_: float) -> None:
        server.serve(NAME, WHOLE)

    download(PlainArchive(), order, offer, Tickets(), replace(patience, sleep=mend))
    assert (order.folder / NAME).read_bytes() == WHOLE


def test_a_full_disk_ends_in_one_paragraph_and_leaves_nothing(
    server: Remote, order: Order, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ch4grid.fetching.download.os", SimpleNamespace(fsync=full))
    offer = offer_for(server.serve(NAME, WHOLE))
    with pytest.raises(RunError, match=r"No space left on device\. Free space in the data folder"):
        download(PlainArchive(), order, offer, Tickets(), patience)
    assert only(order.folder) == []
