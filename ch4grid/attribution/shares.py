"""Fair shares of a change: what each player contributes when all of them are swapped from old to new.

Swapping one after another gives steps that add up to the whole change in any order; the mean over orders is the Shapley
value: equal for players that act alike, zero for one that does nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from math import factorial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Up to so many players every order counts; beyond, orders are drawn, each with its reverse.
ALL_ORDERS = 4
DRAWN_PAIRS = 1


class Value(NamedTuple):
    """The flux of a region with some drivers swapped.

    Args:
        cell: Flux of the ensemble (month, latitude, longitude) [kg m-2 s-1].
        size: The same of absolute values by class.
        mass: Mass of the year (member, region, ecosystem) [Tg].
    """

    cell: Floats
    size: Floats
    mass: Floats


def shares(
    players: Sequence[str], value: Callable[[frozenset[str]], Value], seed: int
) -> dict[str, Value]:
    """What each player contributes to the change from none swapped to all swapped; the parts add up to it.

    Args:
        players: Who may be swapped.
        value: The flux with some of them swapped; asked for neighbouring sets in turn.
        seed: Seed of the drawn orders when there are more players than `ALL_ORDERS`.

    Source: Shapley (1953), A value for n-person games; antithetic orders: Mitchell et al. (2022), J. Mach. Learn. Res.
    23(43).
    """
    if len(players) <= ALL_ORDERS:
        return _exact(players, value)
    random, total = np.random.default_rng(seed), dict.fromkeys(players, _nothing())
    drawn = [list(random.permutation(len(players))) for _ in range(DRAWN_PAIRS)]
    orders = [order for one in drawn for order in (one, one[::-1])]
    for order in orders:
        swapped: frozenset[str] = frozenset()
        before = value(swapped)
        for name in (players[i] for i in order):
            swapped |= {name}
            after = value(swapped)
            total[name] = _plus(total[name], after, before, 1.0 / len(orders))
            before = after
    return total


def _exact(players: Sequence[str], value: Callable[[frozenset[str]], Value]) -> dict[str, Value]:
    n = len(players)
    known = {s: value(s) for s in _gray(players)}
    total = dict.fromkeys(players, _nothing())
    for name in players:
        others = [p for p in players if p != name]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for some in map(frozenset, combinations(others, size)):
                total[name] = _plus(total[name], known[some | {name}], known[some], weight)
    return total


def _gray(players: Sequence[str]) -> Iterator[frozenset[str]]:
    """All subsets, each differing from the one before by one player."""
    for number in range(2 ** len(players)):
        code = number ^ (number >> 1)
        yield frozenset(p for i, p in enumerate(players) if code >> i & 1)


def _nothing() -> Value:
    return Value(np.zeros(()), np.zeros(()), np.zeros(()))


def _plus(total: Value, after: Value, before: Value, weight: float) -> Value:
    return Value(*(t + weight * (a - b) for t, a, b in zip(total, after, before, strict=True)))
