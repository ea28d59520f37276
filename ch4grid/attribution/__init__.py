"""Attribution: which driver contributes how much to the change of the flux between two periods or two scenarios.

The drivers of a cell are swapped from old to new, class areas among them, and the product's own model says what the
flux is after each swap. Members stay apart until the sum over a region is made, as for budgets.
"""

from ch4grid.attribution.answer import answer
from ch4grid.attribution.findings import finding
from ch4grid.attribution.question import Question, between_periods, between_scenarios

__all__ = ["Question", "answer", "between_periods", "between_scenarios", "finding"]
