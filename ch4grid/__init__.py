"""ch4grid: global monthly methane flux products from reanalysis, satellites and towers, traceable to their inputs.

The public names load what they need when they are first used: importing the package and opening a product stay light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ch4grid.api import (
        budget,
        causal_graph,
        difference,
        export,
        open,
        plan,
        regrid,
        run,
        spreads,
    )
    from ch4grid.grid import Grid

_HOME = dict.fromkeys(
    ("budget", "causal_graph", "difference", "export", "open", "plan", "regrid", "run", "spreads"),
    "ch4grid.api",
) | {"Grid": "ch4grid.grid"}

__all__ = [
    "Grid",
    "budget",
    "causal_graph",
    "difference",
    "export",
    "open",
    "plan",
    "regrid",
    "run",
    "spreads",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(
            f"module 'ch4grid' has no attribute {name!r}; public are {', '.join(__all__)}"
        )
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
