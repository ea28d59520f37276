"""The delivery of an export: files are made in a folder of their own and appear under their names when all are whole.

A killed export leaves nothing but that hidden folder, which the next one sweeps away. The manifest comes last, so who
finds it finds every file that it names.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ch4grid.errors import RunError
from ch4grid.exports.export import Piece
from ch4grid.progress import Report
from ch4grid.stores import sha256_file, unwritable, write_json

STAGE = ".ch4grid-export-{}.partial"


@dataclass(frozen=True)
class Delivered:
    """A file that was made.

    Args:
        name: Its name.
        years: Years that it holds.
        sha256: Digest of its bytes.
        bytes: Its size [byte].
        departure: Largest departure of a month from the budget of the product as a share of its gross flux; None where
            the file holds no fluxes.
    """

    name: str
    years: tuple[int, ...]
    sha256: str
    bytes: int
    departure: float | None

    def as_dict(self) -> dict[str, Any]:
        """The file as JSON values."""
        told = {"sha256": self.sha256, "bytes": self.bytes, "years": list(self.years)}
        return told | ({} if self.departure is None else {"departure": self.departure})


def deliver(
    pieces: Sequence[Piece], folder: Path, manifest: str, told: dict[str, Any], report: Report
) -> tuple[Delivered, ...]:
    """Make files, and let them appear in a folder, those of the same names replaced, the manifest last.

    Args:
        pieces: The files.
        folder: Where they go; made where absent.
        manifest: Name of the manifest.
        told: What the manifest says besides the files.
        report: Hears of every file.

    Raises:
        RunError: The folder cannot be written or the disk is full; the files that did appear are named.
    """
    with _stage(folder) as stage:
        made = []
        for done, piece in enumerate(pieces):
            report("export", done, len(pieces))
            path = stage / piece.name
            departure = piece.make(path)
            _sync(path)
            size = path.stat().st_size
            made.append(Delivered(piece.name, piece.years, sha256_file(path), size, departure))
        files = {m.name: m.as_dict() for m in made}
        write_json(stage / manifest, told | {"files": files})
        _appear(stage, folder, [*files, manifest])
    report("export", len(pieces), len(pieces))
    return tuple(made)


@contextmanager
def _stage(folder: Path) -> Iterator[Path]:
    """A hidden folder inside the folder, gone afterwards."""
    stage = folder / STAGE.format(os.getpid())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        stage.mkdir()
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what killed exports left; those of living processes stay."""
    for left in folder.glob(STAGE.format("*")):
        number = left.name.split("-")[-1].split(".")[0]
        if number == str(os.getpid()) or not (number.isdigit() and _lives(int(number))):
            shutil.rmtree(left, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync(path: Path) -> None:
    """Wait until the disk has a file."""
    try:
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    except OSError as error:
        raise unwritable(path, error) from error


def _appear(stage: Path, folder: Path, names: Sequence[str]) -> None:
    there: list[str] = []
    # a manifest of an earlier export must not vouch for files that are being replaced
    with suppress(FileNotFoundError):
        (folder / names[-1]).unlink()
    for name in names:
        try:
            (stage / name).replace(folder / name)
        except OSError as error:
            raise RunError(
                "not all files of the export could be put in their place",
                where=folder / name,
                expected=f"{len(names)} files",
                found=f"{error.strerror or error}; in place: {', '.join(there) or 'none'}",
                fix="Mend the folder and run it again; without its manifest the set is not whole",
            ) from error
        there.append(name)
