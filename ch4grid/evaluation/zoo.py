"""The zoo: every model by name, with the settings that a benchmark runs unless a recipe gives others."""

from typing import Annotated, get_args

from pydantic import Field

from ch4grid.evaluation.causal_forest import CausalForest
from ch4grid.models import CTGATConfig, ModelConfig
from ch4grid.models.cham_net import ChamNet
from ch4grid.models.learner import Learner
from ch4grid.models.raci import RACI
from ch4grid.models.sequence.config import Architecture, SequenceConfig
from ch4grid.models.stacking import Stack
from ch4grid.models.standalone import Standalone
from ch4grid.models.tabular import SVR, ElasticNet, ExtraTrees
from ch4grid.models.transfer.config import Technique, Transfer

# What a benchmark may name: all that a product may, and the causal forest, which makes no product.
Model = Annotated[ModelConfig | CausalForest, Field(discriminator="architecture")]

# Networks under the graph, what each of them lacks, and what was tried to make them better.
GRAPH_MODELS: dict[str, CTGATConfig] = {
    name: CTGATConfig.model_validate({"members": 1, "steps": 80, "season": True} | lacking)
    for name, lacking in (
        ("ctgat", {}),
        ("ctgat-random-dag", {"randomise_graph": True}),
        ("ctgat-uniform", {"uniform_graph": True}),
        ("ctgat-hard-mask", {"use_prior": False}),
        ("ctgat-no-towers", {"towers": False}),
        ("ctgat-no-magnitude", {"magnitude": False}),
        ("ctgat-no-season", {"season": False}),
        ("ctgat-strict", {"dropout": 0.4, "weight_decay": 0.1}),
        ("ctgat-narrow", {"width": 4, "dropout": 0.3, "weight_decay": 0.1}),
        ("ctgat-ensemble", {"members": 4}),
    )
}
# Steps of networks that a benchmark fits some hundred times.
STEPS = 120
# Models of the union that stand in the zoo several times, each time with other settings.
SEVERAL = (CTGATConfig, SequenceConfig, Transfer)
# CT-GAT beside models that go wrong in other ways: trees, a kernel, lines.
STACK = Stack(of=(GRAPH_MODELS["ctgat"], ExtraTrees(), SVR(), ElasticNet()))


def _plain() -> dict[str, Learner]:
    """The models of the union with the settings of their classes."""
    union, _ = get_args(Standalone)
    return {model().architecture: model() for model in get_args(union) if model not in SEVERAL}


def zoo(*, simulated: bool = False) -> dict[str, Learner]:
    """Every model by name.

    Args:
        simulated: Whether there are simulated sites, from which `transfer` models learn first.
    """
    networks = {
        name: SequenceConfig(architecture=name, members=1, steps=STEPS)
        for name in get_args(Architecture)
    }
    found: dict[str, Learner] = _plain() | {
        "causal-forest": CausalForest(),
        **networks,
        "cham-net": ChamNet(members=1),
        "raci": RACI(members=1),
        **GRAPH_MODELS,
        "stack": STACK,
    }
    if simulated:
        found |= {f"transfer-{name}": Transfer(technique=name) for name in get_args(Technique)}
    return found
