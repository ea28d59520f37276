"""The twin: a synthetic Earth with real continents, ERA5-like and MODIS-like files, towers and a known causal model."""

from ch4grid.twin.archive import Faults, era5_name, write_archive
from ch4grid.twin.causes import DRIVERS, GAS_CAUSES, TRUE_PARENTS, reversal, true_graph, true_links
from ch4grid.twin.laboratory import laboratory
from ch4grid.twin.native import area_file, era5_files, folder, modis_files, tower_files
from ch4grid.twin.pixels import granule_name
from ch4grid.twin.planet import Twin
from ch4grid.twin.towers import network, observe, true_flux

__all__ = [
    "DRIVERS",
    "GAS_CAUSES",
    "TRUE_PARENTS",
    "Faults",
    "Twin",
    "area_file",
    "era5_files",
    "era5_name",
    "folder",
    "granule_name",
    "laboratory",
    "modis_files",
    "network",
    "observe",
    "reversal",
    "tower_files",
    "true_flux",
    "true_graph",
    "true_links",
    "write_archive",
]
