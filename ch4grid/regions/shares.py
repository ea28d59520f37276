"""From features to regions on a grid: the share of every cell that lies in one of them, or in each by name."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.grid import Grid
from ch4grid.regions.coverage import cell_shares
from ch4grid.regions.geojson import Feature, features, told
from ch4grid.regions.rings import rings_of

# Excess over a whole cell, or below none, that is still rounding of the coordinates.
TOLERANCE = 1e-6


def region_share(source: object, grid: Grid, *, feature: str | None = None) -> xr.DataArray:
    """Share of every cell's WGS84 area in the features of a source (latitude, longitude) [1], in [0, 1].

    Exact, to a rounding of 1e-9 of a cell, for edges that are straight in longitude and latitude.

    Args:
        source: GeoJSON: a file, a mapping, or an object with `__geo_interface__`.
        grid: The grid.
        feature: Only features with this identifier or value of a property; all of them when None.

    Raises:
        InputError: The source is not valid GeoJSON in degrees of WGS84, has no such feature, or encloses no area.
    """
    found = features(source)
    if feature is not None:
        found = _chosen(found, feature, told(source))
    values = joined(found, grid, told(source) if feature is None else feature)
    return xr.DataArray(values, dims=("latitude", "longitude"), coords=grid.coords)


def named(found: Sequence[Feature], key: str, where: object) -> dict[str, list[Feature]]:
    """Features by the value of a property, in the order of the file; those without one belong to no region.

    Raises:
        InputError: No feature has the property.
    """
    result: dict[str, list[Feature]] = {}
    for f in found:
        value = f.properties.get(key)
        if value is not None and str(value).strip():
            result.setdefault(str(value).strip(), []).append(f)
    if not result:
        raise InputError(
            f"no feature has the property {key!r}",
            where=where,
            expected=f"one of {', '.join(sorted({k for f in found for k in f.properties}))}",
            found=key,
        )
    return result


def joined(parts: Sequence[Feature], grid: Grid, where: object) -> NDArray[np.float64]:
    """Share of every cell in the features together (latitude, longitude) [1].

    Raises:
        InputError: A geometry is invalid, features overlap, or together they enclose no area.
    """
    share = cell_shares([r for f in parts for r in rings_of(f.geometry, where)], grid)
    low, high = float(share.min()), float(share.max())
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise InputError(
            "the geometry is invalid: parts of it overlap, or a hole lies outside its polygon",
            where=where,
            expected="shares of cells from 0 to 1",
            found=f"{low:g} to {high:g}",
            fix="Join the parts, for example with shapely.union_all, or choose one feature",
        )
    if high <= 0:
        raise InputError("the region encloses no area", where=where, expected="a polygon")
    return np.clip(share, 0.0, 1.0)


def _chosen(found: Sequence[Feature], name: str, where: str) -> list[Feature]:
    chosen = [f for f in found if f.called(name)]
    if not chosen:
        shown = sorted({str(v) for f in found for v in (f.id, *f.properties.values()) if v})
        raise InputError(
            "there is no such feature",
            where=where,
            expected=f"an identifier or a property of one of {len(found)} features, such as {', '.join(shown[:8])}",
            found=name,
        )
    return chosen
