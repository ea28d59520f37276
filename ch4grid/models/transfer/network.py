"""A causal recurrent network in an encoder and a head, and the adversary that tells domains apart.

Shapes: S rows, T months, F inputs, D width. The encoder gives states (S, T, D), the head a flux (S, T), the
discriminator one logit per row (S), positive for towers.
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

STEEPNESS = 10.0


class Network(nn.Module):
    """Encoder and head.

    Args:
        features: Inputs F.
        width: Features of the state D.
        cell: Recurrent cell.
        dropout: Share of features dropped in training [1].
    """

    def __init__(
        self, features: int, width: int, cell: Literal["gru", "lstm"], dropout: float
    ) -> None:
        super().__init__()
        self.inner = nn.Linear(features, width)
        kind = nn.GRU if cell == "gru" else nn.LSTM
        self.memory = kind(width, width, batch_first=True)
        self.head = nn.Linear(width, 1)
        self.dropout = nn.Dropout(dropout)

    def encode(self, inputs: Tensor) -> Tensor:
        """States (S, T, D) of inputs (S, T, F); a state knows its own month and earlier ones."""
        entered = self.dropout(torch.tanh(self.inner(inputs)))
        states: Tensor = self.memory(entered)[0]
        # what a month says directly need not pass through the gates
        kept: Tensor = self.dropout(states + entered)
        return kept

    def forward(self, inputs: Tensor) -> Tensor:
        """Flux (S, T) of inputs (S, T, F)."""
        return self.read(self.encode(inputs))

    def read(self, states: Tensor) -> Tensor:
        """Flux (S, T) of states (S, T, D)."""
        flux: Tensor = self.head(states).squeeze(-1)
        return flux


class Discriminator(nn.Module):
    """Tells towers from simulated sites by the mean state of a row.

    Args:
        width: Features of the state D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, states: Tensor, strength: float) -> Tensor:
        """Logits (S) of states (S, T, D), whose gradient turns round on its way to the states."""
        logits: Tensor = self.layers(reverse(states.mean(dim=1), strength)).squeeze(-1)
        return logits


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


def reverse(values: Tensor, strength: float) -> Tensor:
    """The values; their gradient is multiplied by minus the strength."""
    out: Tensor = _Reversal.apply(values, strength)  # type: ignore[no-untyped-call]
    return out


def reversal_strength(progress: float) -> float:
    """Strength 2 / (1 + exp(-10 p)) - 1 of the reversal at a share of the steps done (Ganin et al. 2016)."""
    return 2.0 / (1.0 + math.exp(-STEEPNESS * progress)) - 1.0
