"""`inventory` and `fetch` as a user meets them, with the real reader and client of ERA5 and a store that is played."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from planted_files import netcdf
from planted_remote import Asked, Remote

from ch4grid import cli

KEY = "0123-planted-secret-key"
DATASET = "reanalysis-era5-single-levels-monthly-means"
RECIPE = {
    "product": "ch4-small",
    "title": "Temperature of one year",
    "period": [2024, 2024],
    "grid": {"resolution": 30.0},
    "drivers": [{"source": "era5", "path": "era5/*.nc", "variables": ["tas"]}],
    "ecosystems": {
        "areas": [
            {
                "source": "gridded",
                "path": "areas.nc",
                "variables": {"land_fraction": "land_fraction"},
            }
        ]
    },
    "model": {"checkpoint": "model"},
    "spin_up": 0,
}


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """A command in a folder with a recipe and the areas; drivers are missing."""
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(RECIPE))
    share = xr.DataArray(
        np.full((9, 16), 0.5, np.float32),
        dims=("latitude", "longitude"),
        coords={"latitude": np.linspace(80, -80, 9), "longitude": np.arange(16) * 22.5},
        attrs={"units": "1"},
    )
    xr.Dataset({"land_fraction": share}).to_netcdf(tmp_path / "areas.nc", engine="netcdf4")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["ch4grid", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def store(server: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """The Climate Data Store with every month of 2024 but the last, each job done at once."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ECMWF_DATASTORES_URL", f"{server.address}/api")
    monkeypatch.setenv("ECMWF_DATASTORES_KEY", KEY)
    base = f"{server.address}/api/retrieve/v1"
    links = [{"rel": "self", "href": f"{base}/processes/{DATASET}"}]
    server.reply("/api/catalogue/v1/messages", {"messages": []})
    server.reply(f"/api/retrieve/v1/processes/{DATASET}", {"id": DATASET, "links": links})

    # made here: the NetCDF library must not work in the threads of server and fetch at once
    bodies = {f"{m:02d}": netcdf(month=f"2024-{m:02d}") for m in range(1, 13)}

    def submitted(asked: Asked) -> tuple[int, dict[str, str], bytes]:
        month = json.loads(asked.body)["inputs"]["month"][0]
        href = f"{base}/jobs/{month}"
        status = "failed" if month == "12" else "successful"
        told = {
            "jobID": month,
            "processID": DATASET,
            "status": status,
            "links": [{"rel": r, "href": href} for r in ("monitor", "self")],
        }
        body = bodies[month]
        address = server.serve(f"results/{month}.nc", body)
        value = {"href": address, "file:size": len(body), "type": "application/netcdf"}
        failed = {"title": "None of the data you have requested is available yet"}
        server.reply(f"/api/retrieve/v1/jobs/{month}", told)
        result = failed if month == "12" else {"asset": {"value": value}}
        server.reply(f"/api/retrieve/v1/jobs/{month}/results", result)
        return 201, {"Content-Type": "application/json"}, json.dumps(told).encode()

    server.answers[f"/api/retrieve/v1/processes/{DATASET}/execution"] = submitted
    return server


def test_a_year_is_missed_fetched_and_held(command: Callable[..., Said], store: Remote) -> None:
    before = command("inventory", "small.yaml", "--json")
    assert before.code == 3
    assert json.loads(before.out)["count"]["missing"] == 12
    assert "12 of 13 entries are missing or damaged" in before.err

    came = command("fetch", "small.yaml", "--year", "2024")
    assert came.code == 1
    assert came.out.count("fetched: era5/era5_2024-") == 11
    assert "None of the data you have requested is available yet" in came.err

    after = command("inventory", "small.yaml", "--json")
    rows = [r for r in json.loads(after.out)["rows"] if r["variable"] == "tas"]
    assert [r["state"] for r in rows] == ["final"] * 11 + ["missing"]
    assert rows[4]["files"] == ["era5/era5_2024-05.nc"]

    again = command("fetch", "small.yaml", "--year", "2024", "--json")
    assert [o["period"] for o in json.loads(again.out)["orders"]] == ["2024-12"]
    everything = "".join(s.out + s.err for s in (before, came, after, again))
    assert KEY not in everything


def test_a_damaged_month_is_told_and_fetched_anew(
    command: Callable[..., Said], store: Remote, tmp_path: Path
) -> None:
    folder = tmp_path / "era5"
    folder.mkdir()
    for month in range(1, 13):
        (folder / f"era5_2024-{month:02d}.nc").write_bytes(netcdf(month=f"2024-{month:02d}"))
    assert command("inventory", "small.yaml").code == 0
    file = folder / "era5_2024-07.nc"
    whole = file.read_bytes()
    file.write_bytes(whole[:3000])
    told = command("inventory", "small.yaml")
    assert told.code == 3
    assert "tas 2024-07" in told.err
    came = command("fetch", "small.yaml", "--year", "2024")
    assert came.code == 0
    assert came.out.startswith("fetched: era5/era5_2024-07.nc")
    assert file.read_bytes() == whole
    assert command("inventory", "small.yaml").code == 0


def test_a_dry_run_needs_no_credentials(command: Callable[..., Said]) -> None:
    told = command("fetch", "small.yaml", "--year", "2024", "--dry-run")
    assert told.code == 0
    assert told.out.count("would fetch cds") == 12


def test_fetch_without_a_year_is_wrong_usage(command: Callable[..., Said]) -> None:
    assert command("fetch", "small.yaml").code == 2
