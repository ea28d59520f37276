"""The twin's files: ERA5 NetCDF, MODIS HDF4, area layers and tower tables in the layouts their archives deliver.

Names, units, row order, packing, fill values and quality flags are those of the originals, so that the same readers
read both. Every file is written beside its place and renamed; a year's manifest is written last and says that it is
whole.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ch4grid.stores import Workspace, write_atomic, write_json
from ch4grid.twin.files import put
from ch4grid.twin.hdf import evi_layers, lst_layers, retrievals, write_hdf4
from ch4grid.twin.lattice import Lattice
from ch4grid.twin.netcdf import era5_fields, write_areas, write_era5
from ch4grid.twin.planet import Twin
from ch4grid.twin.towers import network, observe
from ch4grid.vocabulary import months


def folder(twin: Twin, workspace: Workspace) -> Path:
    """Where the files of a twin lie."""
    return workspace.cache / "twin" / twin.key


def era5_files(twin: Twin, workspace: Workspace, first_year: int, last_year: int) -> list[Path]:
    """ERA5-like files of the years, one per year, written first where absent."""
    return _years(twin, workspace, "era5", range(first_year, last_year + 1), _write_era5)


def modis_files(twin: Twin, workspace: Workspace, first_year: int, last_year: int) -> list[Path]:
    """MODIS-like files of the years, two per month, written first where absent."""
    return _years(twin, workspace, "modis", range(first_year, last_year + 1), _write_modis)


def area_file(twin: Twin, workspace: Workspace) -> Path:
    """NetCDF file of the area layers, altitude and soil, written first where absent."""
    path = folder(twin, workspace) / "areas.nc"
    if not path.exists():
        put(path, partial(write_areas, twin=twin))
    return path


def tower_files(
    twin: Twin, workspace: Workspace, first_year: int, last_year: int, gas: str = "ch4"
) -> list[Path]:
    """CSV tables of the towers and of their monthly measurements of a gas, written first where absent."""
    base = folder(twin, workspace)
    kind = "towers" if gas == "ch4" else f"towers_{gas}"
    sites, series = base / "sites.csv", base / f"{kind}_{first_year}-{last_year}.csv"
    if not (sites.exists() and series.exists()):
        table = network(twin).drop(columns=["row", "column"])
        write_atomic(sites, table.to_csv(index=False, lineterminator="\n").encode())
        measured = observe(twin, first_year, last_year, gas)
        text = measured.to_csv(
            index=False, lineterminator="\n", float_format="%.6g", date_format="%Y-%m-%d"
        )
        write_atomic(series, text.encode())
    return [sites, series]


def _years(
    twin: Twin,
    workspace: Workspace,
    kind: str,
    years: Sequence[int],
    write: Callable[[Twin, Path, int], None],
) -> list[Path]:
    twin.steps(months(min(years), max(years)))
    base = folder(twin, workspace) / kind
    found: list[Path] = []
    for year in years:
        manifest = base / f"manifest-{year}.json"
        expected = [base / name for name in _names(kind, year)]
        if not (manifest.exists() and all(path.exists() for path in expected)):
            write(twin, base, year)
            write_json(manifest, {"files": [path.name for path in expected], "twin": twin.key})
        found += expected
    return found


def _names(kind: str, year: int) -> list[str]:
    if kind == "era5":
        return [f"era5_{year}.nc"]
    days = [f"{year}{day:03d}" for day in months(year, year).day_of_year]
    return [f"{product}.A{day}.061.hdf" for day in days for product in ("MOD13C2", "MOD11C3")]


def _write_era5(twin: Twin, base: Path, year: int) -> None:
    view = twin.view(Lattice.nodes(twin.resolution))
    fields = era5_fields(view, twin.steps(months(year, year)))
    put(
        base / _names("era5", year)[0],
        partial(write_era5, lattice=view.lattice, fields=fields, time=months(year, year)),
    )


def _write_modis(twin: Twin, base: Path, year: int) -> None:
    view = twin.view(Lattice.pixels(twin.resolution / 2))
    names = iter(_names("modis", year))
    for month, step in enumerate(twin.steps(months(year, year)), start=1):
        at = np.array([step])
        evi, day, night = (view.driver(n, at)[0] for n in ("evi", "lst_day", "lst_night"))
        lost, cloudy = retrievals(view, [twin.seed, 6, year, month], 3)
        vegetation = evi_layers(evi, lost[0], cloudy[0])
        heat = lst_layers("Day", day, lost[1], cloudy[1]) | lst_layers(
            "Night", night, lost[2], cloudy[2]
        )
        for layers in (vegetation, heat):
            put(base / next(names), partial(write_hdf4, layers=layers))
