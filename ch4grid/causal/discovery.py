"""Causal discovery: from tower series to a `CausalGraph`, by PCMCI+ on pooled anomalies under a block bootstrap.

The flux is a sink: nothing in the air or soil of a cell reacts to its methane within months. So the graph of the
drivers is discovered once, without the flux, and links into the flux are tested given it, for all sites and per class.
One site alone has no power (methods 3.3: 24 % of true parents), hence pooling and, in `prior`, shrinkage.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtri

from ch4grid.causal import strength
from ch4grid.causal.density import check_density
from ch4grid.causal.expert import admissible
from ch4grid.causal.independence import LaggedRows, PartialCorrelation
from ch4grid.causal.preparation import Panel, prepare
from ch4grid.causal.prior import POOL, Evidence, shrink
from ch4grid.causal.settings import Discovery
from ch4grid.causal.stationarity import check_stationarity, stationarity
from ch4grid.causal.strength import Node, Strength
from ch4grid.graph import CausalGraph

__all__ = ["Discovery", "Mapper", "discover", "gather", "graph_of", "panel_of"]

Floats = NDArray[np.float64]
Links = dict[int, dict[tuple[int, int], str]]
# `map`, or one that works in parallel: the numbers do not depend on it.
Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

# More steps than variables: tigramite warns about a frame that looks transposed.
STUB_STEPS = 1000
# Replicates that one piece of parallel work holds.
CHUNK = 10
# A 90 % interval.
QUANTILES = (0.05, 0.95)


@dataclass(frozen=True, eq=False)
class Laid:
    """Rows of one panel, ready for tests, with the names that tigramite wants to know."""

    rows: LaggedRows
    drivers: tuple[str, ...]
    frame: Any
    frame_drivers: Any


@dataclass(frozen=True, eq=False)
class _Graph:
    """Graph of the drivers: weights of its links (to, from, lag) and each one's lagged parents."""

    found: Floats
    lagged: dict[int, list[Node]]


class Stratum(NamedTuple):
    """Sites whose links into the flux are asked for together; `found` are those of the whole sample."""

    name: str
    members: tuple[int, ...]
    replicates: tuple[int, ...] = ()
    found: tuple[Node, ...] = ()


def discover(
    series: xr.Dataset,
    *,
    flux: str,
    drivers: Sequence[str],
    ecosystems: Sequence[str],
    config: Discovery,
    seed: int,
    mapper: Mapper = map,
) -> CausalGraph:
    """The causal graph of the flux and its drivers: shrunk link probabilities per class at monthly lags.

    Drivers that the series cannot speak about (absent, static, or the same every year) keep the expert prior; the
    provenance names them with the reason, and holds the raw frequencies, strengths, p and q values, versions, sites
    and clusters.

    Args:
        series: Flux [kg m-2 s-1] and drivers (site, time), coordinates ecosystem and cluster (site).
        flux: Name of the flux variable.
        drivers: Names of the drivers, in the order of the graph.
        ecosystems: Names of the classes, in the order of the graph.
        config: How to discover.
        seed: Seed of the bootstrap.
        mapper: `map`, or one that runs replicates in parallel and keeps their order.

    Raises:
        InputError: The flux is absent, or the series does not have the step that `config` says.
    """
    panel = panel_of(series, flux=flux, drivers=drivers, config=config)
    evidence = gather(panel, ecosystems=ecosystems, config=config, seed=seed, mapper=mapper)
    return graph_of(
        evidence, panel, drivers=drivers, ecosystems=ecosystems, config=config, seed=seed
    )


def panel_of(series: xr.Dataset, *, flux: str, drivers: Sequence[str], config: Discovery) -> Panel:
    """The panel that `config` makes of a series, see `prepare`."""
    return prepare(
        series,
        flux=flux,
        drivers=drivers,
        step=config.step,
        harmonics=config.harmonics,
        min_coverage=config.min_coverage,
        min_years=config.min_years,
        regime=config.regime,
    )


