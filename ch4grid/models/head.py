"""The head: a level and an amplitude from place alone, a pattern in time from the state, a Laplace law and quantiles.

    mu = m + k 3 tanh(o / 3),   b = k exp(s),   k = exp(log-amplitude),   quantiles by cumulative softplus around mu

Splitting magnitude from pattern is the largest published gain at unseen towers (methods 0, item 3). The magnitude rests
on a ridge regression fitted in closed form, which a network may only nudge: forty places cannot teach it more. Level
and amplitude stay within what the towers of the class have shown, and the pattern within three amplitudes.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ch4grid.vocabulary import ECOSYSTEMS

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Largest correction of level and log amplitude that the network may make to the ridge regression.
NUDGE = 0.3
# Largest departure from the level, in amplitudes.
LARGEST_PATTERN = 3.0
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
    """

    ridge: Tensor
    limits: Tensor

    def __init__(self, width: int, static: int, features: int, *, dropout: float) -> None:
        super().__init__()
        # Rows: level, log amplitude. Columns: static features, then the intercept.
        self.register_buffer("ridge", torch.zeros(2, features + 1))
        # Rows: lowest and highest level, lowest and highest log amplitude. Columns: classes.
        unlimited = torch.tensor([-torch.inf, torch.inf]).repeat(2)[:, None]
        self.register_buffer("limits", unlimited.repeat(1, len(ECOSYSTEMS)))
        self.nudge = nn.Linear(static, 2)
        last = nn.Linear(2 * width, 2 + len(QUANTILES))
        self.pattern = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), last
        )
        with torch.no_grad():
            for layer in (self.nudge, last):
                layer.weight.mul_(0.1)
                layer.bias.zero_()

    def forward(
        self, state: Tensor, embedding: Tensor, features: Tensor, attention: tuple[Tensor, ...]
    ) -> Prediction:
        """The law of the flux from state (S, T, D), embedding (S, G) and static features (S, F)."""
        magnitude = features @ self.ridge[:, :-1].T + self.ridge[:, -1]
        magnitude = magnitude + NUDGE * torch.tanh(self.nudge(embedding))
        level, log_amplitude = self._limited(magnitude, features).unbind(-1)
        amplitude = log_amplitude.exp()[:, None]
        out = self.pattern(state)
        pattern = LARGEST_PATTERN * torch.tanh(out[..., 0] / LARGEST_PATTERN)
        location = level[:, None] + amplitude * pattern
        scale = amplitude * out[..., 1].clamp(*LOG_SCALE).exp()
        return Prediction(
            location=location,
            scale=scale,
            quantiles=_quantiles(location, scale, out[..., 2:]),
            level=level,
            log_amplitude=log_amplitude,
            attention=attention,
        )

    def _limited(self, magnitude: Tensor, features: Tensor) -> Tensor:
        """Level and log amplitude (S, 2) held within the limits of the class."""
        code = features[:, -len(ECOSYSTEMS) :].argmax(dim=-1)
        low, high = self.limits[::2, code].T, self.limits[1::2, code].T
        return torch.maximum(torch.minimum(magnitude, high), low)


def _quantiles(location: Tensor, scale: Tensor, raw: Tensor) -> Tensor:
    """Quantile locations (Q, S, T): the median moved a little, then steps of positive length to both sides."""
    step = functional.softplus(raw)
    middle = location + scale * torch.tanh(raw[..., 2])
    lower = middle - scale * step[..., 1]
    upper = middle + scale * step[..., 3]
    ends = lower - scale * step[..., 0], upper + scale * step[..., 4]
    return torch.stack([ends[0], lower, middle, upper, ends[1]])
