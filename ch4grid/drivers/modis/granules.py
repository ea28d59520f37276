"""MODIS granules by the names of their files: product, period, tile, collection, and which of two versions to take.

A granule is one HDF4 file, or a GeoTIFF per field, loose or within a ZIP archive.
"""

import datetime
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ch4grid.drivers.modis import geotiff, hdf4
from ch4grid.drivers.modis.layers import plain
from ch4grid.errors import InputError
from ch4grid.stores import Workspace

# MOD13A1.A2022081.h09v05.061.2022101145817[.NRT][_field].hdf; collection, time and tile may be absent.
DISTRIBUTED = re.compile(
    r"^(?P<platform>M[OYC]D)(?P<product>\d\d[A-Z]\d[A-Z]*)\.A(?P<year>\d{4})(?P<day>\d{3})"
    r"(?:\.(?P<tile>h\d\dv\d\d))?(?:\.(?P<collection>\d{3}))?(?P<early>\.NRT)?(?:\.(?P<made>\d{13}))?"
    r"(?P<late>\.NRT)?[^_]*?(?:_(?P<field>\w+?))?\.(?P<suffix>hdf|tiff?)$",
    re.IGNORECASE,
)
# MOD13A1_NDVI_2016_337.tif, as MODIStsp writes it
CUT = re.compile(
    r"^(?P<platform>M[OYC]D)(?P<product>\d\d[A-Z]\d[A-Z]*)_(?P<field>\w+)_(?P<year>\d{4})_(?P<day>\d{3})"
    r"\.(?P<suffix>tiff?)$",
    re.IGNORECASE,
)
PLATFORMS = {"MOD": "Terra", "MYD": "Aqua", "MCD": "Terra and Aqua combined"}


@dataclass(frozen=True)
class Part:
    """A file of a granule, or a member of a ZIP archive.

    Args:
        path: The file.
        member: Name within the archive; empty for a file of its own.
    """

    path: Path
    member: str = ""

    @property
    def flaw(self) -> str:
        """Why it cannot be read, in words; empty if it can."""
        if self.path.suffix.lower() == ".hdf":
            return hdf4.flaw(self.path)
        return geotiff.flaw(self.path, self.member)


@dataclass(frozen=True)
class Granule:
    """One version of one product in one period and place.

    Args:
        platform: `MOD`, `MYD` or `MCD`.
        product: Name without its platform.
        start: First day of the period.
        tile: `h18v04`; empty for global grids and cut-outs.
        collection: `061`; empty where the name tells none.
        made: Time of production as the name gives it.
        preliminary: Whether it is a near-real-time granule.
        parts: (field in plain letters, file); one with an empty field for HDF4.
    """

    platform: str
    product: str
    start: datetime.date
    tile: str
    collection: str
    made: str
    preliminary: bool
    parts: tuple[tuple[str, Part], ...]

    @property
    def flaw(self) -> str:
        """Why it cannot be read, in words; empty if it can."""
        return "; ".join(f for _, part in self.parts if (f := part.flaw))

    @property
    def files(self) -> list[Path]:
        """Its files, sorted."""
        return sorted({part.path for _, part in self.parts})

    @property
    def name(self) -> str:
        """What it is called in messages."""
        names = [part.member or part.path.name for _, part in self.parts]
        return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"

    def part(self, *names: str) -> Part | None:
        """The file that holds a field, by any of its names."""
        parts = dict(self.parts)
        wanted = ("", *(plain(n) for n in names if n))
        return next((parts[n] for n in wanted if n in parts), None)

    @property
    def rank(self) -> tuple[bool, bool, str, str]:
        """Order of versions: whole before damaged, final before preliminary, newer collection, newer production."""
        return not self.flaw, not self.preliminary, self.collection, self.made


def found(workspace: Workspace, path: str) -> tuple[list[Granule], list[str]]:
    """The granules among the files that match a pattern, and the names of the files that are none; never raises."""
    try:
        files = workspace.matches(path)
    except InputError:
        return [], []
    table: dict[tuple[str, ...], dict[str, Part]] = {}
    strangers = []
    for part in _parts(files):
        name = Path(part.member).name if part.member else part.path.name
        match = DISTRIBUTED.match(name) or CUT.match(name)
        key = _key(match) if match else None
        if match is None or key is None:
            strangers.append(name)
            continue
        hdf = match["suffix"].lower() == "hdf"
        table.setdefault((*key, "hdf" if hdf else "tif"), {})[
            "" if hdf else plain(match["field"] or "")
        ] = part
    return [_granule(key, fields) for key, fields in sorted(table.items())], strangers


def _parts(files: Iterable[Path]) -> list[Part]:
    parts: list[Part] = []
    for file in files:
        if file.suffix.lower() == ".zip":
            stat = file.stat()
            parts += [Part(file, m) for m in _members(file, stat.st_size, stat.st_mtime_ns)] or [
                Part(file)
            ]
        else:
            parts.append(Part(file))
    return parts


@lru_cache(maxsize=1024)
def _members(path: Path, size: int, modified: int) -> tuple[str, ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return ()
    return tuple(n for n in names if n.lower().endswith((".tif", ".tiff")))


def _key(match: re.Match[str]) -> tuple[str, ...] | None:
    """What tells a granule from others; none if the name holds no date."""
    parts = match.groupdict()
    try:
        start = datetime.datetime.strptime(f"{parts['year']} {parts['day']}", "%Y %j").date()
    except ValueError:
        return None
    early = "NRT" if parts.get("early") or parts.get("late") else ""
    return (
        parts["platform"].upper(),
        parts["product"].upper(),
        start.isoformat(),
        (parts.get("tile") or "").lower(),
        parts.get("collection") or "",
        parts.get("made") or "",
        early,
    )


def _granule(key: tuple[str, ...], fields: dict[str, Part]) -> Granule:
    platform, product, start, tile, collection, made, early, _ = key
    return Granule(
        platform,
        product,
        datetime.date.fromisoformat(start),
        tile,
        collection,
        made,
        early == "NRT",
        tuple(sorted(fields.items())),
    )


def newest(versions: Sequence[Granule]) -> tuple[Granule, str]:
    """The version to take of several of one product, period and place, and why, in words (empty for one only)."""
    best, *others = sorted(versions, key=lambda g: g.rank, reverse=True)
    if not others:
        return best, ""
    why = "; ".join(g.flaw or f"{g.name} is older or preliminary" for g in others)
    return best, f"{best.name} is taken: {why}"
