"""Pyraformer (Liu et al., 2022, ICLR, Pyraformer: low-complexity pyramidal attention).

    months z_1 ... z_24 --conv 3--> seasons (8) --conv 4--> years (2)     z <- z + A_pyramid(z)     z <- z + FF(z)

A month is judged from its window (B, M, F_in), M = 24. Convolutions whose stride is their length build coarser nodes
from finer ones; a node reads itself, its two neighbours on its scale, its children and its parent, and nothing else.
The last month, the last season and the last year are read out side by side, (B, 3 D). The pyramid is laid from the
judged month backwards, "season" being its last three months, so that it holds nothing of the future. What differs: the
convolutions have no bottleneck, and the sparse pattern is a mask on dense attention, which is faster for 34 nodes.
"""

import torch
from torch import Tensor, nn

from ch4grid.models.sequence.blocks import Stack
from ch4grid.models.sequence.config import SequenceConfig
from ch4grid.models.sequence.ends import Entry, Readout
from ch4grid.models.sequence.windowed import MEMORY, Windowed

# Children of a season and of a year.
CHILDREN = (3, 4)
SIZES = (MEMORY, MEMORY // 3, MEMORY // 12)
NODES = sum(SIZES)
POSITION_SPREAD = 0.1


class Network(Windowed):
    """Attention over a pyramid of months, seasons and years.

    Args:
        inputs: Inputs of a month F_in.
        statics: Static features F.
        config: Settings.
    """

    pattern: Tensor
    last: Tensor

    def __init__(self, inputs: int, statics: int, config: SequenceConfig) -> None:
        super().__init__()
        width = config.width
        self.entry = Entry(inputs, statics, width)
        self.coarser = nn.ModuleList(nn.Linear(c * width, width) for c in CHILDREN)
        self.position = nn.Parameter(POSITION_SPREAD * torch.randn(NODES, width))
        self.stack = Stack(width, config.heads, config.layers, config.dropout)
        self.readout = Readout(len(SIZES) * width, config.dropout)
        self.register_buffer("pattern", pyramid())
        self.register_buffer("last", torch.tensor(SIZES).cumsum(0) - 1)

    def judge(self, windows: Tensor, present: Tensor, statics: Tensor) -> Tensor:
        """Location and log scale (B, 2) of the last month."""
        scale, known = self.entry(windows, statics) * present[:, :, None], present
        nodes, knowns = [scale], [known]
        for children, coarser in zip(CHILDREN, self.coarser, strict=True):
            # a convolution whose stride is its length is a linear layer on blocks
            scale = nn.functional.elu(
                coarser(scale.reshape(len(scale), -1, children * scale.shape[2]))
            )
            known = known.reshape(len(known), -1, children).any(dim=2)
            nodes.append(scale)
            knowns.append(known)
        tokens = torch.cat(nodes, dim=1) + self.position
        own = torch.eye(NODES, dtype=torch.bool)
        mask = self.pattern & torch.cat(knowns, dim=1)[:, None] | own
        said: Tensor = self.readout(self.stack(tokens, self.last, mask[:, None]).flatten(1))
        return said


def pyramid() -> Tensor:
    """Which node reads which (34, 34): itself, neighbours, children and parent; scales from fine to coarse."""
    scale = torch.repeat_interleave(torch.arange(len(SIZES)), torch.tensor(SIZES))
    place = torch.cat([torch.arange(size) for size in SIZES])
    children = torch.tensor((*CHILDREN, MEMORY))
    parent = place // children[scale]
    neighbours = (scale[:, None] == scale) & ((place[:, None] - place).abs() <= 1)
    upward = (scale[:, None] + 1 == scale) & (parent[:, None] == place)
    return neighbours | upward | upward.t()
