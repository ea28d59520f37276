"""The memory guard: what runs at once is added up, and what is above the limit is refused before any work."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from planted_recipe import publish, recipe, write_inputs

from ch4grid.errors import RecipeError
from ch4grid.planning import memory, plan
from ch4grid.planning.memory import Footprint, footprint, limit_bytes, refuse_above
from ch4grid.planning.tasks import Task
from ch4grid.stores import Workspace

GB = 10**9


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    return write_inputs(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8GB", 8 * GB), ("8 gb", 8 * GB), ("512MiB", 2**29), ("1.5GB", 3 * GB // 2), ("1000", 1000)],
)
def test_a_limit_is_an_amount(text: str, expected: int) -> None:
    assert limit_bytes(text) == expected


def test_a_limit_is_a_share_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: 10 * GB)
    assert limit_bytes("25%") == 2_500_000_000


@pytest.mark.parametrize("text", ["", "much", "0GB", "-1GB", "101%", "8GB8", "GB"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="no such amount of memory"):
        limit_bytes(text)


def test_a_container_has_no_more_than_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    monkeypatch.setattr(memory, "CGROUPS", (tmp_path / "absent", tmp_path / "memory.max"))
    assert memory.machine_memory() == 1_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.machine_memory() > 1_000_000


def test_workers_and_the_first_process_are_added_up(fresh: Workspace) -> None:
    found = plan(recipe(), fresh)
    alone, four, elsewhere = (footprint(found, n, "8GB") for n in (0, 4, None))
    assert alone.total == found.peak_memory
    assert four.total == four.first + 4 * four.worker > alone.total
    assert elsewhere.total == elsewhere.first < four.total
    assert "4 workers x" in four.in_words()


def test_stages_follow_one_another_so_only_the_hungriest_counts() -> None:
    def of(**peaks: int) -> Footprint:
        tasks = [Task(stage, "a", "new", "", peak_memory=peak) for stage, peak in peaks.items()]
        return footprint(SimpleNamespace(tasks=tasks), 2, "80GB")  # type: ignore[arg-type]

    read, made = {"read drivers": 3 * GB}, {"make class areas": 9 * GB}
    assert (of(**read).worker, of(**made).first) == (3 * GB, 9 * GB)
    assert of(**made) == of(**read, **made)
    assert of(**read).total > 6 * GB
    assert of().total == 0


def test_the_refusal_says_prediction_limit_and_what_to_change() -> None:
    refuse_above(Footprint(GB, GB, 3, 4 * GB))
    with pytest.raises(RecipeError, match=r"at most 3\.50 GB.*= 5\.00 GB.*--cluster local:2"):
        refuse_above(Footprint(GB, GB, 4, 7 * GB // 2))
    with pytest.raises(RecipeError, match="--cluster local:1"):
        refuse_above(Footprint(GB, GB, 4, 2 * GB))
    with pytest.raises(RecipeError, match="coarser grid"):
        refuse_above(Footprint(GB, 0, 0, GB // 2))
    with pytest.raises(RecipeError, match="coarser grid"):
        refuse_above(Footprint(GB, GB, 4, 2 * GB, alone=3 * GB))


def test_a_run_above_the_limit_is_refused_before_anything_is_written(fresh: Workspace) -> None:
    with pytest.raises(RecipeError, match="more memory than it may"):
        publish(fresh, memory_limit="100MB")
    written = sorted(p.name for p in fresh.output.rglob("*") if p.is_file())
    assert written == ["fingerprints.json", "headers.json"]


def test_without_a_limit_the_machine_is_the_limit(
    fresh: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: 100_000_000)
    with pytest.raises(RecipeError, match="90% of this machine"):
        publish(fresh)
