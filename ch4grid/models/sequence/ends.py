"""What sequence networks share: inputs to features, a state to two numbers, and a recurrent layer between them."""

import torch
from torch import Tensor, nn

from ch4grid.models.sequence.config import SequenceConfig


class Entry(nn.Module):
    """Features (R, T, D) of inputs (R, T, F_in) to which the static features (R, F) of the row join at every month.

    Static features are projected once a row, not once a month: that and the narrow features halve the time of a step.

    Args:
        inputs: Inputs of a month F_in.
        statics: Static features F.
        width: Features D.
    """

    def __init__(self, inputs: int, statics: int, width: int) -> None:
        super().__init__()
        self.inputs = nn.Linear(inputs, width, bias=False)
        self.statics = nn.Linear(statics, width)

    def forward(self, inputs: Tensor, statics: Tensor) -> Tensor:
        """Features (R, T, D)."""
        features: Tensor = self.inputs(inputs) + self.statics(statics)[:, None]
        return features


class Readout(nn.Module):
    """Location and log scale (..., 2) of states (..., D); both are 0, which is usual, before any training.

    Args:
        width: Features of the state D.
        dropout: Share of them dropped in training [1].
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = RowDropout(dropout)
        self.linear = nn.Linear(width, 2)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, state: Tensor) -> Tensor:
        """Location and log scale (..., 2)."""
        said: Tensor = self.linear(self.dropout(state))
        return said


class RowDropout(nn.Module):
    """Drops a feature of a row in all its months at once (Gal & Ghahramani, 2016), which is also cheaper to draw.

    Args:
        share: Share of features dropped in training [1].
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, features: Tensor) -> Tensor:
        """Features (R, ..., D), kept ones enlarged so that their expectation stays."""
        if not self.training or self.share == 0:
            return features
        shape = (len(features), *(1 for _ in features.shape[2:]), features.shape[-1])
        kept = (torch.rand(shape) >= self.share).float() / (1 - self.share)
        return features * kept


class Recurrent(nn.Module):
    """A recurrent layer of the library between the two ends; its states are those of every month.

    Args:
        inputs: Inputs of a month F_in.
        statics: Static features F.
        config: Settings.
        layer: The layer's class.
    """

    def __init__(
        self,
        inputs: int,
        statics: int,
        config: SequenceConfig,
        layer: type[nn.GRU] | type[nn.LSTM],
    ) -> None:
        super().__init__()
        width, layers = config.width, config.layers
        between = config.dropout if layers > 1 else 0.0
        self.entry = Entry(inputs, statics, width)
        self.recurrent = layer(width, width, layers, batch_first=True, dropout=between)
        self.readout = Readout(width, config.dropout)

    def forward(self, inputs: Tensor, statics: Tensor) -> Tensor:
        """Location and log scale (R, T, 2)."""
        states, _ = self.recurrent(self.entry(inputs, statics))
        said: Tensor = self.readout(states)
        return said
