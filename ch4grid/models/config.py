"""The settings of a model as a recipe writes them; decoding them loads no heavy library."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class CTGATConfig(BaseModel):
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

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

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
    steps: int = Field(default=120, ge=1)
    learning_rate: float = Field(default=0.02, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    driver_dropout: float = Field(default=0.07, ge=0, lt=1)
    use_prior: bool = True
    randomise_graph: bool = False


ModelConfig = CTGATConfig
