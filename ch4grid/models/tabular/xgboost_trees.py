"""Gradient boosted trees by XGBoost.

Chen and Guestrin (2016), KDD, 785-794, 10.1145/2939672.2939785:

    f(x) = sum_m eta T_m(x),    T_m = argmin sum_i w_i (y_i - f_{m-1}(x_i) - T(x_i))^2 + lambda/2 |leaf values|^2

trees grown depth by depth on histograms, each on a share of rows and columns. Different from the paper: no early
stopping, because there are no rows of other clusters to watch inside a fit; the number of rounds is a setting.
"""

from typing import Any, Literal, Self

from pydantic import Field

from ch4grid.models.tabular.regressor import Estimator, TabularLearner, choices

ROW_SHARE, COLUMN_SHARE = 0.7, 0.5


class XGBoost(TabularLearner):
    """Settings of the boosted trees.

    Args:
        architecture: Discriminator.
        rounds: Number of trees.
        learning_rate: Share eta of each tree that is added [1].
        depth: Deepest split.
        min_leaf: Smallest weight of a leaf, in rows.
        penalty: Penalty lambda on squared leaf values.
    """

    architecture: Literal["xgboost"] = "xgboost"
    rounds: int = Field(default=200, ge=1)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    depth: int = Field(default=4, ge=1)
    min_leaf: float = Field(default=20.0, gt=0)
    penalty: float = Field(default=1.0, ge=0)

    def candidates(self) -> tuple[Self, ...]:
        """These settings, smaller and larger leaves."""
        return choices(self, "min_leaf", (20.0, 5.0, 40.0))

    def estimator(self, seed: int, columns: int) -> Estimator:
        """Boosted trees on one thread."""
        from xgboost import XGBRegressor  # heavy

        library: Estimator = XGBRegressor(
            n_estimators=self.rounds,
            learning_rate=self.learning_rate,
            max_depth=self.depth,
            min_child_weight=self.min_leaf,
            reg_lambda=self.penalty,
            subsample=ROW_SHARE,
            colsample_bytree=COLUMN_SHARE,
            tree_method="hist",
            random_state=seed,
            n_jobs=1,
            verbosity=0,
        )
        return library

    def size(self, estimator: Any) -> int:
        """Leaves."""
        return int(sum(tree.count("leaf=") for tree in estimator.get_booster().get_dump()))
