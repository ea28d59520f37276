"""Small maps in the layouts that area sources document, and the area of what lies on a grid."""

import zipfile

import numpy as np
import rasterio

from ch4grid.grid import zone_area


def write_tif(path, values, *, west=-180.0, north=90.0, step=1.0, **profile):
    """A GeoTIFF of one band, rows from the north."""
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = step if isinstance(step, tuple) else (step, step)
    options = {"crs": "EPSG:4326", "compress": "lzw"} | profile
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=values.shape[0],
        width=values.shape[1],
        count=1,
        dtype=values.dtype,
        transform=rasterio.Affine(steps[0], 0.0, west, 0.0, -steps[1], north),
        **options,
    ) as file:
        file.write(values, 1)
    return path


def zipped(archive, members):
    """A ZIP archive of files by their name in it."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for name, path in members.items():
            out.write(path, name)
    return archive


def pixel_area(rows, step, north=90.0):
    """Areas of pixels on latitude and longitude (rows,) from the north [m2], each zone by itself."""
    edges = north - step * np.arange(rows + 1)
    return zone_area(np.stack([edges[1:], edges[:-1]], axis=1)) * step / 360.0


def area_of(field, grid):
    """Area of fractions on a product grid [m2]."""
    return (np.asarray(field, np.float64) * grid.cell_area).sum(axis=(-2, -1))
