"""One month of all sources on the product grid, with what each cell rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.drivers.source import LEAST_VALID, OnGrid, Source
from ch4grid.errors import InputError, RecipeError
from ch4grid.grid import Grid
from ch4grid.stores import Workspace

Field = NDArray[np.float32]
Bits = NDArray[np.uint32]

# Valid area fraction from which a value stands for its cell without a mark.
HALF = 0.5
# Room for rounding in the fractions of a regridded mask.
SLACK = 1e-6

STATUS = {"valid": 0, "filled": 1, "missing": 2, "preliminary": 3}


@dataclass(frozen=True)
class Month:
    """Fields (latitude, longitude) of a month by vocabulary name.

    Args:
        values: Area means, float32, in vocabulary units.
        valid: Area fraction of each cell that the mean rests on [1].
        damaged: Reasons by variable that a survey could not see and reading found.
    """

    values: dict[str, Field] = field(default_factory=dict)
    valid: dict[str, Field] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)


def read_month(
    sources: Sequence[Source],
    names: Sequence[Sequence[str]],
    workspace: Workspace,
    month: pd.Timestamp,
    grid: Grid,
    *,
    tolerant: bool,
) -> Month:
    """The variables of a month from their sources.

    Args:
        sources: All sources.
        names: Per source the variables to read.
        workspace: Where relative paths start.
        month: First day of the month.
        grid: The product grid.
        tolerant: Whether a variable that cannot be read is noted as damaged instead of ending the run.

    Raises:
        InputError: A file cannot be read, or a unit or value is wrong, unless tolerant.
    """
    out = Month()
    wanted = pd.DatetimeIndex([month]).as_unit("s")
    for source, some in zip(sources, names, strict=True):
        if not some:
            continue
        try:
            _take(out, source.on_grid(workspace, some, wanted, grid))
        except InputError:
            if not tolerant:
                raise
            for name in some:
                _take_or_note(out, source, name, workspace, wanted, grid)
    return out


def _take_or_note(
    out: Month,
    source: Source,
    name: str,
    workspace: Workspace,
    wanted: pd.DatetimeIndex,
    grid: Grid,
) -> None:
    try:
        _take(out, source.on_grid(workspace, [name], wanted, grid))
    except InputError as error:
        out.damaged[name] = str(error)


def _take(out: Month, found: OnGrid) -> None:
    for name, values in found.values.data_vars.items():
        out.values[str(name)] = _plane(values)
        out.valid[str(name)] = _plane(found.valid[name])


def _plane(values: xr.DataArray) -> Field:
    plane = values.isel(time=0) if "time" in values.dims else values
    return np.asarray(plane.transpose("latitude", "longitude").values, np.float32)


def partial_bits(valid: Mapping[str, Field], order: Sequence[str]) -> Bits:
    """Bit i where variable i of `order` stands on less than half of the cell, and on enough to have a value."""
    marked = {
        n: (v >= LEAST_VALID - SLACK) & (v < HALF - SLACK) for n, v in valid.items() if n in order
    }
    return bits(marked, order, next(iter(valid.values())).shape)


def bits(
    marked: Mapping[str, NDArray[np.bool_]], order: Sequence[str], shape: tuple[int, ...]
) -> Bits:
    """A bit field (latitude, longitude) with bit i set where variable i of `order` is marked."""
    out = np.zeros(shape, np.uint32)
    for i, name in enumerate(order):
        if name in marked:
            out |= np.where(marked[name], np.uint32(1 << i), np.uint32(0))
    return out


def status(
    values: Mapping[str, Field], filled: Bits, *, preliminary: bool, shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    """`driver_status` of a month: missing before filled before preliminary before valid."""
    missing = np.zeros(shape, bool)
    for name in values:
        missing |= np.isnan(values[name])
    ground = STATUS["preliminary"] if preliminary else STATUS["valid"]
    return np.select([missing, filled > 0], [STATUS["missing"], STATUS["filled"]], ground).astype(
        np.uint8
    )


def refuse_twice(holders: Sequence[tuple[str, str]]) -> None:
    """Refuse a variable that two sources give; `holders` are pairs of variable and source.

    Raises:
        RecipeError: There is one.
    """
    names = [variable for variable, _ in holders]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise RecipeError(
            f"variable {twice[0]!r} comes from two driver sources",
            where="drivers",
            expected="one",
            found=", ".join(source for variable, source in holders if variable == twice[0]),
        )
