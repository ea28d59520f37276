"""An archive and a ticket in memory."""

from dataclasses import dataclass, field
from typing import Any

import requests

from ch4grid.fetching import Offer, Order


@dataclass
class Tickets:
    """A ticket in memory."""

    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def request(self) -> str:
        return str(self.facts.get("request") or "")

    @property
    def etag(self) -> str:
        return str(self.facts.get("etag") or "")

    def note(self, **facts: object) -> None:
        self.facts |= facts


@dataclass
class PlainArchive:
    """An archive that offers what it is told to, signing with the first of its signatures that is left."""

    offered: list[Offer] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    known: tuple[str, ...] = ()
    searches: int = 0

    def offers(self, order: Order, ticket: object) -> list[Offer]:
        self.searches += 1
        return [o for o in self.offered if not order.target or o.name == order.target]

    def session(self) -> requests.Session:
        return requests.Session()

    def sign(self, address: str) -> str:
        if not self.signatures:
            return address
        signature = self.signatures.pop(0) if len(self.signatures) > 1 else self.signatures[0]
        return f"{address}?{signature}"

    def secrets(self) -> tuple[str, ...]:
        return self.known
