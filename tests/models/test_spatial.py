import numpy as np
import torch

from ch4grid.models.config import CTGATConfig
from ch4grid.models.spatial import (
    MONTHS,
    NeighbourSearch,
    Places,
    TowerAttention,
    calendar_mean,
    distance_km,
)

CONFIG = CTGATConfig(near=2, alike=2, same_class=1)


def places(count, seed):
    random = np.random.default_rng(seed)
    return Places(
        random.uniform(-70, 70, count),
        random.uniform(-180, 180, count),
        random.integers(0, 3, count),
        random.normal(size=(count, 4)),
    )


def test_a_quarter_of_a_meridian_is_ten_thousand_kilometres():
    one = Places(np.array([0.0]), np.array([20.0]), np.zeros(1, int), np.zeros((1, 0)))
    pole = Places(np.array([90.0]), np.array([-50.0]), np.zeros(1, int), np.zeros((1, 0)))
    assert abs(distance_km(one, pole)[0, 0] - 10007.5) < 1


def test_neighbours_are_distinct_near_alike_and_of_the_class():
    points, bank = places(20, 0), places(9, 1)
    search = NeighbourSearch(points, bank, CONFIG)
    found = search.find()
    for s in range(20):
        towers = found.tower[s][found.present[s]].tolist()
        assert len(set(towers)) == len(towers)
        assert int(search.distance[s].argmin()) in towers
        assert int(search.alike[s].argmin()) in towers


def test_excluded_towers_are_no_neighbours_and_all_may_be_excluded():
    points, bank = places(20, 0), places(9, 1)
    gone = np.zeros((20, 9), dtype=bool)
    gone[:, :4] = True
    found = NeighbourSearch(points, bank, CONFIG).find(gone)
    assert (found.tower[found.present] >= 4).all()
    assert not NeighbourSearch(points, bank, CONFIG).find(np.ones((20, 9), bool)).present.any()


def test_the_order_of_bank_towers_does_not_matter():
    torch.manual_seed(0)
    points, bank = places(5, 0), places(9, 1)
    order = np.random.default_rng(0).permutation(9)
    turned = Places(*(v[order] for v in vars(bank).values()))
    layer = TowerAttention(4, 2)
    state, embedding = torch.randn(5, 7, 4), torch.randn(5, 2)
    table, month = torch.randn(9, MONTHS, 6), np.arange(7) % MONTHS
    with torch.no_grad():
        first = layer(state, embedding, table, NeighbourSearch(points, bank, CONFIG).find(), month)
        search = NeighbourSearch(points, turned, CONFIG)
        second = layer(state, embedding, table[torch.from_numpy(order)], search.find(), month)
    torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6)


def test_a_point_without_neighbours_keeps_a_finite_state():
    layer = TowerAttention(4, 2)
    found = NeighbourSearch(places(2, 0), places(3, 1), CONFIG).find(np.ones((2, 3), bool))
    out = layer(
        torch.randn(2, 5, 4), torch.randn(2, 2), torch.randn(3, MONTHS, 6), found, np.arange(5)
    )
    assert torch.isfinite(out).all()


def test_calendar_means_count_only_valid_months():
    state = torch.arange(24.0).view(1, 24, 1)
    valid = np.ones((1, 24), bool)
    valid[0, 0] = False
    mean = calendar_mean(state, np.arange(24) % 12, np.zeros(1, int), valid)
    assert mean[0, 0, 0] == 12.0
    assert mean[0, 1, 0] == 7.0
