"""Workspaces of the planted recipe: published once, copied, or with inputs only."""

import shutil
from pathlib import Path

import pytest
from planted_recipe import publish, write_inputs

from ch4grid.stores import Workspace


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the planted product was published."""
    folder = tmp_path_factory.mktemp("made")
    publish(write_inputs(folder))
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Workspace:
    """A copy of it that a test may change."""
    shutil.copytree(made, tmp_path / "made")
    return Workspace(data=tmp_path / "made", output=tmp_path / "made" / "products")


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    """Inputs without a product."""
    return write_inputs(tmp_path)
