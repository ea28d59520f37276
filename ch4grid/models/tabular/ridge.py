"""Ridge regression on all columns.

Hoerl and Kennard (1970), Technometrics 12, 55-67, 10.1080/00401706.1970.10488634:

    b = argmin sum_i w_i (y_i - b_0 - x_i b)^2 + alpha |b|^2

x (row, column) standardised, b (column), b_0 free of the penalty. Different from the paper: rows carry weights, one in
the mean, and scores are held within five standard deviations, so that a line is not drawn far beyond the towers.
"""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from ch4grid.models.tabular.regressor import Estimator, TabularLearner, choices


class Ridge(TabularLearner):
    """Settings of the ridge regression.

    Args:
        architecture: Discriminator.
        alpha: Penalty on the squared coefficients, in rows.
    """

    architecture: Literal["ridge"] = "ridge"
    alpha: float = Field(default=100.0, gt=0)
    scaled: ClassVar[bool] = True

    def candidates(self) -> tuple[Self, ...]:
        """These settings, a stronger and a weaker penalty."""
        return choices(self, "alpha", (100.0, 1000.0, 10.0))

    def estimator(self, seed: int, columns: int) -> Estimator:
        """Ridge regression, solved exactly."""
        from sklearn.linear_model import Ridge as Library  # heavy

        library: Estimator = Library(alpha=self.alpha, solver="cholesky")
        return library

    def size(self, estimator: Any) -> int:
        """Coefficients and intercept."""
        return int(estimator.coef_.size) + 1
