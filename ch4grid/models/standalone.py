"""The models that stand on their own, as a union: a line of a recipe decodes into the settings that do the work.

`architecture` tells them apart. What is made of several of them, such as a stack, is in `zoo`.
"""

from typing import Annotated

from pydantic import Field

from ch4grid.models.ced_fuzzy import CedFuzzy
from ch4grid.models.cham_net import ChamNet
from ch4grid.models.config import CTGATConfig
from ch4grid.models.raci import RACI
from ch4grid.models.sequence.config import SequenceConfig
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
from ch4grid.models.transfer.config import Transfer

Standalone = Annotated[
    CTGATConfig
    | CausalParents
    | CedFuzzy
    | ChamNet
    | Climatology
    | ElasticNet
    | ExtraTrees
    | GaussianProcess
    | KNN
    | LightGBM
    | MLP
    | MagnitudePattern
    | QuantileForest
    | RACI
    | RandomForest
    | Ridge
    | SVR
    | SequenceConfig
    | Transfer
    | XGBoost,
    Field(discriminator="architecture"),
]
