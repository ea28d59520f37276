"""Causal discovery: from tower series to a `CausalGraph`, by PCMCI+ on pooled anomalies under a block bootstrap.

The flux is a sink: nothing in the air or soil of a cell reacts to its methane within months. So the graph of the
drivers is discovered once, without the flux, and links into the flux are tested given it, for all sites and per class.
One site alone has no power (methods 3.3: 24 % of true parents), hence pooling and, in `prior`, shrinkage.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import ndtri
from scipy.stats import rankdata

from ch4grid.causal.expert import admissible
from ch4grid.causal.independence import LaggedRows, PartialCorrelation
from ch4grid.causal.preparation import STEPS_PER_YEAR, Panel, prepare
from ch4grid.causal.prior import POOL, Evidence, shrink
from ch4grid.graph import CausalGraph

Floats = NDArray[np.float64]
Links = dict[int, dict[tuple[int, int], str]]

# More steps than variables: tigramite warns about a frame that looks transposed.
STUB_STEPS = 1000


class Discovery(BaseModel):
    """How causes are discovered: step of the series, lags, significance, bootstrap and shrinkage.

    Args:
        step: Step of the series that discovery sees.
        max_lag: Longest lag of the graph [months].
        max_weeks: Longest lag tested on weekly series [weeks].
        alpha: Significance level of a conditional independence test.
        test: "robust" maps every anomaly to normal scores before partial correlation, "linear" does not.
        bootstraps: Block-bootstrap replicates of links into the flux.
        driver_bootstraps: Replicates of links among drivers.
        block: Length of a bootstrap block [months].
        harmonics: Annual harmonics removed per site and variable.
        min_coverage: Steps measured for a smaller share than this are not used [1].
        min_years: Sites with less measured flux than this are not used [years].
        min_class_years: Classes with less measured flux than this rest on the pool [years].
        max_conditions: Largest number of contemporaneous conditions in one test.
        shrink_class: Weight k1 of the pool against a class [site years].
        shrink_expert: Weight k2 of the expert against the pool.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    step: Literal["month", "week"] = "month"
    max_lag: int = Field(default=3, ge=0, le=12)
    max_weeks: int = Field(default=8, ge=1, le=26)
    alpha: float = Field(default=0.01, gt=0, lt=1)
    test: Literal["robust", "linear"] = "robust"
    bootstraps: int = Field(default=50, ge=1)
    driver_bootstraps: int = Field(default=10, ge=1)
    block: int = Field(default=6, ge=1)
    harmonics: int = Field(default=2, ge=1, le=4)
    min_coverage: float = Field(default=0.2, ge=0, le=1)
    min_years: float = Field(default=1.0, ge=0)
    min_class_years: float = Field(default=5.0, ge=0)
    max_conditions: int = Field(default=3, ge=0)
    shrink_class: float = Field(default=5.0, ge=0)
    shrink_expert: float = Field(default=0.5, gt=0)

    @property
    def reach(self) -> int:
        """Longest lag tested, in steps of the series."""
        return self.max_lag if self.step == "month" else self.max_weeks

    @property
    def block_steps(self) -> int:
        """Length of a bootstrap block in steps of the series."""
        return max(1, round(self.block * STEPS_PER_YEAR[self.step] / 12))


@dataclass(frozen=True, eq=False)
class _Data:
    """Rows of one panel, ready for tests, with the names that tigramite wants to know."""

    rows: LaggedRows
    drivers: tuple[str, ...]
    frame: Any
    frame_drivers: Any


def discover(
    series: xr.Dataset,
    *,
    flux: str,
    drivers: Sequence[str],
    ecosystems: Sequence[str],
    config: Discovery,
    seed: int,
) -> CausalGraph:
    """The causal graph of the flux and its drivers: shrunk link probabilities per class at monthly lags.

    Drivers that the series cannot speak about (absent, static, or the same every year) keep the expert prior; the
    provenance names them with the reason, and holds the raw frequencies, p and q values, versions, sites and clusters.

    Args:
        series: Flux [kg m-2 s-1] and drivers (site, time), coordinates ecosystem and cluster (site).
        flux: Name of the flux variable.
        drivers: Names of the drivers, in the order of the graph.
        ecosystems: Names of the classes, in the order of the graph.
        config: How to discover.
        seed: Seed of the bootstrap.

    Raises:
        InputError: The flux is absent, or the series does not have the step that `config` says.
    """
    panel = prepare(
        series,
        flux=flux,
        drivers=drivers,
        step=config.step,
        harmonics=config.harmonics,
        min_coverage=config.min_coverage,
        min_years=config.min_years,
    )
    evidence = gather(panel, ecosystems=ecosystems, config=config, seed=seed)
    return shrink(
        evidence,
        panel,
        drivers=drivers,
        ecosystems=ecosystems,
        max_lag=config.max_lag,
        shrink_class=config.shrink_class,
        shrink_expert=config.shrink_expert,
        provenance={
            "method": "PCMCI+, pooled anomalies, block bootstrap",
            "tigramite": version("tigramite"),
            "config": config.model_dump(mode="json"),
            "seed": seed,
        },
    )


