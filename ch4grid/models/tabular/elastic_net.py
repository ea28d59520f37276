"""Elastic net on lagged drivers, statics and class: a sparse line.

Zou and Hastie (2005), J. R. Stat. Soc. B 67, 301-320, 10.1111/j.1467-9868.2005.00503.x:

    b = argmin 1/(2 n) sum_i w_i (y_i - b_0 - x_i b)^2 + alpha (r |b|_1 + (1 - r)/2 |b|^2)

x (row, column) standardised, b (column). Different from the paper: no rescaling of b by 1 + (1 - r) alpha, and rows
carry weights, one in the mean.
"""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from ch4grid.models.tabular.regressor import Estimator, TabularLearner, choices

# Coordinate descent on correlated lags is slow in the last digits, which no held-out tower sees.
SWEEPS = 20000
TOLERANCE = 1e-3


class ElasticNet(TabularLearner):
    """Settings of the elastic net.

    Args:
        architecture: Discriminator.
        alpha: Penalty.
        sparsity: Share r of the penalty on absolute coefficients [1].
    """

    architecture: Literal["elastic-net"] = "elastic-net"
    alpha: float = Field(default=0.03, gt=0)
    sparsity: float = Field(default=0.5, gt=0, le=1)
    scaled: ClassVar[bool] = True

    def candidates(self) -> tuple[Self, ...]:
        """These settings, a stronger and a weaker penalty."""
        return choices(self, "alpha", (0.03, 0.1, 0.01))

    def estimator(self, seed: int, columns: int) -> Estimator:
        """The elastic net by cyclic coordinate descent."""
        from sklearn.linear_model import ElasticNet as Library  # heavy

        library: Estimator = Library(
            alpha=self.alpha, l1_ratio=self.sparsity, max_iter=SWEEPS, tol=TOLERANCE
        )
        return library

    def size(self, estimator: Any) -> int:
        """Coefficients that are not zero, and the intercept."""
        return int((estimator.coef_ != 0).sum()) + 1
