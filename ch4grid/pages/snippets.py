"""Snippets that open a product in Python, R and CDO, ready to copy."""

from typing import NamedTuple

from ch4grid.vocabulary import Gas

PYTHON = """import xarray as xr

ds = xr.open_zarr("{store}")
ds.{flux}.sel(latitude=10, longitude=20, method="nearest").plot()
"""
NETCDF = """import xarray as xr

ds = xr.open_zarr("{store}")
names = ["{flux}", "{flux}_standard_error", "quality_flag", "cell_area"]
ds[names].sel(time="{year}").to_netcdf("{name}-{year}.nc")
"""
R = """library(terra)

flux <- rast("{name}-{year}.nc", subds = "{flux}")    # kg m-2 s-1, a layer per month
plot(flux[[7]])
extract(flux, cbind(20, 10))                          # longitude, latitude
"""
CDO = """cdo -yearmonmean -selname,{flux} {name}-{year}.nc mean.nc
cdo -outputtab,date,value -remapnn,lon=20/lat=10 -selname,{flux} {name}-{year}.nc
"""


class Snippet(NamedTuple):
    """A piece of code and what it is for."""

    title: str
    code: str


def snippets(store: str, gas: Gas, year: int) -> tuple[Snippet, ...]:
    """Code that opens the product; what reads no Zarr version 3 goes by a NetCDF file of one year.

    Args:
        store: Path of the Zarr group relative to the page.
        gas: Row of the gas table.
        year: Its last year.
    """
    known = {"store": store, "flux": gas.flux, "name": gas.name, "year": year}
    return tuple(
        Snippet(title, code.format(**known).rstrip("\n"))
        for title, code in (
            ("Python", PYTHON),
            ("A year as NetCDF, for R and CDO", NETCDF),
            ("R (terra), with that file", R),
            ("CDO, with that file", CDO),
        )
    )
