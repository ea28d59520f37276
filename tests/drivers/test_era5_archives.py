"""Zarr stores: layouts of Earth Data Hub and ARCO-ERA5, on disk and from a server, stores that have stopped growing."""

import functools
import http.server
import threading
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ch4grid.drivers.era5 import ERA5
from ch4grid.errors import InputError
from ch4grid.stores import Workspace

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning")

LATITUDE, LONGITUDE = np.arange(80.0, -81.0, -40.0), np.arange(0.0, 360.0, 60.0)
LONG = {"t2m": "2m_temperature", "tp": "total_precipitation"}


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "data").mkdir()
    return Workspace(tmp_path / "data", tmp_path / "out")


def fields(times, time="valid_time", **values):
    units = {"t2m": "K", "tp": "m"}
    shape = (len(times), LATITUDE.size, LONGITUDE.size)
    dims = (time, "latitude", "longitude")
    return xr.Dataset(
        {
            n: (
                dims,
                np.broadcast_to(np.asarray(v, np.float64)[:, None, None], shape),
                {"units": units[n]},
            )
            for n, v in values.items()
        },
        coords={time: times, "latitude": LATITUDE, "longitude": LONGITUDE},
    )


def hub(workspace, last="2003-12-01"):
    """Monthly means as Earth Data Hub lays them out."""
    times = pd.date_range("2003-01-01", last, freq="MS")
    ds = fields(times, t2m=280.0 + np.arange(len(times)), tp=np.full(len(times), 0.002))
    ds.to_zarr(workspace.data / "era5.zarr", zarr_format=3, consolidated=True)
    return times


def arco(workspace, *, stop="2003-03-01", stop_early="2003-04-02", last="2003-05-31T23"):
    """Hours as ARCO-ERA5 lays them out: an axis longer than the data, the extent in the attributes."""
    times = pd.date_range("2003-01-31T00", last, freq="h")
    t2m = np.where(times < "2003-04-03", 280.0 + times.hour, np.nan)
    tp = np.where(times < "2003-04-03", np.tile([0.0, 1e-4], len(times))[: len(times)], np.nan)
    ds = fields(times, "time", t2m=t2m, tp=tp).rename(LONG)
    ds = ds.assign_attrs(
        valid_time_start="2003-01-31", valid_time_stop=stop, valid_time_stop_era5t=stop_early
    )
    ds.to_zarr(workspace.data / "arco.zarr", zarr_format=3, consolidated=True)


def era5(path, *variables, **more):
    return ERA5(path=path, variables=variables, **more)


def months(first, last):
    return pd.date_range(first, last, freq="MS")


def test_the_layout_of_earth_data_hub_is_read(workspace):
    times = hub(workspace)
    source = era5("era5.zarr", "tas", "pr")
    assert {h.state for h in source.survey(workspace, times)} == {"final"}
    ds = source.open(workspace, ["tas", "pr"], times[2:5])
    np.testing.assert_allclose(ds["tas"][:, 0, 0], [282, 283, 284])
    np.testing.assert_allclose(ds["pr"], 0.002 / 86.4, rtol=1e-6)


def test_months_after_the_end_of_a_store_say_that_it_may_be_frozen(workspace):
    hub(workspace, "2003-06-01")
    held = era5("era5.zarr", "tas").survey(workspace, months("2003-06-01", "2003-07-01"))
    assert [h.state for h in held] == ["final", "missing"]
    assert held[1].reason == (
        "the store ends at 2003-06-01; if it no longer grows it has been superseded"
    )


def test_a_store_that_has_grown_is_seen_again(workspace):
    hub(workspace, "2003-06-01")
    source, july = era5("era5.zarr", "tas"), months("2003-07-01", "2003-07-01")
    assert source.survey(workspace, july)[0].state == "missing"
    more = fields(july, t2m=[290.0], tp=[0.001])
    more.to_zarr(workspace.data / "era5.zarr", append_dim="valid_time", zarr_format=3)
    assert source.survey(workspace, july)[0].state == "final"


