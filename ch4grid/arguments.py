"""Arguments that several commands share, and the workspace that they amount to."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ch4grid.errors import InputError
from ch4grid.stores import Workspace


def _offering(*words: str) -> Callable[[str], list[str]]:
    """What a shell offers for an option that takes one of some words, or begins like one."""

    def beginning(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return beginning


RecipeFile = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", metavar="RECIPE")]
Store = Annotated[
    Path, typer.Argument(help="The product, a folder ending in .zarr.", metavar="STORE")
]
Product = Annotated[
    str, typer.Argument(help="The product, a folder or URL ending in .zarr.", metavar="STORE")
]
# Years that a calendar of the time axis can be asked for.
FIRST_YEAR, LAST_YEAR = 1850, 2300
Years = Annotated[
    list[int] | None,
    typer.Option("--year", help="A year to make; repeatable.", min=FIRST_YEAR, max=LAST_YEAR),
]
ScenarioName = Annotated[str, typer.Option("--scenario", help="A scenario of the recipe.")]
Output = Annotated[
    Path, typer.Option("--output", help="Where products, models and the catalog go.")
]
Data = Annotated[Path, typer.Option("--data", help="Where relative paths of the recipe start.")]
Cluster = Annotated[
    str,
    typer.Option(
        "--cluster",
        help="local[:N], slurm[:N], kubernetes[:N] or an address.",
        autocompletion=_offering("local", "local:1", "slurm", "kubernetes", "tcp://"),
    ),
]
MemoryLimit = Annotated[
    str,
    typer.Option(
        "--memory-limit",
        help="What all processes here may hold together: 8GB, 512MiB, 50%; 90% of this machine.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device", help="auto, cpu or cuda.", autocompletion=_offering("auto", "cpu", "cuda")
    ),
]
CatalogDir = Annotated[Path, typer.Option("--catalog", help="The catalog's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def workspace(data: Path, output: Path) -> Workspace:
    """The folders of a command.

    Raises:
        InputError: The data folder does not exist.
    """
    return Workspace(data=data_folder(data), output=output.absolute())


def data_folder(data: Path) -> Path:
    """The data folder of a command, absolute.

    Raises:
        InputError: It does not exist.
    """
    if not data.is_dir():
        raise InputError(
            "the data folder does not exist",
            where=f"--data {data}",
            expected="an existing folder",
            fix="Check the path",
        )
    return data.absolute()
