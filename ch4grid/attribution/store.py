"""The attribution of a change as a Zarr group beside the product: contributions by cell and month, and of budgets.

It is written region by region under another name and takes its place when it is complete.
"""

import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid import budgets, catalog
from ch4grid.attribution.shares import Floats, shares
from ch4grid.attribution.swaps import MONTHS, Swaps
from ch4grid.cluster import Workers
from ch4grid.errors import RunError
from ch4grid.grid import TILE, Grid
from ch4grid.inference import CheckpointPlugin, Region, loaded
from ch4grid.models import Checkpoint
from ch4grid.stores import unwritable
from ch4grid.vocabulary import ECOSYSTEMS, FLUX_UNITS, Gas

# Largest departure of the sum of contributions from the change, relative to the larger flux.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Job:
    """One region of an attribution, as it travels to a worker.

    Args:
        output: The store in work.
        checkpoint: Folder of the model.
        pairs: Old and new inputs of every pair of years.
        cubes: The published products of old and new.
        players: What may have changed: drivers and `class_areas`.
        gas: The gas.
        device: Torch device.
        seed: Seed of the orders.
    """

    output: Path
    checkpoint: Path
    pairs: tuple[tuple[Region, Region], ...]
    cubes: tuple[Path, Path]
    players: tuple[str, ...]
    gas: Gas
    device: str
    seed: int


def attribute(
    output: Path,
    checkpoint: Path,
    pairs: Sequence[tuple[Region, Region]],
    cubes: tuple[Path, Path],
    players: Sequence[str],
    workers: Workers,
    *,
    gas: Gas,
    device: str,
    seed: int,
    attributes: Mapping[str, Any],
) -> None:
    """Write the attribution of a change to a new Zarr group, region by region; it is there whole or not at all.

    Args:
        output: The group, not there yet.
        checkpoint: Folder of the model.
        pairs: Old and new inputs of every pair of years, for the whole globe.
        cubes: The published products of old and new; their difference is what the contributions add up to.
        players: What may have changed: drivers and `class_areas`.
        workers: Where regions are computed.
        gas: The gas.
        device: Torch device.
        seed: Seed of the orders.
        attributes: Attributes of the group.

    Raises:
        RunError: The contributions of a region do not add up to the published change, or the disk refuses.
    """
    grid = Grid(pairs[0][0].resolution)
    with _whole(output) as partial:
        _template(grid, players, gas, attributes).to_zarr(
            partial, compute=False, zarr_format=3, consolidated=False
        )
        workers.plug(CheckpointPlugin(checkpoint))
        jobs = [
            Job(
                partial,
                checkpoint,
                tuple((old.at(tile), new.at(tile)) for old, new in pairs),
                cubes,
                tuple(players),
                gas,
                device,
                seed,
            )
            for tile in grid.tiles()
        ]
        parts = workers.map("attribute regions", write_tile, jobs)
        table = _budget(np.sum(parts, axis=0), players, gas).assign_attrs(dict(attributes))
        table.to_zarr(partial, mode="a", zarr_format=3, consolidated=False)
        _consolidate(partial)


def write_tile(job: Job) -> Floats:
    """One task of a worker: the contributions of a region on disk; returns those to budgets (member, player, ...)."""
    checkpoint = loaded(job.checkpoint)
    found = [_contributions(checkpoint, job, *pair) for pair in job.pairs]
    count = np.sum([np.isfinite(cells[0]) for cells, _ in found], axis=0)
    total = np.sum([np.nan_to_num(cells) for cells, _ in found], axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, total / count, np.nan)
    rows, columns = job.pairs[0][0].tile
    name = f"{job.gas.flux}_contribution"
    block = xr.Dataset({name: (("driver", "month", "latitude", "longitude"), mean)})
    place = {"latitude": rows, "longitude": columns, "driver": slice(None), "month": slice(None)}
    block.to_zarr(job.output, region=place, consolidated=False)
    return np.asarray(np.mean([mass for _, mass in found], axis=0))


def _contributions(
    checkpoint: Checkpoint, job: Job, old: Region, new: Region
) -> tuple[Floats, Floats]:
    """Contributions of a pair of years: cells (player, month, latitude, longitude), budgets (member, player, ...)."""
    swaps = Swaps(checkpoint, old, new, job.gas, job.device)
    before, after = (
        _published(path, job.gas, region)
        for path, region in zip(job.cubes, (old, new), strict=True)
    )
    swaps.valid = np.isfinite(before) & np.isfinite(after)
    ends = [swaps.value(frozenset())]
    active = swaps.active(job.players)
    found = shares(active, swaps.value, job.seed)
    ends.append(swaps.value(frozenset(active)))
    zero = np.zeros_like(before)
    cells = np.stack([found[n].cell if n in found else zero for n in job.players])
    none = np.zeros_like(ends[0].mass)
    mass = np.stack([found[n].mass if n in found else none for n in job.players], axis=1)
    size = np.maximum(ends[0].size, ends[1].size)
    return closed(cells, before, after, size, swaps.valid, old), mass


