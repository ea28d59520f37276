"""Entity-aware LSTM (Kratzert et al., 2019, Hydrol. Earth Syst. Sci. 23, 5089-5110, equations 8-13).

    i = sigmoid(W_i s + b_i)                                  once a site, from its static features s alone
    f, o = sigmoid(W_f,o x_t + U_f,o h_t-1 + b_f,o)           g = tanh(W_g x_t + U_g h_t-1 + b_g)
    c_t = f c_t-1 + i g                                       h_t = o tanh(c_t)

Inputs x (R, T, F_in) and static features s (R, F) become states h (R, T, D): what a place is decides which cells of
its memory may be written, weather decides the rest. The memory is recurrent and empty before the first month. As in
the paper's code the bias of the forget gate starts at 3, so that memory lasts. What differs: several layers stack, each
with its own input gate; the paper has one. The loop runs over months and is vectorised over rows.
"""

import torch
from torch import Tensor, nn

from ch4grid.models.sequence.config import SequenceConfig
from ch4grid.models.sequence.ends import Readout, RowDropout

FORGET_BIAS = 3.0


class Network(nn.Module):
    """An EA-LSTM over the months.

    Args:
        inputs: Inputs of a month F_in.
        statics: Static features F.
        config: Settings.
    """

    def __init__(self, inputs: int, statics: int, config: SequenceConfig) -> None:
        super().__init__()
        width = config.width
        sizes = [inputs] + [width] * (config.layers - 1)
        self.layers = nn.ModuleList(Layer(size, statics, width) for size in sizes)
        self.between = RowDropout(config.dropout)
        self.readout = Readout(width, config.dropout)

    def forward(self, inputs: Tensor, statics: Tensor) -> Tensor:
        """Location and log scale (R, T, 2)."""
        states = inputs
        for i, layer in enumerate(self.layers):
            states = layer(self.between(states) if i else states, statics)
        said: Tensor = self.readout(states)
        return said


class Layer(nn.Module):
    """States (R, T, D) of inputs (R, T, F_in) at static features (R, F)."""

    def __init__(self, inputs: int, statics: int, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(statics, width)
        # forget gate, output gate and candidate, in this order
        self.inputs = nn.Linear(inputs, 3 * width)
        self.memory = nn.Linear(width, 3 * width, bias=False)
        nn.init.orthogonal_(self.memory.weight)
        nn.init.constant_(self.inputs.bias[:width], FORGET_BIAS)

    def forward(self, inputs: Tensor, statics: Tensor) -> Tensor:
        """States (R, T, D)."""
        gate = torch.sigmoid(self.gate(statics))
        driven = self.inputs(inputs).transpose(0, 1)
        transposed = self.memory.weight.t()
        state, cell = torch.zeros_like(gate), torch.zeros_like(gate)
        width = gate.shape[1]
        states = []
        for month in driven.unbind(0):
            total = torch.addmm(month, state, transposed)
            gates = torch.sigmoid(total[:, : 2 * width])
            cell = gates[:, :width] * cell + gate * torch.tanh(total[:, 2 * width :])
            state = gates[:, width:] * torch.tanh(cell)
            states.append(state)
        return torch.stack(states, dim=1)
