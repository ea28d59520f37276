"""Inverted transformer (Liu et al., 2024, ICLR, arXiv:2310.06625): a token is a driver, not a month.

    z_v = E [x_v,t-M+1 ... x_v,t] + e_v     z <- z + A(z)     z <- z + FF(z)

Every driver v brings its last M = 24 months, in all C channels, as one token (B, P, D); attention relates drivers. All
months of a token lie at or before the month that is judged, which makes the network causal. What differs: the paper
forecasts the tokens themselves, here a further token asks for the flux, with the static features (B, F) and the
season as its content, and is read out; a learnt vector e_v tells the drivers apart, which share the embedding E.
"""

import torch
from torch import Tensor, nn

from ch4grid.models.samples import CHANNELS
from ch4grid.models.sequence.blocks import Stack
from ch4grid.models.sequence.config import SequenceConfig
from ch4grid.models.sequence.ends import Readout
from ch4grid.models.sequence.frame import SEASON
from ch4grid.models.sequence.windowed import MEMORY, Windowed


class Network(Windowed):
    """A transformer over drivers.

    Args:
        inputs: Inputs of a month F_in.
        statics: Static features F.
        config: Settings.
    """

    def __init__(self, inputs: int, statics: int, config: SequenceConfig) -> None:
        super().__init__()
        width = config.width
        self.drivers = (inputs - SEASON) // CHANNELS
        self.embedding = nn.Linear(MEMORY * CHANNELS, width)
        self.identity = nn.Parameter(torch.randn(self.drivers, width))
        self.asking = nn.Linear(statics + SEASON, width)
        self.stack = Stack(width, config.heads, config.layers, config.dropout)
        self.readout = Readout(width, config.dropout)

    def judge(self, windows: Tensor, present: Tensor, statics: Tensor) -> Tensor:
        """Location and log scale (B, 2) of the last month; months before the record are missing inputs."""
        series = windows[..., :-SEASON].reshape(len(windows), MEMORY, self.drivers, CHANNELS)
        tokens = self.embedding(series.transpose(1, 2).flatten(2)) + self.identity
        asking = self.asking(torch.cat([statics, windows[:, -1, -SEASON:]], dim=-1))
        tokens = torch.cat([tokens, asking[:, None]], dim=1)
        last = self.stack(tokens, torch.tensor([self.drivers]))
        said: Tensor = self.readout(last[:, 0])
        return said