def closed(
    cells: Floats,
    before: Floats,
    after: Floats,
    size: Floats,
    valid: NDArray[np.bool_],
    region: Region,
) -> Floats:
    """Contributions (player, ...) that add up to the published change, NaN where one of the products has no flux.

    What single precision has rounded away is dealt to the players in proportion to what they contribute.

    Raises:
        RunError: More than rounding is missing.
    """
    lost = np.where(valid, after - before - cells.sum(axis=0), 0.0)
    gross = np.abs(cells).sum(axis=0)
    off = np.abs(lost) > TOLERANCE * np.where(valid, size, 1.0)
    share = np.divide(lost, gross, out=np.zeros_like(lost), where=valid & (gross > 0))
    out = np.where(valid, cells + share * np.abs(cells), np.nan)
    left = np.where(valid, np.abs(out.sum(axis=0) - (after - before)), 0.0)
    off |= left > TOLERANCE * np.where(valid, np.maximum(np.abs(before), np.abs(after)), 1.0)
    if off.any():
        worst = float(np.max(np.where(off, np.abs(lost) / np.maximum(size, 1e-300), 0.0)))
        rows, columns = region.tile
        raise RunError(
            f"the contributions of {int(off.sum())} cell-months do not add up to the published change",
            where=f"{region.years[1]}, rows {rows.start}:{rows.stop}, columns {columns.start}:{columns.stop}",
            expected=f"a departure of at most {TOLERANCE:g} of the flux",
            found=f"{worst:.2g}",
            fix="Check the products with `ch4grid verify`; they may be of another machine or version",
        )
    return np.asarray(out)


def _published(store: Path, gas: Gas, region: Region) -> Floats:
    """Published flux of a region and year (month, latitude, longitude) [kg m-2 s-1]."""
    with catalog.open_store(store) as product:
        flux = product[gas.flux].isel(latitude=region.tile[0], longitude=region.tile[1])
        return np.asarray(flux.sel(time=str(region.years[1])).values, dtype=np.float64)


def _template(
    grid: Grid, players: Sequence[str], gas: Gas, attributes: Mapping[str, Any]
) -> xr.Dataset:
    """The group without values; one chunk per player and write region."""
    import dask.array as da

    shape = (len(players), MONTHS, *grid.shape)
    chunks = (1, MONTHS, min(TILE, grid.shape[0]), min(TILE, grid.shape[1]))
    empty = da.full(shape, np.nan, chunks=chunks, dtype=np.float64)
    attrs = {
        "units": FLUX_UNITS,
        "long_name": f"contribution of the driver to the change of the flux of {gas.long_name}",
        "comment": "the sum over driver is the change of the published flux, mean over the pairs of years",
        "cell_methods": "time: mean area: mean",
    }
    return xr.Dataset(
        {f"{gas.flux}_contribution": (("driver", "month", "latitude", "longitude"), empty, attrs)},
        coords={
            "driver": np.array(players, dtype=object),
            "month": ("month", np.arange(1, MONTHS + 1), {"long_name": "calendar month"}),
            **{n: c.drop_attrs().assign_attrs(_unbound(c)) for n, c in grid.coords.items()},
        },
        attrs=dict(attributes),
    )


def _unbound(coordinate: xr.DataArray) -> dict[str, Any]:
    return {k: v for k, v in coordinate.attrs.items() if k != "bounds"}


def _budget(mass: Floats, players: Sequence[str], gas: Gas) -> xr.Dataset:
    attrs = {
        "units": "Tg yr-1",
        "long_name": f"contribution of the driver to the change of the mass of {gas.long_name}",
        "comment": "over the cell-months that both products have; months have the mean length of both years",
    }
    return xr.Dataset(
        {"budget_contribution": (("member", "driver", "region", "ecosystem"), mass, attrs)},
        coords={
            "member": np.arange(len(mass), dtype=np.int32),
            "driver": np.array(players, dtype=object),
            "region": np.array(list(budgets.BANDS), dtype=object),
            "ecosystem": np.array(ECOSYSTEMS, dtype=object),
        },
    )


@contextmanager
def _whole(output: Path) -> Iterator[Path]:
    """A folder that takes its place when it is complete; what a killed run left of it goes first.

    Raises:
        RunError: The disk refuses.
    """
    partial = output.with_name(f".{output.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        shutil.rmtree(output, ignore_errors=True)
        partial.replace(output)
    except OSError as error:
        raise unwritable(output, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _consolidate(store: Path) -> None:
    """Metadata of all arrays in one file, without the warning that Zarr's specification does not describe it yet."""
    import zarr

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
        zarr.consolidate_metadata(store)
