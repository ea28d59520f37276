"""Scenarios: what is changed in drivers and class areas before the model runs."""

from ch4grid.scenarios.areas import apply_areas
from ch4grid.scenarios.response import (
    STRUCTURAL,
    acting,
    answering,
    flux_change,
    response_in_words,
)
from ch4grid.scenarios.scenario import Scenario, Share
from ch4grid.scenarios.shift import Intervention, able, apply, followers, intervene

__all__ = [
    "STRUCTURAL",
    "Intervention",
    "Scenario",
    "Share",
    "able",
    "acting",
    "answering",
    "apply",
    "apply_areas",
    "flux_change",
    "followers",
    "intervene",
    "response_in_words",
]
