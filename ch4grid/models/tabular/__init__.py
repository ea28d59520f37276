"""Association baselines and tree models: each month of each tower is one row of a table.

All see the same columns (`table.PredictorTable`), rows and weights (`regressor.Rows`); what differs is the function
that is fitted to them, one file each. None knows a graph but `CausalParents`, which sees the causes of the flux.
"""

from ch4grid.models.tabular.causal_parents import CausalParents
from ch4grid.models.tabular.climatology import Climatology
from ch4grid.models.tabular.elastic_net import ElasticNet
from ch4grid.models.tabular.extra_trees import ExtraTrees
from ch4grid.models.tabular.gaussian_process import GaussianProcess
from ch4grid.models.tabular.knn import KNN
from ch4grid.models.tabular.lightgbm_trees import LightGBM
from ch4grid.models.tabular.magnitude_pattern import MagnitudePattern
from ch4grid.models.tabular.mlp import MLP
from ch4grid.models.tabular.quantile_forest import QuantileForest
from ch4grid.models.tabular.random_forest import RandomForest
from ch4grid.models.tabular.ridge import Ridge
from ch4grid.models.tabular.svr import SVR
from ch4grid.models.tabular.xgboost_trees import XGBoost

__all__ = [
    "KNN",
    "MLP",
    "SVR",
    "CausalParents",
    "Climatology",
    "ElasticNet",
    "ExtraTrees",
    "GaussianProcess",
    "LightGBM",
    "MagnitudePattern",
    "QuantileForest",
    "RandomForest",
    "Ridge",
    "XGBoost",
]
