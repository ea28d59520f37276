"""All models of a recipe as a union: those that stand on their own, and what is made of several of them."""

from typing import Annotated

from pydantic import Field

from ch4grid.models.stacking import Stack
from ch4grid.models.standalone import Standalone

ModelConfig = Annotated[Standalone | Stack, Field(discriminator="architecture")]
