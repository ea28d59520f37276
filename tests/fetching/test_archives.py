"""The clients of NASA and of the Planetary Computer: what they find becomes offers, what they know stays secret."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import earthaccess
import pytest
import requests
from planted_archive import Tickets
from planted_remote import Remote

from ch4grid.errors import RunError
from ch4grid.fetching import Order
from ch4grid.fetching.earthdata import Earthdata
from ch4grid.fetching.offer import RefusedError
from ch4grid.fetching.planetary import PlanetaryComputer

GRANULE = "MOD13C2.A2024122.061.2024156012345.hdf"
TOKEN = "planted-earthdata-token"


def granule(name: str = GRANULE, **facts: object) -> earthaccess.DataGranule:
    told = {"Name": name, "Size": 1.0, "SizeUnit": "MB"} | facts
    links = [
        {"Type": "GET DATA", "URL": f"https://data.example.org/MOD13C2/{name}"},
        {"Type": "GET DATA", "URL": f"https://data.example.org/MOD13C2/{name}.xml"},
    ]
    with pytest.warns(FutureWarning):
        return earthaccess.DataGranule(
            {
                "meta": {"concept-id": "G1", "provider-id": "LPCLOUD"},
                "umm": {
                    "GranuleUR": name,
                    "RelatedUrls": links,
                    "DataGranule": {"ArchiveAndDistributionInformation": [told]},
                },
            },
            cloud_hosted=True,
        )


@pytest.fixture
def granules(order: Order) -> Order:
    return replace(
        order, remote="earthdata", collection="MOD13C2", target="", prefix="MOD13C2.A2024122"
    )


def test_granules_become_offers_with_size_and_checksum(
    granules: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", TOKEN)
    asked: dict[str, Any] = {}

    def search(**query: object) -> list[earthaccess.DataGranule]:
        asked.update(query)
        checksum = {"Value": "AB" * 16, "Algorithm": "MD5"}
        return [
            granule(SizeInBytes=1234, Checksum=checksum),
            granule("MOD13C2.A2024092.061.2024126012345.hdf"),
        ]

    monkeypatch.setattr(earthaccess, "search_data", search)
    archive = Earthdata()
    (offer,) = archive.offers(granules, Tickets())
    assert (offer.name, offer.bytes, offer.checksum) == (GRANULE, 1234, ("md5", "ab" * 16))
    assert offer.address == f"https://data.example.org/MOD13C2/{GRANULE}"
    assert asked == {
        "short_name": "MOD13C2",
        "version": "061",
        "temporal": ("2024-05-01", "2024-05-31"),
    }
    assert archive.secrets() == (TOKEN,)
    with archive.session() as session:
        assert session.headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_search_that_fails_does_not_tell_the_token(
    granules: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", TOKEN)

    def search(**query: object) -> list[Any]:
        raise RuntimeError(f"refused with header Authorization: Bearer {TOKEN}")

    monkeypatch.setattr(earthaccess, "search_data", search)
    with pytest.raises(RefusedError, match="refused with header") as ended:
        Earthdata().offers(granules, Tickets())
    assert TOKEN not in str(ended.value)


def test_without_credentials_one_paragraph_says_where_they_belong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(RunError, match=r"not signed in to NASA Earthdata.*EARTHDATA_TOKEN"):
        Earthdata()


def stac(server: Remote, items: list[dict[str, Any]]) -> str:
    """A STAC API with one answer to every search."""
    address = f"{server.address}/stac"
    conforms = [
        "https://api.stacspec.org/v1.0.0/core",
        "https://api.stacspec.org/v1.0.0/item-search",
    ]
    links = [
        {"rel": "self", "href": address, "type": "application/json"},
        {"rel": "root", "href": address, "type": "application/json"},
        {
            "rel": "search",
            "href": f"{address}/search",
            "type": "application/geo+json",
            "method": "POST",
        },
    ]
    server.reply(
        "/stac",
        {
            "type": "Catalog",
            "id": "planted",
            "stac_version": "1.0.0",
            "description": "planted",
            "conformsTo": conforms,
            "links": links,
        },
    )
    server.reply("/stac/search", {"type": "FeatureCollection", "features": items, "links": []})
    return address


def item(name: str, **assets: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": None,
        "properties": {"datetime": "2024-05-08T00:00:00Z"},
        "links": [],
        "assets": assets,
    }


@pytest.fixture
def tiles(order: Order) -> Order:
    return replace(
        order,
        remote="planetary-computer",
        collection="modis-15A2H-061",
        target="",
        asked=("Lai_500m", "FparLai_QC"),
        prefix="MOD15A2H.",
    )


def test_assets_of_one_platform_become_offers(server: Remote, tiles: Order) -> None:
    base = f"{server.address}/blob/MOD15A2H.A2024129.h18v04.061"
    lai = {"href": f"{base}_Lai_500m.tif?old=signature", "file:size": 99}
    quality = {"href": f"{base}_FparLai_QC.tif", "file:checksum": "1220" + "ab" * 32}
    found = [
        item("MOD15A2H.A2024129.h18v04.061", Lai_500m=lai, FparLai_QC=quality, hdf=lai),
        item("MYD15A2H.A2024129.h18v04.061", Lai_500m=lai),
    ]
    archive = PlanetaryComputer(stac(server, found), signer=lambda a: f"{a}?fresh")
    offers = archive.offers(tiles, Tickets())
    assert [o.name for o in offers] == [
        "MOD15A2H.A2024129.h18v04.061_Lai_500m.tif",
        "MOD15A2H.A2024129.h18v04.061_FparLai_QC.tif",
    ]
    assert [(o.bytes, o.checksum) for o in offers] == [(99, None), (None, ("sha256", "ab" * 32))]
    assert archive.sign(offers[0].address) == f"{base}_Lai_500m.tif?fresh"
    search = next(a for a in server.asked if a.path == "/stac/search")
    assert b"modis-15A2H-061" in search.body
    assert b"2024-05-01" in search.body


def test_the_public_signer_leaves_other_hosts_alone(server: Remote) -> None:
    address = f"{server.address}/file.tif"
    assert PlanetaryComputer(f"{server.address}/stac").sign(address) == address


def test_a_signer_that_fails_does_not_tell_the_signature(server: Remote) -> None:
    def fails(address: str) -> str:
        raise requests.HTTPError(f"403 for url: {address}?sig=planted-signature")

    with pytest.raises(RefusedError, match="403 for url") as ended:
        PlanetaryComputer(server.address, signer=fails).sign(f"{server.address}/a.tif")
    assert "planted-signature" not in str(ended.value)
