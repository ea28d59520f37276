"""Every command and every program of the README and of docs/ does what the text says, in one folder, in order.

`pytest -m slow tests/test_documentation.py` does the same with the recipes of the package instead of a small one.
"""

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import documented
import planted_recipe as planted
import pytest
import yaml
from documented import Block, NotUnderstoodError, Relay, Session

import ch4grid
from ch4grid.drivers import DriverSource
from ch4grid.sites import SiteSource

ROOT = Path(__file__).parents[1]
DOCUMENTS = list(documented.documents(ROOT))
BLOCKS = {path: documented.blocks(path) for path in DOCUMENTS}
RUN = ("sh", "python")
# What deploy/environment.sh leaves when it has installed the package: here it is, as the tests run.
STAMP = (
    'touch "$VIRTUAL_ENV/ch4grid-$(cat pyproject.toml deploy/constraints.txt | cksum | tr " " "-").installed" '
    '&& mkdir -p "$VIRTUAL_ENV/bin"'
)
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")


def stand_in(folder: Path) -> None:
    """A recipe of a few kilobytes under the name, product and scenarios of the embedded one."""
    planted.write_areas(folder)
    planted.write_towers(folder)
    for year in (*planted.YEARS, 2004, 2005):
        planted.write_drivers(folder, year)
    real = yaml.safe_load((ROOT / "recipes" / "tiny.yaml").read_text())
    small = planted.document(
        product=real["product"],
        title=real["title"],
        period=real["period"],
        scenarios=real["scenarios"],
        training={"period": [2001, 2002], "folds": 2, "fold_members": 1, "members": 2},
        model={"architecture": "ridge"},
        spin_up=1,
    )
    del small["drivers"][0]["variables"]["ps"]
    (folder / "recipes" / "tiny.yaml").write_text(yaml.safe_dump(small))


