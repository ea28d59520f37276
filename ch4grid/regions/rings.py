"""Rings of a GeoJSON geometry, checked, unwrapped along the circle of longitude and turned the way they count.

An edge is a straight line in longitude and latitude (RFC 7946, 3.1.1). An edge of 270 degrees of longitude or more
crosses the antimeridian by the short way, unless it goes right round (360 degrees, the side of a latitude band) or
lies at a pole. A ring that winds round a pole without touching it is closed over the pole of its hemisphere.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.regions.crossings import crossing

Float = NDArray[np.float64]

POLYGONS = ("Polygon", "MultiPolygon")
# Edges longer than the first may be meant either way round; from the second on the short way is meant [degrees].
HALF, SHORT_WAY = 180.0, 270.0
# Distance under which an angle counts as another [degrees].
SAME = 1e-9


def rings_of(geometry: Mapping[str, Any], where: object) -> list[Float]:
    """Closed rings (n, 2) of longitude and latitude [degrees]: outer ones counterclockwise, holes clockwise.

    Args:
        geometry: A Polygon, a MultiPolygon, or a GeometryCollection of these.
        where: What errors call it.

    Raises:
        InputError: It is no polygon or an invalid one, holds nothing, or is not in degrees of WGS84.
    """
    told = [
        (_unwrapped(_ring(ring, where), where), number > 0)
        for polygon in _polygons(geometry, where)
        for number, ring in enumerate(polygon)
    ]
    if not told:
        raise InputError("the geometry is empty", where=where, expected="a polygon with an area")
    _refuse_crossings([ring for ring, _ in told], where)
    return [_turned(_closed(ring, where), hole) for ring, hole in told]


def _polygons(geometry: Mapping[str, Any], where: object) -> list[Sequence[Any]]:
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        return [p for g in geometry.get("geometries", ()) for p in _polygons(g, where)]
    if kind not in POLYGONS:
        raise InputError(
            "the geometry has no area",
            where=where,
            expected=f"one of {', '.join(POLYGONS)}",
            found=kind,
        )
    held = geometry.get("coordinates") or ()
    return [p for p in ((held,) if kind == "Polygon" else held) if len(p) > 0]


def _ring(positions: Sequence[Any], where: object) -> Float:
    """Positions as an array (n, 2), heights left out."""
    try:
        ring = np.array([tuple(p)[:2] for p in positions], dtype=np.float64)
    except (TypeError, ValueError):
        ring = np.empty(0)
    if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 4 or not np.isfinite(ring).all():
        raise InputError(
            "a ring of the geometry is invalid",
            where=where,
            expected="four or more positions of longitude and latitude",
            found=str(positions)[:80],
        )
    if (np.abs(ring[:, 1]) > 90 + SAME).any() or (np.abs(ring[:, 0]) > 540).any():
        raise InputError(
            "the geometry is not in degrees of longitude and latitude",
            where=where,
            expected="longitude first, latitude from -90 to 90",
            found=f"up to {np.abs(ring[:, 0]).max():g}, {np.abs(ring[:, 1]).max():g}",
            fix="Bring it to EPSG:4326, for example with `ogr2ogr -t_srs EPSG:4326`",
        )
    if not np.array_equal(ring[0], ring[-1]):
        raise InputError(
            "a ring of the geometry is not closed",
            where=where,
            expected=f"its last position to be its first, {ring[0].tolist()}",
            found=ring[-1].tolist(),
        )
    return ring


def _unwrapped(ring: Float, where: object) -> Float:
    """The ring with longitudes that go on where the antimeridian is crossed."""
    step = np.diff(ring[:, 0])
    polar = (np.abs(ring[:-1, 1]) >= 90 - SAME) & (ring[:-1, 1] == ring[1:, 1])
    long = (np.abs(step) > HALF + SAME) & (np.abs(np.abs(step) - 360) > SAME) & ~polar
    unclear = long & (np.abs(step) < SHORT_WAY)
    if unclear.any():
        k = int(np.argmax(unclear))
        raise InputError(
            "an edge of the geometry may go either way round the globe",
            where=where,
            expected=f"edges of at most {HALF:g} degrees of longitude",
            found=f"{ring[k].tolist()} to {ring[k + 1].tolist()}",
            fix="Add corners to the edge, or cut the polygon at the antimeridian",
        )
    step = np.where(long, step - 360 * np.sign(step), step)
    turns = round(step.sum() / 360)
    # at a pole every longitude is the same point, so an edge there may go the way that closes the ring
    free = polar & (np.sign(step) == np.sign(turns)) & (np.abs(step) > HALF)
    if turns and free.any():
        step[int(np.argmax(free))] -= 360 * turns
    longitude = ring[0, 0] + np.concatenate([[0.0], np.cumsum(step)])
    if abs(longitude[-1] - longitude[0]) < SAME:
        longitude[-1] = longitude[0]
    return np.stack([longitude, np.clip(ring[:, 1], -90, 90)], axis=1)


def _closed(ring: Float, where: object) -> Float:
    """A ring that winds round the globe, closed over the pole of its hemisphere; any other as it is."""
    turn = ring[-1, 0] - ring[0, 0]
    if turn == 0:
        return ring
    north, south = (ring[:, 1] > 0).all(), (ring[:, 1] < 0).all()
    if abs(abs(turn) - 360) > SAME or not (north or south):
        raise InputError(
            "a ring of the geometry winds round the globe, and which pole it encloses is open",
            where=where,
            expected="a ring in one hemisphere that winds once",
            found=f"{turn:g} degrees of longitude, latitude {ring[:, 1].min():g} to {ring[:, 1].max():g}",
            fix="Cut the polygon at the antimeridian",
        )
    pole = 90.0 if north else -90.0
    return np.concatenate([ring, [[ring[-1, 0], pole], [ring[0, 0], pole], ring[0]]])


def _turned(ring: Float, hole: bool) -> Float:
    """Counterclockwise, a hole clockwise: files disagree, and which ring is a hole is told by its place."""
    x, y = ring[:, 0] - ring[0, 0], ring[:, 1]
    area = float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())
    return ring if (area > 0) != hole else ring[::-1]


def _refuse_crossings(rings: list[Float], where: object) -> None:
    point = crossing(
        np.concatenate([r[:-1] for r in rings]), np.concatenate([r[1:] for r in rings])
    )
    if point is not None:
        raise InputError(
            "the geometry is invalid: its edges cross each other",
            where=where,
            expected="rings that meet at most at corners",
            found=f"a crossing at longitude {point[0]:.6g}, latitude {point[1]:.6g}",
            fix="Repair it, for example with shapely.make_valid",
        )
