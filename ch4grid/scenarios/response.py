"""What a change of drivers does to the flux by the structural equation of every class, in asinh space.

A model that is fitted to predict may read one cause through another that moves with it. The equation of a class holds
its causes side by side, so what it gives for a change of one of them is read off; the prediction for the drivers as
they were stays the place from which the flux moves.
"""

from collections.abc import Collection, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import RecipeError
from ch4grid.scenarios.scenario import Scenario
from ch4grid.scenarios.shift import able, followers
from ch4grid.structure import StructuralModel
from ch4grid.vocabulary import ECOSYSTEMS

Floats = NDArray[np.float64]

# What the words for a response hold where the structural flux equations answer, and nowhere else.
STRUCTURAL = "by the structural flux equation"


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


def answering(
    scenario: Scenario, structure: StructuralModel | None, known: Collection[str], reason: str = ""
) -> StructuralModel | None:
    """The structural model whose flux equations answer a scenario; None where the model itself answers.

    Args:
        scenario: What is changed.
        structure: The structural model of the checkpoint.
        known: Drivers of the model.
        reason: Why there is no structural model, where the checkpoint says so.

    Raises:
        RecipeError: The scenario asks for the equations and they cannot answer: there are none, they do not know a
            driver of the scenario, or no class has a changed driver among its causes.
    """
    if not scenario.by_equations:
        return None
    if scenario.response == "auto":
        return structure if structure is not None and _moving(scenario, structure, known) else None
    model = able(structure, scenario, reason)
    if not _moving(scenario, model, known):
        raise RecipeError(
            "no class has a changed driver among the causes of its flux, so nothing would change",
            where="scenarios.*.response",
            expected="a driver in the structural flux equation of some class",
            found=", ".join(scenario.forced),
            fix="Set 'response: auto' or 'response: model', or 'propagate: true' to let other drivers follow",
        )
    return model


def _moving(
    scenario: Scenario, structure: StructuralModel, known: Collection[str]
) -> dict[str, list[str]]:
    """Changed drivers in the flux equation of every class that holds one."""
    if not set(scenario.forced) <= set(structure.drivers):
        return {}
    moved = {*scenario.forced, *followers(known, scenario, structure)}
    causes = {name: sorted(acting([structure], name) & moved) for name in structure.ecosystems}
    return {name: found for name, found in causes.items() if found}


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
    model = answering(scenario, structure, known)
    if model is None:
        fallen = scenario.by_equations
        why = "No structural flux equation holds a changed driver, so t" if fallen else "T"
        return f"{why}he flux is the model's prediction for the changed drivers."
    causes = _moving(scenario, model, known)
    acts = "; ".join(f"{name}: {', '.join(found)}" for name, found in causes.items())
    still = ", ".join(name for name in model.ecosystems if name not in causes)
    return (
        f"The flux moves from the model's prediction for the drivers as they were {STRUCTURAL} of "
        "each class, fitted to towers; members take draws of its coefficients. "
        f"Changed causes by class are {acts}."
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