def graph_of(
    evidence: Evidence | None,
    panel: Panel,
    *,
    drivers: Sequence[str],
    ecosystems: Sequence[str],
    config: Discovery,
    seed: int,
) -> CausalGraph:
    """The shrunk graph of what was gathered from a panel; checks stand in its provenance and refuse nothing."""
    checks = [check_stationarity(stationarity(panel))]
    checks += [] if evidence is None else [check_density(evidence, config)]
    return shrink(
        evidence,
        panel,
        drivers=drivers,
        ecosystems=ecosystems,
        max_lag=config.max_lag,
        shrink_class=config.shrink_class,
        shrink_expert=config.shrink_expert,
        shrink_site=config.shrink_site,
        trust=config.trust,
        provenance={
            "method": "PCMCI+, pooled anomalies, block bootstrap",
            "tigramite": version("tigramite"),
            "config": config.model_dump(mode="json"),
            "seed": seed,
            "checks": [asdict(check) for check in checks],
        },
    )


def gather(
    panel: Panel,
    *,
    ecosystems: Sequence[str],
    config: Discovery,
    seed: int,
    mapper: Mapper = map,
) -> Evidence | None:
    """What a panel tells of the links at the lags of its step; None when it has no site or no driver.

    Args:
        panel: The panel.
        ecosystems: Classes to ask for beside the pool.
        config: How to discover.
        seed: Seed of the bootstrap.
        mapper: Runs jobs over strata and replicates.
    """
    if not panel.sites or len(panel.variables) < 2:
        return None
    data = laid_out(panel, config)
    everywhere = np.ones(len(data.rows.site))
    whole = _Graph(*driver_links(data, everywhere, config))
    job = partial(_driver_replicates, data, config, seed)
    among = np.concatenate(list(mapper(job, _chunks(config.driver_bootstraps)))).mean(axis=0)
    possible = _possible(data.drivers, config.reach)
    strata = strata_of(panel, ecosystems, config)
    asked = {s.name: s for s in strata}
    results = mapper(partial(whole_sample, data, whole.lagged, config), strata)
    full = dict(zip(asked, results, strict=True))
    jobs = [
        stratum._replace(replicates=chunk, found=full[name][0])
        for name, stratum in asked.items()
        for chunk in _chunks(
            config.bootstraps if name in (POOL, *ecosystems) else config.site_bootstraps
        )
    ]
    made = zip(
        jobs, mapper(partial(replicates_of, data, whole.lagged, config, seed), jobs), strict=True
    )
    parts: dict[str, list[tuple[Floats, Floats]]] = {name: [] for name in asked}
    for stratum, part in made:
        parts[stratum.name].append(part)
    frequency = {k: np.concatenate([f for f, _ in v]).mean(axis=0) for k, v in parts.items()}
    groups = [name for name in asked if name in (POOL, *ecosystems)]
    alone = {name: asked[name].members[0] for name in asked if name not in groups}
    return Evidence(
        among=among,
        into={name: frequency[name] for name in groups},
        p={name: full[name][1].p for name in groups},
        years={POOL: float(panel.years.sum())}
        | {name: float(panel.years[panel.of_class(name)].sum()) for name in ecosystems},
        strength={name: full[name][1].value for name in groups},
        bounds={
            name: np.quantile(np.concatenate([s for _, s in parts[name]]), QUANTILES, axis=0)
            for name in groups
            if config.bounds
        },
        strength_among=strength.among_drivers(
            PartialCorrelation(data.rows, everywhere), whole.found, whole.lagged, possible
        ).value,
        effective={name: _effective(panel, asked[name].members) for name in groups},
        into_sites={panel.sites[at]: frequency[name] for name, at in alone.items()},
        replicates=config.bootstraps,
        p_sites={panel.sites[at]: full[name][1].p for name, at in alone.items()},
    )


def strata_of(panel: Panel, ecosystems: Sequence[str], config: Discovery) -> list[Stratum]:
    """All sites, every class with enough data and, when asked for, every long site alone."""
    strata = [Stratum(POOL, tuple(range(len(panel.sites))))]
    for name in ecosystems:
        members = panel.of_class(name)
        if panel.years[members].sum() >= config.min_class_years:
            strata.append(Stratum(name, tuple(members.tolist())))
    if config.sites:
        measured = np.isfinite(panel.values[..., -1]).sum(axis=1)
        strata += [
            Stratum(f"site {panel.sites[at]}", (at,))
            for at in np.flatnonzero(measured >= config.min_site_steps).tolist()
        ]
    return strata


