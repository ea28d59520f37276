"""A benchmark as a recipe: which towers, which predictors, which models, and which months are hidden from them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from ch4grid.diagnosis import first_problem
from ch4grid.errors import RecipeError
from ch4grid.evaluation import Model, SplitKind
from ch4grid.models.zoo import DECIDING_SPLIT
from ch4grid.recipe import (
    DiscoverySection,
    Recipe,
    Section,
    Simulation,
    Years,
    read_yaml,
)
from ch4grid.recipe import load as load_product
from ch4grid.sites import SiteSource
from ch4grid.vocabulary import GASES, Gas

# Key that tells a benchmark from a product.
KEY = "benchmark"
HEADLINE: SplitKind = DECIDING_SPLIT


class Tuning(Section):
    """How settings are chosen inside every fold, the same for every model.

    Args:
        candidates: Settings of a model that are tried, its default first; 1 tries nothing.
        groups: Groups of training clusters left out in turn; their errors choose the settings and make the intervals.
    """

    candidates: int = Field(default=2, ge=1, le=3)
    groups: int = Field(default=3, ge=2)


class SplitSection(Section):
    """One split of a benchmark.

    Args:
        split: Its kind.
        groups: Leave out so many groups of sites or clusters in turn instead of one at a time.
        models: Names of models that run under it; all when empty.
        nested: Learn the law of the errors inside every fold, at a multiple of the cost. Otherwise a fold is one fit
            without tuning, and the law of a cluster comes from the held-out errors of the other clusters, whose models
            have seen it (cross-conformal).
    """

    split: SplitKind
    groups: int | None = Field(default=None, ge=2)
    models: tuple[str, ...] = Field(default=(), strict=False)
    nested: bool = True


class BenchmarkRecipe(Section):
    """Models against towers.

    Args:
        benchmark: Identifier, lower case with hyphens; names the folder of results.
        title: One line for people.
        summary: A paragraph for people.
        gas: Row of the gas table.
        product: A product recipe beside this file, whose towers, drivers and statics are used; instead of `sites`.
        sites: Towers with their own drivers and statics.
        period: First and last year of tower months.
        spin_up: Years of drivers before the period, for models with a memory.
        drivers: Drivers that are used, by name; empty means all.
        statics: Static predictors that are used, by name; empty means all.
        discovery: Where the causal graph comes from; that of the product recipe unless given.
        simulation: What `transfer` models learn from first; likewise.
        tuning: How settings are chosen.
        models: By name; empty means every model of the zoo.
        splits: What is hidden from the models.
        reference: The model that others are compared with in paired tests.
        seed: Seed of everything random.
    """

    benchmark: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str
    summary: str = ""
    gas: str = "ch4"
    product: str | None = None
    sites: tuple[SiteSource, ...] = Field(default=(), strict=False)
    period: Years | None = Field(default=None, strict=False)
    spin_up: int = Field(default=2, ge=0, le=5)
    drivers: tuple[str, ...] = Field(default=(), strict=False)
    statics: tuple[str, ...] = Field(default=(), strict=False)
    discovery: DiscoverySection = DiscoverySection()
    simulation: Simulation | None = None
    tuning: Tuning = Tuning()
    models: dict[str, Model] = Field(default_factory=dict)
    splits: tuple[SplitSection, ...] = Field(
        default=(SplitSection(split=HEADLINE),), min_length=1, strict=False
    )
    reference: str = "extra-trees"
    seed: int = 0

    @field_validator("gas")
    @classmethod
    def _known_gas(cls, value: str) -> str:
        if value not in GASES:
            raise ValueError(f"unknown gas {value!r}; known are {', '.join(GASES)}")
        return value

    @model_validator(mode="after")
    def _complete(self) -> "BenchmarkRecipe":
        if (self.product is None) == (not self.sites):
            raise ValueError("give either 'product' or 'sites'")
        if self.product is None and self.period is None:
            raise ValueError("'sites' need the key 'period'")
        for kind in {section.split for section in self.splits}:
            parts = [section.models for section in self.splits if section.split == kind]
            names = [name for part in parts for name in part]
            if len(parts) > 1 and (() in parts or len(set(names)) < len(names)):
                raise ValueError(f"split {kind!r} stands twice for a model")
        return self

    @property
    def gas_row(self) -> Gas:
        """The gas as a row of the table."""
        return GASES[self.gas]

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default filled in, as JSON values."""
        return self.model_dump(mode="json")


def load(path: Path) -> tuple[BenchmarkRecipe, Recipe | None]:
    """The benchmark of a YAML file, and the product recipe that it rests on if any.

    A product recipe is a benchmark too: every model of the zoo on its towers, one cluster left out at a time.

    Raises:
        RecipeError: The file is missing or not YAML, or a key is unknown, missing or of the wrong kind.
    """
    document = read_yaml(path)
    if KEY not in document:
        product = load_product(path)
        return _of_product(product, path), product
    try:
        made = BenchmarkRecipe.model_validate(document)
    except ValidationError as error:
        raise RecipeError(first_problem(error, document, BenchmarkRecipe), where=path) from None
    if made.product is None:
        return made, None
    product = load_product(path.parent / made.product)
    unsaid = {"discovery", "simulation"} - made.model_fields_set
    own = {"gas": product.gas} | {name: getattr(product, name) for name in unsaid}
    return made.model_copy(update=own), product


def spoken(
    path: Path,
    *,
    models: Sequence[str],
    splits: Sequence[str],
    holdout: Path | None,
    quick: bool,
) -> str:
    """The command that makes a benchmark again, without the folders of this machine."""
    words = ["ch4grid benchmark", f"recipes/{path.name}", "--data FOLDER"]
    words += [f"--models {','.join(models)}"] if models else []
    words += [f"--split {','.join(splits)}"] if splits else []
    words += ["--holdout FOLDER"] if holdout else []
    return " ".join([*words, "--quick"] if quick else words)


def is_benchmark(path: Path) -> bool:
    """Whether a YAML file is a benchmark and no product recipe."""
    return KEY in read_yaml(path)


def _of_product(product: Recipe, path: Path) -> BenchmarkRecipe:
    seed = product.training.seed if product.training else 0
    return BenchmarkRecipe(
        benchmark=product.product,
        title=f"Models on the towers of {product.product}",
        gas=product.gas,
        product=path.name,
        discovery=product.discovery,
        simulation=product.simulation,
        seed=seed,
    )
