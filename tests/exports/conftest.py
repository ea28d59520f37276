"""One published product of two years, and its export for every consumer, made once."""

from pathlib import Path
from types import SimpleNamespace

import planted_product as planted
import pytest

import ch4grid
from ch4grid.exports import EXPORTS
from ch4grid.grid import Grid

GRID = Grid(10.0)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted.write_years(tmp_path_factory.mktemp("exported"), 2001, 2002, grid=GRID)


@pytest.fixture(scope="session")
def exported(store: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Exports by consumer and their folder; the grid 4x5 for the IMI."""
    folder = tmp_path_factory.mktemp("files")
    made = {
        name: ch4grid.export(store, name, output=folder / name, grid="4x5" if name == "imi" else "")
        for name in EXPORTS
    }
    return SimpleNamespace(folder=folder, made=made)