def _chunks(count: int) -> list[tuple[int, ...]]:
    """Replicates 0 to `count` in pieces of parallel work."""
    return [tuple(range(i, min(i + CHUNK, count))) for i in range(0, count, CHUNK)]


def _effective(panel: Panel, members: Sequence[int]) -> Floats:
    """Effective sample size of every driver with the flux (driver,)."""
    values = panel.values[list(members)]
    sizes = [
        strength.effective_size(values[..., i], values[..., -1])
        for i in range(len(panel.variables) - 1)
    ]
    return np.asarray(sizes, dtype=np.float64)


def laid_out(panel: Panel, config: Discovery) -> Laid:
    from tigramite.data_processing import DataFrame  # heavy

    values = normal_scores(panel.values) if config.test == "robust" else panel.values
    # PCMCI reads only the number and the names of the variables from its frame: the rows are in the test.
    stub = np.zeros((STUB_STEPS, len(panel.variables)))
    return Laid(
        rows=LaggedRows(values, max_lag=config.reach, freedom=panel.freedom),
        drivers=panel.variables[:-1],
        frame=DataFrame(stub, var_names=list(panel.variables)),
        frame_drivers=DataFrame(stub[:, :-1], var_names=list(panel.variables[:-1])),
    )


def normal_scores(values: Floats) -> Floats:
    """Anomalies (site, time, variable) with each variable's pooled distribution mapped to the normal one, NaN kept."""
    from scipy.stats import rankdata  # slow to import

    scores = np.full(values.shape, np.nan)
    for variable in range(values.shape[-1]):
        column = values[..., variable]
        ok = np.isfinite(column)
        scores[ok, variable] = ndtri(rankdata(column[ok]) / (ok.sum() + 1))
    return scores


