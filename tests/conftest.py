"""Settings shared by all tests: reproducible property tests and the place of real data."""

from pathlib import Path

import pytest
from hypothesis import settings
from real_files import real

settings.register_profile("ch4grid", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("ch4grid")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real towers and drivers; the test is skipped where it is absent."""
    return real()
