"""Gated recurrent unit (Cho et al., 2014, Learning phrase representations, EMNLP 1724-1734).

    r, z = sigmoid(W_r,z [x_t, h_t-1])   n = tanh(W x_t + r * (U h_t-1))   h_t = (1 - z) n + z h_t-1

Inputs (R, T, F_in), to which static features (R, F) join at every month, become features x (R, T, D) and states
h (R, T, D). The memory is recurrent and empty before the first month. What differs: the reset gate r acts after the
product U h, as in the library, not before; a linear layer stands before the gates, dropout before the readout.
"""

from torch import Tensor, nn

from ch4grid.models.sequence.config import SequenceConfig
from ch4grid.models.sequence.ends import Entry, Readout


class Network(nn.Module):
    """A GRU over the months.

    Args:
        inputs: Inputs of a month F_in.
        statics: Static features F.
        config: Settings.
    """

    def __init__(self, inputs: int, statics: int, config: SequenceConfig) -> None:
        super().__init__()
        width, layers = config.width, config.layers
        between = config.dropout if layers > 1 else 0.0
        self.entry = Entry(inputs, statics, width)
        self.recurrent = nn.GRU(width, width, layers, batch_first=True, dropout=between)
        self.readout = Readout(width, config.dropout)

    def forward(self, inputs: Tensor, statics: Tensor) -> Tensor:
        """Location and log scale (R, T, 2)."""
        states, _ = self.recurrent(self.entry(inputs, statics))
        said: Tensor = self.readout(states)
        return said
