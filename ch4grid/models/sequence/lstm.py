"""Long short-term memory (Hochreiter & Schmidhuber, 1997, Neural Computation 9, 1735-1780, with forget gates).

    i, f, o = sigmoid(W_i,f,o [x_t, h_t-1])   g = tanh(W_g [x_t, h_t-1])   c_t = f c_t-1 + i g   h_t = o tanh(c_t)

Inputs (R, T, F_in) and static features (R, F), which join at every month, become states (R, T, D). The memory is
recurrent; it is empty before the first month. Beyond the paper: forget gates (Gers et al., 2000), which every LSTM of
today has, and dropout of the state before the readout.
"""

import torch
from torch import Tensor, nn

from ch4grid.models.sequence.config import SequenceConfig
from ch4grid.models.sequence.readout import Readout


class Network(nn.Module):
    """An LSTM over the months.

    Args:
        inputs: Inputs of a month F_in.
        statics: Static features F.
        config: Settings.
    """

    def __init__(self, inputs: int, statics: int, config: SequenceConfig) -> None:
        super().__init__()
        between = config.dropout if config.layers > 1 else 0.0
        self.recurrent = nn.LSTM(
            inputs + statics, config.width, config.layers, batch_first=True, dropout=between
        )
        self.readout = Readout(config.width, config.dropout)

    def forward(self, inputs: Tensor, statics: Tensor) -> Tensor:
        """Location and log scale (R, T, 2)."""
        everywhere = statics[:, None].expand(-1, inputs.shape[1], -1)
        states, _ = self.recurrent(torch.cat([inputs, everywhere], dim=-1))
        said: Tensor = self.readout(states)
        return said
