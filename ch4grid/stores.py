"""Where things lie on disk: the workspace of a run, fingerprints of inputs and atomic writes."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ch4grid.errors import InputError, RunError


@dataclass(frozen=True)
class Workspace:
    """The two folders of a run: `data` resolves relative recipe paths, `output` receives everything written."""

    data: Path
    output: Path

    def resolve(self, path: str | Path) -> Path:
        """An absolute path as it is, a relative one below the data folder."""
        return (self.data / Path(path).expanduser()).absolute()

    def matches(self, pattern: str) -> list[Path]:
        """Files that match a path or glob pattern, sorted.

        Raises:
            InputError: Nothing matches.
        """
        base = self.resolve(pattern)
        if not any(c in pattern for c in "*?["):
            found = [base] if base.exists() else []
        else:
            wild = _first_wild(base.parts)
            found = sorted(Path(*base.parts[:wild]).glob("/".join(base.parts[wild:])))
        if not found:
            raise InputError(
                "no such file",
                where=pattern,
                expected=f"at least one file at {base}",
                found="none",
                fix="Check the path in the recipe and --data, the folder that relative paths start from",
            )
        return found

    @property
    def cache(self) -> Path:
        """Intermediate stores that can be deleted at any time."""
        return self.output / "cache"

    @property
    def models(self) -> Path:
        """Checkpoints, one folder each."""
        return self.output / "models"

    @property
    def catalog(self) -> Path:
        """The STAC catalog's folder."""
        return self.output / "catalog"


def _first_wild(parts: tuple[str, ...]) -> int:
    return next(i for i, part in enumerate(parts) if any(c in part for c in "*?["))


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a JSON-able value in canonical form, hexadecimal."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


class Fingerprints:
    """SHA-256 of input files, remembered by path, size and modification time so that a second look is cheap.

    Args:
        memory: JSON file that keeps the table between runs.
    """

    def __init__(self, memory: Path) -> None:
        self.memory = memory
        self._table: dict[str, list[Any]] = (
            json.loads(memory.read_text()) if memory.exists() else {}
        )

    def of(self, paths: Iterable[Path]) -> dict[str, str]:
        """File name to SHA-256 for every path; directories (Zarr stores) count their files."""
        files = [
            f
            for p in paths
            for f in ([p] if p.is_file() else sorted(q for q in p.rglob("*") if q.is_file()))
        ]
        known = dict(self._table)
        digests = {str(f): self._digest(f) for f in files}
        if self._table != known:
            write_atomic(self.memory, json.dumps(self._table, sort_keys=True).encode())
        return digests

    def _digest(self, path: Path) -> str:
        stat = path.stat()
        known = self._table.get(str(path))
        if known and known[:2] == [stat.st_size, stat.st_mtime_ns]:
            return str(known[2])
        digest = sha256_file(path)
        self._table[str(path)] = [stat.st_size, stat.st_mtime_ns, digest]
        return digest


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old or the new content, never a part.

    Raises:
        RunError: The folder cannot be written or the disk is full.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> RunError:
    """The error for a file that could not be written, with the system's reason."""
    return RunError(
        "cannot write",
        where=path,
        expected="a writable folder with free space",
        found=error.strerror or str(error),
        fix="Free space or choose another folder with --output; nothing published was changed",
    )


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold a lock file, made where absent; whoever comes second waits. It goes with the process that holds it.

    Raises:
        RunError: The folder cannot be written.
    """
    from filelock import FileLock

    held = FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire()
    except OSError as error:
        raise unwritable(lock, error) from error
    try:
        yield
    finally:
        held.release()


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document atomically, sorted keys, two-space indent."""
    write_atomic(path, (json.dumps(document, indent=2, sort_keys=True) + "\n").encode())


def product_store(output: Path, product: str, version: int, scenario: str) -> Path:
    """The Zarr store of one product version and scenario below an output folder."""
    return output / product / f"v{version}" / f"{scenario}.zarr"


def beside(store: Path, suffix: str) -> Path:
    """What belongs to a store and lies next to it, e.g. `historical.ledger.parquet` for suffix `.ledger.parquet`."""
    return store.with_name(store.name.removesuffix(".zarr") + suffix)


def folder_bytes(folder: Path) -> int:
    """Size of all files below a folder [bytes]; zero where there is none."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def sweep_partial(folder: Path, pattern: str = "**/.*.partial") -> None:
    """Remove the temporary files that a killed process left in a folder.

    Raises:
        RunError: The system refuses.
    """
    try:
        for path in sorted(folder.glob(pattern)):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
