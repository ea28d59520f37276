"""From what the inventory lacks to orders: which remote, which collection, which months and which file.

The kind of a source, its variables and the folder of its path decide; one order is one month (a year for annual
products), so that a new month fetches only itself.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd

from ch4grid.drivers.source import Holding, Source
from ch4grid.errors import RecipeError
from ch4grid.fetching.offer import Format, Order
from ch4grid.inventory import kind_of, months_lacking, on_network, path_of
from ch4grid.stores import Workspace

SINGLE_LEVELS = "reanalysis-era5-single-levels-monthly-means"
LAND = "reanalysis-era5-land-monthly-means"

# Variables of the Climate Data Store by the short name that files give them.
CDS: dict[str, str] = {
    "t2m": "2m_temperature",
    "d2m": "2m_dewpoint_temperature",
    "tp": "total_precipitation",
    "sp": "surface_pressure",
    "si10": "10m_wind_speed",
    "u10": "10m_u_component_of_wind",
    "v10": "10m_v_component_of_wind",
    "ssrd": "surface_solar_radiation_downwards",
    "stl1": "soil_temperature_level_1",
    "swvl1": "volumetric_soil_water_layer_1",
    "sd": "snow_depth",
    "lsm": "land_sea_mask",
}
# What our variables are made from. ERA5-Land has no wind speed, only its components.
NATIVE: dict[str, tuple[str, ...]] = {
    "tas": ("t2m",),
    "vpd": ("t2m", "d2m"),
    "hurs": ("t2m", "d2m"),
    "pr": ("tp",),
    "ps": ("sp",),
    "psa": ("sp",),
    "sfcWind": ("si10",),
    "rsds": ("ssrd",),
    "tsl": ("stl1",),
    "mrsos": ("swvl1",),
    "snw": ("sd",),
    "land_fraction": ("lsm",),
}
LAND_NATIVE = {"sfcWind": ("u10", "v10")}
LAND_CDS = {"sd": "snow_depth_water_equivalent"}

# Climate modelling grids by variable, with the data sets that their granules must hold.
CMG: dict[str, tuple[str, tuple[str, ...]]] = {
    "evi": ("13C2", ("CMG 0.05 Deg Monthly EVI",)),
    "ndvi": ("13C2", ("CMG 0.05 Deg Monthly NDVI",)),
    "lst_day": ("11C3", ("LST_Day_CMG", "QC_Day")),
    "lst_night": ("11C3", ("LST_Night_CMG", "QC_Night")),
}
# Land-cover fractions come from the annual grid of both platforms.
LAND_COVER = "MCD12C1"
LAND_COVER_SETS = ("Land_Cover_Type_1_Percent",)

# Tiled products by variable, with the assets of their items: field and quality.
TILES: dict[str, tuple[str, tuple[str, str]]] = {
    "lai": ("15A2H", ("Lai_500m", "FparLai_QC")),
    "gpp": ("17A2HGF", ("Gpp_500m", "Psn_QC_500m")),
    "lst_day": ("11A2", ("LST_Day_1km", "QC_Day")),
    "lst_night": ("11A2", ("LST_Night_1km", "QC_Night")),
    "evi": ("13A1", ("500m_16_days_EVI", "500m_16_days_pixel_reliability")),
    "ndvi": ("13A1", ("500m_16_days_NDVI", "500m_16_days_pixel_reliability")),
}
ALTERNATIVES = {"gpp": ("17A2HGF", "17A2H")}
PRODUCT = re.compile(r"M[OYC]D(\d\d[A-Z]\d[A-Z]*)")


def orders_of(
    source: Source, found: Sequence[Holding], workspace: Workspace, last: pd.Timestamp
) -> list[Order]:
    """Orders for everything that a source lacks and a remote offers; none where nothing lacks.

    Args:
        source: The source.
        found: What it holds.
        workspace: Where its path starts.
        last: Last month wanted: the year of it stands for what does not change.

    Raises:
        RecipeError: No remote is known for the source, or its path leaves no room for new files.
    """
    lacking = months_lacking(found)
    if not lacking:
        return []
    if on_network(source):
        raise RecipeError(
            "a store on the network is read in place, it is not fetched", where=path_of(source)
        )
    kind = kind_of(source)
    make = _maker(kind, path_of(source))
    if make is None:
        raise RecipeError(
            "no remote is known for this source",
            where=f"{kind}, {path_of(source)}",
            fix="Bring its files by hand; `ch4grid inventory` says which",
        )
    return make(source, found, lacking, workspace, last)


Maker = Callable[
    [Source, Sequence[Holding], Sequence[Holding], Workspace, pd.Timestamp], list[Order]
]


def _maker(kind: str, path: str) -> Maker | None:
    if kind == "era5":
        return _era5
    if kind.startswith("modis"):
        return _tiles if "tile" in kind else _cmg
    return None


def folder_of(source: Source, workspace: Workspace) -> Path:
    """The folder into which files of a source go.

    Raises:
        RecipeError: The folder is a pattern.
    """
    path = Path(path_of(source))
    if any(c in str(path.parent) for c in "*?["):
        raise RecipeError(
            "the folder of a source is a pattern, so new files have no place",
            where=path,
            expected="a pattern in the last part of the path only, such as era5/*.nc",
        )
    return workspace.resolve(path.parent)


def _era5(
    source: Source,
    found: Sequence[Holding],
    lacking: Sequence[Holding],
    workspace: Workspace,
    last: pd.Timestamp,
) -> list[Order]:
    """One order per month: what lacks in it, and what the file that is replaced held."""
    land = "land" in path_of(source).lower()
    months = sorted({last if h.month is None else h.month for h in lacking})
    return [
        order
        for month in months
        if (order := _era5_month(source, found, month, land, workspace, last)) is not None
    ]


def _era5_month(
    source: Source,
    found: Sequence[Holding],
    month: pd.Timestamp,
    land: bool,
    workspace: Workspace,
    last: pd.Timestamp,
) -> Order | None:
    folder = folder_of(source, workspace)
    target = _file_name(Path(path_of(source)).name, month, land)
    holdings = [h for h in found if (last if h.month is None else h.month) == month]
    lacking = months_lacking(holdings)
    again = [h for h in holdings if h in lacking or folder / target in h.files]
    elsewhere = {n for h in holdings if h not in again for n in _natives(h.variable, land)}
    # a short name that another file holds already would be held twice
    names = [n for h in again for n in _natives(h.variable, land) if n not in elsewhere]
    names = [n for n in dict.fromkeys(names) if not (land and n == "lsm")]
    if not names:
        return None
    grib = Path(target).suffix.lower() in (".grib", ".grb", ".grib2")
    formats: tuple[Format, ...] = ("GRIB",) if grib else ("NetCDF-4", "NetCDF classic", "ZIP")
    return Order(
        remote="cds",
        collection=LAND if land else SINGLE_LEVELS,
        folder=folder,
        first=month,
        last=month + pd.offsets.MonthEnd(1),
        target=target,
        asked=tuple((LAND_CDS if land else {}).get(n, CDS[n]) for n in names),
        names=tuple(names),
        formats=formats,
        stale=_stale(lacking),
        reason=_reason(lacking),
    )


def _natives(name: str, land: bool) -> tuple[str, ...]:
    return (LAND_NATIVE if land else {}).get(name, NATIVE.get(name, ()))


def _file_name(pattern: str, month: pd.Timestamp, land: bool) -> str:
    """The name of a month's file, one that the pattern of the recipe matches.

    Raises:
        RecipeError: The pattern leaves no room for the month.
    """
    label = f"{month:%Y-%m}"
    suffix = Path(pattern).suffix if not any(c in Path(pattern).suffix for c in "*?[") else ".nc"
    usual = f"{'era5-land' if land else 'era5'}_{label}{suffix or '.nc'}"
    if fnmatchcase(usual, pattern):
        return usual
    named = pattern.replace("*", label, 1).replace("*", "")
    if "*" in pattern and fnmatchcase(named, pattern):
        return named
    raise RecipeError(
        "the path of a source leaves no room for a file per month",
        where=pattern,
        expected="a pattern such as era5/*.nc",
        fix="Name the folder's files by a pattern in the recipe",
    )


def _cmg(
    source: Source,
    found: Sequence[Holding],
    lacking: Sequence[Holding],
    workspace: Workspace,
    last: pd.Timestamp,
) -> list[Order]:
    """One order per product and month, per year for the land cover."""
    folder, platform = folder_of(source, workspace), _platform(source)
    groups: dict[tuple[str, pd.Timestamp], list[Holding]] = {}
    for holding in lacking:
        month = last if holding.month is None else holding.month
        short = CMG.get(holding.variable, ("", ()))[0]
        if short:
            groups.setdefault((f"{platform}{short}", month), []).append(holding)
        else:
            groups.setdefault((LAND_COVER, pd.Timestamp(month.year, 1, 1)), []).append(holding)
    return [
        Order(
            remote="earthdata",
            collection=product,
            folder=folder,
            first=start,
            last=start + (pd.offsets.YearEnd(1) if annual else pd.offsets.MonthEnd(1)),
            names=LAND_COVER_SETS if annual else _sets(group),
            formats=("HDF4",),
            prefix=f"{product}.A{start:%Y}" if annual else f"{product}.A{start:%Y%j}",
            stale=_stale(group),
            reason=_reason(group),
        )
        for (product, start), group in sorted(groups.items())
        for annual in (product == LAND_COVER,)
    ]


def _sets(group: Iterable[Holding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(n for h in group for n in CMG[h.variable][1]))


def _tiles(
    source: Source,
    found: Sequence[Holding],
    lacking: Sequence[Holding],
    workspace: Workspace,
    last: pd.Timestamp,
) -> list[Order]:
    """One order per product and month; composites that begin in the month before are among the files offered."""
    folder, platform = folder_of(source, workspace), _platform(source)
    whole = Path(path_of(source)).suffix.lower() == ".hdf"
    groups: dict[tuple[str, pd.Timestamp], list[Holding]] = {}
    for holding in lacking:
        product = _tile_product(source, holding.variable)
        if product and holding.month is not None:
            groups.setdefault((product, holding.month), []).append(holding)
    return [
        Order(
            remote="planetary-computer",
            collection=f"modis-{product}-061",
            folder=folder,
            first=month,
            last=month + pd.offsets.MonthEnd(1),
            asked=("hdf",) if whole else _assets(group),
            formats=("HDF4",) if whole else ("GeoTIFF",),
            prefix=f"{platform}{product}.",
            stale=_stale(group),
            reason=_reason(group),
        )
        for (product, month), group in sorted(groups.items())
    ]


def _tile_product(source: Any, variable: str) -> str:
    """The tiled product of a variable: the one that the path names where it holds the variable, else the usual one."""
    if variable not in TILES:
        return ""
    usual = TILES[variable][0]
    named = str(getattr(source, "product", "") or "")
    named = named or "".join(PRODUCT.findall(path_of(source))[:1])
    return named if named in ALTERNATIVES.get(variable, (usual,)) else usual


def _assets(group: Iterable[Holding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(a for h in group for a in TILES[h.variable][1]))


def _platform(source: Source) -> str:
    """Aqua where the path says so, else Terra: two platforms in one series would be two instruments."""
    return "MYD" if "MYD" in path_of(source) else "MOD"


def _stale(lacking: Iterable[Holding]) -> frozenset[str]:
    return frozenset(f.name for h in lacking if h.state != "missing" for f in h.files)


def _reason(lacking: Iterable[Holding]) -> str:
    states = dict.fromkeys(f"{h.variable} {h.state}" for h in lacking)
    return ", ".join(states)
