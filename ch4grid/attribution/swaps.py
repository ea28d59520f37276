"""The flux of a region with any of its drivers swapped from old to new, by the model that made the product."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid import budgets, cube, extents
from ch4grid.attribution.shares import Floats, Value
from ch4grid.grid import Grid
from ch4grid.inference import Region, areas_of, densities, equations, given, laws, tiled, under
from ch4grid.models import Checkpoint
from ch4grid.scenarios import acting
from ch4grid.vocabulary import ECOSYSTEMS, KG_PER_TG, Gas, seconds_in_month

# The player that stands for the areas of all classes.
AREAS = "class_areas"
MONTHS = 12


class Swaps:
    """The flux of a region and year with any of its drivers swapped from old to new.

    Args:
        checkpoint: The model.
        old: Inputs before.
        new: Inputs after.
        gas: The gas.
        device: Torch device.
    """

    def __init__(
        self, checkpoint: Checkpoint, old: Region, new: Region, gas: Gas, device: str
    ) -> None:
        self.checkpoint, self.gas, self.device = checkpoint, gas, device
        self.drivers = tuple(under(checkpoint, r, given(checkpoint, r)) for r in (old, new))
        self.statics = tiled(old.normals, old)
        members = len(checkpoint.members)
        raw = [areas_of(r)["ecosystem_fraction"] for r in (old, new)]
        self.areas = tuple(_Areas.of(fraction, members) for fraction in raw)
        self.present = np.any([(a.mean > 0).any(axis=1) for a in self.areas], axis=0)
        self.models = equations(checkpoint, new.scenario)
        self.causes = [
            acting(self.models, name) if self.models else checkpoint.causes(k)
            for k, name in enumerate(ECOSYSTEMS)
        ]
        years = [pd.DatetimeIndex(d["time"].values[-MONTHS:]) for d in self.drivers]
        self.seconds = np.mean([seconds_in_month(t) for t in years], axis=0)
        grid = Grid(old.resolution)
        weights = budgets.regions(grid).values[:, old.tile[0], old.tile[1]]
        self.area = grid.cell_area[old.tile] * weights
        self.valid = np.ones((MONTHS, *self.present.shape[1:]), dtype=bool)
        self._swapped: frozenset[str] = frozenset()
        self._law = self._laws(self.drivers[0], self.present)
        self._density = self._predicted(self.drivers[0], self.present)

    def active(self, players: Sequence[str]) -> tuple[str, ...]:
        """Players that differ between old and new and, if drivers, can move the flux of a class that is present."""
        reach = {n for k, found in enumerate(self.causes) if self.present[k].any() for n in found}
        out = []
        for name in players:
            if name == AREAS:
                same = self.areas[0].same(self.areas[1])
            else:
                old, new = (d[name].values for d in self.drivers)
                same = name not in reach or np.array_equal(old, new, equal_nan=True)
            out += [] if same else [name]
        return tuple(out)

    def value(self, swapped: frozenset[str]) -> Value:
        """The flux with these swapped; what is asked for next had better differ by little."""
        drivers = swapped - {AREAS}
        turned = drivers ^ self._swapped
        if turned:
            mixed = self.drivers[0].assign(
                {n: (self.drivers[0][n].dims, self.drivers[1][n].values) for n in drivers}
            )
            touched = np.array([bool(turned & found) for found in self.causes])
            density = self._predicted(mixed, self.present & touched[:, None, None])
            self._density = np.where(touched[None, :, None, None, None], density, self._density)
            self._swapped = drivers
        return self._summed(self.areas[AREAS in swapped])

    def _predicted(self, drivers: xr.Dataset, present: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Densities with other drivers: by the structural equations from the old ones, or by the model anew."""
        fresh = drivers is not self.drivers[0] and not self.models
        return densities(
            self.checkpoint,
            self._laws(drivers, present) if fresh else self._law,
            self.statics,
            present,
            gas=self.gas,
            models=self.models,
            old=self.drivers[0],
            new=drivers,
        )

    def _laws(self, drivers: xr.Dataset, present: NDArray[np.bool_]) -> NDArray[np.float32]:
        return laws(self.checkpoint, drivers, self.statics, present, device=self.device)

    def _summed(self, areas: "_Areas") -> Value:
        density = areas.dealt(self._density)
        mean = density.mean(axis=0, dtype=np.float64).astype(np.float32)
        cell = cube.weighted(mean, areas.mean)
        size = cube.weighted(np.abs(mean), areas.mean)
        return Value(cell, size, self._mass(density, areas.mean))

    def _mass(self, density: NDArray[np.float32], fraction: NDArray[np.float32]) -> Floats:
        """Mass of the year by member, region and class over the cell-months that both products have [Tg]."""
        mass = np.zeros((len(density), len(self.area), len(fraction)))
        weight = self.seconds[:, None, None] * self.valid / KG_PER_TG
        for k, share in enumerate(fraction):
            part = np.where(share > 0, share.astype(np.float64) * weight, 0.0)
            flux = np.where(part > 0, np.nan_to_num(density[:, k]), 0.0) * part
            mass[:, :, k] = np.einsum("mtyx,ryx->mr", flux, self.area, optimize=True)
        return mass


@dataclass(frozen=True, eq=False)
class _Areas:
    """Class areas of a year: as the ensemble has them (ecosystem, month, latitude, longitude), and by extent."""

    mean: NDArray[np.float32]
    own: NDArray[np.float32] | None

    @classmethod
    def of(cls, fraction: xr.DataArray, members: int) -> "_Areas":
        mean = extents.mean_fraction(fraction, members)
        values = mean.transpose("ecosystem", ..., "latitude", "longitude").values
        values = np.nan_to_num(values if values.ndim == 4 else values[:, None])
        months = np.broadcast_to(values, (len(values), MONTHS, *values.shape[2:]))
        own = None
        if "extent" in fraction.dims:
            own = fraction.transpose("extent", "ecosystem", ..., "latitude", "longitude").values
            own = own if own.ndim == 5 else own[:, :, None]
        return cls(months.astype(np.float32), own)

    def same(self, other: "_Areas") -> bool:
        if not np.array_equal(self.mean, other.mean):
            return False
        if self.own is None or other.own is None:
            return self.own is other.own
        return np.array_equal(self.own, other.own, equal_nan=True)

    def dealt(self, density: NDArray[np.float32]) -> NDArray[np.float32]:
        """Densities by member per mean fraction, as the product holds them."""
        if self.own is None:
            return density
        out = np.empty_like(density)
        for k in range(density.shape[1]):
            before, mean = density[:, k].astype(np.float64), self.mean[k].astype(np.float64)
            out[:, k] = extents.by_member(before, self.own[:, k], mean)
        return out
