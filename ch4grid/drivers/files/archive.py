"""Zarr stores of reanalyses, local or behind a URL: Earth Data Hub, ARCO-ERA5 and their like.

A store is read lazily. What it says about its own extent is believed before its time axis, which some stores fill to
the year 2050; a store that has stopped growing looks like a complete one, so its last time is part of every refusal.
Credentials come from netrc or the environment and from nowhere else: never from a URL, never into a message.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import xarray as xr

from ch4grid.drivers.files.header import Header
from ch4grid.drivers.files.netcdf import header_of, on_our_axes
from ch4grid.errors import InputError, RunError

# Attributes of ARCO-ERA5 (google-research/arco-era5): first day, last final day, last day of ERA5T.
START, STOP, STOP_EARLY = "valid_time_start", "valid_time_stop", "valid_time_stop_era5t"

# Files whose size and time tell that a local store has changed.
MARKERS = (".zmetadata", "zarr.json", ".zgroup", ".zattrs")


def is_url(path: str) -> bool:
    """Whether a path of a recipe is a URL."""
    return "://" in path


def refuse_credentials(path: str) -> str:
    """The path, unless it is a URL that carries a user name or password.

    Raises:
        ValueError: It does; the message does not repeat it.
    """
    if is_url(path) and "@" in urlsplit(path).netloc:
        raise ValueError(
            "a URL in a recipe carries no credentials: write them to ~/.netrc (machine, login, password)"
        )
    return path


def mark(path: Path) -> list[int]:
    """Size and modification time of a file; of a Zarr folder, those of the files that describe it."""
    files = [path] if path.is_file() else [path, *_metadata(path)]
    found = [f.stat() for f in files]
    return [sum(s.st_size for s in found), max(s.st_mtime_ns for s in found)]


def _metadata(store: Path) -> list[Path]:
    markers = [store / name for name in MARKERS]
    axes = [f for axis in ("time", "valid_time") for f in (store / axis).glob("**/*")]
    return [f for f in (*markers, *axes) if f.is_file()]


def read_headers(location: Path | str) -> list[Header]:
    """The header of a store, its times cut to the extent that it states.

    Raises:
        InputError: It cannot be opened or has no latitude and longitude.
    """
    with opened(location) as ds:
        header = header_of(ds, location)
        return [_within_extent(header, ds.attrs)]


def _within_extent(header: Header, attrs: dict[Any, Any]) -> Header:
    start, stop, early = (_day(attrs.get(name)) for name in (START, STOP, STOP_EARLY))
    days = header.times.astype("datetime64[D]")
    held = np.ones(days.shape, np.bool_)
    preliminary = header.preliminary.copy()
    if start is not None:
        held &= days >= start
    if stop is not None:
        held &= days <= (max(stop, early) if early is not None else stop)
        preliminary |= days > stop
    return replace(
        header,
        times=header.times[held],
        steps=header.steps[held],
        preliminary=preliminary[held],
        traits=header.traits | {"store"},
    )


def _day(stated: object) -> np.datetime64 | None:
    return None if stated is None else np.datetime64(str(stated)[:10], "D")


@contextmanager
def opened(location: Path | str) -> Iterator[xr.Dataset]:
    """A store as a lazy Dataset with our axis names.

    Raises:
        InputError: It cannot be opened, or reading from it fails.
        RunError: The libraries for its protocol are not installed.
    """
    try:
        with _open(location) as ds:
            yield on_our_axes(ds, location)
    except InputError:
        raise
    except ImportError as error:
        raise RunError(
            "a library for remote stores is not installed",
            where=location,
            expected="fsspec with the client of the protocol (aiohttp, gcsfs, s3fs)",
            found=str(error),
            fix="Install it with `pip install ch4grid[cloud]`",
        ) from error
    except Exception as error:
        # every protocol has errors of its own; their texts may hold request headers, so only their kind is told
        if not is_url(str(location)) and not isinstance(error, (OSError, ValueError, KeyError)):
            raise
        raise unreachable(location, error) from None


def _open(location: Path | str) -> xr.Dataset:
    remote = isinstance(location, str)
    # without consolidated metadata a server that cannot list folders gives an empty Dataset without a word
    ds: xr.Dataset = xr.open_zarr(
        location,
        chunks=None,
        consolidated=remote,
        decode_timedelta=False,
        storage_options=_storage_options(str(location)) if remote else None,
    )
    return ds


def _storage_options(url: str) -> dict[str, Any]:
    """How a store is reached: netrc and proxy settings of the environment for HTTP, no account for public buckets."""
    scheme = urlsplit(url).scheme
    if scheme in ("http", "https"):
        return {"client_kwargs": {"trust_env": True}}
    return {"token": "anon"} if scheme in ("gs", "gcs") else {}


def unreachable(location: Path | str, error: Exception) -> InputError:
    """The error for a store that cannot be opened or read; of a remote one only the kind of failure is told."""
    status = getattr(error, "status", None)
    reason = f"status {status}" if status else type(error).__name__
    return InputError(
        "cannot read this Zarr store",
        where=location,
        expected="a Zarr store with consolidated metadata"
        if is_url(str(location))
        else "a Zarr store",
        found=reason
        if is_url(str(location))
        else f"{reason}: {' '.join(str(error).split())[:160]}",
        fix="Check the address, the network and the entry of its host in ~/.netrc",
    )
