"""Causes: from tower series to link probabilities, `discover`, and how well a graph matches a known truth, `score`."""

from ch4grid.causal.counterfactual import counterfactual, report_counterfactual
from ch4grid.causal.discovery import Discovery, discover
from ch4grid.causal.effect_report import report_effects
from ch4grid.causal.effects import Effects, effects
from ch4grid.causal.estimates import EffectSettings
from ch4grid.causal.mediation import Mediation, mediation, report_mediation
from ch4grid.causal.nonlinear import compare as compare_flux
from ch4grid.causal.scores import Scores, random_control, score
from ch4grid.causal.structural import Estimate, estimate_structure, fit_structure
from ch4grid.causal.structure_report import report_structure

__all__ = [
    "Discovery",
    "EffectSettings",
    "Effects",
    "Estimate",
    "Mediation",
    "Scores",
    "compare_flux",
    "counterfactual",
    "discover",
    "effects",
    "estimate_structure",
    "fit_structure",
    "mediation",
    "random_control",
    "report_counterfactual",
    "report_effects",
    "report_mediation",
    "report_structure",
    "score",
]
