"""Gradient boosted trees by LightGBM.

Ke et al. (2017), NIPS 30, 3146-3154:

    f(x) = sum_m eta T_m(x),    T_m = argmin sum_i w_i (y_i - f_{m-1}(x_i) - T(x_i))^2 + lambda |leaf values|^2

trees grown leaf by leaf on histograms, each on a share of rows and columns. Different from the paper: rows are sampled
alike and not by gradient, and there is no early stopping (see `xgboost_trees`).
"""

from typing import Any, Literal, Self

from pydantic import Field

from ch4grid.models.tabular.regressor import Estimator, TabularLearner, choices

ROW_SHARE, COLUMN_SHARE = 0.7, 0.5


class LightGBM(TabularLearner):
    """Settings of the boosted trees.

    Args:
        architecture: Discriminator.
        rounds: Number of trees.
        learning_rate: Share eta of each tree that is added [1].
        leaves: Most leaves of a tree.
        min_leaf: Fewest months in a leaf.
        penalty: Penalty lambda on squared leaf values.
    """

    architecture: Literal["lightgbm"] = "lightgbm"
    rounds: int = Field(default=200, ge=1)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    leaves: int = Field(default=15, ge=2)
    min_leaf: int = Field(default=20, ge=1)
    penalty: float = Field(default=1.0, ge=0)

    def candidates(self) -> tuple[Self, ...]:
        """These settings, smaller and larger leaves."""
        return choices(self, "min_leaf", (20, 5, 40))

    def estimator(self, seed: int, columns: int) -> Estimator:
        """Boosted trees on one thread."""
        from lightgbm import LGBMRegressor  # heavy

        library: Estimator = LGBMRegressor(
            n_estimators=self.rounds,
            learning_rate=self.learning_rate,
            num_leaves=self.leaves,
            min_child_samples=self.min_leaf,
            reg_lambda=self.penalty,
            subsample=ROW_SHARE,
            subsample_freq=1,
            colsample_bytree=COLUMN_SHARE,
            random_state=seed,
            deterministic=True,
            force_row_wise=True,
            n_jobs=1,
            verbosity=-1,
        )
        return library

    def size(self, estimator: Any) -> int:
        """Leaves."""
        return int(sum(t["num_leaves"] for t in estimator.booster_.dump_model()["tree_info"]))
