"""The structural model fitted to towers: one additive-noise equation per node given its causes in the graph.

Driver equations hold in standard deviations of each site's own anomalies, and a class leans on all classes together as
far as its own standard errors ask for it. A flux effect is the same per unit of the driver at every site of a class.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal.equations import Equation, Rows, Solution, draws, equation, resolve, rows, solve
from ch4grid.causal.intervals import effective_clusters
from ch4grid.causal.memory import remembered
from ch4grid.causal.monthly import HARMONICS, MIN_COVERAGE, Towers, towers
from ch4grid.causal.ordering import Term, causes, terms
from ch4grid.errors import InputError
from ch4grid.graph import CausalGraph
from ch4grid.structure import POOL, StructuralModel

Floats = NDArray[np.float64]

BLOCK_MONTHS = 12
BOOTSTRAPS = 200
# A class equation needs this many rows per cause, and a driver this share of the rows of what it is said to cause.
ROWS_PER_CAUSE = 15
MIN_MEASURED = 0.5
# A property that hardly differs between the sites of a class cannot be seen to modify an effect.
MIN_SPREAD = 0.02


def fit_structure(
    series: xr.Dataset,
    graph: CausalGraph,
    *,
    flux: str,
    seed: int,
    threshold: float = 0.5,
    modifiers: Sequence[str] = ("urban_fraction",),
) -> StructuralModel:
    """Equations of the drivers and the flux given their causes, per class and for all classes together.

    Args:
        series: Flux [kg m-2 s-1] and drivers (site, time), ecosystem and cluster (site), by month or week.
        graph: Link probabilities; those from `threshold` on are causes.
        flux: Name of the flux variable.
        seed: Seed of the bootstrap behind the standard errors.
        threshold: Smallest probability of a cause.
        modifiers: Static properties (site) that may modify effects on the flux, where the series has them.

    Raises:
        InputError: The flux is not that of the graph, or no driver of the graph is in the series.

    Source:
        Pearl (2009), Causality, section 5; partial pooling by DerSimonian and Laird (1986), Controlled Clinical Trials
        7, 177, eq. 9, and Efron and Morris (1975), JASA 70, 311.
    """
    return estimate_structure(
        series, graph, flux=flux, seed=seed, threshold=threshold, modifiers=modifiers
    ).model


@dataclass(frozen=True, eq=False)
class Estimate:
    """A structural model with bootstrap copies of it: what intervals of anything derived from it need.

    Args:
        model: The model.
        copies: The same model fitted to bootstrap samples of blocks of a cluster and a year.
    """

    model: StructuralModel
    copies: tuple[StructuralModel, ...]


def estimate_structure(
    series: xr.Dataset,
    graph: CausalGraph,
    *,
    flux: str,
    seed: int,
    threshold: float = 0.5,
    modifiers: Sequence[str] = ("urban_fraction",),
    bootstraps: int = BOOTSTRAPS,
) -> Estimate:
    """As `fit_structure`, with `bootstraps` copies fitted to resampled blocks."""
    if flux != graph.target:
        raise InputError(
            "the graph is that of another flux",
            where="structure",
            expected=flux,
            found=graph.target,
        )
    data = towers(series, graph.nodes, modifiers=modifiers)
    present = [n for n in graph.drivers if np.isfinite(data.values[n]).any()]
    if not present:
        raise InputError(
            "no driver of the graph is in the series",
            where="structure",
            expected=f"some of {', '.join(graph.drivers)}",
            found=sorted(map(str, series.data_vars)),
        )
    taken, broken = causes(graph, threshold)
    raw = _Raw.fitted(data, graph, taken, draws(int(data.blocks.max()) + 1, bootstraps, seed))
    weight = raw.weights()
    coefficient, samples = raw.pooled(weight)
    base = StructuralModel(
        drivers=graph.drivers,
        target=graph.target,
        ecosystems=graph.ecosystems,
        coefficient=coefficient,
        error=samples.std(axis=0, ddof=1),
        spread=raw.spread,
        modification=raw.modification,
        provenance={
            "method": "least squares per node given its causes, memory corrected for short records, classes "
            "partially pooled, bootstrap of blocks",
            "threshold": threshold,
            "harmonics": HARMONICS,
            "min_coverage": MIN_COVERAGE,
            "block_months": BLOCK_MONTHS,
            "bootstraps": bootstraps,
            "seed": seed,
            "step": series.attrs.get("step", "month"),
            "absent": [n for n in graph.drivers if n not in present],
            "cycles_broken": broken,
            "unmeasured": raw.unmeasured,
            "modifiers": {n: raw.means(data, n) for n in sorted(data.statics)},
            "own_weight": {
                name: round(float(weight[e][raw.known[e]].mean()), 3) if raw.known[e].any() else 0.0
                for e, name in enumerate(graph.ecosystems)
            },
            "equations": raw.told,
        },
    )
    copies = tuple(
        replace(
            base, coefficient=sample, modification={n: raw.modified[n][i] for n in raw.modified}
        )
        for i, sample in enumerate(samples)
    )
    return Estimate(base, copies)


class _Raw:
    """Equations of every class and the pool, each by itself, with their bootstrap samples."""

    def __init__(self, data: Towers, graph: CausalGraph, counts: Floats) -> None:
        e, p, lags = len(graph.ecosystems) + 1, len(graph.drivers), graph.max_lag + 1
        self.names = (*graph.ecosystems, POOL)
        self.nodes = graph.nodes
        self.counts = counts
        self.value = np.zeros((e, p + 1, p, lags))
        self.error = np.zeros_like(self.value)
        self.sample = np.zeros((len(counts), *self.value.shape))
        self.known = np.zeros(self.value.shape, dtype=bool)
        self.empty = np.zeros((e, p + 1), dtype=bool)
        self.spread = _class_spread(data, self.names)
        self.modification = {n: np.zeros((e, p, lags)) for n in sorted(data.statics)}
        self.modified = {n: np.zeros((len(counts), e, p, lags)) for n in sorted(data.statics)}
        self.told: list[dict[str, Any]] = []
        self.unmeasured: list[dict[str, str]] = []

    @classmethod
    def fitted(
        cls, data: Towers, graph: CausalGraph, taken: NDArray[np.bool_], counts: Floats
    ) -> "_Raw":
        """All equations of the links taken."""
        raw = cls(data, graph, counts)
        for e, name in enumerate(raw.names):
            members = (
                np.ones(len(data.ecosystems), bool) if name == POOL else data.ecosystems == name
            )
            for to in range(len(raw.nodes)):
                raw._fit(data, e, to, np.flatnonzero(members), terms(taken[e, to]))
        return raw

    def _fit(
        self,
        data: Towers,
        e: int,
        to: int,
        members: NDArray[np.intp],
        links: Sequence[Term],
    ) -> None:
        kept = self._measured(data, e, to, members, links)
        extra = self._modifiers(data, e, to, members)
        columns = [self._column(data, e, to, members, link) for link in kept]
        columns += [
            column * extra[name][:, None] for name in extra for column in columns[: len(kept)]
        ]
        response = self._scaled(data, e, to, to, members, 0)
        measured = int(np.isfinite(response).sum())
        self.empty[e, to] = not kept or measured < ROWS_PER_CAUSE * len(kept)
        if self.empty[e, to]:
            return
        used = rows(columns, response, data.design)
        self.empty[e, to] = len(used.y) < ROWS_PER_CAUSE * len(kept)
        if self.empty[e, to]:
            return
        number = self.counts.shape[1]
        own = {k: link.lag for k, link in enumerate(kept) if link.driver == to}
        blocks = data.blocks[members]
        local = remembered(equation(used, blocks, number), used, blocks, data.design, own)
        solution, samples = solve(local), resolve(local, self.counts)
        for k, link in enumerate(kept):
            at = (e, to, link.driver, link.lag)
            self.known[at] = True
            self.value[at], self.error[at] = solution.coefficient[k], solution.error[k]
            self.sample[(slice(None), *at)] = samples[:, k]
        for m, name in enumerate(extra, start=1):
            for i, link in enumerate(kept):
                k, place = m * len(kept) + i, (e, link.driver, link.lag)
                share = _shrinkage(solution.coefficient[k], solution.error[k])
                self.modification[name][place] = share * solution.coefficient[k]
                self.modified[name][(slice(None), *place)] = share * samples[:, k]
        clusters = effective_clusters(data.clusters[members][used.site])
        told = _told(local, solution, used)
        self.told.append(
            {"ecosystem": self.names[e], "node": self.nodes[to], "causes": len(kept)}
            | {"clusters": round(clusters, 2)}
            | told
        )

    def _measured(
        self, data: Towers, e: int, to: int, members: NDArray[np.intp], links: Sequence[Term]
    ) -> tuple[Term, ...]:
        """Links whose driver is measured where its effect is; the others are written down."""
        there = np.isfinite(data.values[self.nodes[to]][members])
        kept = []
        for link in links:
            name = self.nodes[link.driver]
            cause = np.isfinite(data.values[name][members])
            if there.any() and cause[there].mean() >= MIN_MEASURED:
                kept.append(link)
            elif there.any():
                self.unmeasured.append(
                    {"ecosystem": self.names[e], "to": self.nodes[to], "from": name}
                )
        return tuple(kept)

    def _modifiers(
        self, data: Towers, e: int, to: int, members: NDArray[np.intp]
    ) -> dict[str, Floats]:
        """Departures (site) of static properties from their class mean, for the flux equation of a class."""
        if self.nodes[to] != self.nodes[-1] or self.names[e] == POOL or not len(members):
            return {}
        here = {n: v[members] - self.means(data, n)[e] for n, v in data.statics.items()}
        return {n: v for n, v in here.items() if np.isfinite(v).all() and v.std() >= MIN_SPREAD}

    def means(self, data: Towers, name: str) -> list[float]:
        """Mean of a static property at the towers of each class and at all."""
        values = data.statics[name]
        classes = [_mean(values[data.ecosystems == n]) for n in self.names[:-1]]
        return [m if np.isfinite(m) else 0.0 for m in (*classes, _mean(values))]

    def _column(
        self, data: Towers, e: int, to: int, members: NDArray[np.intp], link: Term
    ) -> Floats:
        return self._scaled(data, e, to, link.driver, members, link.lag)

    def _scaled(
        self, data: Towers, e: int, to: int, node: int, members: NDArray[np.intp], lag: int
    ) -> Floats:
        """Values (site, time) in standard deviations: of the site among drivers, of the class for the flux."""
        values = data.lagged(self.nodes[node], lag)[members]
        if to == len(self.nodes) - 1:
            return np.asarray(values / self.spread[e, node])
        return np.asarray(values / data.spread[members, node][:, None])

    def weights(self) -> Floats:
        """Share of a class's own coefficient in the final one (E + 1, P + 1, P, L + 1), the rest being the pool's."""
        own = np.ones_like(self.value)
        drivers = slice(0, len(self.nodes) - 1)
        known = self.known[:-1, drivers]
        precision = np.where(known, 1 / np.maximum(self.error[:-1, drivers], 1e-9) ** 2, 0.0)
        total = np.maximum(precision.sum(axis=0), 1e-30)
        mean = (precision * self.value[:-1, drivers]).sum(axis=0) / total
        scatter = (precision * (self.value[:-1, drivers] - mean) ** 2).sum(axis=0)
        scale = np.maximum(total - (precision**2).sum(axis=0) / total, 1e-30)
        between = np.maximum(0.0, (scatter - (known.sum(axis=0) - 1)) / scale)
        share = between / np.maximum(between + self.error[:-1, drivers] ** 2, 1e-30)
        own[:-1, drivers] = np.where(self.known[-1, drivers], share, 1.0)
        return own

    def pooled(self, own: Floats) -> tuple[Floats, Floats]:
        """Final coefficients (E + 1, P + 1, P, L + 1) and their bootstrap samples (draw, ...)."""
        out = []
        for values in (self.value[None], self.sample):
            pool = values[:, -1:]
            mixed = np.where(self.known, own * values + (1 - own) * pool, 0.0)
            out.append(np.where(self.empty[..., None, None], pool, mixed))
        return out[0][0], out[1]


def _shrinkage(value: float, error: float) -> float:
    """Share of a coefficient that its standard error leaves standing (James and Stein 1961, positive part)."""
    return max(0.0, 1 - (error / value) ** 2) if value else 0.0


def _class_spread(data: Towers, names: Sequence[str]) -> Floats:
    """Mean spread (E + 1, P + 1) of the towers of each class; the pool's where a class has none, 1 where none has."""
    pool = np.array([_mean(column) for column in data.spread.T])
    pool = np.where(np.isfinite(pool), pool, 1.0)
    table = [
        [_mean(column[data.ecosystems == name]) for column in data.spread.T] for name in names[:-1]
    ]
    spread = np.concatenate([np.reshape(table, (-1, len(pool))), pool[None]])
    return np.where(np.isfinite(spread), spread, pool)


def _mean(values: Floats) -> float:
    """Mean of what is measured, NaN where nothing is."""
    ok = values[np.isfinite(values)]
    return float(ok.mean()) if len(ok) else float("nan")


def _told(local: Equation, solution: Solution, used: Rows) -> dict[str, Any]:
    """What was fitted and what is left over, as JSON values."""
    left = used.y - used.x @ solution.coefficient
    next_one = (np.diff(used.site) == 0) & (np.diff(used.time) == 1)
    pairs = left[:-1][next_one], left[1:][next_one]
    memory = float(np.corrcoef(*pairs)[0, 1]) if next_one.sum() > 2 else 0.0
    return {
        "sites": local.sites,
        "blocks": local.blocks,
        "rows": local.rows,
        "effective_rows": round(solution.effective, 1),
        "explained": round(solution.explained, 4),
        "residual_autocorrelation": round(memory, 4),
        "ridge": round(solution.ridge, 6),
    }
