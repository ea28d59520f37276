"""One ordered map over workers: results in order, reports as they end, failures as they are."""

import os

import pytest
import threadpoolctl

from ch4grid.cluster import Workers, open_workers
from ch4grid.errors import InputError, RecipeError
from ch4grid.progress import silent


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def workers(told: list[tuple[str, int, int]]):
    with open_workers("local:1", lambda *what: told.append(what)) as opened:
        yield opened


def square(number: int) -> int:
    return number * number


def fails_at_three(number: int) -> int:
    if number == 3:
        raise InputError("no such file", where="three")
    return number


def process_of(_: int) -> int:
    return os.getpid()


def threads(_: int) -> set[int]:
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}


def test_results_come_in_the_order_of_the_items(workers: Workers) -> None:
    numbers = [5, 3, 5, 1, 4]
    assert workers.map("square", square, numbers) == [n * n for n in numbers]
    assert workers.map("square", square, iter(range(4))) == [0, 1, 4, 9]


def test_every_end_of_a_task_is_reported_once(workers: Workers, told: list) -> None:
    told.clear()
    workers.map("square", square, range(4))
    assert told == [("square", n, 4) for n in range(1, 5)]


def test_no_items_give_no_results(workers: Workers) -> None:
    assert workers.map("square", square, []) == []


def test_a_failing_task_raises_its_own_exception(workers: Workers) -> None:
    with pytest.raises(InputError, match=r"three: no such file\.") as caught:
        workers.map("fail", fails_at_three, range(6))
    assert type(caught.value) is InputError


def test_the_workers_go_on_after_a_failure(workers: Workers) -> None:
    with pytest.raises(InputError):
        workers.map("fail", fails_at_three, range(6))
    assert workers.map("square", square, [7]) == [49]


def test_failing_tasks_do_not_stop_the_others(workers: Workers, told: list) -> None:
    told.clear()
    failed = {}
    found = workers.attempt("try", fails_at_three, range(6), failed.__setitem__)
    assert found == [0, 1, 2, None, 4, 5]
    assert list(failed) == [3]
    assert type(failed[3]) is InputError
    assert told[-1] == ("try", 6, 6)


def test_whoever_is_told_of_a_failure_may_end_the_rest(workers: Workers) -> None:
    def full(item: int, failure: Exception) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        workers.attempt("try", fails_at_three, range(6), full)
    assert workers.map("square", square, [7]) == [49]


def test_a_task_has_one_thread_for_its_linear_algebra(workers: Workers) -> None:
    (found,) = workers.map("threads", threads, [0])
    assert found <= {1}


def test_processes_give_the_same_and_tell_the_type_of_a_failure() -> None:
    with open_workers("local:2", silent) as processes:
        assert processes.map("abs", abs, [-2, 3]) == [2, 3]
        assert os.getpid() not in processes.map("process", process_of, range(2))
        with pytest.raises(ValueError, match="invalid literal"):
            processes.map("int", int, ["1", "x"])


@pytest.mark.parametrize("spec", ["loca", "local:0", "local:-1", "local:x", "http://a:1"])
def test_an_unknown_cluster_is_refused_with_the_known_ones(spec: str) -> None:
    with (
        pytest.raises(RecipeError, match=r"--cluster: unknown cluster.*local:N with N >= 1"),
        open_workers(spec, silent),
    ):
        pass
