"""The twin as a user's data folder: every archive in its native layout, number of cells and packing.

    era5/era5_2003-05.nc                            monthly means on nodes, preliminary where asked for
    modis/MOD13C2.A2003121.061.<produced>.hdf       greenness on pixels, 5 x 5 to a cell
    modis/MOD11C3.A2003121.061.<produced>.hdf       land surface temperature on pixels
    wad2m/, glwd/, ghsl/, surface/                  areas, altitude and soil, see `ch4grid.twin.maps`
    fluxnet_ch4/sites.csv, monthly.csv.gz           towers, as the table source reads them

At 0.25 degrees the sizes are those of the originals. Files are independent of each other and what is there is left
alone, so that a second call resumes an interrupted one; a record beside the archive says what each file was written as,
so that a faulty or preliminary file is replaced when it is no longer asked for.
"""

import gzip
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ch4grid.stores import write_json
from ch4grid.twin.files import put
from ch4grid.twin.hdf import write_hdf4
from ch4grid.twin.lattice import Lattice
from ch4grid.twin.maps import map_writers
from ch4grid.twin.netcdf import FINAL, PRELIMINARY, era5_fields, write_era5
from ch4grid.twin.pixels import PRODUCTS, granule, granule_name, sea
from ch4grid.twin.planet import Twin
from ch4grid.twin.towers import network, observe
from ch4grid.vocabulary import months

Float = NDArray[np.float64]
Part = Literal["era5", "modis", "areas", "towers"]
State = Literal["final", "preliminary", "missing", "truncated"]

PARTS: tuple[Part, ...] = ("era5", "modis", "areas", "towers")
# Changes whenever the same planet gives other files.
EDITION = 1
RECORDS = ".written"

# Where preliminary months differ from final ones [degrees]: south, north, west, east; and by how much [K, 1].
REVISED = (50.0, 66.0, 60.0, 90.0)
REVISED_WARMING, REVISED_RAIN = 0.4, 1.1

# Classification and IGBP code in the site table of the towers of each class.
CLASSIFICATION = {
    "tropical-floodplain": ("Swamp", "WET"),
    "boreal-peatland": ("Bog", "WET"),
    "temperate-wetland": ("Fen", "WET"),
    "rice-paddy": ("Rice", "CRO"),
    "coastal": ("Salt marsh", "WET"),
    "urban": ("Upland", "URB"),
    "upland": ("Upland", "GRA"),
}


@dataclass(frozen=True)
class Faults:
    """What is wrong with an archive on purpose.

    Args:
        missing: Files left out: names in the archive or patterns, `modis/MOD13C2.A2003121.*`.
        truncated: Files cut off after half of their bytes, likewise.
        preliminary: Months, `2003-05`, whose ERA5 file is of the preliminary experiment, in part of Siberia with other
            values than the final one.
    """

    missing: tuple[str, ...] = ()
    truncated: tuple[str, ...] = ()
    preliminary: tuple[str, ...] = ()

    def state(self, name: str) -> State:
        """What a file is written as."""
        for state, patterns in self._patterns():
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                return state
        return "final"

    def refuse_idle(self, names: Sequence[str]) -> None:
        """Refuse faults that no file would have.

        Raises:
            ValueError: A pattern matches none of the names.
        """
        for _, patterns in self._patterns():
            for pattern in patterns:
                if not any(fnmatchcase(name, pattern) for name in names):
                    raise ValueError(f"no file of the archive is called {pattern}")

    def _patterns(self) -> Iterator[tuple[State, Sequence[str]]]:
        yield "missing", self.missing
        yield "truncated", self.truncated
        yield "preliminary", [f"era5/{era5_name(month)}" for month in self.preliminary]


class Entry(NamedTuple):
    """A file of the archive: its name below the folder, what writes it, and what it depends on beside the planet."""

    name: str
    write: Callable[[Path, State], None]
    given: str = ""


def write_archive(
    twin: Twin,
    folder: Path,
    first_year: int,
    last_year: int,
    *,
    faults: Faults | None = None,
    parts: Sequence[Part] = PARTS,
) -> list[Path]:
    """The files of the years below a folder, sorted; absent ones, and those of another state, are written.

    Args:
        twin: The planet; its resolution is that of the ERA5 nodes, a fifth of it that of the pixels.
        folder: The user's data folder.
        first_year: First year of ERA5, MODIS and the towers.
        last_year: Last year.
        faults: What is wrong on purpose; none by default. Without it a faulty archive becomes a whole one.
        parts: Which archives; processes that write different parts or years do not meet.

    Raises:
        InputError: A year lies outside the simulated ones.
        RunError: A file cannot be written.
        ValueError: A fault concerns no file.
    """
    time = months(first_year, last_year)
    twin.steps(time)
    faults = faults or Faults()
    faults.refuse_idle([entry.name for part in parts for entry in _entries(part, twin, time)])
    written: list[Path] = []
    for part in parts:
        for entry in _entries(part, twin, time):
            state = faults.state(entry.name)
            _write(entry, folder, state, twin.key)
            written += [folder / entry.name] if state != "missing" else []
    return sorted(written)


