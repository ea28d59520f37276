"""A small ensemble of multilayer perceptrons.

Rumelhart, Hinton and Williams (1986), Nature 323, 533-536, 10.1038/323533a0; Lakshminarayanan et al. (2017), NIPS 30:

    f(x) = 1/M sum_m [ relu(x A_m + a_m) b_m + c_m ],    loss sum (y - f_m)^2 / 2 + alpha/2 (|A_m|^2 + |b_m|^2)

x (row, column) standardised, A (column, width), b (width), fitted by Adam. Different from the papers: a fixed number of
passes instead of a stopping rule, which would need rows of other clusters; each member draws its rows with replacement
by their weights, which makes the weights count and the members differ.
"""

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ch4grid.models.tabular.regressor import SEEDS, Estimator, TabularLearner, choices

Floats = NDArray[np.float64]

BATCH = 256


class MLP(TabularLearner):
    """Settings of the perceptrons.

    Args:
        architecture: Discriminator.
        members: Number of networks M.
        width: Hidden units.
        passes: Passes through the rows.
        learning_rate: Step size of Adam.
        penalty: Penalty alpha on squared weights, in rows of a batch.
    """

    architecture: Literal["mlp"] = "mlp"
    members: int = Field(default=5, ge=1)
    width: int = Field(default=24, ge=1)
    passes: int = Field(default=40, ge=1)
    learning_rate: float = Field(default=0.005, gt=0)
    penalty: float = Field(default=6.0, ge=0)
    scaled: ClassVar[bool] = True

    def candidates(self) -> tuple[Self, ...]:
        """These settings, a stronger and a weaker penalty."""
        return choices(self, "penalty", (6.0, 20.0, 2.0))

    def estimator(self, seed: int, columns: int) -> Estimator:
        """The ensemble."""
        return Members(self, seed)

    def size(self, estimator: Any) -> int:
        """Weights and biases of all members."""
        return int(
            sum(a.size for net in estimator.networks for a in (*net.coefs_, *net.intercepts_))
        )


class Members:
    """Networks that differ by their initial weights and by the rows that they drew.

    Args:
        settings: Settings.
        seed: Seed.
    """

    def __init__(self, settings: MLP, seed: int) -> None:
        self.settings = settings
        self.seed = seed
        self.networks: list[Any] = []

    def fit(self, x: Any, y: Any, sample_weight: Any) -> None:
        """Learns rows."""
        share = sample_weight / sample_weight.sum()
        self.networks = []
        for member in range(self.settings.members):
            random = np.random.default_rng([self.seed, member])
            drawn = random.choice(len(y), len(y), p=share)
            self.networks.append(self._network(x[drawn], y[drawn], int(random.integers(SEEDS))))

    def predict(self, x: Any) -> Floats:
        """Mean over the networks (row)."""
        return np.asarray(np.mean([network.predict(x) for network in self.networks], axis=0))

    def _network(self, x: Any, y: Any, seed: int) -> Any:
        """One network; pass by pass, because a fixed number of passes is no failure to converge."""
        from sklearn.neural_network import MLPRegressor  # heavy

        network = MLPRegressor(
            hidden_layer_sizes=(self.settings.width,),
            alpha=self.settings.penalty,
            batch_size=min(BATCH, len(y)),
            learning_rate_init=self.settings.learning_rate,
            random_state=seed,
        )
        for _ in range(self.settings.passes):
            network.partial_fit(x, y)
        return network
