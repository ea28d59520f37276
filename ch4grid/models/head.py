"""The head: a level and an amplitude from place alone, a pattern in time from the state, a Laplace law and quantiles.

    mu = m + k o,   b = k exp(s),   k = exp(log-amplitude),   quantiles by cumulative softplus around mu

Splitting magnitude from pattern is the largest published gain at unseen towers (methods 0, item 3). The magnitude rests
on a ridge regression fitted in closed form, which a network may only nudge: forty places cannot teach it more. The
location stays within what the months of the class have shown. Without magnitude (an ablation) m is the mean of all
towers and k is one, so that the pattern must learn levels too.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ch4grid.vocabulary import ECOSYSTEMS

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Largest correction of level and log amplitude that the network may make to the ridge regression.
NUDGE = 0.3
# Bounds of the log of scale over amplitude.
LOG_SCALE = (-3.0, 1.5)


class Prediction(NamedTuple):
    """Laplace law and quantiles of the flux in asinh space.

    Args:
        location: mu (S, T).
        scale: b (S, T).
        quantiles: Quantile locations (Q, S, T), ascending.
        level: m (S).
        log_amplitude: log k (S).
        attention: Mean attention on the parents of the flux, one tensor per class present.
    """

    location: Tensor
    scale: Tensor
    quantiles: Tensor
    level: Tensor
    log_amplitude: Tensor
    attention: tuple[Tensor, ...]


class Head(nn.Module):
    """Magnitude and pattern.

    Args:
        width: Features of the state D.
        static: Features of the static embedding G.
        features: Static features F that the ridge regression reads.
        dropout: Share of features dropped in training.
        magnitude: Let the network nudge level and amplitude; without it they are what `ridge` says.
    """

    ridge: Tensor
    limits: Tensor

    def __init__(
        self, width: int, static: int, features: int, *, dropout: float, magnitude: bool = True
    ) -> None:
        super().__init__()
        # Rows: level, log amplitude. Columns: static features, then the intercept.
        self.register_buffer("ridge", torch.zeros(2, features + 1))
        # Rows: lowest and highest location. Columns: classes.
        unlimited = torch.tensor([-torch.inf, torch.inf])[:, None]
        self.register_buffer("limits", unlimited.repeat(1, len(ECOSYSTEMS)))
        self.nudge = nn.Linear(static, 2) if magnitude else None
        last = nn.Linear(2 * width, 2 + len(QUANTILES))
        self.pattern = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), last
        )
        with torch.no_grad():
            for layer in (self.nudge, last):
                if layer is not None:
                    layer.weight.mul_(0.1)
                    layer.bias.zero_()

    def forward(
        self, state: Tensor, embedding: Tensor, features: Tensor, attention: tuple[Tensor, ...]
    ) -> Prediction:
        """The law of the flux from state (S, T, D), embedding (S, G) and static features (S, F)."""
        magnitude = features @ self.ridge[:, :-1].T + self.ridge[:, -1]
        if self.nudge is not None:
            magnitude = magnitude + NUDGE * torch.tanh(self.nudge(embedding))
        level, log_amplitude = magnitude.unbind(-1)
        amplitude = log_amplitude.exp()[:, None]
        out = self.pattern(state)
        location = self._limited(level[:, None] + amplitude * out[..., 0], features)
        scale = amplitude * out[..., 1].clamp(*LOG_SCALE).exp()
        return Prediction(
            location=location,
            scale=scale,
            quantiles=_quantiles(location, scale, out[..., 2:]),
            level=level,
            log_amplitude=log_amplitude,
            attention=attention,
        )

    def _limited(self, location: Tensor, features: Tensor) -> Tensor:
        """The location (S, T) held within the limits of the class."""
        code = features[:, -len(ECOSYSTEMS) :].argmax(dim=-1)
        low, high = self.limits[:, code, None]
        return torch.maximum(torch.minimum(location, high), low)


def _quantiles(location: Tensor, scale: Tensor, raw: Tensor) -> Tensor:
    """Quantile locations (Q, S, T): the median moved a little, then steps of positive length to both sides."""
    step = functional.softplus(raw)
    middle = location + scale * torch.tanh(raw[..., 2])
    lower = middle - scale * step[..., 1]
    upper = middle + scale * step[..., 3]
    ends = lower - scale * step[..., 0], upper + scale * step[..., 4]
    return torch.stack([ends[0], lower, middle, upper, ends[1]])
