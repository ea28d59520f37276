"""Causes: from tower series to link probabilities, `discover`, and how well a graph matches a known truth, `score`."""

from ch4grid.causal.discovery import Discovery, discover
from ch4grid.causal.scores import Scores, random_control, score

__all__ = ["Discovery", "Scores", "discover", "random_control", "score"]
