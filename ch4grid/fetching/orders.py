"""From what the inventory lacks to orders: which remote, which collection, which months and which file.

The kind of a source, its variables and the folder of its path decide; one order is one month (a year for annual
products), so that a new month fetches only itself.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd

from ch4grid.drivers.era5.reanalysis import WRONG_LAND
from ch4grid.drivers.modis.shelf import PREFIXES
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
    "z": "geopotential",
}
# What our variables are made from. ERA5-Land has no wind speed, only its components.
NATIVE: dict[str, tuple[str, ...]] = {
    "tas": ("t2m",),
    "vpd": ("t2m", "d2m"),
    "hurs": ("t2m", "d2m"),
    "pr": ("tp",),
    "ps": ("sp",),
    "psa": ("sp", "z"),
    "sfcWind": ("si10",),
    "rsds": ("ssrd",),
    "tsl": ("stl1",),
    "mrsos": ("swvl1",),
    "snw": ("sd",),
    "land_fraction": ("lsm",),
}
LAND_NATIVE = {"sfcWind": ("u10", "v10")}
LAND_CDS = {"sd": "snow_depth_water_equivalent"}
# Not among the monthly means of ERA5-Land.
NOT_LAND = ("lsm", "z")
# Accumulations: their monthly means in ERA5-Land are wrong for the months WRONG_LAND, those of 00 UTC by hour of day
# are right (ECMWF forum, topic 2370).
AMOUNTS = ("pr", "rsds")
BY_HOUR = "monthly_averaged_reanalysis_by_hour_of_day"

# Climate modelling grids by variable, with the data sets that their granules must hold.
CMG: dict[str, tuple[str, tuple[str, ...]]] = {
    "evi": ("13C2", ("CMG 0.05 Deg Monthly EVI",)),
    "ndvi": ("13C2", ("CMG 0.05 Deg Monthly NDVI",)),
    "lst_day": ("11C3", ("LST_Day_CMG", "QC_Day")),
    "lst_night": ("11C3", ("LST_Night_CMG", "QC_Night")),
}
# Land-cover fractions come from the annual grid of both platforms.
LAND_COVER = "MCD12C1"
LAND_COVER_SETS = {
    "percent": ("Land_Cover_Type_1_Percent",),
    "majority": ("Majority_Land_Cover_Type_1",),
}

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
    make = _maker(kind)
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


def _maker(kind: str) -> Maker | None:
    makers: dict[str, Maker] = {
        "era5": _era5,
        "modis": _cmg,
        "modis_land_cover": _land_cover,
        "modis_tiles": _tiles,
    }
    return makers.get(kind)


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
    """One order per month: what lacks in it, and what the file that is replaced held.

    Raises:
        RecipeError: The source reads hours or days, which are not fetched.
    """
    frequency = getattr(source, "frequency", "auto")
    if frequency not in ("auto", "monthly"):
        raise RecipeError(
            "only monthly means are fetched", where=f"era5, {path_of(source)}", found=frequency
        )
    months = sorted({last if h.month is None else h.month for h in lacking})
    return [o for m in months for o in _era5_month(source, found, m, workspace, last)]


def _era5_month(
    source: Source,
    found: Sequence[Holding],
    month: pd.Timestamp,
    workspace: Workspace,
    last: pd.Timestamp,
) -> Iterator[Order]:
    """The order of a month, and one of its own for accumulations where the usual ones are wrong."""
    land = _is_land(source)
    wrong = land and WRONG_LAND[0] <= month <= WRONG_LAND[1]
    held = [h for h in found if (last if h.month is None else h.month) == month]
    for variant in ("", BY_HOUR):
        part = [h for h in held if (wrong and h.variable in AMOUNTS) == bool(variant)]
        folder = folder_of(source, workspace)
        target = _file_name(path_of(source), month, land, variant)
        lacking = months_lacking(part)
        again = [h for h in part if h in lacking or (lacking and folder / target in h.files)]
        elsewhere = {n for h in part if h not in again for n in _natives(source, h.variable)}
        # a short name that another file holds already would be held twice
        names = [n for h in again for n in _natives(source, h.variable) if n not in elsewhere]
        if names:
            yield Order(
                remote="cds",
                collection=LAND if land else SINGLE_LEVELS,
                folder=folder,
                first=month,
                last=month + pd.offsets.MonthEnd(1),
                target=target,
                asked=tuple(
                    dict.fromkeys((LAND_CDS if land else {}).get(n, CDS[n]) for n in names)
                ),
                names=tuple(dict.fromkeys(names)),
                formats=_formats(target),
                variant=variant,
                stale=_stale(lacking),
                reason=_reason(lacking),
            )


def _is_land(source: Source) -> bool:
    """Whether a source means ERA5-Land: by its key `dataset`, else by its path."""
    told = str(getattr(source, "dataset", "auto"))
    return "land" in (path_of(source) if told == "auto" else told).lower()


def _formats(target: str) -> tuple[Format, ...]:
    if Path(target).suffix.lower() in (".grib", ".grb", ".grib2", ".grb2"):
        return ("GRIB",)
    return ("NetCDF-4", "NetCDF classic", "ZIP")


def _natives(source: Source, name: str) -> tuple[str, ...]:
    """The short names that a variable is made from."""
    land = _is_land(source)
    names = (LAND_NATIVE if land else {}).get(name, NATIVE.get(name, ()))
    needless: tuple[str, ...] = NOT_LAND if land else ()
    if getattr(source, "reference", None) is not None:
        needless += ("z",)  # the reference of the anomaly is a mean, not the altitude
    return tuple(n for n in names if n not in needless)


def _file_name(path: str, month: pd.Timestamp, land: bool, variant: str) -> str:
    """The name of a month's file, one that the pattern of the recipe matches.

    Raises:
        RecipeError: The pattern leaves no room for the month.
    """
    pattern = Path(path).name
    label = f"{month:%Y-%m}" + ("_by-hour-of-day" if variant else "")
    suffix = Path(pattern).suffix
    suffix = ".nc" if not suffix or any(c in suffix for c in "*?[") else suffix
    usual = f"{'era5-land' if land else 'era5'}_{label}{suffix}"
    if fnmatchcase(usual, pattern):
        return usual
    named = pattern.replace("*", label, 1).replace("*", "")
    if "*" in pattern and fnmatchcase(named, pattern):
        return named
    raise RecipeError(
        "the path of a source leaves no room for a file per month",
        where=path,
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
    """One order per product and month."""
    groups: dict[tuple[str, pd.Timestamp], list[Holding]] = {}
    for holding in lacking:
        month = last if holding.month is None else holding.month
        for platform in _platforms(source):
            product = f"{platform}{CMG[holding.variable][0]}"
            groups.setdefault((product, month), []).append(holding)
    return [
        Order(
            remote="earthdata",
            collection=product,
            folder=folder_of(source, workspace),
            first=month,
            last=month + pd.offsets.MonthEnd(1),
            names=_sets(group),
            formats=("HDF4",),
            prefix=f"{product}.A{month:%Y%j}",
            stale=_stale(group),
            reason=_reason(group),
        )
        for (product, month), group in sorted(groups.items())
    ]


def _land_cover(
    source: Source,
    found: Sequence[Holding],
    lacking: Sequence[Holding],
    workspace: Workspace,
    last: pd.Timestamp,
) -> list[Order]:
    """One order per year."""
    chosen = getattr(source, "year", None) or last.year
    years = {chosen if h.month is None else h.month.year for h in lacking}
    return [
        Order(
            remote="earthdata",
            collection=LAND_COVER,
            folder=folder_of(source, workspace),
            first=pd.Timestamp(year, 1, 1),
            last=pd.Timestamp(year, 12, 31),
            names=LAND_COVER_SETS[str(getattr(source, "layer", "percent"))],
            formats=("HDF4",),
            prefix=f"{LAND_COVER}.A{year}",
            stale=_stale(lacking),
            reason=_reason(lacking),
        )
        for year in sorted(years)
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
    folder = folder_of(source, workspace)
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
        for platform in _platforms(source)
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


def _platforms(source: Source) -> tuple[str, ...]:
    """Beginnings of product names: by the key `platform`, else by the path, else of Terra.

    Two platforms in one series would be two instruments, so only `both` takes both.
    """
    told = getattr(source, "platform", None)
    if told is not None:
        return PREFIXES[str(told)]
    return ("MYD",) if "MYD" in path_of(source) else ("MOD",)


def _stale(lacking: Iterable[Holding]) -> frozenset[str]:
    return frozenset(f.name for h in lacking if h.state != "missing" for f in h.files)


def _reason(lacking: Iterable[Holding]) -> str:
    states = dict.fromkeys(f"{h.variable} {h.state}" for h in lacking)
    return ", ".join(states)
