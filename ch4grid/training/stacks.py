"""A stack as a checkpoint: its models as parts, weights from what they say of towers that they have not seen."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from ch4grid.models.checkpoint import Checkpoint
from ch4grid.models.samples import Targets
from ch4grid.models.stacking import Stack
from ch4grid.training.parts import (
    Ensemble,
    Floats,
    Indices,
    Mapper,
    bare_members,
    fit_under,
    graphs_of,
)


def fit_stack(
    ensemble: Ensemble,
    stack: Stack,
    parts: Sequence[Indices],
    members: Sequence[int],
    mapper: Mapper,
) -> tuple[Checkpoint, xr.Dataset]:
    """The uncalibrated checkpoint of all towers, and what the stack says of every tower without its fold.

    The weights of a fold come from the other folds, those of the checkpoint from all of them.

    Args:
        ensemble: Towers and settings; its model is the stack.
        stack: The stack.
        parts: All towers first, then those of each fold without its own, by index.
        members: Members of each part.
        mapper: Maps a module-level function over picklable tasks, in order.
    """
    graphs = graphs_of(ensemble, parts, mapper)
    found = [
        fit_under(replace(ensemble, model=base), parts, members, graphs, mapper)
        for base in stack.of
    ]
    laws = [out_of_fold(ensemble, checkpoints[1:], parts[1:]) for checkpoints in found]
    locations = np.stack([law["location"].mean("member").values for law in laws])
    fold = _folds(ensemble, parts)
    targets = Targets.of(ensemble.samples, ensemble.gas)
    shares, final = stack.shares(locations, targets, ensemble.samples, fold)
    told = laws[0] * _by_site(shares[0], laws[0])
    for law, share in zip(laws[1:], shares[1:], strict=True):
        told = told + law * _by_site(share, law)
    first = found[0][0]
    checkpoint = replace(
        first,
        config=stack,
        members=bare_members(first.graph, members[0]),
        parts=tuple(checkpoints[0] for checkpoints in found),
        weights=tuple(final.tolist()),
        meta=first.meta | {"weights": [round(float(w), 4) for w in final]},
    )
    return checkpoint, told


def out_of_fold(
    ensemble: Ensemble, checkpoints: Sequence[Checkpoint], parts: Sequence[Indices]
) -> xr.Dataset:
    """Predictions of the towers that each part leaves out, put together in the order of the ensemble."""
    everyone = np.arange(len(ensemble.clusters))
    pieces = [
        checkpoint.predict(ensemble.samples.isel(site=np.setdiff1d(everyone, part)))
        for checkpoint, part in zip(checkpoints, parts, strict=True)
    ]
    joined = xr.concat(pieces, dim="site", join="exact")
    return joined.sel(site=ensemble.samples["site"])


def _folds(ensemble: Ensemble, parts: Sequence[Indices]) -> Indices:
    """Fold of each tower: the part that leaves it out."""
    fold = np.zeros(len(ensemble.clusters), dtype=np.intp)
    for k, part in enumerate(parts[1:]):
        fold[np.setdiff1d(np.arange(len(fold)), part)] = k
    return fold


def _by_site(share: Floats, law: xr.Dataset) -> xr.DataArray:
    return xr.DataArray(share, {"site": law["site"]}, ("site",))
