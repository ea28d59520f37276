"""The recipe: one YAML file that says what to make, decoded straight into the frozen objects that do the work.

Pure data: no expressions, includes, environment variables or class paths. Year, scenario, cluster and device are
arguments of a run, never keys. An unknown key is an error that names its path.
"""

import json
from pathlib import Path
from typing import Any, Literal

import xarray as xr
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ch4grid.causal import Discovery
from ch4grid.cube import ATTRIBUTION
from ch4grid.diagnosis import first_problem
from ch4grid.drivers import DriverSource
from ch4grid.drivers.cube.gaps import Policy
from ch4grid.errors import RecipeError
from ch4grid.grid import Grid
from ch4grid.models import CTGATConfig, ModelConfig
from ch4grid.models.learner import Learner
from ch4grid.models.transfer.domains import away_from
from ch4grid.models.zoo import best_of, transfers
from ch4grid.regions import RegionSet
from ch4grid.scenarios import Scenario
from ch4grid.sites import SiteSource, assemble, in_period
from ch4grid.stores import Workspace
from ch4grid.vocabulary import GASES, Gas

Years = tuple[int, int]

# Ensemble members of a model whose own settings name none.
MEMBERS = 10


class Section(BaseModel):
    """A part of a recipe: frozen, strict, and an error for every key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class GridSection(Section):
    """The product grid: cell size [degrees]."""

    resolution: float

    @field_validator("resolution")
    @classmethod
    def _closes(cls, value: float) -> float:
        return Grid(value).resolution


class Ecosystems(Section):
    """The class scheme and the area layers that its fractions are made from.

    Args:
        scheme: The classes.
        areas: Layers that every member of the ensemble shares.
        wetlands: Sources of `wetland_fraction` by name, over which the members are dealt in turn: their difference is
            part of the product's uncertainty. Without it the wetlands are those of `areas`.
    """

    scheme: Literal["seven-classes"] = "seven-classes"
    areas: tuple[DriverSource, ...] = Field(min_length=1, strict=False)
    wetlands: dict[str, DriverSource] = Field(default_factory=dict)

    @field_validator("wetlands")
    @classmethod
    def _wet(cls, sources: dict[str, DriverSource]) -> dict[str, DriverSource]:
        dry = [name for name, s in sources.items() if "wetland_fraction" not in s.variables]
        if dry:
            raise ValueError(f"{', '.join(dry)} gives no wetland_fraction")
        return sources


class Training(Section):
    """What the model is fitted to.

    Args:
        period: First and last year of tower months and of the climate normals.
        statics: Static predictors and normals by name; empty means all that the drivers hold.
        folds: Groups of clusters held out in turn to calibrate intervals and to report skill.
        fold_members: Ensemble members fitted in each fold.
        members: Ensemble members of a model whose own settings name none.
        seed: Seed of everything random in training.
    """

    period: Years = Field(strict=False)
    statics: tuple[str, ...] = Field(default=(), strict=False)
    folds: int = Field(default=5, ge=2)
    fold_members: int = Field(default=3, ge=1)
    members: int = Field(default=MEMBERS, ge=2)
    seed: int = 0


class DiscoverySection(Section):
    """Where the causal prior comes from: towers of its own, or (when none are named) those of the training."""

    sites: tuple[SiteSource, ...] = Field(default=(), strict=False)
    settings: Discovery = Discovery()


class Simulation(Section):
    """Simulated sites that models may learn from before they see a tower.

    Args:
        sites: Where they come from.
        period: First and last year used.
    """

    sites: tuple[SiteSource, ...] = Field(min_length=1, strict=False)
    period: Years = Field(strict=False)

    def open(self, workspace: Workspace, gas: Gas, spin_up: int, towers: xr.Dataset) -> xr.Dataset:
        """Simulated sites as samples (site, time), those near to a tower left out.

        Args:
            workspace: Folders of the data.
            gas: The gas.
            spin_up: Years of drivers before the period.
            towers: All towers, held out or not.

        Raises:
            InputError: A file is missing or wrong, or no site is away from all towers.
        """
        found = assemble(self.sites, workspace, gas)
        return away_from(in_period(found, gas, self.period, spin_up), towers)


class ModelFile(Section):
    """A model described in a file of its own, beside the recipe."""

    recipe: str


class ModelBest(Section):
    """The model that won a benchmark: the highest efficiency in asinh space at clusters of towers left out.

    Args:
        best: Table of results that `ch4grid benchmark` wrote (results.json), beside the recipe.
        among: Names of models to choose from; all that can make a product when empty.
        chosen: The settings of the winner; read from the table, never written.
        reason: Which model it is and why; likewise.
    """

    best: str
    among: tuple[str, ...] = Field(default=(), strict=False)
    chosen: ModelConfig
    reason: str


class ModelCheckpoint(Section):
    """A model trained before: the folder of its checkpoint."""

    checkpoint: str


class Recipe(Section):
    """A product: what it is called, what it is made from, and how.

    Args:
        product: Identifier, lower case with hyphens; names the folder of the product.
        title: One line for people.
        summary: A paragraph for people: what it is and what it is not.
        gas: Row of the gas table.
        period: First and last year written when no year is asked for.
        grid: The product grid.
        drivers: Gridded predictors.
        gaps: What to do about months of drivers that are missing, damaged or preliminary: `strict` stops, `flag` uses
            what there is and marks it, `fill` puts the mean year of the training period in their place and marks it.
        sites: Towers.
        ecosystems: Classes and their areas.
        regions: GeoJSON files whose features become regions of the budget, beside the globe and the latitude bands.
        training: What the model is fitted to.
        discovery: Where the causal prior comes from.
        simulation: What models that transfer from simulated sites learn from first.
        model: The model, a file that describes it, the winner of a benchmark, or a trained checkpoint.
        spin_up: Years of drivers read before a predicted year, for the model's memory of 15 months.
        scenarios: By name; `historical` is the default.
    """

    product: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str
    summary: str = ""
    gas: str = "ch4"
    period: Years = Field(strict=False)
    grid: GridSection
    drivers: tuple[DriverSource, ...] = Field(min_length=1, strict=False)
    gaps: Policy = "strict"
    sites: tuple[SiteSource, ...] = Field(default=(), strict=False)
    ecosystems: Ecosystems
    regions: tuple[RegionSet, ...] = Field(default=(), strict=False)
    training: Training | None = None
    discovery: DiscoverySection = DiscoverySection()
    simulation: Simulation | None = None
    model: ModelConfig | ModelFile | ModelBest | ModelCheckpoint
    spin_up: int = Field(default=2, ge=0, le=5)
    scenarios: dict[str, Scenario] = Field(default_factory=lambda: {"historical": Scenario()})

    @field_validator("gas")
    @classmethod
    def _known_gas(cls, value: str) -> str:
        if value not in GASES:
            raise ValueError(f"unknown gas {value!r}; known are {', '.join(GASES)}")
        return value

    @field_validator("scenarios")
    @classmethod
    def _free_names(cls, value: dict[str, Scenario]) -> dict[str, Scenario]:
        taken = [name for name in value if name.startswith(ATTRIBUTION)]
        if taken:
            raise ValueError(f"names beginning with {ATTRIBUTION!r} are those of attributions")
        return value

    @model_validator(mode="after")
    def _complete(self) -> "Recipe":
        for name, years in (
            ("period", self.period),
            ("training.period", self.training and self.training.period),
        ):
            if years and years[0] > years[1]:
                raise ValueError(f"{name} ends ({years[1]}) before it begins ({years[0]})")
        if not isinstance(self.model, ModelCheckpoint) and (
            self.training is None or not self.sites
        ):
            raise ValueError(
                "a model that is not a checkpoint needs the keys 'sites' and 'training'"
            )
        if self.simulation is None and self.learner is not None and transfers(self.learner):
            raise ValueError(
                "a model that transfers from simulated sites needs the key 'simulation'"
            )
        return self

    @property
    def years(self) -> tuple[int, ...]:
        """Years of the period."""
        return tuple(range(self.period[0], self.period[1] + 1))

    @property
    def gas_row(self) -> Gas:
        """The gas as a row of the table."""
        return GASES[self.gas]

    @property
    def product_grid(self) -> Grid:
        """The grid as a value."""
        return Grid(self.grid.resolution)

    @property
    def learner(self) -> Learner | None:
        """The model to be trained; None for a checkpoint."""
        if isinstance(self.model, ModelBest):
            return self.model.chosen
        return self.model if isinstance(self.model, Learner) else None

    @property
    def choice(self) -> str:
        """Why the model is the one it is, in a sentence; empty where the recipe names it."""
        return self.model.reason + "." if isinstance(self.model, ModelBest) else ""

    @property
    def members(self) -> int:
        """Ensemble members: those that CT-GAT's settings name, else those of the training."""
        if isinstance(self.learner, CTGATConfig):
            return self.learner.members
        return self.training.members if self.training else MEMBERS

    @property
    def normals_period(self) -> Years:
        """Years over which climate normals are taken: those of the training, else the product's."""
        return self.training.period if self.training else self.period

    @property
    def driver_names(self) -> tuple[str, ...]:
        """Names of all predictors, in the order of the recipe."""
        return tuple(name for source in self.drivers for name in source.variables)

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default filled in, as JSON values: what a product carries in its attributes.

        A simulation or regions that are not there are left out, so that products made without keep their bytes.
        """
        absent = {name for name in ("simulation", "regions") if not getattr(self, name)}
        return self.model_dump(mode="json", exclude=absent or None)


def load(path: Path) -> Recipe:
    """The recipe of a YAML file.

    Args:
        path: The file; a `model: {recipe: file}` in it is read from the same folder.

    Raises:
        RecipeError: The file is missing or not YAML, or a key is unknown, missing or of the wrong kind.
    """
    document = read_yaml(path)
    model = document.get("model")
    if isinstance(model, dict) and set(model) == {"recipe"}:
        document["model"] = read_yaml(path.parent / str(model["recipe"]))
    elif isinstance(model, dict) and "best" in model:
        simulated = document.get("simulation") is not None
        document["model"] = model | won(path, model, simulated=simulated)
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise RecipeError(first_problem(error, document, Recipe), where=path) from None


def won(path: Path, model: dict[str, Any], *, simulated: bool = False) -> dict[str, Any]:
    """Settings of the winner of a benchmark, and why it won.

    Args:
        path: The recipe.
        model: Its key `model`, with the table's file in `best`.
        simulated: Whether the recipe has simulated sites, without which no model that learns from them is taken.

    Raises:
        RecipeError: There is no table, or no model in it can make a product.
    """
    table = path.parent / str(model["best"])
    try:
        rows = json.loads(table.read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeError(
            "no table of a benchmark",
            where=f"{path}, model.best",
            expected=f"{table}, written by `ch4grid benchmark` as results.json",
            found=" ".join(str(error).split())[:200],
        ) from None
    return best_of(rows, tuple(model.get("among", ())), table, simulated=simulated)


def schema() -> dict[str, Any]:
    """The JSON Schema of recipes."""
    return Recipe.model_json_schema()


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping of a YAML file.

    Raises:
        RecipeError: The file is missing, not YAML, or no mapping.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(
            "the recipe cannot be read", where=path, expected="a YAML file", found=error.strerror
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(
            "the recipe is not YAML", where=path, found=" ".join(str(error).split())
        ) from None
    if not isinstance(document, dict):
        raise RecipeError(
            "the recipe is not a mapping",
            where=path,
            expected="keys and values",
            found=type(document).__name__,
        )
    return document