def gather(
    panel: Panel, *, ecosystems: Sequence[str], config: Discovery, seed: int
) -> Evidence | None:
    """Link frequencies and p values of a panel at the lags of its step; None when it has no site or no driver."""
    if not panel.sites or len(panel.variables) < 2:
        return None
    data = _data(panel, config)
    everywhere = np.ones(len(data.rows.site))
    replicates = [
        _resampled(data.rows, everywhere, config.block_steps, random)
        for random in _generators(seed, "drivers", config.driver_bootstraps)
    ]
    among = np.mean([_driver_links(data, w, config)[0] for w in replicates], axis=0)
    lagged = _driver_links(data, everywhere, config)[1]
    groups = {POOL: np.arange(len(panel.sites))} | {
        name: panel.of_class(name) for name in ecosystems
    }
    tested = {
        name: members
        for name, members in groups.items()
        if name == POOL or panel.years[members].sum() >= config.min_class_years
    }
    into = {
        name: _flux_evidence(
            data,
            lagged,
            np.isin(data.rows.site, members),
            config,
            _generators(seed, name, config.bootstraps),
        )
        for name, members in tested.items()
    }
    return Evidence(
        among=among,
        into={name: frequency for name, (frequency, _) in into.items()},
        p={name: p for name, (_, p) in into.items()},
        years={name: float(panel.years[members].sum()) for name, members in groups.items()},
    )


def _data(panel: Panel, config: Discovery) -> _Data:
    from tigramite.data_processing import DataFrame  # heavy

    values = normal_scores(panel.values) if config.test == "robust" else panel.values
    # PCMCI reads only the number and the names of the variables from its frame: the rows are in the test.
    stub = np.zeros((STUB_STEPS, len(panel.variables)))
    return _Data(
        rows=LaggedRows(values, max_lag=config.reach, freedom=panel.freedom),
        drivers=panel.variables[:-1],
        frame=DataFrame(stub, var_names=list(panel.variables)),
        frame_drivers=DataFrame(stub[:, :-1], var_names=list(panel.variables[:-1])),
    )


def normal_scores(values: Floats) -> Floats:
    """Anomalies (site, time, variable) with each variable's pooled distribution mapped to the normal one, NaN kept."""
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


def _generators(seed: int, group: str, count: int) -> list[np.random.Generator]:
    """One generator per replicate, the same whatever other groups are tested."""
    key = zlib.crc32(group.encode())
    return [np.random.default_rng([seed, key, i]) for i in range(count)]


def _driver_links(
    data: _Data, weights: Floats, config: Discovery
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


def _flux_evidence(
    data: _Data,
    lagged: dict[int, list[tuple[int, int]]],
    inside: NDArray[np.bool_],
    config: Discovery,
    generators: Sequence[np.random.Generator],
) -> tuple[Floats, Floats]:
    """Bootstrap frequency and full-sample p value of the links into the flux (driver, lag) over the rows `inside`."""
    links = _flux_assumptions(data.drivers, lagged, config.reach)
    target = len(data.drivers)

    def run(weights: Floats) -> dict[str, Any]:
        test = PartialCorrelation(data.rows, weights)
        return _pcmciplus(data.frame, test, links, config, collider_rule="none")

    base = inside.astype(np.float64)
    graphs = [
        run(_resampled(data.rows, base, config.block_steps, random))["graph"]
        for random in generators
    ]
    frequency = np.mean([graph[:target, target] == "-->" for graph in graphs], axis=0)
    return frequency, np.asarray(run(base)["p_matrix"][:target, target], dtype=np.float64)


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
