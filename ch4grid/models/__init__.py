"""Models: what turns drivers at points into a flux density with its uncertainty, and the checkpoint that carries one.

Shapes, everywhere in this package: P drivers, L longest lag [months], C = 3 input channels, D width, H heads, S points,
T months, F static features, U bank towers, K neighbours, Q quantiles, E ecosystem classes. Activations are laid out
(P, D, S, T), time innermost, so that a shift in time, a gather of a parent and a sum over features touch whole rows.
"""

from typing import TYPE_CHECKING, Any

from ch4grid.models.config import CTGATConfig
from ch4grid.models.zoo import ModelConfig

if TYPE_CHECKING:
    from ch4grid.models.checkpoint import Checkpoint

__all__ = ["CTGATConfig", "Checkpoint", "ModelConfig"]


def __getattr__(name: str) -> Any:
    # A recipe is decoded and planned without torch; only a checkpoint needs it.
    if name == "Checkpoint":
        from ch4grid.models.checkpoint import Checkpoint

        return Checkpoint
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
