"""From link frequencies to link probabilities: shrinkage of class to pool to expert, and weeks to months.

    pi_e = (n_e f_e + k1 pi_0) / (n_e + k1),   pi_0 = (f_pool + k2 pi_expert) / (1 + k2)      (methods 3.4)

with f the bootstrap frequency of a link and n_e the measured site years of a class. "No link found" in a short record
means no power, not no cause, so no link that was tested or expected ever becomes a hard zero on its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ch4grid.causal.expert import expert_drivers, expert_flux
from ch4grid.causal.preparation import Panel
from ch4grid.graph import CausalGraph

Floats = NDArray[np.float64]

POOL = "pool"
# A month holds four full weeks of lag; lag 0 covers weeks 0 to 4, lag m the four weeks after (methods 3.4).
WEEKS_PER_MONTH = 4
DIGITS = 6


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the bootstrap found, at the lags of the series' own step, over the tested drivers.

    Args:
        among: Frequency of links among drivers (to, from, lag).
        into: Frequency of links into the flux (driver, lag), for the pool and each class with enough data.
        p: Full-sample p values of the same links.
        years: Measured site years of the pool and of every class.
    """

    among: Floats
    into: Mapping[str, Floats]
    p: Mapping[str, Floats]
    years: Mapping[str, float]


def shrink(
    evidence: Evidence | None,
    panel: Panel,
    *,
    drivers: Sequence[str],
    ecosystems: Sequence[str],
    max_lag: int,
    shrink_class: float,
    shrink_expert: float,
    provenance: Mapping[str, Any],
) -> CausalGraph:
    """The causal graph of the evidence; where nothing was tested it is the expert's.

    Args:
        evidence: Frequencies, or None when the panel held nothing to test.
        panel: The panel they came from.
        drivers: All drivers of the graph; those outside the panel keep the expert prior.
        ecosystems: Classes of the graph.
        max_lag: Longest lag of the graph [months].
        shrink_class: k1 [site years].
        shrink_expert: k2.
        provenance: What to record beside sites, frequencies and significance.
    """
    expert = expert_flux(drivers, ecosystems, max_lag)
    pooled, among = expert.copy(), expert_drivers(drivers, max_lag)
    pi = expert.copy()
    if evidence is not None:
        tested = [list(drivers).index(name) for name in panel.variables[:-1]]
        monthly = {k: to_months(f, panel.step, max_lag) for k, f in evidence.into.items()}
        pooled = _towards(pooled, _spread(monthly[POOL], pooled[0], tested), shrink_expert)
        pi = _class_prior(evidence, monthly, pooled, tested, ecosystems, shrink_class)
        found = np.full_like(among, np.nan)
        found[np.ix_(tested, tested)] = to_months(evidence.among, panel.step, max_lag)
        among = _towards(among, found, shrink_expert)
    # A driver is not its own cause within the month.
    among[np.arange(len(drivers)), np.arange(len(drivers)), 0] = 0.0
    probability = np.empty((len(ecosystems), len(drivers) + 1, len(drivers), max_lag + 1))
    probability[:, :-1] = among
    probability[:, -1] = pi
    return CausalGraph(
        drivers=tuple(drivers),
        target=panel.variables[-1],
        ecosystems=tuple(ecosystems),
        probability=np.clip(probability, 0.0, 1.0),
        provenance=dict(provenance) | _record(panel, evidence, pooled.mean(axis=0)),
    )


def to_months(frequency: Floats, step: str, max_lag: int) -> Floats:
    """Frequencies (..., lag of the step) at monthly lags: the chance of a link at any lag inside the month.

    Months beyond the longest lag tested are NaN.
    """
    months = np.full((*frequency.shape[:-1], max_lag + 1), np.nan)
    for month in range(max_lag + 1):
        first = 0 if month == 0 else WEEKS_PER_MONTH * month + 1
        weeks = (
            frequency[..., month : month + 1]
            if step == "month"
            else frequency[..., first : WEEKS_PER_MONTH * (month + 1) + 1]
        )
        if weeks.shape[-1]:
            months[..., month] = 1.0 - np.prod(1.0 - weeks, axis=-1)
    return months


def benjamini_hochberg(p: Floats) -> Floats:
    """False discovery rates q of one family of p values, same shape (Benjamini and Hochberg 1995)."""
    flat = p.ravel()
    order = np.argsort(flat)[::-1]
    raised = flat[order] * flat.size / np.arange(flat.size, 0, -1)
    q = np.empty_like(flat)
    q[order] = np.minimum(np.minimum.accumulate(raised), 1.0)
    return q.reshape(p.shape)


def _towards(expert: Floats, found: Floats, weight: float) -> Floats:
    """Frequencies drawn to the expert; the expert alone where nothing was tested (NaN) or a link is impossible (0)."""
    drawn = (found + weight * expert) / (1.0 + weight)
    return np.where(np.isfinite(found) & (expert > 0), drawn, expert)


def _spread(tested: Floats, like: Floats, rows: list[int]) -> Floats:
    """Rows of tested drivers put among all drivers, NaN elsewhere."""
    out = np.full_like(like, np.nan)
    out[rows] = tested
    return out


def _class_prior(
    evidence: Evidence,
    monthly: Mapping[str, Floats],
    pooled: Floats,
    tested: list[int],
    ecosystems: Sequence[str],
    weight: float,
) -> Floats:
    """Class frequencies drawn to the pool (ecosystem, driver, lag); the pool where a class was not tested."""
    prior = pooled.copy()
    for e, name in enumerate(ecosystems):
        if name in monthly:
            n = evidence.years[name]
            found = _spread(monthly[name], pooled[e], tested)
            drawn = (n * found + weight * pooled[e]) / (n + weight)
            prior[e] = np.where(np.isfinite(found), drawn, pooled[e])
    return prior


def _record(panel: Panel, evidence: Evidence | None, pooled: Floats) -> dict[str, Any]:
    """Provenance in JSON values: who was used, what was found, how sure it is."""
    record: dict[str, Any] = {
        "sites": sorted(panel.sites),
        "clusters": sorted(set(panel.clusters)),
        "untested": dict(panel.untested),
        "pooled": pooled.round(DIGITS).tolist(),
    }
    if evidence is None:
        return record | {"step": panel.step, "site_years": {}, "frequency": {}, "p": {}, "q": {}}
    names = list(evidence.p)
    q = benjamini_hochberg(np.stack([evidence.p[name] for name in names]))
    return record | {
        "step": panel.step,
        "tested": list(panel.variables[:-1]),
        "site_years": {k: round(v, 3) for k, v in evidence.years.items()},
        "frequency": {k: f.round(DIGITS).tolist() for k, f in evidence.into.items()},
        "frequency_among_drivers": evidence.among.round(DIGITS).tolist(),
        "p": {k: _significant(p) for k, p in evidence.p.items()},
        "q": {k: _significant(q[i]) for i, k in enumerate(names)},
    }


def _significant(values: Floats) -> list[list[float]]:
    """Probabilities with four significant digits: rounding to decimals would call a small one zero."""
    return [[float(f"{v:.4g}") for v in row] for row in values]
