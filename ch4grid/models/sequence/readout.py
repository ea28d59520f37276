"""The last layer that all sequence networks share: two numbers from the state of a month."""

from torch import Tensor, nn


class Readout(nn.Module):
    """Location and log scale (..., 2) of states (..., D); both are 0, which is usual, before any training.

    Args:
        width: Features of the state D.
        dropout: Share of them dropped in training [1].
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, 2)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, state: Tensor) -> Tensor:
        """Location and log scale (..., 2)."""
        said: Tensor = self.linear(self.dropout(state))
        return said
