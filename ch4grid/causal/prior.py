"""From link frequencies to link probabilities: shrinkage of site to class to pool to expert, and weeks to months.

    pi_e = (t n_e f_e + k1 pi_0) / (t n_e + k1),   pi_0 = (t f_pool + k2 pi_expert) / (t + k2)      (methods 3.4)

with f the bootstrap frequency of a link, n_e the measured site years of a class and t the trust that null controls
left in the evidence. Where sites were looked at alone, f_e is the mean over sites by years of f_s, and f_s the site's
own frequency drawn to the class. "No link found" in a short record
means no power, not no cause, so no link that was tested or expected ever becomes a hard zero on its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ch4grid.causal.expert import expert_drivers, expert_flux
from ch4grid.causal.preparation import Panel
from ch4grid.graph import CausalGraph

Floats = NDArray[np.float64]

POOL = "pool"
# A month holds four full weeks of lag; lag 0 covers weeks 0 to 4, lag m the four weeks after (methods 3.4).
WEEKS_PER_MONTH = 4
DIGITS = 6
# a and b of `calibrated`.
CALIBRATION = (0.45, 1.48)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the bootstrap found, at the lags of the series' own step, over the tested drivers.

    Args:
        among: Frequency of links among drivers (to, from, lag).
        into: Frequency of links into the flux (driver, lag), for the pool and each class with enough data.
        p: Full-sample p values of the same links, see `strength`.
        years: Measured site years of the pool and of every class.
        strength: Full-sample partial correlations of the same links [1].
        bounds: Their 90 % bootstrap intervals (bound, driver, lag) [1].
        strength_among: Full-sample partial correlations of links among drivers (to, from, lag) [1].
        effective: Effective sample sizes of the tests (driver,), for the pool and each class.
        into_sites: Frequency of links into the flux (driver, lag) of each site looked at alone.
        p_sites: Their p values.
        replicates: Bootstrap replicates behind `into`.
    """

    among: Floats
    into: Mapping[str, Floats]
    p: Mapping[str, Floats]
    years: Mapping[str, float]
    strength: Mapping[str, Floats] = field(default_factory=dict)
    bounds: Mapping[str, Floats] = field(default_factory=dict)
    strength_among: Floats | None = None
    effective: Mapping[str, Floats] = field(default_factory=dict)
    into_sites: Mapping[str, Floats] = field(default_factory=dict)
    p_sites: Mapping[str, Floats] = field(default_factory=dict)
    replicates: int = 1

    @property
    def q(self) -> dict[str, Floats]:
        """False discovery rates of `p`: one family over drivers, lags, the pool, classes and sites looked at alone."""
        names = list(self.p)
        family = [*self.p.values(), *self.p_sites.values()]
        return dict(zip(names, benjamini_hochberg(np.stack(family)), strict=False))


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
    shrink_site: float = 20.0,
    trust: float = 1.0,
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
        shrink_site: Weight of a class against one of its sites looked at alone [site years].
        trust: Factor on the evidence of links into the flux, from what null controls left of it; 0 is the expert [1].
    """
    expert = expert_flux(drivers, ecosystems, max_lag, panel.variables[-1])
    pooled, among = expert.copy(), expert_drivers(drivers, max_lag)
    pi = expert.copy()
    if evidence is not None:
        tested = [list(drivers).index(name) for name in panel.variables[:-1]]
        monthly = {k: to_months(f, panel.step, max_lag) for k, f in evidence.into.items()}
        for name in set(panel.ecosystems) & set(monthly):
            monthly[name] = _with_sites(monthly[name], name, evidence, panel, max_lag, shrink_site)
        pooled = _towards(pooled, _spread(monthly[POOL], pooled[0], tested), shrink_expert, trust)
        pi = _class_prior(evidence, monthly, pooled, tested, ecosystems, shrink_class, trust)
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


def _with_sites(
    frequency: Floats,
    ecosystem: str,
    evidence: Evidence,
    panel: Panel,
    max_lag: int,
    weight: float,
) -> Floats:
    """Monthly frequencies of a class as the mean over its sites by years, (driver, lag).

    A site looked at alone has its own frequencies drawn to those of the class; the others have those of the class.
    """
    members = panel.of_class(ecosystem)
    total = np.zeros_like(frequency)
    for at in members:
        own, n = frequency, panel.years[at]
        if panel.sites[at] in evidence.into_sites:
            alone = to_months(evidence.into_sites[panel.sites[at]], panel.step, max_lag)
            own = (n * alone + weight * frequency) / (n + weight)
        total += n * own
    return total / panel.years[members].sum() if len(members) else frequency


def calibrated(frequency: Floats, replicates: int) -> Floats:
    """Chance that a link of such a bootstrap frequency is true, from what was true on synthetic planets.

    A replicate tests at a level of 1 % beside all other candidates, so a frequency says too little of a link that is
    found in most replicates and too much of one found in few. The chance is Phi(a + b Phi^-1(f)) with a and b fitted
    to 22 176 links on twins of seeds 11 to 16, 1 to 12 towers per class, 4 and 10 years, 30 replicates. It holds on
    real towers only as far as they resemble these.

    Args:
        frequency: Bootstrap frequencies [1].
        replicates: How many replicates they come from.
    """
    inside = (frequency * replicates + 0.5) / (replicates + 1)
    return np.asarray(ndtr(CALIBRATION[0] + CALIBRATION[1] * ndtri(inside)), dtype=np.float64)


def _towards(expert: Floats, found: Floats, weight: float, trust: float = 1.0) -> Floats:
    """Frequencies drawn to the expert; the expert alone where nothing was tested (NaN) or a link is impossible (0)."""
    drawn = (trust * found + weight * expert) / (trust + weight)
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
    trust: float,
) -> Floats:
    """Class frequencies drawn to the pool (ecosystem, driver, lag); the pool where a class was not tested."""
    prior = pooled.copy()
    for e, name in enumerate(ecosystems):
        if name in monthly:
            n = trust * evidence.years[name]
            if n + weight == 0:
                continue
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
    return record | {
        "step": panel.step,
        "tested": list(panel.variables[:-1]),
        "site_years": {k: round(v, 3) for k, v in evidence.years.items()},
        "frequency": {k: f.round(DIGITS).tolist() for k, f in evidence.into.items()},
        "chance": {
            k: calibrated(f, evidence.replicates).round(DIGITS).tolist()
            for k, f in evidence.into.items()
        },
        "frequency_among_drivers": evidence.among.round(DIGITS).tolist(),
        "p": {k: _significant(p) for k, p in evidence.p.items()},
        "q": {k: _significant(q) for k, q in evidence.q.items()},
        "strength": {k: s.round(DIGITS).tolist() for k, s in evidence.strength.items()},
        "effective_size": {k: n.round(1).tolist() for k, n in evidence.effective.items()},
        "strength_among_drivers": []
        if evidence.strength_among is None
        else evidence.strength_among.round(DIGITS).tolist(),
        "frequency_of_sites": {k: f.round(DIGITS).tolist() for k, f in evidence.into_sites.items()},
    }


def _significant(values: Floats) -> list[list[float]]:
    """Probabilities with four significant digits: rounding to decimals would call a small one zero."""
    return [[float(f"{v:.4g}") for v in row] for row in values]
