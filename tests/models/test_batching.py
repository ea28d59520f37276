"""A batch that does not fit is halved, the process remembers it, and what is predicted stays the same."""

import numpy as np
import pytest
import torch
from planted_model import fitted, towers

from ch4grid.errors import RunError
from ch4grid.models import batching
from ch4grid.models.checkpoint import Checkpoint

FULL = batching.SIZES["cpu"]
SHORTAGES = {
    "a GPU": torch.OutOfMemoryError("CUDA out of memory"),
    "a processor": RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    "numpy": MemoryError("Unable to allocate 9 GiB"),
}


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "_ended_with", {})


def with_room_for(limit: int, error: Exception, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A checkpoint of this test can hold so many points at once; the sizes that it was asked for."""
    asked: list[int] = []
    plain = Checkpoint._laws

    def laws(self: Checkpoint, table, *rest):
        asked.append(len(table.site))
        if len(table.site) > limit:
            raise error
        return plain(self, table, *rest)

    monkeypatch.setattr(Checkpoint, "_laws", laws)
    return asked


@pytest.mark.parametrize("error", SHORTAGES.values(), ids=SHORTAGES)
def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted().predict(towers(), last=12)["location"].values
    asked = with_room_for(10, error, monkeypatch)
    halved = fitted().predict(towers(), last=12)["location"].values
    np.testing.assert_allclose(halved, whole, atol=1e-5)
    assert asked[:5] == [FULL, FULL // 2, FULL // 4, FULL // 8, FULL // 16]
    assert set(asked[4:]) == {FULL // 16}
    assert batching.batch_size("cpu") == FULL // 16
    fitted().predict(towers(), last=12)
    assert asked.count(FULL) == 1


def test_no_room_for_one_point_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with_room_for(0, SHORTAGES["numpy"], monkeypatch)
    with pytest.raises(RunError, match=r"memory ran out.*fewer workers"):
        fitted().predict(towers(), last=12)


def test_another_error_is_not_taken_for_a_shortage(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = with_room_for(0, RuntimeError("shapes differ"), monkeypatch)
    with pytest.raises(RuntimeError, match="shapes differ"):
        fitted().predict(towers(), last=12)
    assert asked == [FULL]
