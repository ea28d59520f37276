"""Long short-term memory (Hochreiter & Schmidhuber, 1997, Neural Computation 9, 1735-1780).

    i, f, o = sigmoid(W_i,f,o [x_t, h_t-1])   g = tanh(W_g [x_t, h_t-1])   c_t = f c_t-1 + i g   h_t = o tanh(c_t)

Inputs (R, T, F_in), to which static features (R, F) join at every month, become features x (R, T, D) and states
h (R, T, D). The memory is recurrent and empty before the first month. Beyond the paper: forget gates f (Gers et al.,
2000), which every LSTM of today has, a linear layer before the gates and dropout of the state before the readout.
"""

from torch import nn

from ch4grid.models.sequence.config import SequenceConfig
from ch4grid.models.sequence.ends import Recurrent


class Network(Recurrent):
    """An LSTM over the months.

    Args:
        inputs: Inputs of a month F_in.
        statics: Static features F.
        config: Settings.
    """

    def __init__(self, inputs: int, statics: int, config: SequenceConfig) -> None:
        super().__init__(inputs, statics, config, nn.LSTM)
