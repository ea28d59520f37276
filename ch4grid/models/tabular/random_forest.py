"""Random forest on all columns: the method of the reference product, with the predictors of every other model.

Breiman (2001), Mach. Learn. 45, 5-32, 10.1023/A:1010933404324; McNicol et al. (2023), AGU Advances 4,
10.1029/2023AV000956 (UpCH4):

    f(x) = 1/B sum_b T_b(x),    T_b a tree of weighted means grown on a bootstrap of the rows

each split among a third of the columns. Different from UpCH4: months and not weeks, no lead of a driver, all columns
and not the best six, one forest and not one per draw of the fluxes. A missing value goes down the branch that fits it
better.
"""

from typing import Any, Literal, Self

from pydantic import Field

from ch4grid.models.tabular.regressor import Estimator, TabularLearner, choices, leaves

COLUMN_SHARE = 1 / 3


class RandomForest(TabularLearner):
    """Settings of the forest.

    Args:
        architecture: Discriminator.
        trees: Number of trees B.
        min_leaf: Fewest months in a leaf.
    """

    architecture: Literal["random-forest"] = "random-forest"
    trees: int = Field(default=300, ge=1)
    min_leaf: int = Field(default=5, ge=1)

    def candidates(self) -> tuple[Self, ...]:
        """These settings, and larger leaves."""
        return choices(self, "min_leaf", (5, 20, 50))

    def estimator(self, seed: int, columns: int) -> Estimator:
        """A random forest."""
        from sklearn.ensemble import RandomForestRegressor  # heavy

        library: Estimator = RandomForestRegressor(
            n_estimators=self.trees,
            min_samples_leaf=self.min_leaf,
            max_features=COLUMN_SHARE,
            random_state=seed,
            n_jobs=1,
        )
        return library

    def size(self, estimator: Any) -> int:
        """Leaves."""
        return leaves(estimator)
