"""Small files in the formats of the archives."""

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import xarray as xr


def netcdf(
    names: tuple[str, ...] = ("t2m",),
    month: str = "2024-05",
    *,
    months: int = 1,
    form: str = "NETCDF4",
    time: str = "valid_time",
) -> bytes:
    """A file of the Climate Data Store."""
    times = np.array([np.datetime64(month, "M") + i for i in range(months)]).astype(
        "datetime64[ns]"
    )
    values = np.random.default_rng(1).normal(280.0, 10.0, (months, 9, 16)).astype(np.float32)
    ds = xr.Dataset(
        {n: ((time, "latitude", "longitude"), values, {"units": "K"}) for n in names},
        coords={
            time: times,
            "latitude": np.linspace(90, -90, 9),
            "longitude": np.arange(16) * 22.5,
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.nc"
        ds.to_netcdf(path, format=form, engine="netcdf4")
        return path.read_bytes()


def archive(**members: bytes) -> bytes:
    """A ZIP archive of NetCDF files, as mixed variables arrive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name, content in members.items():
            packed.writestr(f"{name}.nc", content)
    return stream.getvalue()


def grib(*lengths: int, edition: int = 2) -> bytes:
    """Messages of these lengths, headers and end marks as the format wants them."""
    content = b""
    for length in lengths:
        if edition == 1:
            head = b"GRIB" + length.to_bytes(3, "big") + b"\x01" + bytes(8)
        else:
            head = b"GRIB" + bytes(3) + b"\x02" + length.to_bytes(8, "big")
        content += head + bytes(length - len(head) - 4) + b"7777"
    return content


def granule(*names: str) -> bytes:
    """An HDF4 granule with these data sets."""
    from pyhdf.SD import SD, SDC

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "granule.hdf"
        file = SD(str(path), SDC.WRITE | SDC.CREATE)
        for name in names:
            data = file.create(name, SDC.INT16, (4, 8))
            data[:] = np.arange(32, dtype=np.int16).reshape(4, 8)
            data.endaccess()
        file.end()
        return path.read_bytes()
