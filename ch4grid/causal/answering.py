"""The structural model that answers scenarios: flux equations with every cause that may act, and draws of them.

A cause that is left out gives its effect to those that move with it, or to none; one that is taken in without acting
gets a coefficient about zero and costs precision alone. So the bar for flux equations is lower than for a claim.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.causal.structural import estimate_structure
from ch4grid.errors import InputError
from ch4grid.graph import CausalGraph
from ch4grid.structure import StructuralModel

Floats = NDArray[np.float64]

THRESHOLD = 0.5
# Links into the flux from this probability on are in its equation (chosen on twins that no measurement scores).
MAY_ACT = 0.2


def fit_answers(
    series: xr.Dataset,
    graph: CausalGraph,
    *,
    flux: str,
    seed: int,
    draws: int,
    may_act: float = MAY_ACT,
) -> StructuralModel:
    """The structural model of towers with draws of its coefficients about their estimates.

    Args:
        series: Flux [kg m-2 s-1] and drivers (site, time), ecosystem and cluster (site), by month or week.
        graph: Link probabilities.
        flux: Name of the flux variable.
        seed: Seed of the bootstrap.
        draws: Bootstrap copies of the coefficients that are kept; at least two.
        may_act: Smallest probability of a link into the flux that is taken in.

    Raises:
        InputError: The flux is not that of the graph, or no driver of the graph is in the series.
    """
    found = estimate_structure(
        series, _lifted(graph, may_act), flux=flux, seed=seed, threshold=THRESHOLD
    )
    model, copies = found.model, found.copies[: max(draws, 2)]
    return replace(
        model,
        provenance=model.provenance | {"may_act": may_act},
        draws=_about(model.coefficient, [c.coefficient for c in copies]),
        modification_draws={
            n: _about(v, [c.modification[n] for c in copies]) for n, v in model.modification.items()
        },
    )


def fit_or_tell(
    series: xr.Dataset, graph: CausalGraph, *, flux: str, seed: int, draws: int
) -> tuple[StructuralModel | None, str]:
    """What `fit_answers` fits and "fitted", or None and why towers do not carry a structural model."""
    try:
        model = fit_answers(series, graph, flux=flux, seed=seed, draws=draws)
    except (InputError, np.linalg.LinAlgError) as error:
        return None, f"not fitted: {' '.join(str(error).split())}"
    return model, "fitted"


def _lifted(graph: CausalGraph, may_act: float) -> CausalGraph:
    """The graph with every link into the flux that may act over the threshold."""
    probability = graph.probability.copy()
    into = probability[:, -1]
    into[into >= may_act] = np.maximum(into[into >= may_act], THRESHOLD)
    return replace(graph, probability=probability)


def _about(centre: Floats, samples: Sequence[Floats]) -> Floats:
    """Samples (draw, ...) moved so that their mean is the centre, 0 where it is 0."""
    stack = np.stack(samples)
    return np.where(centre != 0, stack - stack.mean(axis=0) + centre, 0.0)
