"""Gated recurrent unit (Cho et al., 2014, Learning phrase representations, EMNLP 1724-1734).

    r, z = sigmoid(W_r,z [x_t, h_t-1])   n = tanh(W x_t + r * (U h_t-1))   h_t = (1 - z) n + z h_t-1

Inputs (R, T, F_in), to which static features (R, F) join at every month, become features x (R, T, D) and states
h (R, T, D). The memory is recurrent and empty before the first month. What differs: the reset gate r acts after the
product U h, as in the library, not before; a linear layer stands before the gates, dropout before the readout.
"""

from torch import nn

from ch4grid.models.sequence.config import SequenceConfig
from ch4grid.models.sequence.ends import Recurrent


class Network(Recurrent):
    """A GRU over the months.

    Args:
        inputs: Inputs of a month F_in.
        statics: Static features F.
        config: Settings.
    """

    def __init__(self, inputs: int, statics: int, config: SequenceConfig) -> None:
        super().__init__(inputs, statics, config, nn.GRU)
