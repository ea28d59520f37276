"""The structural model that answers scenarios: what it takes in, its draws, what it says when it cannot be fitted."""

import numpy as np
from planted_model import known_graph, towers

from ch4grid.causal.answering import MAY_ACT, fit_answers, fit_or_tell
from ch4grid.graph import CausalGraph
from ch4grid.vocabulary import ECOSYSTEMS

DRIVERS = ("mrsos", "pr", "ps", "tas")
AT = {name: i for i, name in enumerate(DRIVERS)}


def graph(**probabilities: float) -> CausalGraph:
    """The planted causes with links of these drivers into the flux at lag 0 set to other probabilities."""
    found = known_graph(
        towers(), flux="ch4_flux", drivers=DRIVERS, ecosystems=ECOSYSTEMS, config=None, seed=0
    )
    for name, value in probabilities.items():
        found.probability[:, -1, AT[name], 0] = value
    return found


def fitted(known: CausalGraph):
    return fit_answers(towers(), known, flux="ch4_flux", seed=1, draws=6)


def test_a_cause_that_may_act_is_taken_in_and_one_below_the_bar_is_not() -> None:
    taken, left = (fitted(graph(tas=p)) for p in (MAY_ACT, MAY_ACT - 0.01))
    assert taken.flux_effect("boreal-peatland")[AT["tas"], 0] > 0.01
    assert not left.flux_effect("boreal-peatland")[AT["tas"]].any()


def test_the_bar_of_links_among_drivers_stays() -> None:
    known = graph()
    known.probability[:, AT["mrsos"], AT["pr"], 0] = MAY_ACT
    assert not fitted(known).coefficient[:, AT["mrsos"], AT["pr"]].any()


def test_draws_lie_about_the_estimate_as_far_as_its_error() -> None:
    model = fitted(graph())
    linked = model.coefficient != 0
    np.testing.assert_allclose(model.draws.mean(axis=0), model.coefficient, atol=1e-12)
    assert not model.draws[:, ~linked].any()
    ratio = model.draws.std(axis=0, ddof=1)[linked] / model.error[linked]
    assert 0.5 < np.median(ratio) < 1.5


def test_a_fit_that_fails_says_why() -> None:
    bare = towers().drop_vars(list(DRIVERS))
    model, told = fit_or_tell(bare, graph(), flux="ch4_flux", seed=1, draws=4)
    assert model is None
    assert told.startswith("not fitted: structure: no driver of the graph is in the series")
