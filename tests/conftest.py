"""Settings shared by all tests: reproducible property tests and the place of real data."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ch4grid", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("ch4grid")

REAL_DATA = Path(os.environ.get("CH4GRID_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real towers and drivers; the test is skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real data not found at {REAL_DATA}; set CH4GRID_DATA to their folder")
    return REAL_DATA
