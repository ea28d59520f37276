"""The reference of the Python functions builds without a warning and holds every public name."""

import importlib.util
import re
from pathlib import Path

import pytest

import ch4grid

SCRIPT = Path(__file__).parents[1] / "deploy" / "reference.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.spec_from_file_location("reference", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    folder = tmp_path_factory.mktemp("site")
    assert reference.write(folder).is_file()
    return folder


@pytest.mark.parametrize("name", ch4grid.__all__)
def test_a_public_name_is_in_the_reference_with_its_docstring(site: Path, name: str) -> None:
    page = (site / "ch4grid.html").read_text()
    section = page.split(f'<section id="{name}">')[1].split("</section>")[0]
    first = (getattr(ch4grid, name).__doc__ or "").strip().split()[0]
    text = re.sub(r"<[^>]+>", "", section)
    assert first in text


def test_no_page_names_the_machine(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert str(Path.home()) not in page.read_text()
        assert str(SCRIPT.parent) not in page.read_text()
