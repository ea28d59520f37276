"""What a fit minimises: likelihood and quantiles of the measured months, and four reasons to distrust them.

L = L_lap + 0.5 L_pin + l_c L_causal + 0.3 L_mag + 0.1 L_site + l_i L_inv        (methods 3.6; l_c from 0.1 to 0.02)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ch4grid.models.attention import ParentLists
from ch4grid.models.config import CTGATConfig
from ch4grid.models.head import QUANTILES, Prediction

PINBALL = 0.5
CAUSAL_FIRST, CAUSAL_LAST = 0.1, 0.02
MAGNITUDE = 0.3
SITE = 0.1
# Power of the scale that damps the likelihood, so that well-known towers do not drown the rest.
DAMPING = 0.5
# Largest Laplace scale for which the mean flux is still told apart from its tail (methods 1.2).
LARGEST_SCALE = 0.9


@dataclass(frozen=True, eq=False)
class Measured:
    """What the prediction is held against.

    Args:
        transformed: Flux in asinh space (S, T).
        weight: Weight of each month (S, T), summing to one.
        level: Mean of each row's tower (S).
        log_amplitude: log of its standard deviation (S).
        tower: Weight of each row as a tower (S), summing to one.
    """

    transformed: Tensor
    weight: Tensor
    level: Tensor
    log_amplitude: Tensor
    tower: Tensor


def loss(
    prediction: Prediction,
    measured: Measured,
    lists: Sequence[ParentLists],
    *,
    config: CTGATConfig,
    progress: float,
) -> Tensor:
    """The loss of a prediction.

    Args:
        prediction: Law of the flux.
        measured: Targets and weights.
        lists: Parents of the classes present, in the order of `prediction.attention`.
        config: Settings: weight of the invariance, and whether there is a prior that attention is held to.
        progress: Share of the steps done [1].
    """
    likelihood = _laplace(prediction, measured)
    share = CAUSAL_FIRST + (CAUSAL_LAST - CAUSAL_FIRST) * progress if config.use_prior else 0.0
    return (
        (measured.weight * likelihood).sum()
        + PINBALL * _pinball(prediction, measured)
        + share * _causal(prediction.attention, lists)
        + MAGNITUDE * _magnitude(prediction, measured)
        + SITE * _site(prediction, measured)
        + config.invariance * _invariance(likelihood, measured)
    )


def distance(prediction: Prediction, measured: Measured) -> Tensor:
    """Weighted absolute error of the location: what early stopping watches.

    The likelihood would stop a fit as soon as its scale grows too sure of itself, which calibration mends afterwards.
    """
    return (measured.weight * (measured.transformed - prediction.location).abs()).sum()


def _laplace(prediction: Prediction, measured: Measured) -> Tensor:
    """Damped negative log likelihood of each month (S, T)."""
    scale = prediction.scale
    error = (measured.transformed - prediction.location).abs()
    return scale.detach() ** DAMPING * (error / scale + torch.log(2 * scale))


def _pinball(prediction: Prediction, measured: Measured) -> Tensor:
    """Mean pinball loss over the quantiles."""
    error = measured.transformed - prediction.quantiles
    at = torch.tensor(QUANTILES, device=error.device)[:, None, None]
    return (measured.weight * torch.maximum(at * error, (at - 1) * error).mean(0)).sum()


def _causal(attention: Sequence[Tensor], lists: Sequence[ParentLists]) -> Tensor:
    """Mean divergence KL(prior || attention) of the attention on the parents of the flux, each normalised."""
    terms = []
    for weights, parents in zip(attention, lists, strict=True):
        if len(weights):
            log_prior = torch.from_numpy(parents.flux_log_prior).to(weights.device).log_softmax(0)
            log_seen = torch.log(weights / weights.sum() + 1e-9)
            terms.append((log_prior.exp() * (log_prior - log_seen)).sum())
    return torch.stack(terms).mean() if terms else torch.zeros(())


def _magnitude(prediction: Prediction, measured: Measured) -> Tensor:
    """Squared error of level and log amplitude against each tower's own."""
    level = (prediction.level - measured.level) ** 2
    amplitude = (prediction.log_amplitude - measured.log_amplitude) ** 2
    return (measured.tower * (level + amplitude)).sum()


def _site(prediction: Prediction, measured: Measured) -> Tensor:
    """Squared error of each row's mean flux, relative to the spread of the rows' mean fluxes: budget bias."""
    months = measured.weight / measured.weight.sum(1, keepdim=True).clamp(min=1e-12)
    factor = 1 - prediction.scale.clamp(max=LARGEST_SCALE) ** 2
    seen = (months * torch.sinh(measured.transformed)).sum(1)
    said = (months * torch.sinh(prediction.location.clamp(-6, 6)) / factor).sum(1)
    mean = (measured.tower * seen).sum()
    spread = (measured.tower * (seen - mean) ** 2).sum()
    # Towers of one class that all agree would otherwise divide by nothing.
    return (measured.tower * (said - seen) ** 2).sum() / (spread + 0.1)


def _invariance(likelihood: Tensor, measured: Measured) -> Tensor:
    """Variance over rows of their mean loss (V-REx)."""
    months = measured.weight / measured.weight.sum(1, keepdim=True).clamp(min=1e-12)
    rows = (months * likelihood).sum(1)
    mean = (measured.tower * rows).sum()
    return (measured.tower * (rows - mean) ** 2).sum()
