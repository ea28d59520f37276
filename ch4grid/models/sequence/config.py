"""The settings of a sequence network as a recipe writes them; decoding them loads no heavy library.

A new network is one file of this package whose public class is `Network(inputs, statics, config)`, and its name in
`Architecture`.
"""

import importlib
from functools import partial
from typing import Literal, Self

from pydantic import Field

from ch4grid.models.learner import Learner, Regressor, TrainingSet

Architecture = Literal[
    "lstm", "gru", "ea-lstm", "tcn", "transformer", "itransformer", "informer", "pyraformer"
]


class SequenceConfig(Learner):
    """Settings of a sequence network.

    Args:
        architecture: The network.
        width: Features of a state D.
        layers: Layers.
        heads: Attention heads; divides the width. Networks without attention pass it over.
        dropout: Share of features dropped in training [1].
        steps: Optimiser steps of one member.
        learning_rate: Largest step size of the cosine schedule.
        weight_decay: Decoupled decay of AdamW.
        members: Networks averaged.
    """

    architecture: Architecture
    width: int = Field(default=16, ge=2, le=256)
    layers: int = Field(default=1, ge=1, le=8)
    heads: int = Field(default=2, ge=1, le=8)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    steps: int = Field(default=200, ge=1)
    learning_rate: float = Field(default=0.01, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    members: int = Field(default=2, ge=1)

    def fit(self, training: TrainingSet) -> Regressor:
        """The networks fitted to a training set."""
        from ch4grid.models.sequence.training import fit_network

        name = self.architecture.replace("-", "_")
        module = importlib.import_module(f"ch4grid.models.sequence.{name}")
        return fit_network(
            partial(module.Network, config=self),
            training,
            steps=self.steps,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            members=self.members,
        )

    def candidates(self) -> tuple[Self, ...]:
        """These settings, stronger decay and dropout, half the width."""
        strict = self.varied(weight_decay=0.1, dropout=0.4)
        return (self, strict, self.varied(width=max(self.width // 2, 2)))

    def trial(self) -> Self:
        """These settings with a single network."""
        return self.varied(members=1)
