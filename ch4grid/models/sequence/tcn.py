"""Temporal convolutional network (Bai, Kolter & Koltun, 2018, arXiv:1803.01271).

    h = ReLU(conv_d(ReLU(conv_d(x))))     y = ReLU(x + h)     conv_d(x)_t = sum_k W_k x_t-kd + b,  k = 0 ... 4

Inputs (R, T, F_in), to which static features (R, F) join at every month, become features (R, D, T) and states of the
same shape. A layer is two such blocks, with dilations d = 1 and 2; it sees `MEMORY` months back. The convolution runs
along time and is padded on the left alone. What differs: no weight normalisation, which earns nothing at this width,
and the dilation starts anew with every layer, so that one layer reads two years and no more.
"""

from torch import Tensor, nn
from torch.nn import functional

from ch4grid.models.sequence.config import SequenceConfig
from ch4grid.models.sequence.ends import Entry, Readout

KERNEL = 5
DILATIONS = (1, 2)
# Months before a month that one layer sees: two convolutions a block.
MEMORY = 2 * (KERNEL - 1) * sum(DILATIONS)


class Network(nn.Module):
    """A TCN over the months.

    Args:
        inputs: Inputs of a month F_in.
        statics: Static features F.
        config: Settings.
    """

    def __init__(self, inputs: int, statics: int, config: SequenceConfig) -> None:
        super().__init__()
        dilations = DILATIONS * config.layers
        self.entry = Entry(inputs, statics, config.width)
        self.blocks = nn.Sequential(*(Block(config.width, d, config.dropout) for d in dilations))
        self.readout = Readout(config.width, config.dropout)

    def forward(self, inputs: Tensor, statics: Tensor) -> Tensor:
        """Location and log scale (R, T, 2)."""
        features = self.entry(inputs, statics).transpose(1, 2).contiguous()
        said: Tensor = self.readout(self.blocks(features).transpose(1, 2))
        return said


class Block(nn.Module):
    """Two causal convolutions of one dilation and a bridge around them, on features (R, D, T)."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.padding = (KERNEL - 1) * dilation
        self.first = nn.Conv1d(width, width, KERNEL, dilation=dilation)
        self.second = nn.Conv1d(width, width, KERNEL, dilation=dilation)
        # the paper drops whole channels over time
        self.dropout = nn.Dropout1d(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Features (R, D, T)."""
        hidden = features
        for convolution in (self.first, self.second):
            padded = functional.pad(hidden, (self.padding, 0))
            hidden = self.dropout(functional.relu(convolution(padded)))
        return functional.relu(features + hidden)
