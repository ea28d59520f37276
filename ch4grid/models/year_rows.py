"""Rows of years for networks, and the training that CHAM-net and RACI share.

A row is a year at a site with the years before it. `optimise` looks at site years left out (`Watched`) and keeps the
weights of the best look; these years also say by how much the network's scale is stretched.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ch4grid.models.cham_net import Answers, Schedule, YearTable
from ch4grid.models.learner import Indices

GRADIENT_LIMIT = 1.0
# Steps between two looks at the clusters left out, and the share of the steps before the first look.
LOOK = 15
FIRST_LOOK = 0.3
# Share of the steps in which the step size rises.
WARM_UP = 0.1
# Most site years left out in one look.
LOOK_ROWS = 128
# Bounds of the log of a scale in standard deviations of the training.
LOG_SCALE = (-3.0, 1.5)


@dataclass(frozen=True, eq=False)
class Rows:
    """Years at sites with the H years before them.

    Args:
        site: Site of each row (B).
        year: Its year (B).
        inputs: Inputs (B, H + 1, 12, F), the target year last.
        flux: Flux of the earlier years and its mask (B, H, 12, 2); nothing of the target year.
        present: Whether an earlier year lies in the record (B, H).
        features: Static features (B, G).
    """

    site: Indices
    year: Indices
    inputs: Tensor
    flux: Tensor
    present: Tensor
    features: Tensor

    @classmethod
    def of(cls, table: YearTable, site: Indices, year: Indices, *, history: int) -> "Rows":
        """Rows of a table; years before the record are zero and not present."""
        back = year[:, None] + np.arange(-history, 1)
        inside = back >= 0
        at = site[:, None], np.maximum(back, 0)
        inputs = table.inputs[at] * inside[..., None, None].astype(np.float32)
        earlier = inside[:, :-1, None, None].astype(np.float32)
        return cls(
            site=site,
            year=year,
            inputs=torch.from_numpy(inputs),
            flux=torch.from_numpy(table.flux[at][:, :-1] * earlier),
            present=torch.from_numpy(inside[:, :-1]),
            features=torch.from_numpy(table.features[site]),
        )


@dataclass(frozen=True, eq=False)
class Watched:
    """Site years left out, without their flux of earlier years: what a place without a tower would be told.

    Args:
        rows: Rows (B).
        scores: Flux in standard deviations (B, 12).
        weight: Weights (B, 12) summing to one; nothing is left out when all are zero.
    """

    rows: Rows
    scores: Tensor
    weight: Tensor

    @classmethod
    def of(
        cls, table: YearTable, outside: Answers, history: int, random: np.random.Generator
    ) -> "Watched":
        """At most so many rows of the answers left out as one look may take."""
        chosen = np.sort(random.permutation(len(outside.site))[:LOOK_ROWS])
        # With nothing left out, a year without an answer is looked at: it weighs nothing.
        site, year = outside.site[chosen], outside.year[chosen]
        if not len(site):
            site, year = np.zeros((2, 1), dtype=np.intp)
        rows = Rows.of(table, site, year, history=history)
        rows = replace(rows, flux=torch.zeros_like(rows.flux))
        weight = torch.from_numpy(outside.weight[rows.site, rows.year])
        scores = torch.from_numpy(outside.scores[rows.site, rows.year])
        return cls(rows, scores, weight / weight.sum().clamp(min=1e-12))

    def error(self, location: Tensor) -> float:
        """Weighted absolute error of locations (B, 12)."""
        return float((self.weight * (self.scores - location).abs()).sum())

    def stretch(self, location: Tensor, log_scale: Tensor) -> float:
        """The likeliest factor of the scales, 1 when nothing is left out: the mean of error over scale."""
        if not self.weight.any():
            return 1.0
        return float((self.weight * (self.scores - location).abs() / log_scale.exp()).sum())


def answers_at(answers: Answers, rows: Rows) -> tuple[Tensor, Tensor]:
    """Scores (B, 12) and weights (B, 12) of rows; the weights of a row sum to one, or are zero."""
    weight = torch.from_numpy(answers.weight[rows.site, rows.year])
    total = weight.sum(1, keepdim=True).clamp(min=1e-12)
    return torch.from_numpy(answers.scores[rows.site, rows.year]), weight / total


def optimise(
    network: nn.Module,
    schedule: Schedule,
    loss: Callable[[], Tensor],
    look: Callable[[], float],
) -> None:
    """Train a network; it ends with the weights of the best look, in evaluation mode."""
    optimiser = torch.optim.AdamW(
        network.parameters(),
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        fused=True,
    )
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: _learning_rate(step / schedule.steps)
    )
    best, kept = np.inf, network.state_dict()
    for step in range(1, schedule.steps + 1):
        network.train()
        optimiser.zero_grad(set_to_none=True)
        loss().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_LIMIT)
        optimiser.step()
        rate.step()
        if step == schedule.steps or (step >= FIRST_LOOK * schedule.steps and step % LOOK == 0):
            network.eval()
            with torch.no_grad():
                score = look()
            # Without towers left out every look is zero and the last one wins.
            if score < best or score == 0:
                best, kept = score, {n: v.clone() for n, v in network.state_dict().items()}
    network.load_state_dict(kept)
    network.eval()


def _learning_rate(progress: float) -> float:
    """Share of the largest step size at a share of the steps: a short rise, then half a cosine."""
    return float(min((progress + 0.01) / WARM_UP, 1.0) * 0.5 * (1 + np.cos(np.pi * progress)))


def laplace(location: Tensor, log_scale: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
    """Mean negative log likelihood of rows (B, 12) whose weights sum to one."""
    error = (scores - location).abs() * torch.exp(-log_scale)
    return (weight * (error + log_scale)).sum() / len(weight)
