"""The plan: what a run would do and why, what it would cost and what is missing. It computes no flux and fits nothing.

A run begins by making the same plan, so what `plan` says is what `run` does; what it took teaches the next plan.
"""

from ch4grid.planning.document import Plan, YearPlan
from ch4grid.planning.drafting import account, plan
from ch4grid.planning.identity import (
    is_checkpoint,
    model_digest,
    model_of,
    parts_of,
    regions_of,
    training_key,
)
from ch4grid.planning.tasks import Task

__all__ = [
    "Plan",
    "Task",
    "YearPlan",
    "account",
    "is_checkpoint",
    "model_digest",
    "model_of",
    "parts_of",
    "plan",
    "regions_of",
    "training_key",
]
