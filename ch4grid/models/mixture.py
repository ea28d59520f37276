"""Soft classes: how much of each ecosystem class a place is, by its statics, so that its law is a mixture of laws.

    P(e | S) = softmax_e(W S + w),   share_e = (1 - s) [e is the class of the place] + s P(e | S),   s = 0.5

The law of a place is the mean of the laws that it would have in each class, weighted by share: quantile functions are
averaged, so a mean of Laplace laws is a Laplace law whose location and scale are the means. Methods 3.4 would mix the
priors instead, and 3.8 the outputs; priors per place would need parent lists per place, so outputs are mixed. The
regression is a multinomial one under an L2 penalty, fitted to the training towers of the fold, every cluster counting
as one. A class with a share below 0.05 is left out, for it would cost a whole prediction.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ch4grid.vocabulary import ECOSYSTEMS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Singles = NDArray[np.float32]

# Part of the share that follows the statics and not the class that the place is known to have.
SOFTNESS = 0.5
LEAST_SHARE = 0.05
# Inverse of the L2 penalty: forty towers and twenty statics allow no more.
STRENGTH = 0.1
ITERATIONS = 1000


@dataclass(frozen=True, eq=False)
class ClassMixture:
    """A fitted regression.

    Args:
        coefficients: On scores of the statics, intercept last (E, N + 1); the intercept of an unseen class is -inf.
    """

    coefficients: Floats

    @classmethod
    def fit(cls, scores: Singles, ecosystem: Integers, cluster: Integers) -> "ClassMixture":
        """The regression of towers.

        Args:
            scores: Scores of their statics (S, N).
            ecosystem: Their classes (S).
            cluster: Their clusters (S).
        """
        _, index, size = np.unique(cluster, return_inverse=True, return_counts=True)
        weight = 1.0 / size[index]
        out = np.zeros((len(ECOSYSTEMS), scores.shape[1] + 1))
        out[:, -1] = -np.inf
        present = np.unique(ecosystem)
        if len(present) < 2 or not scores.shape[1]:
            total = np.bincount(ecosystem, weights=weight, minlength=len(ECOSYSTEMS))
            out[present, -1] = np.log(total[present])
            return cls(out)
        out[present] = _regression(scores.astype(np.float64), ecosystem, weight)
        return cls(out)

    def probability(self, scores: Singles) -> Floats:
        """P(e | S) of places (S, E)."""
        logits = scores.astype(np.float64) @ self.coefficients[:, :-1].T + self.coefficients[:, -1]
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def shares(self, scores: Singles, ecosystem: Integers) -> Singles:
        """Share of each class in places (S, E), summing to one, 0 where it would be below 0.05."""
        mixed = (1 - SOFTNESS) * own_shares(ecosystem) + SOFTNESS * self.probability(scores)
        kept = np.where(mixed >= LEAST_SHARE, mixed, 0.0)
        return np.asarray(kept / kept.sum(axis=1, keepdims=True), dtype=np.float32)


def own_shares(ecosystem: Integers) -> Singles:
    """One for the class of each place (S, E)."""
    return np.eye(len(ECOSYSTEMS), dtype=np.float32)[ecosystem]


def _regression(scores: Floats, ecosystem: Integers, weight: Floats) -> Floats:
    """Coefficients (classes present, N + 1)."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=STRENGTH, max_iter=ITERATIONS)
    model.fit(scores, ecosystem, sample_weight=weight)
    found = np.concatenate([model.coef_, model.intercept_[:, None]], axis=1)
    # Two classes come as the one logit of the second.
    return np.asarray(found if len(found) > 1 else np.concatenate([0 * found, found]))
