"""The Climate Data Store through ecmwf-datastores-client: requests wait in its queue, results are ordinary files.

The client signs in, submits and looks; the key comes from its own places or from those of cdsapi.
"""

import os
import warnings
from pathlib import Path
from typing import Any

from ch4grid.errors import RunError
from ch4grid.fetching.offer import Offer, Order, Patience, RefusedError, Ticket, checksum_of
from ch4grid.redaction import redacted

ADDRESS = "https://cds.climate.copernicus.eu/api"
PRODUCT = "monthly_averaged_reanalysis"


class DataStore:
    """The Climate Data Store as an archive.

    Args:
        patience: How long it waits between looks at a request.

    Raises:
        RunError: No key is found.
    """

    def __init__(self, patience: Patience) -> None:
        from ecmwf.datastores import Client

        self.patience = patience
        self._key = _setting("key", "CDSAPI_KEY")
        if not self._key:
            raise RunError(
                "no key for the Climate Data Store",
                expected="ECMWF_DATASTORES_KEY, or `key: ...` in ~/.ecmwfdatastoresrc or ~/.cdsapirc",
                found="none",
                fix="Copy the key from your profile page at cds.climate.copernicus.eu",
            )
        with warnings.catch_warnings():  # the client greets with the messages of the store
            warnings.simplefilter("ignore")
            self._client = Client(
                url=_setting("url", "CDSAPI_URL") or ADDRESS,
                key=self._key,
                progress=False,
                timeout=patience.timeout,
                retry_after=patience.wait,
                maximum_tries=patience.tries,
            )

    def offers(self, order: Order, ticket: Ticket) -> list[Offer]:
        """The result of the request for one month, once the store has made it.

        Raises:
            RefusedError: The store cannot serve the request: the month is not out yet, a licence is not accepted.
        """
        from ecmwf.datastores.processing import ProcessingFailedError

        try:
            remote = self._remote(order, ticket)
            while not remote.results_ready:
                self.patience.sleep(self.patience.poll)
            results = remote.get_results()
        except RefusedError:  # stopped while it waits: a rerun takes the request up again
            raise
        except Exception as error:  # whatever the client raises, in words and without the key
            if isinstance(error, ProcessingFailedError):
                ticket.note(request=None)
            raise RefusedError(redacted(error, self.secrets())) from None
        asset = dict(results.asset)
        checksum = checksum_of(asset.get("file:checksum"))
        return [Offer(order.target, results.location, results.content_length, checksum)]

    def session(self) -> Any:
        """A plain session: results need no key."""
        import requests

        return requests.Session()

    def sign(self, address: str) -> str:
        """The address as it is."""
        return address

    def secrets(self) -> tuple[str, ...]:
        """The key."""
        return (self._key,)

    def _remote(self, order: Order, ticket: Ticket) -> Any:
        """The request of an earlier run while the store still knows it, otherwise a new one."""
        if ticket.request:
            try:
                remote = self._client.get_remote(ticket.request)
                if remote.status not in ("failed", "rejected", "dismissed", "deleted"):
                    return remote
            except Exception:  # forgotten by the store: the same request is made anew
                ticket.note(request=None)
        remote = self._client.submit(order.collection, request_of(order))
        ticket.note(request=remote.request_id)
        return remote


def request_of(order: Order) -> dict[str, Any]:
    """The body of the request for one month of monthly means."""
    return {
        "product_type": [order.variant or PRODUCT],
        "variable": list(order.asked),
        "year": [f"{order.first:%Y}"],
        "month": [f"{order.first:%m}"],
        "time": ["00:00"],
        "data_format": "grib" if order.formats == ("GRIB",) else "netcdf",
        "download_format": "unarchived",
    }


def _setting(name: str, variable: str) -> str:
    """A setting of the client from its own places, otherwise from those of cdsapi; empty if there is none."""
    from ecmwf.datastores import config

    try:
        return str(config.get_config(name))
    except (OSError, KeyError, ValueError):
        pass
    file = Path(os.environ.get("CDSAPI_RC", "~/.cdsapirc")).expanduser()
    try:
        return os.environ.get(variable) or config.read_config(str(file)).get(name, "")
    except (OSError, ValueError):
        return ""
