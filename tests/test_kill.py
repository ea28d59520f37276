"""The real command, killed whole or a worker of it at random moments and run again, ends where an unkilled one does."""

from collections.abc import Callable
from pathlib import Path

import pytest
from killed_run import FIRST, SECOND, kills

pytestmark = [
    pytest.mark.slow,
    # a store that appears between xarray's two ways of opening is opened the second way, with a warning
    pytest.mark.filterwarnings("ignore:Failed to open Zarr store:RuntimeWarning"),
]


@pytest.mark.parametrize(
    ("years", "count"), [(FIRST, 10), (SECOND, 20)], ids=["new product", "second year"]
)
def test_a_killed_run_ends_with_the_bytes_of_an_unkilled_one(
    years: tuple[str, ...],
    count: int,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    told, differing = kills(tmp_path, years, count)
    record_property(
        "counted", f"runs killed: {dict(told)}, other bytes afterwards: {len(differing)}"
    )
    assert differing == {}
    assert sum(told.values()) == count
