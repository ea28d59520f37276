"""A source that holds what a test says, counts what is read of it, and can be changed between two updates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.drivers.source import Holding, Source
from ch4grid.errors import InputError
from ch4grid.stores import Workspace
from ch4grid.vocabulary import VARIABLES

LATITUDE = np.arange(80.0, -90.0, -20.0)
LONGITUDE = np.arange(10.0, 360.0, 20.0)


class Planted(Source):
    """Months as text files in a folder: `tas-2001-01.txt` holds a number, `absent`, `broken`, or `5 early`.

    The field of a month is that number plus the latitude row over ten; `evi` has a hole over one cell, `early` marks a
    preliminary month, `broken` a file whose damage only reading finds, and `cut` one whose damage the survey sees.
    """

    source: Literal["planted"] = "planted"
    path: str
    variables: tuple[str, ...]

    def survey(self, workspace: Workspace, wanted: pd.DatetimeIndex) -> list[Holding]:
        held = [self._held(workspace, n, m) for m in wanted for n in self._dynamic()]
        statics = [
            self._held(workspace, n, None) for n in self.variables if n not in self._dynamic()
        ]
        return [*statics, *held]

    def open(
        self, workspace: Workspace, names: Sequence[str], wanted: pd.DatetimeIndex
    ) -> xr.Dataset:
        fields = {n: [self._field(workspace, n, m) for m in wanted] for n in names}
        return xr.Dataset(
            {
                n: (
                    ("time", "latitude", "longitude"),
                    np.stack(f).astype(np.float32),
                    VARIABLES[n].attrs,
                )
                for n, f in fields.items()
            },
            coords={"time": wanted, "latitude": LATITUDE, "longitude": LONGITUDE},
        )

    def statics(self, workspace: Workspace) -> xr.Dataset:
        names = [n for n in self.variables if n not in self._dynamic()]
        return xr.Dataset(
            {
                n: (
                    ("latitude", "longitude"),
                    self._field(workspace, n, None).astype(np.float32),
                    VARIABLES[n].attrs,
                )
                for n in names
            },
            coords={"latitude": LATITUDE, "longitude": LONGITUDE},
        )

    def _dynamic(self) -> tuple[str, ...]:
        return tuple(n for n in self.variables if n in ("tas", "evi", "pr"))

    def _file(self, workspace: Workspace, name: str, month: pd.Timestamp | None) -> Path:
        when = "static" if month is None else f"{month:%Y-%m}"
        return workspace.resolve(self.path) / f"{name}-{when}.txt"

    def _held(self, workspace: Workspace, name: str, month: pd.Timestamp | None) -> Holding:
        path = self._file(workspace, name, month)
        if not path.exists():
            return Holding(self.source, name, month, "missing", reason="no file")
        text = path.read_text()
        if text == "cut":
            return Holding(
                self.source, name, month, "damaged", (path,), f"{path.name} is cut short"
            )
        state = "preliminary" if "early" in text else "final"
        return Holding(self.source, name, month, state, (path,))

    def _field(self, workspace: Workspace, name: str, month: pd.Timestamp | None) -> np.ndarray:
        path = self._file(workspace, name, month)
        log = workspace.data / "read.log"
        log.write_text((log.read_text() if log.exists() else "") + path.name + "\n")
        text = path.read_text()
        if text == "broken":
            raise InputError("cannot read this file", where=path)
        number, *marks = text.split()
        rows = np.arange(9.0)[:, None] / 10 * (name != "evi")
        field = float(number) + np.broadcast_to(rows, (9, 18)).copy()
        if "moved" in marks:
            field[4, 7:9] += 1.0
        if name == "evi":
            field[0, 0] = np.nan
        return field


def plant(
    folder: Path, names: Sequence[str], first_year: int, last_year: int, **values: float
) -> None:
    """Write every month of some variables: the value of the variable plus the month number over a hundred."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if name in ("tas", "evi", "pr"):
            for month in pd.date_range(f"{first_year}-01", f"{last_year}-12", freq="MS"):
                value = values[name] + month.month / 100 * (name != "pr")
                (folder / f"{name}-{month:%Y-%m}.txt").write_text(f"{value}")
        else:
            (folder / f"{name}-static.txt").write_text(f"{values[name]}")
