"""The settings of a model as a recipe writes them; decoding them loads no heavy library."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ch4grid.models.learner import Learner, Regressor, TrainingSet

# Members by which held-out errors are learnt where the whole ensemble would cost too much.
TRIAL_MEMBERS = 1
# Settings that came after the first checkpoints.
OPTIONS = (
    *("uniform_graph", "towers", "magnitude", "neighbour_dropout", "season", "soft_classes"),
    *("teleconnections", "staged", "invariance"),
)


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
        use_prior: Weight parents by their link probability and hold attention to it; without it a list of parents is a
            hard mask, all of its entries alike.
        randomise_graph: Deal the links anew before the fit: the control that a causal graph must beat.
        uniform_graph: Make every admissible link equally probable before the fit: a graph without knowledge.
        towers: Let points attend to training towers.
        magnitude: Level and amplitude from ridge regressions; without them the network learns both end to end.
        neighbour_dropout: Hide towers nearer than a distance drawn from those of deployment while training.
        season: Give sine and cosine of the season to the conditioning of the state.
        soft_classes: Mix the laws of all classes that a point may be by its statics (`models.mixture`).
        teleconnections: Bank towers of a month that are neighbours by the correlation of their drivers
            (`models.teleconnection`); every driver can then move a flux, parent of it or not.
        staged: Fit the dynamics first, then towers and head at a fifth of the step size (methods 3.7).
        invariance: Weight of the variance of the loss over towers (V-REx) [1].
    """

    needs_graph: ClassVar[bool] = True

    architecture: Literal["ctgat"] = "ctgat"
    members: int = Field(default=10, ge=1)
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
    uniform_graph: bool = False
    towers: bool = True
    magnitude: bool = True
    neighbour_dropout: bool = True
    season: bool = False
    soft_classes: bool = False
    teleconnections: int = Field(default=0, ge=0)
    staged: bool = False
    invariance: float = Field(default=0.1, ge=0)

    @model_validator(mode="after")
    def _one_graph(self) -> Self:
        if self.randomise_graph and self.uniform_graph:
            raise ValueError("a graph is either dealt anew or made uniform; set one of the two")
        return self

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

    def stored(self) -> dict[str, Any]:
        """The settings as a checkpoint holds them: options only where they are used, so that old digests hold."""
        options = type(self).model_fields
        unused = {name for name in OPTIONS if getattr(self, name) == options[name].default}
        return self.model_dump(mode="json", exclude=unused)

    def trial(self) -> "CTGATConfig":
        """The same network in one member."""
        return self.varied(members=TRIAL_MEMBERS)
