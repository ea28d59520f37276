"""A remote that is played, an order for it, and patience without pauses."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from planted_remote import Remote, remote

from ch4grid.fetching import Order, Patience


@pytest.fixture
def server() -> Iterator[Remote]:
    with remote() as running:
        yield running


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def patience(slept: list[float]) -> Patience:
    """Patience that notes its pauses instead of taking them."""
    return Patience(tries=4, wait=2.0, timeout=5.0, sleep=slept.append)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """An order for the temperature of May 2024."""
    return Order(
        remote="cds",
        collection="reanalysis",
        folder=tmp_path / "era5",
        first=pd.Timestamp("2024-05-01"),
        last=pd.Timestamp("2024-05-31"),
        target="era5_2024-05.nc",
        asked=("2m_temperature",),
        names=("t2m",),
        formats=("NetCDF-4", "NetCDF classic", "ZIP"),
        reason="tas missing",
    )
