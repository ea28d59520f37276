"""A planted cause and a small checkpoint fitted to it, shared by the tests of models and training."""

from functools import cache

import numpy as np

from ch4grid import training
from ch4grid.causal import Discovery
from ch4grid.graph import CausalGraph
from ch4grid.models.config import CTGATConfig
from ch4grid.structure import StructuralModel
from ch4grid.testing import samples
from ch4grid.vocabulary import ECOSYSTEMS, GASES

GAS = GASES["ch4"]
SMALL = CTGATConfig(members=2, width=4, steps=20)


def known_graph(series, *, flux, drivers, ecosystems, config, seed):
    """The planted causes of `testing.samples`, called like `causal.discover`; `ps` is in no parent list."""
    probability = np.full((len(ecosystems), len(drivers) + 1, len(drivers), 4), 0.01)
    at = {name: i for i, name in enumerate(drivers)}
    probability[:, -1, at["tas"], 0] = 0.9
    probability[:, -1, at["mrsos"], 1] = 0.8
    probability[:, at["mrsos"], at["pr"], 0] = 0.7
    provenance = {
        "sites": sorted(series["site"].values.tolist()),
        "clusters": sorted(set(series["cluster"].values.tolist())),
    }
    return CausalGraph(tuple(drivers), flux, tuple(ecosystems), probability, provenance)


@cache
def towers():
    return samples(sites=14, months=48, seed=3)


def settings(**changed):
    """Arguments of `training.fit` beside the towers."""
    return {
        "gas": GAS,
        "model": SMALL,
        "discovery": Discovery(),
        "folds": 3,
        "fold_members": 2,
        "seed": 1,
        "neighbour_distances": np.array([50.0, 800.0, 3000.0]),
        "discoverer": known_graph,
    } | changed


@cache
def fitted():
    """A checkpoint of the towers; quick to fit and not good."""
    return training.fit(towers(), towers(), **settings())


def structural_model(names, links):
    """A structural model with these links (to, from, lag) in every class and pooled, and two draws of it."""
    coefficient = np.zeros((len(ECOSYSTEMS) + 1, len(names) + 1, len(names), 2))
    for (to, source, lag), size in links.items():
        coefficient[:, (*names, "ch4_flux").index(to), names.index(source), lag] = size
    spread = np.ones(coefficient.shape[:2])
    draws = np.stack([0.8 * coefficient, 1.2 * coefficient])
    return StructuralModel(
        names, "ch4_flux", ECOSYSTEMS, coefficient, 0 * coefficient, spread, draws=draws
    )
