"""Heterogeneity: where an effect is larger and where smaller, by one causal forest per treatment over all classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.causal import forest as forests
from ch4grid.causal.adjustment import Adjustment, Lagged, adjustment
from ch4grid.causal.estimates import ESTIMATED, EffectSettings, Row, told, unit_of
from ch4grid.causal.treatments import Sample, class_index, sample
from ch4grid.graph import CausalGraph
from ch4grid.vocabulary import ECOSYSTEMS

POOL = "pool"


@dataclass(frozen=True, eq=False)
class Grove:
    """One treatment in all classes together."""

    departures: xr.Dataset
    modifiers: pd.DataFrame
    graph: CausalGraph
    treatment: Lagged
    flux: str
    config: EffectSettings
    seed: int


def grown(grove: Grove) -> tuple[list[Row], pd.DataFrame, Row]:
    """Rows of the quarters, effects of the sites and tests of one forest; empty where there is too little data."""
    config, driver = grove.config, grove.treatment.driver
    sets = _sets(grove)
    held = _held_everywhere(sets)
    data = sample(grove.departures, grove.flux, grove.treatment, held, harmonics=config.harmonics)
    if len(data) < config.min_months or len(np.unique(data.cluster)) < config.min_clusters:
        return [], pd.DataFrame(), {}
    x = grove.modifiers.to_numpy()
    classes = sum(str(name).startswith("class ") for name in grove.modifiers)
    found = forests.forest(
        data,
        x,
        classes=classes,
        trees=config.trees,
        min_leaf=config.min_leaf,
        folds=config.folds,
        seed=grove.seed,
        memory_limit=config.memory_limit,
    )
    names = {"driver": driver, "lag": grove.treatment.lag}
    sites = pd.DataFrame(
        names
        | {
            "site": grove.departures["site"].values.astype(str),
            "ecosystem": np.asarray(ECOSYSTEMS)[class_index(grove.departures)],
            "urban_fraction": grove.modifiers.get("urban_fraction", np.nan),
            "effect": found.effect,
            "lower": found.lower,
            "upper": found.upper,
        }
    ).iloc[np.unique(data.site)]
    tests = names | {
        "months": len(data),
        "gain": found.gain,
        "calibration": found.calibration.value,
        "lower": found.calibration.lower,
        "upper": found.calibration.upper,
    }
    return _quarter_rows(grove, sets, data, found), sites, tests


def _quarter_rows(
    grove: Grove, sets: Sequence[Adjustment], data: Sample, found: forests.Forest
) -> list[Row]:
    open_questions = sorted({part.reason for part in sets if not part.exists})
    doubt = "; ".join(open_questions)
    held = [node for node in _held_everywhere(sets) if node not in data.dropped]
    common = {
        "ecosystem": POOL,
        "driver": grove.treatment.driver,
        "lag": grove.treatment.lag,
        "kind": "total",
        "spread": float(data.treatment.std()),
        "in_graph": any(part.is_parent for part in sets),
        "n": len(data),
        "n_eff": round(forests.effective_size(found.residuals, data)),
        "clusters": len(np.unique(data.cluster)),
        "blocks": "cluster",
        "adjustment": ", ".join(map(str, held)) or "nothing",
        "overlap": forests.overlap(found.residuals, data),
        "status": f"association: {doubt}" if doubt else ESTIMATED,
    }
    unit = unit_of(grove.departures, grove.treatment.driver)
    return [
        common | told(f"per unit, quarter {i} of 4 by predicted effect", quarter, unit)
        for i, quarter in enumerate(found.quarters, 1)
    ]


def _sets(grove: Grove) -> list[Adjustment]:
    """Adjustment sets of all classes with towers."""
    names = [ECOSYSTEMS[c] for c in sorted(set(class_index(grove.departures).tolist()))]
    return [
        adjustment(grove.graph, name, *grove.treatment, threshold=grove.config.threshold)
        for name in names
        if name in grove.graph.ecosystems
    ]


def _held_everywhere(sets: Sequence[Adjustment]) -> tuple[Lagged, ...]:
    """The union of the sets for the total effect, without what follows from the treatment in any class."""
    after = {node for part in sets for node in part.follows}
    held = {node for part in sets for node in part.total}
    return tuple(sorted(held - after))
