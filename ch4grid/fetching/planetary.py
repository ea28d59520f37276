"""MODIS tiles of the Planetary Computer through pystac-client; addresses are signed anew at each read.

A signature lives for less than an hour, a global month of tiles takes longer.
"""

import warnings
from collections.abc import Callable
from typing import Any

from ch4grid.fetching.offer import Offer, Order, RefusedError, Ticket, checksum_of
from ch4grid.redaction import redacted

ADDRESS = "https://planetarycomputer.microsoft.com/api/stac/v1"


class PlanetaryComputer:
    """A STAC API whose assets are signed.

    Args:
        address: Its landing page.
        signer: Signs an address; that of the planetary_computer package when None.
    """

    def __init__(self, address: str = ADDRESS, signer: Callable[[str], str] | None = None) -> None:
        self._address = address
        self._signer = signer or _signer()

    def offers(self, order: Order, ticket: Ticket) -> list[Offer]:
        """Assets of all items in the stretch of time.

        Raises:
            RefusedError: The search fails.
        """
        from pystac_client import Client

        span = f"{order.first:%Y-%m-%d}/{order.last:%Y-%m-%d}"
        try:
            search = Client.open(self._address).search(
                collections=[order.collection], datetime=span, limit=250
            )
            items = list(search.items_as_dicts())
        except Exception as error:  # whatever the client raises, in words and without signatures
            raise RefusedError(redacted(error)) from None
        wanted = [i for i in items if str(i.get("id", "")).startswith(order.prefix)]
        return [o for item in wanted for o in _offers(item, order)]

    def session(self) -> Any:
        """A plain session: the address is signed."""
        import requests

        return requests.Session()

    def sign(self, address: str) -> str:
        """The address with a fresh signature.

        Raises:
            RefusedError: The signing service fails.
        """
        try:
            return self._signer(address)
        except Exception as error:  # whatever the client raises, in words and without signatures
            raise RefusedError(redacted(error)) from None

    def secrets(self) -> tuple[str, ...]:
        """None: signatures stand in addresses, which lose them before they are told."""
        return ()


def _offers(item: dict[str, Any], order: Order) -> list[Offer]:
    assets = item.get("assets", {})
    return [
        Offer(
            name=str(asset["href"]).split("?")[0].rsplit("/", 1)[-1],
            address=str(asset["href"]).split("?")[0],
            bytes=int(asset["file:size"]) if "file:size" in asset else None,
            checksum=checksum_of(asset.get("file:checksum")),
        )
        for key in order.asked
        if (asset := assets.get(key)) is not None
    ]


def _signer() -> Callable[[str], str]:
    with warnings.catch_warnings():  # it is written for an older pydantic
        warnings.simplefilter("ignore")
        import planetary_computer

    def sign(address: str) -> str:
        return str(planetary_computer.sign(address))

    return sign
