"""The per-driver causal encoder: each driver's own past, 15 months of it, and nothing else.

    u[t] = W_p [x; departure; mask],  h <- h + B_p GELU(sum_j a_{p,j} h[t - j q]),  q = 1, 2, 4,  j = 0, 1, 2

Drivers are not mixed here, otherwise the graph behind it would mean nothing. Padding is on the left only, and nothing
is normalised over time: both would look ahead (methods 3.5).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ch4grid.models.samples import CHANNELS

DILATIONS = (1, 2, 4)
TAPS = 3
# Months of the past that the encoder sees beyond the present one.
MEMORY = sum((TAPS - 1) * q for q in DILATIONS)


class DriverEncoder(nn.Module):
    """Weights of P separate encoders, applied as batched products.

    Args:
        drivers: Number of drivers P.
        width: Features per driver D.
    """

    def __init__(self, drivers: int, width: int) -> None:
        super().__init__()
        layers = len(DILATIONS)
        self.lift = nn.Parameter(torch.randn(drivers, width, CHANNELS) / CHANNELS**0.5)
        self.shift = nn.Parameter(torch.randn(layers, drivers, width) * 0.1)
        self.taps = nn.Parameter(torch.randn(layers, TAPS, drivers, width) / TAPS**0.5)
        self.mix = nn.Parameter(torch.randn(layers, drivers, width, width) / width**0.5)

    def forward(self, inputs: Tensor, last: int | None = None) -> Tensor:
        """Features (P, D, T, S) of inputs (P, C, S, T); with `last` only of so many months at the end.

        Points lie side by side in memory, so that a month is one block and a shift in time moves no number.
        """
        drivers, _, points, months = inputs.shape
        h = torch.bmm(self.lift, inputs.transpose(2, 3).reshape(drivers, CHANNELS, -1))
        h = h.view(drivers, -1, months, points)
        ahead = MEMORY
        for layer, dilation in enumerate(DILATIONS):
            ahead -= (TAPS - 1) * dilation
            kept = h.shape[2] if last is None else min(h.shape[2], last + ahead)
            past = self._past(h, layer, dilation, kept)
            mixed = torch.bmm(self.mix[layer], functional.gelu(past).flatten(2))
            h = h[:, :, -kept:] + mixed.view_as(past)
        return h

    def _past(self, h: Tensor, layer: int, dilation: int, kept: int) -> Tensor:
        """Weighted sum of the present and two earlier months, plus a shift, for the last months that are kept."""
        lacking = max(0, kept + (TAPS - 1) * dilation - h.shape[2])
        h = functional.pad(h, (0, 0, lacking, 0)) if lacking else h
        weight, end = self.taps[layer, ..., None, None], h.shape[2]
        total = weight[0] * h[:, :, end - kept :]
        for tap in range(1, TAPS):
            until = end - tap * dilation
            total.addcmul_(weight[tap], h[:, :, until - kept : until])
        return total.add_(self.shift[layer, ..., None, None])
