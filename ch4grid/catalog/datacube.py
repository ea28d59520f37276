"""The datacube and zarr descriptions of a store, read from the store itself so that they cannot disagree with it."""

import json
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.errors import InputError

# Exactly this string: xpystac matches it, and any parameter such as `; version=3` makes it fail.
ZARR_MEDIA_TYPE = "application/vnd.zarr"


def open_store(store: Path) -> xr.Dataset:
    """The published state of a store, lazily.

    Raises:
        InputError: It is not a consolidated Zarr group.
    """
    zarr_fields(store)
    ds: xr.Dataset = xr.open_zarr(store, consolidated=True, chunks=None)
    return ds


def zarr_fields(store: Path) -> dict[str, Any]:
    """Fields of the zarr extension for the asset of a store, from its `zarr.json`.

    Raises:
        InputError: There is no `zarr.json`, or it is not that of a consolidated Zarr v3 group.
    """
    metadata = store / "zarr.json"
    try:
        document = json.loads(metadata.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            "not a Zarr v3 group", where=store, expected="a readable zarr.json", found=error
        ) from error
    fields = {
        "zarr:zarr_format": document.get("zarr_format"),
        "zarr:node_type": document.get("node_type"),
        "zarr:consolidated": bool(document.get("consolidated_metadata")),
    }
    expected = {"zarr:zarr_format": 3, "zarr:node_type": "group", "zarr:consolidated": True}
    if fields != expected:
        raise InputError("not a published store", where=store, expected=expected, found=fields)
    return fields


def years_of(ds: xr.Dataset) -> tuple[int, ...]:
    """Published calendar years with all twelve months on the time axis, ascending.

    The group's attribute `published_years` leaves out the empty years that the axis spans.
    """
    years, counts = np.unique(pd.DatetimeIndex(ds["time"].values).year, return_counts=True)
    whole = [int(y) for y, n in zip(years, counts, strict=True) if n == 12]
    published = np.atleast_1d(ds.attrs.get("published_years", whole)).tolist()
    return tuple(y for y in whole if y in published)


def year_interval(first: int, last: int) -> list[str]:
    """The closed interval from the first second of `first` to the last second of `last`, RFC 3339."""
    return [f"{first:04d}-01-01T00:00:00Z", f"{last:04d}-12-31T23:59:59Z"]


def bbox(ds: xr.Dataset) -> list[float]:
    """West, south, east and north edges of the grid [degrees]."""
    (west, east), (south, north) = _edges(ds, "longitude"), _edges(ds, "latitude")
    return [west, south, east, north]


def describe(ds: xr.Dataset, first: int, last: int) -> dict[str, Any]:
    """The fields `cube:dimensions` and `cube:variables` of a store over the years `first` to `last`."""
    return {
        "cube:dimensions": {
            str(name): _dimension(ds, name, (first, last)) for name in sorted(ds.sizes, key=str)
        },
        "cube:variables": {
            str(name): _variable(ds, name)
            for name in sorted(ds.variables, key=str)
            if name not in ds.sizes
        },
    }


def map_view(ds: xr.Dataset, variable: str, years: Sequence[int]) -> dict[str, Any]:
    """The datacube fields of the one variable that a map shows, for the asset of a store.

    Its time dimension lists the months [YYYY-MM-DD], so that a viewer has steps to choose from.
    """
    times = pd.DatetimeIndex(ds["time"].values)
    shown = times[times.year.isin(list(years))]
    dimensions = {str(n): _dimension(ds, n, (min(years), max(years))) for n in ds[variable].dims}
    dimensions["time"] |= {"values": [f"{t:%Y-%m-%d}" for t in shown]}
    return {"cube:dimensions": dimensions, "cube:variables": {variable: _variable(ds, variable)}}


def labels(coordinate: xr.DataArray) -> list[str | int | float]:
    """Values of a coordinate in words where flag meanings give them, else as they are."""
    meanings = str(coordinate.attrs.get("flag_meanings", "")).split()
    values = coordinate.values.tolist()
    if meanings and "flag_values" in coordinate.attrs:
        flags = np.asarray(coordinate.attrs["flag_values"]).ravel().tolist()
        words = dict(zip(flags, meanings, strict=True))
        return [words[v] for v in values]
    return [v if isinstance(v, int | float) else str(v) for v in values]


def _dimension(ds: xr.Dataset, name: Hashable, years: tuple[int, int]) -> dict[str, Any]:
    if name == "time":
        return {"type": "temporal", "extent": year_interval(*years), "step": "P1M"}
    if name in ("latitude", "longitude"):
        edges = _edges(ds, str(name))
        return {
            "type": "spatial",
            "axis": "y" if name == "latitude" else "x",
            "extent": edges,
            "step": round((edges[1] - edges[0]) / ds.sizes[name], 9),
            "reference_system": 4326,
        }
    values = labels(ds[name]) if name in ds.coords else list(range(ds.sizes[name]))
    described = str(ds[name].attrs.get("long_name", "")) if name in ds.coords else "index"
    return {"type": str(name), "values": values} | ({"description": described} if described else {})


def _variable(ds: xr.Dataset, name: Hashable) -> dict[str, Any]:
    array = ds[name]
    auxiliary = name in ds.coords or str(name).endswith("_bnds") or not array.dims
    entry: dict[str, Any] = {
        "type": "auxiliary" if auxiliary else "data",
        "dimensions": [str(d) for d in array.dims],
    }
    if "long_name" in array.attrs:
        entry["description"] = str(array.attrs["long_name"])
    if "units" in array.attrs:
        entry["unit"] = str(array.attrs["units"])
    return entry


def _edges(ds: xr.Dataset, name: str) -> list[float]:
    """Outer edges of a regular axis, from its bounds where the store has them."""
    bounds = ds.get(f"{name}_bnds")
    if bounds is not None:
        return [round(float(bounds.min()), 9), round(float(bounds.max()), 9)]
    centres = np.asarray(ds[name].values, dtype=np.float64)
    half = float(centres[1] - centres[0]) / 2
    return [round(float(centres[0]) - half, 9), round(float(centres[-1]) + half, 9)]
