"""GeoJSON as it comes: a file, a mapping, or an object with `__geo_interface__`, brought to features."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ch4grid.errors import InputError

# Names of WGS84 with longitude first, as the `crs` member of older files spells them; anything else is refused.
WGS84 = ("CRS84", "EPSG:4326", "EPSG::4326")


@dataclass(frozen=True)
class Feature:
    """A geometry and what is told of it.

    Args:
        geometry: A GeoJSON geometry.
        properties: Its properties.
        id: Its identifier, None where it has none.
    """

    geometry: Mapping[str, Any]
    properties: Mapping[str, Any]
    id: object = None

    def called(self, name: str) -> bool:
        """Whether the identifier or a property has this value."""
        return name in {str(self.id), *(str(v) for v in self.properties.values())}


def features(source: object) -> list[Feature]:
    """The features of a source that have a geometry.

    Args:
        source: Path of a GeoJSON file; a geometry, Feature or FeatureCollection as a mapping; or an object with
            `__geo_interface__`, such as a geometry of shapely.

    Raises:
        InputError: There is no such file, it is not GeoJSON, has another coordinate reference system, or is empty.
    """
    document = _document(source)
    where = told(source)
    _refuse_other_crs(document, where)
    kind = document.get("type")
    if kind == "FeatureCollection":
        parts = list(document.get("features") or ())
    else:
        parts = [document if kind == "Feature" else {"geometry": document}]
    found = [
        Feature(p["geometry"], p.get("properties") or {}, p.get("id"))
        for p in parts
        if isinstance(p, Mapping) and p.get("geometry")
    ]
    if not found:
        raise InputError(
            "the GeoJSON is empty", where=where, expected="a feature with a geometry", found=kind
        )
    return found


def told(source: object) -> str:
    """What errors call a source."""
    return str(source) if isinstance(source, str | Path) else f"a {type(source).__name__}"


def _document(source: object) -> Mapping[str, Any]:
    found: object = getattr(source, "__geo_interface__", source)
    if isinstance(source, str | Path):
        try:
            found = json.loads(Path(source).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(
                "the file of the region cannot be read",
                where=source,
                expected="a GeoJSON file",
                found=error.strerror,
            ) from None
        except ValueError as error:
            raise InputError(
                "the file of the region is not GeoJSON", where=source, found=error
            ) from None
    if not isinstance(found, Mapping) or "type" not in found:
        raise InputError(
            "this is not GeoJSON",
            where=told(source),
            expected="a FeatureCollection, a Feature or a geometry",
            found=str(found)[:80],
        )
    return found


def _refuse_other_crs(document: Mapping[str, Any], where: str) -> None:
    crs = document.get("crs")
    if not crs:
        return
    name = str(crs.get("properties", {}).get("name", crs) if isinstance(crs, Mapping) else crs)
    if not name.endswith(WGS84):
        raise InputError(
            "the GeoJSON has another coordinate reference system",
            where=where,
            expected="longitude and latitude on WGS84 (RFC 7946)",
            found=name,
            fix="Bring it to EPSG:4326, for example with `ogr2ogr -t_srs EPSG:4326`",
        )
