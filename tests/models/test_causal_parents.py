"""The forest on causes learns a planted function from them alone, and sees nothing else."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ch4grid.errors import InputError
from ch4grid.graph import CausalGraph
from ch4grid.models.causal_parents import CausalParentsForest, flux_causes
from ch4grid.models.samples import flux_scale
from ch4grid.vocabulary import ECOSYSTEMS, GASES

GAS = GASES["ch4"]
DRIVERS = ("evi", "ps", "tas")


def _graph(links: dict[tuple[str, int], float]) -> CausalGraph:
    probability = np.full((len(ECOSYSTEMS), 4, 3, 3), 0.01)
    for (driver, lag), value in links.items():
        probability[:, -1, DRIVERS.index(driver), lag] = value
    return CausalGraph(DRIVERS, "ch4_flux", ECOSYSTEMS, probability)


TRUTH = _graph({("tas", 1): 1.0, ("evi", 0): 1.0})


def _samples(sites: int = 20, steps: int = 48, seed: int = 0) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    data = {name: rng.normal(size=(sites, steps)) for name in DRIVERS}
    before = np.concatenate([np.zeros((sites, 1)), data["tas"][:, :-1]], axis=1)
    star = 1.5 + 0.5 * before + 0.3 * data["evi"]
    data["ch4_flux"] = flux_scale(GAS) * np.sinh(star)
    return xr.Dataset(
        {n: (("site", "time"), v) for n, v in data.items()}
        | {
            "ch4_flux_coverage": (("site", "time"), np.ones((sites, steps))),
            "elevation": ("site", rng.normal(size=sites)),
        },
        coords={
            "site": [f"XX-{i:02d}" for i in range(sites)],
            "time": pd.date_range("2001-01-01", periods=steps, freq="MS", unit="s"),
            "ecosystem": ("site", (np.arange(sites) % 2).astype(np.int8)),
            "cluster": ("site", np.arange(sites)),
        },
        attrs={"step": "month"},
    )


def _star(samples: xr.Dataset) -> np.ndarray:
    return np.arcsinh(samples["ch4_flux"].values / flux_scale(GAS))


def test_a_planted_function_of_the_causes_is_learned() -> None:
    model = CausalParentsForest(TRUTH, trees=50).fit(_samples(), GAS)
    unseen = _samples(seed=1)
    error = (model.predict(unseen) - _star(unseen))[:, 1:]
    assert error.var() < 0.15 * _star(unseen).var()


def test_a_driver_that_is_no_cause_changes_nothing() -> None:
    samples = _samples()
    model = CausalParentsForest(TRUTH, trees=10).fit(samples, GAS)
    other = samples.assign(ps=samples["ps"] + 100.0)
    np.testing.assert_array_equal(model.predict(samples), model.predict(other))
    assert not np.array_equal(
        model.predict(samples), model.predict(samples.assign(tas=-samples["tas"]))
    )


def test_the_future_changes_nothing() -> None:
    samples = _samples()
    model = CausalParentsForest(TRUTH, trees=10).fit(samples, GAS)
    later = samples.copy(deep=True)
    later["tas"][:, 30:] = 5.0
    np.testing.assert_array_equal(model.predict(samples)[:, :31], model.predict(later)[:, :31])


def test_causes_are_the_union_over_classes_and_the_likeliest_where_none_is_likely() -> None:
    graph = _graph({("tas", 0): 0.9, ("evi", 2): 0.1})
    graph.probability[1, -1] = 0.0
    graph.probability[1, -1, 1, 1] = 0.3
    names = ECOSYSTEMS[:2]
    found = flux_causes(graph, names, DRIVERS)
    assert ("tas", 0) in found
    assert ("ps", 1) in found
    assert ("evi", 2) not in flux_causes(graph, names[:1], DRIVERS)


def test_a_graph_of_other_drivers_is_an_input_error() -> None:
    with pytest.raises(InputError, match="names no cause"):
        flux_causes(TRUTH, ECOSYSTEMS, ["snw"])


def test_points_without_a_cause_are_an_input_error() -> None:
    model = CausalParentsForest(TRUTH, trees=4).fit(_samples(), GAS)
    with pytest.raises(InputError, match="tas"):
        model.predict(_samples().drop_vars("tas"))
