"""The document of a prior is described key by key, and a place of many classes has the mean of their priors."""

import json
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ch4grid.causal import Discovery, describe, discover, mixture
from ch4grid.graph import CausalGraph

CLASSES = ("boreal-peatland", "rice-paddy")


@pytest.fixture(scope="module")
def graph(planet: Any) -> CausalGraph:
    return discover(
        planet.towers(sites=6),
        flux="ch4_flux",
        drivers=("tas", "mrsos"),
        ecosystems=CLASSES,
        config=Discovery(bootstraps=2, driver_bootstraps=1),
        seed=0,
    )


def test_a_discovered_prior_fits_its_schema_and_every_key_has_a_meaning(graph: CausalGraph) -> None:
    document, schema = json.loads(graph.to_json()), describe()
    jsonschema.Draft202012Validator(schema).validate(document)
    told = schema["properties"]["provenance"]["properties"]
    assert set(document["provenance"]) == set(told)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(document | {"format": "another"})


@settings(max_examples=20, deadline=None)
@given(share=st.floats(0, 1))
def test_a_mixture_lies_on_the_line_between_its_classes(graph: CausalGraph, share: float) -> None:
    found = mixture(graph, np.array([[share, 1 - share], [1.0, 0.0]]))
    first, second = graph.probability
    np.testing.assert_allclose(found[0], share * first + (1 - share) * second, atol=1e-12)
    np.testing.assert_array_equal(found[1], first)


@pytest.mark.parametrize("shares", [[[0.4, 0.4]], [[1.5, -0.5]], [[1.0]]])
def test_shares_that_are_none_are_refused(graph: CausalGraph, shares: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        mixture(graph, np.array(shares))
