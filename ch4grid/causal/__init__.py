"""Causes: from tower series to link probabilities, `discover`, and how well a graph matches a known truth, `score`."""

from ch4grid.causal.counterfactual import counterfactual, report_counterfactual
from ch4grid.causal.discovery import Discovery, discover
from ch4grid.causal.discovery_report import report_discovery
from ch4grid.causal.document import describe, mixture
from ch4grid.causal.effect_report import report_effects
from ch4grid.causal.effects import Effects, effects
from ch4grid.causal.effort import Effort, estimate
from ch4grid.causal.estimates import EffectSettings
from ch4grid.causal.examination import Examination, examine
from ch4grid.causal.humidity import stability_of_humidity
from ch4grid.causal.mediation import Mediation, mediation, report_mediation
from ch4grid.causal.nonlinear import compare as compare_flux
from ch4grid.causal.scores import Scores, orientation_errors, random_control, reported_links, score
from ch4grid.causal.structural import Estimate, estimate_structure, fit_structure
from ch4grid.causal.structure_report import report_structure

__all__ = [
    "Discovery",
    "EffectSettings",
    "Effects",
    "Effort",
    "Estimate",
    "Examination",
    "Mediation",
    "Scores",
    "compare_flux",
    "counterfactual",
    "describe",
    "discover",
    "effects",
    "estimate",
    "estimate_structure",
    "examine",
    "fit_structure",
    "mediation",
    "mixture",
    "orientation_errors",
    "random_control",
    "report_counterfactual",
    "report_discovery",
    "report_effects",
    "report_mediation",
    "report_structure",
    "reported_links",
    "score",
    "stability_of_humidity",
]
