"""Scenarios: what is changed in the drivers before the model runs."""

from ch4grid.scenarios.shift import Scenario, apply

__all__ = ["Scenario", "apply"]
