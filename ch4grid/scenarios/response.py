"""What a change of drivers does to the flux by the structural equation of every class, in asinh space.

A model that is fitted to predict may read one cause through another that moves with it. The equation of a class holds
its causes side by side, so what it gives for a change of one of them is read off; the prediction for the drivers as
they were stays the place from which the flux moves.
"""

from collections.abc import Collection, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.scenarios.scenario import Scenario
from ch4grid.scenarios.shift import followers
from ch4grid.structure import StructuralModel
from ch4grid.vocabulary import ECOSYSTEMS

Floats = NDArray[np.float64]


def flux_change(
    equations: Sequence[StructuralModel], old: xr.Dataset, new: xr.Dataset, months: int
) -> NDArray[np.float32]:
    """Change of the flux in asinh space from old to new drivers, by member.

    Every cause acts at its own lag, so a change of the months before the last ones counts. What a missing driver would
    do is not known and is not in it.

    Args:
        equations: The structural model of each member, all of the same drivers.
        old: Points: drivers (site, time), statics (site), ecosystem (site) as index.
        new: The same points with other drivers.
        months: Months at the end that are wanted.

    Returns:
        (member, site, time) [1].

    Source:
        Pearl (2009), Causality, section 5: the equation of the flux under an intervention on its causes.
    """
    steps = _steps(equations[0], old, new)
    codes = np.asarray(old["ecosystem"].values)
    out = np.zeros((len(equations), len(codes), months))
    for code in np.unique(codes):
        here = np.flatnonzero(codes == code)
        for weight, moved in _terms(equations, ECOSYSTEMS[code], old.isel(site=here)):
            name, lag = moved
            if name in steps:
                end = steps[name].shape[1] - lag
                out[:, here] += weight[:, :, None] * steps[name][here, end - months : end]
    return out.astype(np.float32)


def acting(equations: Sequence[StructuralModel], ecosystem: str) -> frozenset[str]:
    """Drivers in the flux equation of a class in any member."""
    found = sum(np.abs(e.flux_effect(ecosystem)).sum(axis=1) for e in equations)
    return frozenset(
        n for n, f in zip(equations[0].drivers, np.atleast_1d(found), strict=True) if f
    )


def response_in_words(
    scenario: Scenario, structure: StructuralModel | None, known: Collection[str]
) -> str:
    """How the flux answers a scenario, in sentences.

    Args:
        scenario: What is changed.
        structure: The structural model of the checkpoint.
        known: Drivers of the model.
    """
    if not scenario.forced:
        return "The flux per area of a class stays; areas alone change."
    if not scenario.by_equations or structure is None:
        return "The flux is the model's prediction for the changed drivers."
    moved = {*scenario.forced, *followers(known, scenario, structure)}
    causes = {name: sorted(acting([structure], name) & moved) for name in structure.ecosystems}
    acts = "; ".join(f"{name}: {', '.join(found)}" for name, found in causes.items() if found)
    still = ", ".join(name for name, found in causes.items() if not found)
    return (
        "The flux moves from the model's prediction for the drivers as they were by the structural flux equation of "
        "each class, fitted to towers; members take draws of its coefficients. "
        + (
            f"Changed causes by class are {acts}."
            if acts
            else "No equation holds a changed driver."
        )
        + (f" No changed driver is in the equation of {still}: no answer there." if still else "")
    )


def _steps(structure: StructuralModel, old: xr.Dataset, new: xr.Dataset) -> dict[str, Floats]:
    """Change (site, time) of every driver that changes, in the space of the equations."""
    out = {}
    for name in structure.drivers:
        if name in old and not np.array_equal(old[name].values, new[name].values, equal_nan=True):
            before, after = (
                structure.transform(name, v[name].values.astype(np.float64)) for v in (old, new)
            )
            out[name] = np.nan_to_num(after - before)
    return out


def _terms(
    equations: Sequence[StructuralModel], ecosystem: str, points: xr.Dataset
) -> list[tuple[Floats, tuple[str, int]]]:
    """Weights (member, site) of every driver and lag in the flux equation of a class, as modified at the points."""
    effects = np.stack([e.flux_effect(ecosystem) for e in equations])
    changes = []
    for name in sorted(equations[0].modification):
        if name in points:
            tables, means = zip(
                *(e.flux_modification(ecosystem, name) for e in equations), strict=True
            )
            away = np.nan_to_num(points[name].values.astype(np.float64) - means[0])
            changes.append((np.stack(tables), away))
    out = []
    for driver, lag in np.argwhere(np.any(effects != 0, axis=0)):
        weight = effects[:, driver, lag][:, None] + np.zeros(points.sizes["site"])
        for table, away in changes:
            weight = weight + table[:, driver, lag][:, None] * away
        out.append((weight, (equations[0].drivers[driver], int(lag))))
    return out
