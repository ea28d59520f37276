"""Support vector regression with a radial kernel.

Drucker et al. (1997), NIPS 9, 155-161; Smola and Schoelkopf (2004), Stat. Comput. 14, 199-222:

    f(x) = sum_i a_i exp(-gamma |x - x_i|^2) + b,    |a_i| <= C w_i

fitted under the loss max(0, |y - f| - epsilon); x (row, column) standardised, a one number per support vector.
Different from the papers: rows carry weights, one in the mean, which scale C; gamma = 1/F, so that the kernel is as
wide as two typical rows are apart.
"""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from ch4grid.models.tabular.regressor import Estimator, TabularLearner, choices


class SVR(TabularLearner):
    """Settings of the support vector regression.

    Args:
        architecture: Discriminator.
        cost: Largest coefficient C of a support vector.
        tube: Error epsilon that costs nothing, in asinh space [1].
    """

    architecture: Literal["svr"] = "svr"
    cost: float = Field(default=1.0, gt=0)
    tube: float = Field(default=0.2, ge=0)
    scaled: ClassVar[bool] = True

    def candidates(self) -> tuple[Self, ...]:
        """These settings, a smaller and a larger cost."""
        return choices(self, "cost", (1.0, 0.3, 3.0))

    def estimator(self, seed: int, columns: int) -> Estimator:
        """Support vector regression."""
        from sklearn import svm  # heavy

        library: Estimator = svm.SVR(C=self.cost, epsilon=self.tube, gamma=1 / columns)
        return library

    def size(self, estimator: Any) -> int:
        """Support vectors and the intercept."""
        return len(estimator.support_) + 1
