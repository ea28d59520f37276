"""Writes the reference of the public functions to a folder, from their docstrings, by pdoc; warnings are errors.

Use: python deploy/reference.py FOLDER
"""

import sys
import warnings
from pathlib import Path

import pdoc
import pdoc.doc
import pdoc.render

import ch4grid

# The package, whose public names load when they are first asked for, and the modules that a contributor extends.
MODULES = (
    "ch4grid",
    "ch4grid.account",
    "ch4grid.errors",
    "ch4grid.grid",
    "ch4grid.graph",
    "ch4grid.vocabulary",
    "ch4grid.schema",
    "ch4grid.testing",
    "ch4grid.recipe",
    "ch4grid.drivers.source",
    "ch4grid.models.learner",
    "ch4grid.models.tabular.regressor",
    "ch4grid.findings",
    "ch4grid.scenarios.scenario",
)


def write(folder: Path) -> Path:
    """Write the site; the path of its first page.

    Args:
        folder: Where it goes.

    Raises:
        Warning: Something in the docstrings or annotations could not be understood.
    """
    for (
        name
    ) in ch4grid.__all__:  # pdoc looks at what is there, not at what would load when asked for
        setattr(ch4grid, name, getattr(ch4grid, name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.render.configure(docformat="google", footer_text="ch4grid, GPL-3.0-or-later")
        pdoc.pdoc(*MODULES, output_directory=folder)
    return folder / "index.html"


if __name__ == "__main__":
    sys.stdout.write(f"{write(Path(sys.argv[1]))}\n")
