"""Drivers under a scenario: the named ones get their value, and where asked those that depend on them follow.

The change is lasting: every month has it, those before the predicted year included. A consequence is the lasting
response of the structural model of the weather, in standard deviations of each cell's own anomalies.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import RecipeError
from ch4grid.scenarios.scenario import Scenario, Share
from ch4grid.structure import StructuralModel
from ch4grid.vocabulary import DYNAMIC

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Intervention:
    """Drivers under a scenario.

    Args:
        drivers: DRIVERS.
        clipped: Values that were held at the end of a driver's range, by driver; drivers without any are left out.
    """

    drivers: xr.Dataset
    clipped: Mapping[str, int] = field(default_factory=dict)


def apply(
    drivers: xr.Dataset,
    scenario: Scenario,
    structure: StructuralModel | None = None,
    spreads: xr.Dataset | None = None,
) -> xr.Dataset:
    """DRIVERS under a scenario; arguments and errors as of `intervene`."""
    return intervene(drivers, scenario, structure, spreads).drivers


def intervene(
    drivers: xr.Dataset,
    scenario: Scenario,
    structure: StructuralModel | None = None,
    spreads: xr.Dataset | None = None,
) -> Intervention:
    """DRIVERS under a scenario, and what had to be held in range.

    Args:
        drivers: DRIVERS (time, latitude, longitude).
        scenario: What is changed.
        structure: The structural model of the drivers; needed for `propagate` only.
        spreads: Standard deviation of the anomalies of each driver (latitude, longitude), in the space of
            `structure.transform`; needed for `propagate` only.

    Raises:
        RecipeError: The scenario names a driver that is not there, or asks for consequences without a model of them.
    """
    _refuse_absent(scenario, map(str, drivers.data_vars))
    clipped: dict[str, int] = {}
    changed: dict[str, xr.DataArray] = {}
    for name in scenario.forced:
        values, held = _forced(drivers[name], scenario)
        changed[name] = values.assign_attrs(drivers[name].attrs)
        clipped |= {name: held} if held else {}
    if scenario.propagate:
        model = able(structure, scenario)
        if spreads is None:
            raise RecipeError("consequences need the spread of the drivers", where="scenarios.*")
        followed = _consequences(drivers, changed, model, spreads)
        for name, following in followed.items():
            values, held = _within(following, name)
            changed[name] = values.astype(drivers[name].dtype).assign_attrs(drivers[name].attrs)
            clipped |= {name: held} if held else {}
    return Intervention(drivers.assign(changed), clipped)


def able(
    structure: StructuralModel | None, scenario: Scenario, reason: str = ""
) -> StructuralModel:
    """The structural model, if it can say what follows from a scenario.

    Args:
        structure: The structural model of the checkpoint.
        scenario: What is changed.
        reason: Why there is no structural model, where the checkpoint says so.

    Raises:
        RecipeError: There is none, or it does not know a driver of the scenario.
    """
    way_out = "; ".join(
        ["set 'response: model'"] * scenario.by_equations
        + ["leave 'propagate' out"] * scenario.propagate
    )
    if structure is None:
        raise RecipeError(
            "the checkpoint holds no structural model, so nothing can follow from a change of drivers",
            where="scenarios.*",
            expected="a checkpoint with a structural model of the drivers and the flux",
            found=f"one without ({reason or 'it does not say why'})",
            fix=f"Train the model again with more towers; or {way_out}",
        )
    unknown = sorted(set(scenario.forced) - set(structure.drivers))
    if unknown:
        raise RecipeError(
            "the structural model does not know a driver of the scenario",
            where="scenarios.*.do",
            expected=f"some of {', '.join(structure.drivers)}",
            found=", ".join(unknown),
            fix=way_out[:1].upper() + way_out[1:],
        )
    return structure


def followers(
    known: Collection[str], scenario: Scenario, structure: StructuralModel
) -> tuple[str, ...]:
    """Drivers among the known ones that move with the forced ones, in the order of the structural model."""
    if not scenario.propagate:
        return ()
    response = structure.lasting(scenario.forced)
    moved = np.abs(response[:, [structure.drivers.index(n) for n in scenario.forced]]).max(axis=1)
    return tuple(
        n
        for n, m in zip(structure.drivers, moved, strict=True)
        if n in known and m > 0 and n not in scenario.forced
    )


def _refuse_absent(scenario: Scenario, known: Iterable[str]) -> None:
    names = sorted(known)
    absent = sorted(set(scenario.forced) - set(names))
    if absent:
        key = "add" if set(absent) <= set(scenario.add) else "do"
        raise RecipeError(
            "the scenario changes drivers that the recipe does not have",
            where=f"scenarios.*.{key}",
            expected=f"one of {', '.join(names)}",
            found=", ".join(absent),
        )


def _forced(values: xr.DataArray, scenario: Scenario) -> tuple[xr.DataArray, int]:
    """A forced driver and how many of its values were held in range."""
    name = str(values.name)
    if name in scenario.add:
        return values + scenario.add[name], 0
    change = scenario.do[name]
    moved = values * change.times if isinstance(change, Share) else values + change
    held, count = _within(moved, name)
    return held.astype(values.dtype), count


def _within(values: xr.DataArray, name: str) -> tuple[xr.DataArray, int]:
    low, high = DYNAMIC[name].valid_range
    beyond = int(((values < low) | (values > high)).sum())
    return (values.clip(low, high) if beyond else values), beyond


def _consequences(
    drivers: xr.Dataset,
    forced: Mapping[str, xr.DataArray],
    structure: StructuralModel,
    spreads: xr.Dataset,
) -> dict[str, xr.DataArray]:
    """Values of the drivers that follow from a lasting change of the forced ones, others as they were."""
    response = structure.lasting(tuple(forced))
    at = {name: i for i, name in enumerate(structure.drivers)}
    moves = {n: _spreads_moved(drivers[n], v, structure, spreads[n]) for n, v in forced.items()}
    out = {}
    for name in structure.drivers:
        sizes = {f: float(response[at[name], at[f]]) for f in forced}
        if name in forced or name not in drivers or not any(sizes.values()):
            continue
        shift = sum(sizes[f] * moves[f] for f in forced) * spreads[name].values.astype(np.float64)
        # as a difference, so that a value below the floor of a logarithm keeps its distance from it
        before = drivers[name].values.astype(np.float64)
        inner = structure.transform(name, before)
        step = structure.inverse(name, inner + shift) - structure.inverse(name, inner)
        out[name] = drivers[name].copy(data=before + step)
    return out


def _spreads_moved(
    old: xr.DataArray, new: xr.DataArray, structure: StructuralModel, spread: xr.DataArray
) -> Floats:
    """Mean change (latitude, longitude) of a driver over the months, in standard deviations of its anomaly.

    Zero where the driver is missing or does not vary: what it would do there is not known.
    """
    name = str(old.name)
    before, after = (structure.transform(name, v.values.astype(np.float64)) for v in (old, new))
    step = after - before
    known = np.isfinite(step)
    mean = np.where(known, step, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    size = spread.values.astype(np.float64)
    usable = np.isfinite(size) & (size > 0)
    return np.where(usable, mean / np.where(usable, size, 1.0), 0.0)
