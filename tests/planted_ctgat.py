"""Quick ensembles with each option of CT-GAT in turn, shared by its tests; none of them is good."""

from functools import cache

import numpy as np
from planted_model import GAS, known_graph

from ch4grid.models.config import CTGATConfig
from ch4grid.models.learner import TrainingSet, without_flux
from ch4grid.models.samples import Points, predictor_names
from ch4grid.testing import samples
from ch4grid.vocabulary import ECOSYSTEMS

QUICK = CTGATConfig(members=2, width=4, steps=6)
# Few neighbours, so that there are towers left for teleconnections.
LONELY = {"near": 1, "alike": 1, "same_class": 1}
# Each option away from its default.
CHANGES = {
    "use_prior": False,
    "uniform_graph": True,
    "towers": False,
    "magnitude": False,
    "neighbour_dropout": False,
    "season": True,
    "soft_classes": True,
    "teleconnections": 2,
    "staged": True,
    "invariance": 3.0,
}
# The long records that teleconnections need; every other option is content with them.
MONTHS = 60


@cache
def record():
    """Towers in three groups that share the anomalies of their weather."""
    ds = samples(sites=10, months=MONTHS, seed=5)
    weather = np.random.default_rng(1).normal(size=(3, MONTHS))[np.arange(10) % 3]
    shared = {n: v + weather * float(v.std()) for n, v in _drivers(ds).items()}
    return ds.assign({n: v.astype(np.float32) for n, v in shared.items()})


def _drivers(ds):
    return {name: ds[name] for name in predictor_names(ds, GAS)[0]}


@cache
def fitted(name=None):
    """The ensemble with an option changed."""
    changes = {} if name is None else {name: CHANGES[name]}
    distances = np.array([50.0, 3000.0, 12000.0])
    return QUICK.varied(**LONELY, **changes).fit(training_set(record(), distances=distances))


def asked():
    """The same towers as points."""
    return without_flux(record(), GAS)


def table():
    """The points that are asked about, as arrays."""
    return Points.of(asked(), *predictor_names(asked(), GAS))


def discoverer(ds):
    """The planted graph, found in any samples."""
    names = predictor_names(ds, GAS)[0]
    return known_graph(ds, flux=GAS.flux, drivers=names, ecosystems=ECOSYSTEMS, config=None, seed=0)


def training_set(ds, **changed):
    """A training set of samples under the planted graph."""
    return TrainingSet(ds, gas=GAS, seed=1, discoverer=discoverer, **changed)
