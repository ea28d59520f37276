"""Real towers, drivers and maps, in a folder beside the project or where CH4GRID_DATA says; none are in the project."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("CH4GRID_DATA", Path(__file__).parents[2] / "shared" / "data"))


def real(path: str = "") -> Path:
    """A file or folder of the real data; the test that asks for it is skipped where it is absent."""
    found = DATA / path
    if not found.exists():
        pytest.skip(f"real data not found: {found}; set CH4GRID_DATA to their folder")
    return found
