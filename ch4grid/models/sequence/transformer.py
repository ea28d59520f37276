"""Transformer (Vaswani et al., 2017, Attention is all you need, arXiv:1706.03762): the encoder, under a causal mask.

    z_a = x_a + p_a     z <- z + A(z)     z <- z + FF(z)     A = softmax(Q K^T / sqrt(d) + mask) V

A month is judged from its window (B, M, F_in) of M = 24 months: a token (B, M, D) is a month, a its age in the window,
and a token reads itself and older tokens in the record. What differs: the window bounds memory and cost of a month;
positions p are learnt by age, so that a pattern means the same in any year; the scores of a head fall with the months
between two tokens (`recency`), without which few towers do not teach that last month matters more than last year; the
normalisation comes first; nothing is decoded, the token of the last month is read out.
"""

import torch
from torch import Tensor, nn

from ch4grid.models.sequence.blocks import Stack, recency
from ch4grid.models.sequence.config import SequenceConfig
from ch4grid.models.sequence.ends import Entry, Readout
from ch4grid.models.sequence.windowed import MEMORY, Windowed

POSITION_SPREAD = 0.1


class Network(Windowed):
    """A transformer over the months of a window.

    Args:
        inputs: Inputs of a month F_in.
        statics: Static features F.
        config: Settings.
    """

    recency: Tensor

    def __init__(self, inputs: int, statics: int, config: SequenceConfig) -> None:
        super().__init__()
        width = config.width
        self.entry = Entry(inputs, statics, width)
        self.position = nn.Parameter(POSITION_SPREAD * torch.randn(MEMORY, width))
        self.stack = Stack(width, config.heads, config.layers, config.dropout)
        self.readout = Readout(width, config.dropout)
        self.register_buffer("recency", recency(config.heads, MEMORY))

    def judge(self, windows: Tensor, present: Tensor, statics: Tensor) -> Tensor:
        """Location and log scale (B, 2) of the last month."""
        tokens = self.entry(windows, statics) + self.position
        # a month before the record reads itself, so that no token reads nothing
        readable = present[:, None, None] | torch.eye(MEMORY, dtype=torch.bool)
        mask = self.recency.masked_fill(~readable, -torch.inf)
        last = self.stack(tokens, torch.tensor([MEMORY - 1]), mask)
        said: Tensor = self.readout(last[:, 0])
        return said
