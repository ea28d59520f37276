"""RACI: a slow code of the regime and a fast code of the weather, each told what alike and nearby towers are like.

Sun, Yu, Dong, Chen, Liu, Oh, Zhuang, Xie, Jia (2026), arXiv 2603.03531, as laid down in methods 5.2. D width, U bank
towers, K = 2 k neighbours, t months, q quarters:

    r_q    = tanh(W [GRU(24 months of yearly means up to q); MLP(s)])        slow code (D)
    f_t    = TCN(months t - 6 .. t)                                          fast code (D)
    ctx    = sum_u softmax_u(<W_q code, W_k bank_u> / sqrt(D) - d_u / L) W_v bank_u,   u in N_geo and N_fun
    y_t    = g((1 + gamma(r + ctx_r)) (f + ctx_f) + beta(r + ctx_r))         location and Laplace scale
    L      = NLL + 0.05 cos^2(r, f) + 0.05 |r_q - r_{q-1}|^2

The bank holds the codes of training towers, never a flux: the mean slow code of a tower and its fast code by phase of
the season (July in the south is January in the north). N_geo are the k nearest towers, N_fun the k of the highest
cosine with the own code. A training tower never sees its own cluster and, as in CT-GAT, no tower nearer
than a distance drawn from those between cells and towers.

What differs from the paper: months instead of days; the slow code is renewed every quarter; d is the great-circle
distance and L is learnt; the bank is renewed every few steps and passes no gradient; the likelihood is Laplace, damped
as in CT-GAT; scales are stretched to the errors at the towers that a member left out.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import xarray as xr
from pydantic import Field

from ch4grid.models.cham_net import YearScaler
from ch4grid.models.learner import Law, Learner, TrainingSet

if TYPE_CHECKING:
    from ch4grid.models.raci_network import RaciMember


class RACI(Learner):
    """Settings of RACI.

    Args:
        architecture: Discriminator.
        members: Ensemble members; each leaves out other clusters to stop by.
        width: Features of each code D.
        neighbours: Bank towers of each kind k.
        roles: Keep the slow and the fast code apart; without it their sum is one code and the regime sets no weights.
        retrieval: Which towers of the bank are asked; 2 k of them in every case.
        steps: Optimiser steps of one member.
        batch: Site years in a step.
        learning_rate: Largest step size.
        weight_decay: Decoupled decay of AdamW.
        dropout: Share of features dropped in training [1].
        orthogonality: Weight of the squared cosine between the codes.
        slowness: Weight of the squared change of the slow code.
    """

    architecture: Literal["raci"] = "raci"
    members: int = Field(default=2, ge=1)
    width: int = Field(default=16, ge=2, le=128)
    neighbours: int = Field(default=5, ge=1)
    roles: bool = True
    retrieval: Literal["both", "geographic", "functional", "random"] = "both"
    steps: int = Field(default=150, ge=1)
    batch: int = Field(default=24, ge=2)
    learning_rate: float = Field(default=0.01, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    orthogonality: float = Field(default=0.05, ge=0)
    slowness: float = Field(default=0.05, ge=0)

    def fit(self, training: TrainingSet) -> "RaciRegressor":
        """The members fitted to a training set, each with its bank of training towers."""
        from ch4grid.models.raci_network import fit_members  # heavy

        scaler = YearScaler.fit(training)
        return RaciRegressor(scaler, fit_members(scaler, training, self), self)

    def candidates(self) -> tuple[Self, ...]:
        """These settings, stronger dropout and decay, and half the width."""
        strong = self.varied(dropout=max(self.dropout, 0.4), weight_decay=10 * self.weight_decay)
        return (self, strong, self.varied(width=max(self.width // 2, 2)))


@dataclass(frozen=True, eq=False)
class RaciRegressor:
    """A fitted RACI.

    Args:
        scaler: From points to inputs.
        members: The fitted networks with their banks.
        config: Settings.
    """

    scaler: YearScaler
    members: tuple["RaciMember", ...]
    config: RACI

    @property
    def parameters(self) -> int:
        """Number of weights of all members; the codes in the banks are none."""
        return sum(member.parameters for member in self.members)

    def predict(self, points: xr.Dataset) -> Law:
        """The law at points from 35 months of drivers, and from the bank (site, time)."""
        from ch4grid.models.raci_network import member_law  # heavy

        table = self.scaler.table(points, None)
        laws = [member_law(member, table, self.config) for member in self.members]
        return self.scaler.law(laws, table)
