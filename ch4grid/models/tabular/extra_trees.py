"""Extremely randomised trees on all columns.

Geurts, Ernst and Wehenkel (2006), Mach. Learn. 63, 3-42, 10.1007/s10994-006-6226-1:

    f(x) = 1/B sum_b T_b(x),    T_b a tree of weighted means grown on all rows

where a split is the best of one random threshold for each of a third of the columns. Different from the paper: rows
carry weights, leaves hold at least twenty months, and a missing value goes down the branch that fits it better.
"""

from typing import Any, Literal, Self

from pydantic import Field

from ch4grid.models.tabular.regressor import Estimator, TabularLearner, choices, leaves

COLUMN_SHARE = 1 / 3


class ExtraTrees(TabularLearner):
    """Settings of the trees.

    Args:
        architecture: Discriminator.
        trees: Number of trees B.
        min_leaf: Fewest months in a leaf.
    """

    architecture: Literal["extra-trees"] = "extra-trees"
    trees: int = Field(default=300, ge=1)
    min_leaf: int = Field(default=20, ge=1)

    def candidates(self) -> tuple[Self, ...]:
        """These settings, smaller and larger leaves."""
        return choices(self, "min_leaf", (20, 5, 40))

    def estimator(self, seed: int, columns: int) -> Estimator:
        """Extremely randomised trees."""
        library: Estimator = extra_trees(self.trees, self.min_leaf, seed)
        return library

    def size(self, estimator: Any) -> int:
        """Leaves."""
        return leaves(estimator)


def extra_trees(trees: int, min_leaf: int, seed: int) -> Any:
    """Extremely randomised trees, not yet fitted."""
    from sklearn.ensemble import ExtraTreesRegressor  # heavy

    return ExtraTreesRegressor(
        n_estimators=trees,
        min_samples_leaf=min_leaf,
        max_features=COLUMN_SHARE,
        random_state=seed,
        n_jobs=1,
    )