def era5_name(month: str) -> str:
    """File name of a month, `2003-05`, of ERA5."""
    return f"era5_{month}.nc"


def _entries(part: Part, twin: Twin, time: pd.DatetimeIndex) -> list[Entry]:
    makers: dict[Part, Callable[[Twin, pd.DatetimeIndex], list[Entry]]] = {
        "era5": _era5,
        "modis": _modis,
        "areas": _areas,
        "towers": _towers,
    }
    return makers[part](twin, time)


def _write(entry: Entry, folder: Path, state: State, key: str) -> None:
    """Write a file unless its record says that it is there as wanted; the record follows the file."""
    path = folder / entry.name
    record = folder / RECORDS / f"{entry.name.replace('/', '+')}.json"
    size = path.stat().st_size if path.exists() else None
    told = {"edition": EDITION, "planet": key, "given": entry.given, "state": state}
    if record.exists() and json.loads(record.read_bytes()) == told | {"bytes": size}:
        return
    record.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    if state != "missing":
        put(path, partial(_made, entry=entry, state=state))
    write_json(record, told | {"bytes": path.stat().st_size if path.exists() else None})


def _made(path: Path, entry: Entry, state: State) -> None:
    entry.write(path, state)
    if state == "truncated":
        os.truncate(path, path.stat().st_size // 2)


def _era5(twin: Twin, time: pd.DatetimeIndex) -> list[Entry]:
    # the view is made when the first file is written, and shared by all
    view = cache(lambda: twin.view(Lattice.nodes(twin.resolution)))

    def write(path: Path, state: State, month: pd.Timestamp) -> None:
        at = pd.DatetimeIndex([month])
        fields = era5_fields(view(), twin.steps(at))
        preliminary = state == "preliminary"
        if preliminary:
            _revise(fields, view().lattice)
        write_era5(path, view().lattice, fields, at, PRELIMINARY if preliminary else FINAL)

    return [
        Entry(f"era5/{era5_name(f'{month:%Y-%m}')}", partial(write, month=month)) for month in time
    ]


def _revise(fields: dict[str, Float], lattice: Lattice) -> None:
    """Turn final fields into preliminary ones, which differ in one region."""
    south, north, west, east = REVISED
    rows = (lattice.latitude >= south) & (lattice.latitude <= north)
    columns = (lattice.longitude >= west) & (lattice.longitude <= east)
    where = np.ix_(np.arange(1), np.flatnonzero(rows), np.flatnonzero(columns))
    fields["t2m"][where] += REVISED_WARMING
    fields["tp"][where] *= REVISED_RAIN


def _modis(twin: Twin, time: pd.DatetimeIndex) -> list[Entry]:
    view = cache(lambda: twin.view(Lattice.pixels(twin.resolution)))
    water = cache(lambda: sea(view().lattice.land))

    def write(path: Path, _: State, product: str, month: pd.Timestamp) -> None:
        step = int(twin.steps(pd.DatetimeIndex([month]))[0])
        layers = granule(product, view(), water(), step, (twin.seed, 8, month.year, month.month))
        write_hdf4(path, layers)

    return [
        Entry(
            f"modis/{granule_name(product, f'{month:%Y-%m}')}",
            partial(write, product=product, month=month),
        )
        for month in time
        for product in PRODUCTS
    ]


def _areas(twin: Twin, _: pd.DatetimeIndex) -> list[Entry]:
    def write(path: Path, _: State, make: Callable[[Path], None]) -> None:
        make(path)

    return [Entry(name, partial(write, make=make)) for name, make in map_writers(twin)]


def _towers(twin: Twin, time: pd.DatetimeIndex) -> list[Entry]:
    def sites(path: Path, _: State) -> None:
        path.write_bytes(_csv(_site_table(twin)))

    def monthly(path: Path, _: State) -> None:
        measured = observe(twin, int(time.year.min()), int(time.year.max()))
        table = measured.rename(columns={"site": "site_id", "month": "time", "FCH4": "FCH4_nmol"})
        path.write_bytes(gzip.compress(_csv(table), mtime=0))

    return [
        Entry("fluxnet_ch4/sites.csv", sites),
        Entry("fluxnet_ch4/monthly.csv.gz", monthly, f"{time.year.min()}-{time.year.max()}"),
    ]


def _site_table(twin: Twin) -> pd.DataFrame:
    towers = network(twin)
    kinds = [CLASSIFICATION[name] for name in towers["ecosystem"]]
    return pd.DataFrame(
        {
            "site_id": towers["site"],
            "LAT": towers["latitude"],
            "LON": towers["longitude"],
            "SITE_CLASSIFICATION": [kind for kind, _ in kinds],
            "UPLAND_CLASS": "",
            "IGBP": [code for _, code in kinds],
        }
    )


def _csv(table: pd.DataFrame) -> bytes:
    text = table.to_csv(
        index=False, lineterminator="\n", float_format="%.7g", date_format="%Y-%m-%d"
    )
    return text.encode()