def _resampled(
    rows: LaggedRows, weights: Floats, block: int, random: np.random.Generator
) -> Floats:
    """Weights times the counts of a bootstrap draw of site x time blocks."""
    blocks = rows.site * (rows.time.max(initial=0) // block + 1) + rows.time // block
    present, label = np.unique(blocks[weights > 0], return_inverse=True)
    counts = np.zeros(len(weights))
    if len(present):
        drawn = random.multinomial(len(present), np.full(len(present), 1 / len(present)))
        counts[weights > 0] = drawn[label]
    return weights * counts


def _generator(seed: int, group: str, replicate: int) -> np.random.Generator:
    """The generator of one replicate, the same whatever other groups are tested and wherever it runs."""
    return np.random.default_rng([seed, zlib.crc32(group.encode()), replicate])


def _driver_replicates(
    data: Laid, config: Discovery, seed: int, replicates: Sequence[int]
) -> Floats:
    """Weights of links among drivers (replicate, to, from, lag)."""
    everywhere = np.ones(len(data.rows.site))
    block = config.block_steps
    draws = [
        _resampled(data.rows, everywhere, block, _generator(seed, "drivers", i)) for i in replicates
    ]
    return np.stack([driver_links(data, weights, config)[0] for weights in draws])


def driver_links(
    data: Laid, weights: Floats, config: Discovery
) -> tuple[Floats, dict[int, list[tuple[int, int]]]]:
    """Links among drivers (to, from, lag), an unoriented one counting half each way, and each one's lagged parents."""
    graph = _pcmciplus(
        data.frame_drivers,
        PartialCorrelation(data.rows, weights),
        _driver_assumptions(data.drivers, config.reach),
        config,
        collider_rule="majority",
    )["graph"]
    found = np.where(graph == "-->", 1.0, np.where(np.isin(graph, ["o-o", "x-x"]), 0.5, 0.0))
    parents = {
        to: [(int(i), -int(lag)) for i, lag in np.argwhere(graph[:, to] == "-->") if lag > 0]
        for to in range(len(data.drivers))
    }
    return found.transpose(1, 0, 2), parents


def whole_sample(
    data: Laid, lagged: dict[int, list[Node]], config: Discovery, stratum: Stratum
) -> tuple[tuple[Node, ...], Strength]:
    """Parents of the flux in the whole sample of a stratum, its own past among them, and the strength of all links."""
    test = PartialCorrelation(data.rows, _inside(data, stratum))
    target = len(data.drivers)
    links = _flux_assumptions(data.drivers, lagged, config.reach)
    graph = _pcmciplus(data.frame, test, links, config, collider_rule="none")["graph"]
    found = tuple((int(i), -int(lag)) for i, lag in np.argwhere(graph[:, target] == "-->"))
    return found, strength.into_flux(test, found, lagged, target, config.reach)


def replicates_of(
    data: Laid, lagged: dict[int, list[Node]], config: Discovery, seed: int, stratum: Stratum
) -> tuple[Floats, Floats]:
    """Presence and strength of the links into the flux (replicate, driver, lag) in bootstrap draws of a stratum."""
    links = _flux_assumptions(data.drivers, lagged, config.reach)
    inside, target = _inside(data, stratum), len(data.drivers)
    present, strengths = [], []
    for i in stratum.replicates:
        random = _generator(seed, stratum.name, i)
        weights = _resampled(data.rows, inside, config.block_steps, random)
        test = PartialCorrelation(data.rows, weights)
        graph = _pcmciplus(data.frame, test, links, config, collider_rule="none")["graph"]
        present.append(graph[:target, target] == "-->")
        if config.bounds:
            found = strength.into_flux(test, stratum.found, lagged, target, config.reach)
            strengths.append(found.value)
    none = np.empty((0, target, config.reach + 1))
    return np.stack(present).astype(np.float64), np.stack(strengths) if strengths else none


def _inside(data: Laid, stratum: Stratum) -> Floats:
    """Weight 1 for the rows of a stratum, else 0."""
    return np.isin(data.rows.site, stratum.members).astype(np.float64)


def _possible(drivers: Sequence[str], reach: int) -> NDArray[np.bool_]:
    """Links among drivers that may exist (to, from, lag)."""
    possible = np.zeros((len(drivers), len(drivers), reach + 1), dtype=bool)
    for to, row in _driver_assumptions(drivers, reach).items():
        for source, lag in row:
            possible[to, source, -lag] = True
    return possible


def _driver_assumptions(drivers: Sequence[str], reach: int) -> Links:
    """Every admissible link among drivers; what is not listed is absent."""
    links: Links = {}
    for j, to in enumerate(drivers):
        links[j] = {}
        for i, source in enumerate(drivers):
            if admissible(source, to):
                links[j] |= {(i, -lag): "-?>" for lag in range(1, reach + 1)}
                if i != j:
                    links[j][(i, 0)] = "o?o" if admissible(to, source) else "-?>"
    return links


def _flux_assumptions(
    drivers: Sequence[str], lagged: dict[int, list[tuple[int, int]]], reach: int
) -> Links:
    """Driver links as found, every driver and lag into the flux, and the flux's own last step.

    Contemporaneous links among drivers are left out: PCMCI+ draws its contemporaneous conditions from the neighbours
    of the target alone, so they change no test into the flux. The flux's longer memory would cost rows at every gap.
    """
    links: Links = {j: dict.fromkeys(parents, "-->") for j, parents in lagged.items()}
    target = len(drivers)
    links[target] = {(i, -lag): "-?>" for i in range(target) for lag in range(reach + 1)}
    links[target][(target, -1)] = "-?>"
    return links


def _pcmciplus(
    frame: Any,
    test: PartialCorrelation,
    links: Links,
    config: Discovery,
    *,
    collider_rule: Literal["majority", "none"],
) -> dict[str, Any]:
    """PCMCI+ of tigramite with our test: its graph (from, to, lag) and p values."""
    from tigramite.pcmci import PCMCI  # heavy

    run: Callable[..., dict[str, Any]] = PCMCI(
        dataframe=frame, cond_ind_test=test, verbosity=0
    ).run_pcmciplus
    return run(
        link_assumptions=links,
        tau_min=0,
        tau_max=config.reach,
        pc_alpha=config.alpha,
        contemp_collider_rule=collider_rule,
        max_conds_dim=config.max_conditions,
    )
