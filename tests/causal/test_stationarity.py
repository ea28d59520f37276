"""Series that shift, swell or wander are named with their figures; quiet ones are not."""

import numpy as np
import pytest

from ch4grid.causal.preparation import Panel
from ch4grid.causal.stationarity import check_stationarity, stationarity


def _panel(values: np.ndarray) -> Panel:
    sites = values.shape[0]
    return Panel(
        values=values,
        variables=("tas", "ch4_flux"),
        sites=tuple(f"XX-{i}" for i in range(sites)),
        ecosystems=("rice-paddy",) * sites,
        clusters=tuple(range(sites)),
        years=np.full(sites, values.shape[1] / 12),
        freedom=1.0,
        step="month",
        untested={},
    )


def _quiet(seed: int = 0, sites: int = 10, memory: float = 0.4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(sites, 120, 2))
    for t in range(1, 120):
        values[:, t] = memory * values[:, t - 1] + np.sqrt(1 - memory**2) * values[:, t]
    return values


@pytest.mark.parametrize("memory", [0.0, 0.4, 0.6])
def test_steady_series_with_memory_pass(memory: float) -> None:
    found = stationarity(_panel(_quiet(memory=memory)))
    assert found.looked_at == 20
    assert found.share <= 0.05
    assert check_stationarity(found).passed


def test_a_shift_a_swelling_and_a_walk_are_told_apart_and_named() -> None:
    values = _quiet()
    values[1, 60:, 0] += 3.0
    values[2, 90:, 1] *= 6.0
    values[3, :, 0] = np.random.default_rng(1).normal(size=120).cumsum()
    found = stationarity(_panel(values))
    told = {(u.site, u.variable, u.what.split()[0]) for u in found.unsteady}
    assert ("XX-1", "tas", "shifts") in told
    assert ("XX-2", "ch4_flux", "changes") in told
    assert ("XX-3", "tas", "never") in told
    assert {site for site, *_ in told} == {"XX-1", "XX-2", "XX-3"}
    check = check_stationarity(found)
    assert check.passed is False
    assert "tas at XX-1" in check.told


def test_gaps_and_short_records_are_no_reason() -> None:
    values = _quiet()
    values[0, 20:] = np.nan
    values[1, ::3] = np.nan
    found = stationarity(_panel(values))
    assert found.looked_at == 18
    assert not {u.site for u in found.unsteady} & {"XX-0", "XX-1"}
