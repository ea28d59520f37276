"""Where credentials for archives and object stores are found: yes or no and the place, never a value.

The places are those that the clients behind `fetch` and `mirror` look at, in their order; nobody is asked anything.
"""

import netrc
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

EARTHDATA_HOST = "urs.earthdata.nasa.gov"


@dataclass(frozen=True)
class Credential:
    """Whether there is a credential.

    Args:
        archive: What it is for.
        place: The variable or file that holds it; None where there is none.
        fix: How to get one.
    """

    archive: str
    place: str | None
    fix: str


def credentials() -> list[Credential]:
    """A row per archive that asks for a credential."""
    return [
        Credential(
            "Climate Data Store",
            _first(_climate_data_store),
            "Copy the key from your profile page at cds.climate.copernicus.eu into ~/.cdsapirc or ECMWF_DATASTORES_KEY",
        ),
        Credential(
            "NASA Earthdata",
            _first(_earthdata),
            f"Make a token at {EARTHDATA_HOST} and set EARTHDATA_TOKEN",
        ),
        Credential(
            "S3", _first(_s3), "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ),
    ]


def _first(places: Callable[[], Iterator[str]]) -> str | None:
    return next(places(), None)


def _climate_data_store() -> Iterator[str]:
    if _set("ECMWF_DATASTORES_KEY"):
        yield "ECMWF_DATASTORES_KEY"
    yield from _with_key(os.environ.get("ECMWF_DATASTORES_RC_FILE", "~/.ecmwfdatastoresrc"))
    if _set("CDSAPI_KEY"):
        yield "CDSAPI_KEY"
    yield from _with_key(os.environ.get("CDSAPI_RC", "~/.cdsapirc"))


def _earthdata() -> Iterator[str]:
    if _set("EARTHDATA_TOKEN"):
        yield "EARTHDATA_TOKEN"
    if _set("EARTHDATA_USERNAME") and _set("EARTHDATA_PASSWORD"):
        yield "EARTHDATA_USERNAME and EARTHDATA_PASSWORD"
    name = os.environ.get("NETRC") or "~/.netrc"
    try:
        entry = netrc.netrc(str(Path(name).expanduser())).hosts.get(EARTHDATA_HOST)
    except (OSError, netrc.NetrcParseError):
        return
    if entry is not None:
        yield name


def _s3() -> Iterator[str]:
    if _set("AWS_ACCESS_KEY_ID") and _set("AWS_SECRET_ACCESS_KEY"):
        yield "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    for name in ("AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        if _set(name):
            yield name
    name = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    if Path(name).expanduser().is_file():
        yield name


def _set(variable: str) -> bool:
    return bool(os.environ.get(variable))


def _with_key(name: str) -> Iterator[str]:
    """The file's name if a line of it begins with `key:` and goes on."""
    try:
        lines = Path(name).expanduser().read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    if any(key == "key" and value.strip() for key, _, value in (x.partition(":") for x in lines)):
        yield name