def test_the_layout_of_arco_is_read_with_the_extent_that_it_states(workspace):
    arco(workspace)
    wanted = months("2003-02-01", "2003-05-01")
    source = era5("arco.zarr", "tas", "pr")
    held = {(h.variable, h.month.month): h for h in source.survey(workspace, wanted)}
    assert [held["tas", m].state for m in (2, 3, 4, 5)] == [
        "final",
        "preliminary",
        "missing",
        "missing",
    ]
    # the last hour of February is labelled 1 March 00 UTC, which is final
    assert [held["pr", m].state for m in (2, 3, 4)] == ["final", "preliminary", "missing"]
    assert held["tas", 5].reason.startswith("the store ends at 2003-04-02")
    ds = source.open(workspace, ["tas", "pr"], wanted[:2])
    np.testing.assert_allclose(ds["tas"], 280 + 11.5, rtol=1e-6)
    np.testing.assert_allclose(ds["pr"], 0.5 * 1e-4 * 1000 / 3600, rtol=1e-5)


def test_a_store_whose_early_extent_is_not_stated_ends_with_the_final_one(workspace):
    times = pd.date_range("2003-01-01", "2003-12-01", freq="MS")
    ds = fields(times, "time", t2m=np.full(12, 280.0)).rename({"t2m": LONG["t2m"]})
    ds.assign_attrs(valid_time_stop="2003-08-31").to_zarr(workspace.data / "a.zarr", zarr_format=3)
    held = era5("a.zarr", "tas").survey(workspace, times)
    assert [h.state for h in held] == ["final"] * 8 + ["missing"] * 4


@pytest.fixture
def server(workspace):
    """A server that wants a login, without listing of folders and counting what it is asked for."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        wanted = ""
        asked: ClassVar[list[str]] = []

        def do_GET(self):
            Handler.asked.append(self.path)
            if self.wanted and self.headers.get("Authorization") != self.wanted:
                self.send_error(401)
            elif self.path.endswith("/"):
                self.send_error(404)
            else:
                super().do_GET()

        def log_message(self, *_):
            pass

    serve = functools.partial(Handler, directory=str(workspace.data))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        Handler.asked = []
        yield f"http://127.0.0.1:{running.server_port}", Handler
        running.shutdown()
        thread.join()


def test_a_store_behind_a_url_gives_what_the_folder_gives(workspace, server):
    pytest.importorskip("aiohttp")
    times = hub(workspace)
    url, handler = server
    there = era5(f"{url}/era5.zarr", "tas").open(workspace, ["tas"], times[:2])
    xr.testing.assert_identical(there, era5("era5.zarr", "tas").open(workspace, ["tas"], times[:2]))
    assert not [path for path in handler.asked if "/tp/c" in path]


def test_a_login_comes_from_netrc_and_appears_nowhere(workspace, server, tmp_path, monkeypatch):
    pytest.importorskip("aiohttp")
    import base64

    times = hub(workspace)
    url, handler = server
    handler.wanted = "Basic " + base64.b64encode(b"edh:hunter2").decode()
    source = era5(f"{url}/era5.zarr", "tas")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    (held,) = source.survey(workspace, times[:1])
    assert held.state in ("missing", "damaged")
    assert "status 401" in held.reason
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login edh password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    ds = source.open(workspace, ["tas"], times[:2])
    np.testing.assert_allclose(ds["tas"][:, 0, 0], [280, 281])
    handler.wanted = "Basic other"
    with pytest.raises(InputError, match="status 401") as error:
        source.open(workspace, ["tas"], times[:2])
    written = (workspace.cache / "headers.json").read_text()
    assert "hunter2" not in str(error.value) + str(ds) + written


def test_a_store_out_of_reach_is_as_last_seen_and_reading_it_fails(workspace, server):
    pytest.importorskip("aiohttp")
    times = hub(workspace)
    url, handler = server
    source = era5(f"{url}/era5.zarr", "tas")
    source.survey(workspace, times)
    handler.wanted = "locked"
    assert {h.state for h in source.survey(workspace, times)} == {"final"}
    with pytest.raises(InputError, match="cannot read this Zarr store"):
        source.open(workspace, ["tas"], times[:1])


def test_a_url_without_a_store_is_told(workspace, server):
    pytest.importorskip("aiohttp")
    url, _ = server
    (held,) = era5(f"{url}/none.zarr", "tas").survey(workspace, months("2003-01-01", "2003-01-01"))
    assert held.state in ("missing", "damaged")
    assert "cannot read this Zarr store" in held.reason
