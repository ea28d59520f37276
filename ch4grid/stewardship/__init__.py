"""The care of published stores: repair what is damaged, say how things stand, explain a value, take years back."""

from ch4grid.stewardship.explanation import Explanation, explain
from ch4grid.stewardship.repair import Repaired, repair
from ch4grid.stewardship.rollback import RolledBack, rollback
from ch4grid.stewardship.status import Status, status

__all__ = [
    "Explanation",
    "Repaired",
    "RolledBack",
    "Status",
    "explain",
    "repair",
    "rollback",
    "status",
]
