"""What a run took is kept beside what was predicted, and the next plan predicts from it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from planted_recipe import publish, recipe, write_inputs

from ch4grid.metering import Meter, measured
from ch4grid.planning import measurements, plan
from ch4grid.planning.costs import Rates, Shape
from ch4grid.planning.measurements import Measurement, StageMeasured
from ch4grid.planning.tasks import AREAS, PREDICT, PUBLISH, READ
from ch4grid.stores import Workspace

SHAPE = Shape(cells=1000, members=2, drivers=5, spin_up=2, architecture="ctgat", sources="era5")
# Within what a prediction from one measured run of the same shape stays: bytes and memory are those of the machine's
# libraries; seconds also of whatever else the machine does.
BYTES_FACTOR, MEMORY_FACTOR, SECONDS_FACTOR = 1.5, 1.5, 6.0


def run_of(shape: Shape = SHAPE, *, seconds: float = 2.0, memory: float = 3.0) -> Measurement:
    one = {"seconds": 1.0, "bytes": 1.0, "peak_memory": 1.0}
    took = {"seconds": seconds, "bytes": 4.0, "peak_memory": memory}
    stage = StageMeasured(tasks=1, computed=one, predicted=one, measured=took)
    return Measurement("planted", shape, "a", {PREDICT: stage}, {"0-0": 7})


def test_nothing_measured_leaves_the_formulas() -> None:
    assert measurements.rates([], SHAPE, "a") == Rates()


def test_time_and_bytes_take_the_median_and_memory_the_largest() -> None:
    runs = [run_of(seconds=s, memory=m) for s, m in ((2, 1), (3, 5), (100, 2))]
    found = measurements.rates(runs, SHAPE, "a")
    assert found.seconds == {PREDICT: 3}
    assert found.bytes == {PREDICT: 4}
    assert found.memory == {PREDICT: 5}
    assert found.runs == {PREDICT: 3}
    assert found.pairs == {"0-0": 7}
    assert measurements.rates(runs, SHAPE, "other").pairs == {}


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({"cells": 2000}, True),
        ({"members": 10}, True),
        ({"cells": 100_000}, False),
        ({"architecture": "extra-trees"}, False),
    ],
)
def test_another_shape_counts_where_it_is_alike(changes: dict, known: bool) -> None:
    found = measurements.rates([run_of(replace(SHAPE, **changes))], SHAPE, "a")
    assert bool(found.seconds) is known


def test_the_same_shape_counts_before_another() -> None:
    other = run_of(replace(SHAPE, cells=2000), seconds=50)
    assert measurements.rates([run_of(), other], SHAPE, "a").seconds == {PREDICT: 2}


def test_the_file_keeps_the_latest_runs(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, tmp_path)
    for second in range(measurements.KEPT + 3):
        measurements.keep(workspace, run_of(seconds=second))
    found = measurements.read(workspace)
    assert len(found) == measurements.KEPT
    assert found[-1] == run_of(seconds=measurements.KEPT + 2)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 0, "runs": []}', '{"format": 1}'])
def test_a_file_that_cannot_be_read_teaches_nothing(tmp_path: Path, content: str) -> None:
    workspace = Workspace(tmp_path, tmp_path)
    workspace.cache.mkdir()
    measurements.path_of(workspace).write_text(content)
    assert measurements.read(workspace) == []


def hold(size: int) -> int:
    return len(b"x" * size)


def test_the_peak_of_a_task_is_that_of_its_own_work() -> None:
    _, large = measured(hold, 300_000_000)
    _, small = measured(hold, 1000)
    assert large.peak_memory > 300_000_000
    assert large.peak_memory - small.peak_memory > 200_000_000


def test_a_stage_does_not_count_the_time_of_its_workers() -> None:
    meter = Meter()
    with meter.stage(PUBLISH):
        _, effort = measured(hold, 1000)
        meter.mapped(1000.0, [effort])
        meter.mapped(5.0, [effort], READ)
    assert len(meter.of(PUBLISH).efforts) == 2
    assert meter.of(PUBLISH).seconds < 5
    assert meter.of(READ).efforts == [effort]


def test_a_second_run_is_predicted_from_the_first_and_comes_out_near(tmp_path: Path) -> None:
    fresh = write_inputs(tmp_path)
    first = publish(fresh)
    stages = [row.stage for row in first.took]
    assert stages == [READ, AREAS, PREDICT, PUBLISH]
    found = plan(recipe(), fresh, years=[2002])
    assert found.learned[PREDICT] == 1
    assert "1 measured run" in found.in_words()
    second = publish(fresh, years=[2002])
    (row,) = (r for r in second.took if r.stage == PREDICT)
    before = next(r for r in first.took if r.stage == PREDICT)
    assert row.predicted_seconds == pytest.approx(before.measured_seconds, rel=0.01)
    assert row.predicted_bytes == pytest.approx(row.measured_bytes, rel=BYTES_FACTOR - 1)
    ratio = row.predicted_peak_memory / row.measured_peak_memory
    assert 1 / MEMORY_FACTOR < ratio < MEMORY_FACTOR
    ratio = row.predicted_seconds / row.measured_seconds
    assert 1 / SECONDS_FACTOR < ratio < SECONDS_FACTOR
    told = second.as_dict()["took"]
    assert [t["stage"] for t in told] == [r.stage for r in second.took]
    assert "took (predicted):" in second.in_words()
    kept = json.loads(measurements.path_of(fresh).read_text())["runs"]
    assert len(kept) == 2
    assert kept[1]["stages"][PREDICT]["predicted"]["bytes"] == row.predicted_bytes
    assert kept[1]["shape"]["cells"] == 72
    third = publish(fresh, years=[2002])
    assert third.took == ()
    assert "took" not in third.in_words()
    assert len(measurements.read(fresh)) == 2
