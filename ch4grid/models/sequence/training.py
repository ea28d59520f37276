"""How every sequence network is trained: `fit_network` takes a way to make a network, and gives a regressor.

A network is a torch module that maps inputs (R, T, F_in) and static features (R, F) to two numbers a month (R, T, 2):
location and log Laplace scale, as departures from the mean and spread of the targets, so that a network that says 0
predicts the weighted mean. It must be causal in T. It reads `F_in = 3 P + 2`: score, departure and mask of each of P
drivers, driver by driver, then sine and cosine of the season. Months before the record do not exist: pad with zeros.
A module that derives from `Windowed` is trained on drawn months in place of whole rows.

    L = sum_st w_st sg(b_st)^0.5 (|y_st - m_st| / b_st + log 2 b_st)

with w the weights that balance towers (n^-0.5) and classes. The number of steps is fixed: nothing stops early.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from ch4grid.models.learner import Law, TrainingSet
from ch4grid.models.losses import DAMPING
from ch4grid.models.samples import CHANNELS
from ch4grid.models.sequence.frame import SEASON, Frame, Rows, Said
from ch4grid.models.sequence.windowed import Windowed, cut_windows

Make = Callable[[int, int], nn.Module]

GRADIENT_LIMIT = 1.0
# Share of the steps in which the step size rises.
RISE = 0.1
# Share of the drivers of a row hidden in a step: at a cell a source may be missing.
DRIVER_DROPOUT = 0.07
# Rows of a step, drawn anew at every step where there are more; bounds its time.
ROWS = 96
# Sites predicted at once; bounds the memory.
SITES = 512


@dataclass(frozen=True, eq=False)
class NetworkRegressor:
    """Fitted networks, averaged.

    Args:
        networks: One network a member.
        frame: Units of their inputs and outputs.
    """

    networks: Sequence[nn.Module]
    frame: Frame

    @property
    def parameters(self) -> int:
        """Number of weights of all members that a fit may change."""
        weights = (w for network in self.networks for w in network.parameters())
        return sum(w.numel() for w in weights if w.requires_grad)

    def predict(self, points: xr.Dataset) -> Law:
        """Mean location of the members, and the scale that holds their own and their disagreement.

        A Laplace law of scale b has the variance 2 b^2, so the pooled scale is sqrt(mean b^2 + var m / 2).
        """
        torch.set_num_threads(1)
        tensors = self.frame.tensors(points)
        said = [_say(network, self.frame, *tensors) for network in self.networks]
        locations = np.stack([s.location.numpy().astype(np.float64) for s in said])
        scales = np.stack([s.scale.numpy().astype(np.float64) for s in said])
        pooled = np.sqrt((scales**2).mean(axis=0) + locations.var(axis=0) / 2)
        return Law(locations.mean(axis=0), pooled)


def fit_network(
    make: Make,
    training: TrainingSet,
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float,
    members: int = 1,
    frame: Frame | None = None,
) -> NetworkRegressor:
    """The regressor of networks fitted to a training set; the same set and seed give the same weights.

    Args:
        make: Makes a network of (inputs F_in, static features F), see the module; called once a member under the
            seed of the member. It may as well return a network trained before, to go on with; weights that do not
            require a gradient stay as they are.
        training: The towers.
        steps: Steps of AdamW.
        learning_rate: Largest step size; rises over a tenth of the steps and falls as a cosine.
        weight_decay: Decoupled decay of the weights.
        members: Networks, each under its own seed.
        frame: Units of inputs and outputs, learnt from the training set when None. A network trained before needs
            the frame it was trained in.
    """
    torch.set_num_threads(1)
    frame = Frame.of(training) if frame is None else frame
    rows = frame.rows(training)
    networks = []
    for member in range(members):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.reseeded(member).seed)
            network = make(frame.inputs, frame.statics)
            optimise(
                network,
                partial(training_loss, network, rows, frame),
                steps=steps,
                learning_rate=learning_rate,
                weight_decay=weight_decay,
            )
        networks.append(network)
    return NetworkRegressor(tuple(networks), frame)


def optimise(
    network: nn.Module,
    loss: Callable[[], Tensor],
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float,
) -> None:
    """Fit a network in place to a loss that is evaluated at every step, and leave it in evaluation mode."""
    weights = [w for w in network.parameters() if w.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _pace(step, steps))
    network.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, GRADIENT_LIMIT)
        optimizer.step()
        schedule.step()
    network.eval()


def training_loss(network: nn.Module, rows: Rows, frame: Frame) -> Tensor:
    """The loss of a network on drawn rows, or on months drawn by weight if it is `Windowed`, with drivers hidden."""
    if not isinstance(network, Windowed):
        drawn = torch.randperm(len(rows.inputs))[:ROWS]
        output = network(hide_drivers(rows.inputs[drawn]), rows.statics[drawn])
        weight = rows.weight[drawn]
        return (weight * laplace_loss(frame.said(output), rows.target[drawn])).sum() / weight.sum()
    drawn = torch.multinomial(rows.weight.flatten(), network.months, replacement=True)
    months = rows.weight.shape[1]
    row, month = drawn // months, drawn % months
    windows, present = cut_windows(rows.inputs, row, month)
    output = network.judge(hide_drivers(windows), present, rows.statics[row])
    return laplace_loss(frame.said(output), rows.target[row, month]).mean()


def laplace_loss(said: Said, target: Tensor) -> Tensor:
    """Negative log likelihood of each month, damped so that well-known towers do not drown the rest."""
    error = (target - said.location).abs()
    return said.scale.detach() ** DAMPING * (error / said.scale + torch.log(2 * said.scale))


def hide_drivers(inputs: Tensor) -> Tensor:
    """Inputs (R, T, F_in) in which some drivers are missing over the whole row: scores and mask are zero."""
    drivers = (inputs.shape[-1] - SEASON) // CHANNELS
    kept = (torch.rand(len(inputs), 1, drivers) >= DRIVER_DROPOUT).float()
    season = torch.ones(len(inputs), 1, SEASON)
    return inputs * torch.cat([kept.repeat_interleave(CHANNELS, dim=-1), season], dim=-1)


def _pace(step: int, steps: int) -> float:
    """Share of the largest step size at a step."""
    rise = max(round(RISE * steps), 1)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))


@torch.no_grad()
def _say(network: nn.Module, frame: Frame, inputs: Tensor, statics: Tensor) -> Said:
    """The law (S, T) of one network."""
    parts = zip(torch.split(inputs, SITES), torch.split(statics, SITES), strict=True)
    return frame.said(torch.cat([network(*part) for part in parts]))
