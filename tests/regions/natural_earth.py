"""Natural Earth countries as GeoJSON features, read from the shapefile by its published layout."""

import struct
from pathlib import Path
from typing import Any

import numpy as np


def features(folder: Path) -> list[dict[str, Any]]:
    """Every country as a GeoJSON feature with its name, its continent and its code."""
    shapes = _shapes(folder / "naturalearth_lowres.shp")
    rows = _rows(folder / "naturalearth_lowres.dbf")
    return [
        {"type": "Feature", "geometry": g, "properties": p}
        for g, p in zip(shapes, rows, strict=True)
    ]


def _shapes(path: Path) -> list[dict[str, Any]]:
    content, at, found = path.read_bytes(), 100, []
    while at < len(content):
        words = struct.unpack(">ii", content[at : at + 8])[1]
        parts, points = struct.unpack("<ii", content[at + 44 : at + 52])
        starts = np.frombuffer(content, "<i4", parts, at + 52)
        corners = np.frombuffer(content, "<f8", 2 * points, at + 52 + 4 * parts).reshape(-1, 2)
        rings = np.split(corners, starts[1:])
        found.append({"type": "MultiPolygon", "coordinates": _polygons(rings)})
        at += 8 + 2 * words
    return found


def _polygons(rings: list[np.ndarray]) -> list[list[list[list[float]]]]:
    """A clockwise ring begins a polygon, others are holes of the one before."""
    polygons: list[list[list[list[float]]]] = []
    for ring in rings:
        x, y = ring.T
        hole = (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0
        if hole:
            polygons[-1].append(ring.tolist())
        else:
            polygons.append([ring.tolist()])
    return polygons


def _rows(path: Path) -> list[dict[str, str]]:
    content = path.read_bytes()
    count, header, length = struct.unpack("<IHH", content[4:12])
    fields = [
        (content[i : i + 11].split(b"\0")[0].decode(), content[i + 16])
        for i in range(32, header - 1, 32)
    ]
    rows = []
    for k in range(count):
        at, row = header + k * length + 1, {}
        for name, width in fields:
            row[name] = content[at : at + width].decode("latin-1").strip()
            at += width
        rows.append(row)
    return rows
