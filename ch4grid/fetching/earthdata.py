"""NASA Earthdata through earthaccess: it searches the Common Metadata Repository and signs in; ours is the download."""

import threading
import warnings
from typing import Any

from ch4grid.errors import RunError
from ch4grid.fetching.offer import Offer, Order, RefusedError, Ticket
from ch4grid.redaction import redacted

# Collection 6.1 of the climate modelling grids.
VERSION = "061"
# Names of algorithms in the Unified Metadata Model, and of hashlib.
ALGORITHMS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-512": "sha512"}


class Earthdata:
    """NASA's archive; it signs in with EARTHDATA_TOKEN, or the user and password of the environment or of netrc.

    Raises:
        RunError: No credentials are found, or they are not accepted.
    """

    def __init__(self) -> None:
        self._auth = _signed_in()
        self._lock = threading.Lock()

    def offers(self, order: Order, ticket: Ticket) -> list[Offer]:
        """Granules of the product in the stretch of time.

        Raises:
            RefusedError: The search fails.
        """
        import earthaccess

        span = (f"{order.first:%Y-%m-%d}", f"{order.last:%Y-%m-%d}")
        with self._lock, warnings.catch_warnings():  # its own methods warn of its next version
            warnings.simplefilter("ignore")
            try:
                granules = earthaccess.search_data(
                    short_name=order.collection, version=VERSION, temporal=span
                )
                found = [offer_of(g) for g in granules]
            except Exception as error:  # whatever the client raises, in words and without the token
                raise RefusedError(redacted(error, self.secrets())) from None
        return [o for o in found if o is not None and o.name.startswith(order.prefix)]

    def session(self) -> Any:
        """A session that carries the token to NASA's hosts."""
        return self._auth.get_session()

    def sign(self, address: str) -> str:
        """The address as it is: the session signs."""
        return address

    def secrets(self) -> tuple[str, ...]:
        """Token and password."""
        token = dict(self._auth.token or {}).get("access_token", "")
        return tuple(str(s) for s in (token, self._auth.password) if s)


def offer_of(granule: Any) -> Offer | None:
    """The HDF file of a granule, with size and checksum where its metadata state them."""
    links = [link for link in granule.data_links(access="external") if link.endswith(".hdf")]
    if not links:
        return None
    name = str(links[0]).rsplit("/", 1)[-1]
    told = granule["umm"].get("DataGranule", {}).get("ArchiveAndDistributionInformation", [])
    facts: dict[str, Any] = next((f for f in told if f.get("Name") in (name, None)), {})
    checksum = facts.get("Checksum", {})
    algorithm = ALGORITHMS.get(str(checksum.get("Algorithm", "")))
    digest = str(checksum.get("Value", "")).lower()
    return Offer(
        name=name,
        address=links[0],
        bytes=int(facts["SizeInBytes"]) if "SizeInBytes" in facts else None,
        checksum=(algorithm, digest) if algorithm and digest else None,
    )


def _signed_in() -> Any:
    """The client's credentials, from the environment or netrc; it never asks."""
    import earthaccess
    from earthaccess.exceptions import LoginAttemptFailure, LoginStrategyUnavailable

    for strategy in ("environment", "netrc"):
        try:
            # not earthaccess.login, which asks NASA's servers before anything is wanted of them
            auth = earthaccess.Auth().login(strategy=strategy)
        except LoginStrategyUnavailable:
            continue
        except LoginAttemptFailure:
            break
        if auth.authenticated:
            return auth
    raise RunError(
        "not signed in to NASA Earthdata",
        expected="EARTHDATA_TOKEN, EARTHDATA_USERNAME and EARTHDATA_PASSWORD, or urs.earthdata.nasa.gov in ~/.netrc",
        found="none that is accepted",
        fix="Make a token at urs.earthdata.nasa.gov and set EARTHDATA_TOKEN",
    )
