"""`Export`: what every consumer gives, a contract and the files of a request; and what a file is until it is made."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ch4grid.exports.contract import Contract
from ch4grid.exports.request import Request
from ch4grid.exports.source import Source

Option = Literal["ecosystems", "member", "grid"]


@dataclass(frozen=True)
class Piece:
    """A file that is not made yet.

    Args:
        name: Its name.
        years: Years that it holds.
        make: Makes it at a path, reads it back, and returns the largest departure of a month from the budget of the
            product as a share of the gross flux; None where it holds no fluxes.
    """

    name: str
    years: tuple[int, ...]
    make: Callable[[Path], float | None]


class Export(ABC):
    """A consumer."""

    name: str
    contract: Contract
    takes: frozenset[Option] = frozenset()
    # names of grids to choose from, the default first
    grids: tuple[str, ...] = ()
    # gases that it can take; any when empty
    gases: tuple[str, ...] = ()

    @abstractmethod
    def reads(self, source: Source, request: Request) -> tuple[str, ...]:
        """Variables of the product that are read."""

    @abstractmethod
    def pieces(self, source: Source, request: Request) -> Iterator[Piece]:
        """The files of a request."""

    def classes(self, source: Source) -> tuple[str, ...]:
        """Classes that are summed where none are chosen."""
        return source.ecosystems
