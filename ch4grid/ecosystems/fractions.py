"""Area layers to disjoint class fractions: what one layer claims, the next ones in precedence cannot claim again.

Maps of rice, mangrove, wetland and lakes overlap and together exceed the land; without precedence a rice paddy would
emit twice. What is cut off is reported per layer.
"""

import json

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.ecosystems.schemes import BY_LATITUDE, SEVEN_CLASSES, Scheme, wetland_class
from ch4grid.errors import InputError
from ch4grid.grid import zone_area


def fractions(areas: xr.Dataset, scheme: Scheme = SEVEN_CLASSES) -> xr.DataArray:
    """Fractions of the cell area per class, `ecosystem_fraction` (ecosystem, [time,] latitude, longitude) float32 [1].

    They are disjoint and with open water sum to the land fraction at most: open water > rice > coastal > wetland >
    urban, and the rest of the land is upland. A layer that is absent or missing counts as zero. The attribute
    `clipped_area_km2` is a JSON object of the area each layer lost to those before it, the mean over time [km2].

    Args:
        areas: `land_fraction` and any of the layers of the scheme ([time,] latitude, longitude) [1].
        scheme: The classes.

    Raises:
        InputError: There is no land fraction, or a layer lies outside 0 to 1.
    """
    if "land_fraction" not in areas:
        raise InputError(
            "the land fraction is missing",
            where="ecosystems",
            expected="land_fraction",
            found=", ".join(map(str, areas.data_vars)),
            fix="Add a source of land_fraction to ecosystems.areas",
        )
    free = _layer(areas, "land_fraction")
    classes = {name: xr.zeros_like(free) for name in scheme.ecosystems}
    clipped: dict[str, float] = {}
    for layer, ecosystem in scheme.layers.items():
        if layer not in areas:
            continue
        wanted = _layer(areas, layer)
        taken = wanted.where(wanted < free, free)
        clipped[layer] = round(_area_km2(wanted - taken), 3)
        free = free - taken
        for name, part in _classes_of(taken, ecosystem, scheme):
            classes[name] = classes[name] + part
    classes[scheme.rest] = classes[scheme.rest] + free
    return _stacked(classes, areas).assign_attrs(
        units="1",
        long_name="area fraction of the ecosystem class",
        cell_methods="area: mean",
        scheme=scheme.name,
        clipped_area_km2=json.dumps(clipped, sort_keys=True),
    )


def _layer(areas: xr.Dataset, name: str) -> xr.DataArray:
    """A layer in float64, zero where missing."""
    values = areas[name].astype(np.float64).fillna(0.0)
    low, high = float(values.min()), float(values.max())
    if low < -1e-4 or high > 1 + 1e-4:
        raise InputError(
            f"area layer {name!r} is not a fraction",
            where="ecosystems",
            expected="0 to 1",
            found=f"{low:g} to {high:g}",
            fix="Check its units in the recipe",
        )
    return values.clip(0.0, 1.0).drop_attrs(deep=False)


def _classes_of(
    taken: xr.DataArray, ecosystem: str | None, scheme: Scheme
) -> list[tuple[str, xr.DataArray]]:
    """The classes that the area of one layer goes to."""
    if ecosystem is None:
        return []
    if ecosystem != BY_LATITUDE:
        return [(ecosystem, taken)]
    names = wetland_class(np.asarray(taken["latitude"].values, np.float64), scheme)
    rows = xr.DataArray(names, dims="latitude", coords={"latitude": taken["latitude"]})
    return [(name, taken.where(rows == name, 0.0)) for name in sorted(set(names.tolist()))]


def _stacked(classes: dict[str, xr.DataArray], areas: xr.Dataset) -> xr.DataArray:
    """All classes on one new leading dimension."""
    order = tuple(
        d for d in ("time", "latitude", "longitude") if any(d in c.dims for c in classes.values())
    )
    template = xr.broadcast(*classes.values())
    values = np.stack([c.transpose(*order).values for c in template]).astype(np.float32)
    coords = {d: areas[d] for d in order} | {"ecosystem": list(classes)}
    return xr.DataArray(
        values, dims=("ecosystem", *order), coords=coords, name="ecosystem_fraction"
    )


def _area_km2(fraction: xr.DataArray) -> float:
    """Area of a fraction of every cell, the mean over time [km2]."""
    mean = fraction.mean("time") if "time" in fraction.dims else fraction
    latitude = np.asarray(fraction["latitude"].values, np.float64)
    rows = zone_area(_bounds(latitude)) / 1e6
    share = 1.0 / 360.0 * _spacing(np.asarray(fraction["longitude"].values, np.float64))
    per_row = mean.transpose("latitude", "longitude").values.sum(axis=1)
    return float((per_row * rows).sum() * share)


def _bounds(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    half = _spacing(centres) / 2
    return np.clip(np.stack([centres - half, centres + half], axis=1), -90.0, 90.0)


def _spacing(centres: NDArray[np.float64]) -> float:
    """Distance of neighbouring centres of a regular axis [degrees]; a single row counts as one degree."""
    return float(abs(centres[1] - centres[0])) if centres.size > 1 else 1.0