def checkout(folder: Path, *, relayed: bool) -> Session:
    """A reader in a copy of what the documents speak of."""
    for name in ("recipes", "deploy", "catalog"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(
        ROOT / "ch4grid", folder / "ch4grid", ignore=shutil.ignore_patterns("__pycache__")
    )
    programs = folder / ".programs"
    programs.mkdir()
    script = programs / "ch4grid"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ch4grid "$@"\n')
    script.chmod(0o755)
    relay = Relay(script) if relayed else None
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    installed = {"PATH": path, "PYTHONPATH": str(folder), "VIRTUAL_ENV": str(programs)}
    session = Session(folder, os.environ | installed, relay)
    code, _, err = documented.shell(["sh", "-c", STAMP], folder, session.environment, None)
    assert code == 0, err
    return session


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    session = checkout(tmp_path_factory.mktemp("quick"), relayed=True)
    stand_in(session.folder)
    yield session
    session.relay.close()


@pytest.fixture(scope="module")
def thorough(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return checkout(tmp_path_factory.mktemp("thorough"), relayed=False)


def follow(session: Session, path: Path, left_out: tuple[str, ...]) -> int:
    """Do the blocks of a document; how many there were to be done."""
    session.begin()
    todo = [b for b in BLOCKS[path] if b.marker not in left_out]
    for block in todo:
        session.do(block)
    return len(todo)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# pystac-client tells that a static catalog is no API
@pytest.mark.filterwarnings("ignore::pystac_client.warnings.PystacClientWarning")
@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_a_document_does_what_it_says(
    quick: Session, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(quick.folder)
    # the default cluster is a process per core; one core works inside this process
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    follow(quick, path, ("not run", "slow"))


@pytest.mark.slow
@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_a_document_does_what_it_says_with_the_recipes_of_the_package(
    thorough: Session, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(thorough.folder)
    follow(thorough, path, ("not run",))


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / "recipes" / "README.md"], ids=name)
def test_every_command_of_a_block_that_is_not_run_would_be_understood(path: Path) -> None:
    for block in documented.blocks(path):
        for command in documented.commands(block.text) if block.language == "sh" else ():
            try:
                documented.parse(documented.arguments(command))
            except NotUnderstoodError as error:
                pytest.fail(f"{block}: `{command}`: {error}")


@pytest.mark.parametrize(
    "path", [*DOCUMENTS, ROOT / "recipes" / "README.md", ROOT / "ch4grid" / "DESIGN.md"], ids=name
)
def test_every_command_within_a_sentence_exists(path: Path) -> None:
    for span in documented.spans(path):
        if re.match(r"ch4grid [a-z]", span):
            assert documented.unknown_words(documented.arguments(span)) == [], span


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / "CONTRIBUTING.md"], ids=name)
def test_every_link_within_the_project_leads_somewhere(path: Path) -> None:
    for target, _ in LINK.findall(path.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (path.parent / target).exists(), target


def test_blocks_that_are_run_are_more_than_those_that_are_not() -> None:
    found = [b for path in DOCUMENTS for b in BLOCKS[path] if b.language in RUN]
    left_out = [b for b in found if b.marker in ("not run", "slow")]
    assert len(left_out) < len(found) / 2


def test_every_how_to_of_the_index_is_there_and_every_one_there_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    there = {p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")}
    assert {p for p in there if f"({p})" not in index} == {"README.md"}


def test_yaml_and_json_of_documents_can_be_read() -> None:
    for path in DOCUMENTS:
        for block in BLOCKS[path]:
            if block.language in ("yaml", "json"):
                assert yaml.safe_load(block.text) is not None, block


def test_every_source_has_a_place_in_the_page_of_inputs() -> None:
    page = (ROOT / "docs" / "inputs.md").read_text()
    for union in (DriverSource, SiteSource):
        for source in get_args(get_args(union)[0]):
            assert f"`{source.model_fields['source'].default}`" in page, source


def test_the_citation_has_what_its_format_asks_for_and_the_version_of_the_package() -> None:
    # the keys that version 1.2.0 of the Citation File Format requires, at the top and in a reference
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert told["cff-version"] == "1.2.0"
    assert told["version"] == ch4grid.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert told["license"] == project["license"]
    for work in (told, *told["references"]):
        assert work["type"] in ("software", "dataset", "article")
        assert isinstance(work["title"], str)
        assert work["authors"]
        assert all("name" in a or "family-names" in a for a in work["authors"])
        assert re.fullmatch(r"10\.\d{4,9}/\S+", work.get("doi", "10.1234/x"))
    assert isinstance(told["message"], str)


# The collector itself.


def written(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text)
    return path


def test_a_block_left_out_without_a_reason_is_refused(tmp_path: Path) -> None:
    page = written(tmp_path, "<!-- not run -->\n```sh\nls\n```\n")
    with pytest.raises(ValueError, match="without a reason"):
        documented.blocks(page)


def test_a_marker_before_no_block_is_refused(tmp_path: Path) -> None:
    page = written(tmp_path, "<!-- slow: minutes -->\n\nWords.\n\n```sh\nls\n```\n")
    with pytest.raises(ValueError, match="stands before no block"):
        documented.blocks(page)


def test_a_command_that_fails_fails_the_document(tmp_path: Path) -> None:
    session = Session(tmp_path, dict(os.environ))
    for text in ("ch4grid plan none.yaml\n", "true\nfalse\ntrue\n"):
        with pytest.raises(AssertionError, match=r"page\.md:3"):
            session.do(Block(tmp_path / "page.md", 3, "sh", text, "", ""))


@pytest.mark.parametrize(
    ("command", "unknown"),
    [
        ("ch4grid plan RECIPE --yaer 2001", ["--yaer"]),
        ("ch4grid plna RECIPE", ["plna"]),
        ("ch4grid catalog list|show|validtae", ["validtae"]),
        ("ch4grid run RECIPE [--year Y]", []),
    ],
)
def test_a_misspelt_mention_is_found(command: str, unknown: list[str]) -> None:
    assert documented.unknown_words(documented.arguments(command)) == unknown


@pytest.mark.parametrize("command", ["ch4grid plan", "ch4grid run x --yaer 2", "ch4grid plna x"])
def test_a_command_that_would_not_be_understood_is_found(command: str) -> None:
    with pytest.raises(NotUnderstoodError):
        documented.parse(documented.arguments(command))
