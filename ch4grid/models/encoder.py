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

    def forward(self, inputs: Tensor) -> Tensor:
        """Features (P, D, S, T) of inputs (P, C, S, T)."""
        drivers, _, points, months = inputs.shape
        h = torch.bmm(self.lift, inputs.reshape(drivers, CHANNELS, -1))
        h = h.view(drivers, -1, points, months)
        for layer, dilation in enumerate(DILATIONS):
            past = self._past(h, layer, dilation)
            mixed = torch.bmm(self.mix[layer], functional.gelu(past).flatten(2))
            h = h + mixed.view_as(h)
        return h

    def _past(self, h: Tensor, layer: int, dilation: int) -> Tensor:
        """Weighted sum of the present and two earlier months, plus a shift."""
        months = h.shape[-1]
        padded = functional.pad(h, ((TAPS - 1) * dilation, 0))
        total = self.shift[layer, :, :, None, None]
        for tap in range(TAPS):
            start = (TAPS - 1 - tap) * dilation
            weight = self.taps[layer, tap, :, :, None, None]
            total = torch.addcmul(total, weight, padded[..., start : start + months])
        return total
