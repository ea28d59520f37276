"""The client of the Climate Data Store itself, against a server that plays the store's interface."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from planted_archive import Tickets
from planted_files import netcdf
from planted_remote import Asked, Remote

from ch4grid.errors import RunError
from ch4grid.fetching import Order, Patience
from ch4grid.fetching.datastore import DataStore, request_of
from ch4grid.fetching.download import download
from ch4grid.fetching.offer import RefusedError

KEY = "0123-planted-secret-key"
DATASET = "reanalysis-era5-single-levels-monthly-means"
JOB = "job-1"
BODY = netcdf()


class Store:
    """The interface of the store: jobs go from accepted to running to an end."""

    def __init__(self, server: Remote, ends: str = "successful") -> None:
        self.server = server
        self.ends = ends
        self.statuses = ["accepted", "running"]
        api = f"{server.address}/api"
        server.reply("/api/catalogue/v1/messages", {"messages": []})
        server.reply(
            f"/api/retrieve/v1/processes/{DATASET}",
            {"id": DATASET, "links": [{"rel": "self", "href": f"{api}/retrieve/v1/processes"}]},
        )
        server.answers[f"/api/retrieve/v1/processes/{DATASET}/execution"] = self._job
        server.answers[f"/api/retrieve/v1/jobs/{JOB}"] = self._job
        address = server.serve("object-store/result.nc", BODY)
        value = {"href": address, "file:size": len(BODY), "type": "application/netcdf"}
        server.reply(f"/api/retrieve/v1/jobs/{JOB}/results", {"asset": {"value": value}})
        if ends == "failed":
            told = {"title": "The job has failed", "detail": f"no data yet for {KEY}"}
            server.reply(f"/api/retrieve/v1/jobs/{JOB}/results", told)

    def _job(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        status = "accepted" if asked.method == "POST" else (self.statuses or [self.ends]).pop(0)
        href = f"{self.server.address}/api/retrieve/v1/jobs/{JOB}"
        links = [{"rel": "monitor", "href": href}, {"rel": "self", "href": href}]
        document = {"jobID": JOB, "processID": DATASET, "status": status, "links": links}
        return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()

    def submitted(self) -> list[Asked]:
        return [a for a in self.server.asked if a.path.endswith("/execution")]


@pytest.fixture(autouse=True)
def _key(server: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ECMWF_DATASTORES_URL", f"{server.address}/api")
    monkeypatch.setenv("ECMWF_DATASTORES_KEY", KEY)
    return


@pytest.fixture
def request_order(order: Order) -> Order:
    return replace(order, collection=DATASET)


def test_a_request_is_submitted_waited_for_and_downloaded(
    server: Remote, request_order: Order, patience: Patience, slept: list[float]
) -> None:
    store, ticket = Store(server), Tickets()
    archive = DataStore(patience)
    (offer,) = archive.offers(request_order, ticket)
    size, _ = download(archive, request_order, offer, ticket, patience)
    assert (request_order.folder / request_order.target).read_bytes() == BODY
    assert size == offer.bytes == len(BODY)
    assert slept == [patience.poll, patience.poll]
    (asked,) = store.submitted()
    assert asked.headers["PRIVATE-TOKEN"] == KEY
    assert json.loads(asked.body) == {"inputs": request_of(request_order)}
    assert ticket.request == JOB


def test_the_request_is_for_the_monthly_means_of_one_month(request_order: Order) -> None:
    assert request_of(request_order) == {
        "product_type": ["monthly_averaged_reanalysis"],
        "variable": ["2m_temperature"],
        "year": ["2024"],
        "month": ["05"],
        "time": ["00:00"],
        "data_format": "netcdf",
        "download_format": "unarchived",
    }
    assert request_of(replace(request_order, formats=("GRIB",)))["data_format"] == "grib"


def test_a_request_of_an_earlier_run_is_taken_up_again(
    server: Remote, request_order: Order, patience: Patience
) -> None:
    store = Store(server)
    (offer,) = DataStore(patience).offers(request_order, Tickets({"request": JOB}))
    assert offer.bytes == len(BODY)
    assert store.submitted() == []


def test_a_request_that_is_left_waiting_is_remembered(
    server: Remote, request_order: Order, patience: Patience
) -> None:
    def stopped(_: float) -> None:
        raise RefusedError("the fetch was stopped")

    Store(server)
    ticket = Tickets()
    with pytest.raises(RefusedError, match="stopped"):
        DataStore(replace(patience, sleep=stopped)).offers(request_order, ticket)
    assert ticket.request == JOB


def test_a_request_that_the_store_has_forgotten_is_made_anew(
    server: Remote, request_order: Order, patience: Patience
) -> None:
    store, ticket = Store(server), Tickets({"request": "job-0"})
    DataStore(patience).offers(request_order, ticket)
    assert len(store.submitted()) == 1
    assert ticket.request == JOB


def test_a_request_that_fails_says_why_without_the_key(
    server: Remote, request_order: Order, patience: Patience
) -> None:
    Store(server, ends="failed")
    ticket = Tickets()
    with pytest.raises(RefusedError, match=r"job has failed no data yet for \*\*\*"):
        DataStore(patience).offers(request_order, ticket)
    assert ticket.request == ""


def test_the_result_is_read_without_the_key(
    server: Remote, request_order: Order, patience: Patience
) -> None:
    Store(server)
    archive, ticket = DataStore(patience), Tickets()
    (offer,) = archive.offers(request_order, ticket)
    download(archive, request_order, offer, ticket, patience)
    (read,) = server.requests_of("object-store/result.nc")
    assert KEY not in str(read.headers)


def test_the_key_of_cdsapi_is_found(
    server: Remote, tmp_path: Path, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(server)
    monkeypatch.delenv("ECMWF_DATASTORES_URL")
    monkeypatch.delenv("ECMWF_DATASTORES_KEY")
    (tmp_path / ".cdsapirc").write_text(f"url: {server.address}/api\nkey: {KEY}\n")
    assert DataStore(patience).secrets() == (KEY,)


def test_without_a_key_one_paragraph_says_where_it_belongs(
    patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ECMWF_DATASTORES_KEY")
    with pytest.raises(RunError, match=r"no key for the Climate Data Store.*cdsapirc"):
        DataStore(patience)
