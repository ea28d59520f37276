"""Transfer learning: a network that first learns from simulated sites, then from towers.

Techniques of X-MethaneWet (Sun et al. 2025, arXiv 2505.18355), over one recurrent network (`network`) whose state at a
month depends on that month and earlier ones only. With f the network, y the measured and s the simulated flux:

    scratch      min L(f, y)
    fine-tune    min L(f, s), then min L(f, y) with a fifth of the step size
    residual     min L(f, s), f is frozen, min L(r, y - f(x)), says f + r
    adversarial  min p L(f, y) + (1 - p) (L(f, s) + L_domain), p from 0 to 1, then min L(f, y)
    reweight     min p L(f, y) + (1 - p) sum_i w_i L_i(f, s), then min L(f, y)

L_domain passes through a gradient reversal (Ganin et al. 2016, JMLR 17) of strength 2 / (1 + exp(-10 p)) - 1.

Different from the paper and its code: predictors and fluxes (in asinh space) are standardised by domain, each with
moments of its own training sites, which takes the bias of a simulation away but also what it knows of the difference
between places; `standardise: source` uses those of the simulation for both, as published. Reversal is applied and the
discriminator is optimised; weights multiply the error of each site, not the mean of all; predictors are those that both
domains have; targets are measured months only. Site-months, not site-years of days.
"""

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from ch4grid.errors import InputError
from ch4grid.models.learner import Learner, State, TrainingSet

if TYPE_CHECKING:
    from ch4grid.models.transfer.training import TransferModel

Technique = Literal["scratch", "fine-tune", "residual", "adversarial", "reweight"]


class Transfer(Learner):
    """Settings of a network that transfers from simulated sites.

    Args:
        architecture: Discriminator.
        technique: What is done with the simulated sites of the training set.
        standardise: Whose moments the towers are standardised with.
        cell: Recurrent cell.
        width: Features of its state.
        source_steps: Optimiser steps on simulated sites, alone or together with towers.
        steps: Optimiser steps on towers alone.
        rows: Simulated rows of up to 72 months in a step.
        learning_rate: Largest step size of the cosine schedule.
        weight_decay: Decoupled decay of AdamW.
        dropout: Share of features dropped in training [1].
    """

    architecture: Literal["transfer"] = "transfer"
    technique: Technique = "fine-tune"
    standardise: Literal["by-domain", "source"] = "by-domain"
    cell: Literal["gru", "lstm"] = "gru"
    width: int = Field(default=16, ge=2, le=64)
    source_steps: int = Field(default=150, ge=1)
    steps: int = Field(default=150, ge=1)
    rows: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=0.01, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    def candidates(self) -> tuple[Self, ...]:
        """These settings, more decay, and a network of half the width."""
        width = max(self.width // 2, 2)
        return (self, self.varied(weight_decay=10 * self.weight_decay), self.varied(width=width))

    def fit(self, training: TrainingSet) -> "TransferModel":
        """The network fitted to towers after simulated sites.

        Whoever hands in the simulation has taken out what lies near to any tower (`domains.away_from`).

        Raises:
            InputError: There is no simulation and the technique needs one, or the domains share no driver.
        """
        if training.simulation is None and self.technique != "scratch":
            raise InputError(
                "this model transfers from simulated sites and there are none",
                where="training set",
                expected="a simulation",
                found="none",
                fix="Give simulated sites, or choose the technique scratch",
            )
        from ch4grid.models.transfer.training import fit

        return fit(self, training)

    def state(self, fitted: Any) -> State:
        """Weights, scaler and units of a fitted network: it needs neither towers nor simulation again."""
        found: State = fitted.state()
        return found

    def restored(self, state: State) -> "TransferModel":
        """The network of a state."""
        from ch4grid.models.transfer.training import restore

        return restore(self, state)
