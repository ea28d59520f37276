"""The settings of a model as a recipe writes them; decoding them loads no heavy library."""

from typing import ClassVar, Literal

from pydantic import Field

from ch4grid.models.learner import Learner, Regressor, TrainingSet

# Members by which held-out errors are learnt where the whole ensemble would cost too much.
TRIAL_MEMBERS = 2


class CTGATConfig(Learner):
    """Settings of the causal graph attention network.

    Args:
        architecture: Discriminator.
        members: Ensemble members.
        width: Features per driver D.
        heads: Attention heads H; divides the width.
        parents: Longest list of parents of a driver M.
        flux_parents: Longest list of parents of the flux.
        floor: Smallest link probability that enters a list of parents.
        near: Bank towers that are neighbours by great-circle distance.
        alike: Bank towers that are neighbours by distance between static features.
        same_class: Bank towers that are neighbours by static features within the class.
        steps: Optimiser steps of one fit.
        learning_rate: Largest step size of the cosine schedule.
        weight_decay: Decoupled decay of AdamW.
        dropout: Share of features dropped in training [1].
        driver_dropout: Share of driver series of a tower hidden in training [1].
        use_prior: Weight parents by their link probability; without it a list of parents is a hard mask.
        randomise_graph: Deal the links anew before the fit: the control that a causal graph must beat.
    """

    needs_graph: ClassVar[bool] = True

    architecture: Literal["ctgat"] = "ctgat"
    members: int = Field(default=10, ge=2)
    width: int = Field(default=8, ge=2, le=32)
    heads: int = Field(default=2, ge=1, le=8)
    parents: int = Field(default=6, ge=1)
    flux_parents: int = Field(default=12, ge=1)
    floor: float = Field(default=0.05, gt=0, lt=1)
    near: int = Field(default=3, ge=0)
    alike: int = Field(default=5, ge=0)
    same_class: int = Field(default=4, ge=0)
    steps: int = Field(default=120, ge=3)
    learning_rate: float = Field(default=0.02, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    driver_dropout: float = Field(default=0.07, ge=0, lt=1)
    use_prior: bool = True
    randomise_graph: bool = False

    def fit(self, training: TrainingSet) -> Regressor:
        """The ensemble fitted to a training set under the graph that is discovered in it."""
        from ch4grid.models.ctgat_learner import fit_ctgat  # heavy: torch

        return fit_ctgat(self, training)

    def candidates(self) -> tuple["CTGATConfig", ...]:
        """These settings, more dropout with more decay, and half the steps."""
        return (
            self,
            self.varied(dropout=0.3, weight_decay=0.05),
            self.varied(steps=max(self.steps // 2, 3)),
        )

    def trial(self) -> "CTGATConfig":
        """The same network in two members."""
        return self.varied(members=TRIAL_MEMBERS)


ModelConfig = CTGATConfig
