"""Products of the planted recipe under every kind of scenario, made once for all tests that only read them."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import xarray as xr
from planted_model import fitted, structural_model
from planted_recipe import publish, write_inputs

from ch4grid.stores import Workspace

SCENARIOS = {
    "historical": {},
    "warmer": {"do": {"tas": 2.0}},
    "predicted": {"do": {"tas": 2.0}, "response": "model"},
    "hot": {"do": {"tas": 20.0}},
    "both": {"do": {"tas": 1.0, "mrsos": -2.0, "ps": 100.0}, "drain": 0.2},
    "followed": {"do": {"pr": {"times": 0.9}}, "propagate": True},
    "drained": {"drain": 0.1},
    "nothing": {},
}
CHANGES = {"scenarios": SCENARIOS}
PUBLISHED = tuple(n for n in SCENARIOS if n != "nothing")
YEARS = [2001, 2002]
# Air temperature and soil water of the month before move the flux; soil water follows rain and remembers itself.
LINKS = {
    ("mrsos", "pr", 0): 0.5,
    ("mrsos", "mrsos", 1): 0.4,
    ("ch4_flux", "tas", 0): 0.3,
    ("ch4_flux", "mrsos", 1): 0.2,
}
_KEPT: list[TemporaryDirectory[str]] = []


def inputs(folder: Path) -> Workspace:
    """The files of the planted recipe with a checkpoint that holds `LINKS`."""
    workspace = write_inputs(folder)
    structure = structural_model(("mrsos", "pr", "ps", "tas"), LINKS)
    replace(fitted(), structure=structure).save(folder / "model")
    return workspace


@cache
def made() -> Workspace:
    """Two years of history and 2001 of every scenario; nobody writes here but attributions of it."""
    _KEPT.append(TemporaryDirectory())
    workspace = inputs(Path(_KEPT[-1].name))
    publish(workspace, CHANGES, years=YEARS)
    for name in PUBLISHED[1:]:
        publish(workspace, CHANGES, scenario=name)
    return workspace


def product(workspace: Workspace, scenario: str, year: int = 2001) -> xr.Dataset:
    """A year of a published product."""
    with xr.open_zarr(workspace.output / f"planted/v1/{scenario}.zarr") as ds:
        return ds.sel(time=str(year)).load()
