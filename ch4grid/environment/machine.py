"""The machine around a run: memory, cores, threads, open files, the output folder and the locale."""

import locale
import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from ch4grid.environment.check import Check
from ch4grid.planning.memory import machine_memory

GROUP = "machine"
GB = 1e9
# The embedded recipe takes 1 GB in the largest process; the flagship 3.5 GB.
LEAST_MEMORY, GOOD_MEMORY = 1.5 * GB, 6 * GB
# The embedded product takes 0.1 GB, a year of the flagship with its drivers 3.5 GB.
LEAST_SPACE, GOOD_SPACE = 0.5 * GB, 10 * GB
GOOD_FILES = 1024
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def machine(output: Path) -> Iterator[Check]:
    """Every fact about the machine.

    Args:
        output: The folder where products will go; it need not exist and is not made.
    """
    yield _memory(machine_memory())
    cores = len(os.sched_getaffinity(0))
    yield Check(GROUP, "cores", "ok", f"{cores}; --cluster local starts as many processes")
    yield _threads()
    yield _files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield _locale(locale.getpreferredencoding(do_setlocale=False))
    place = existing(output)
    writable = _writable(output, place)
    yield writable
    if writable.state == "ok":
        yield _locks(place)
        yield _space(shutil.disk_usage(place).free, output)


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    path = folder.absolute()
    return next(p for p in (path, *path.parents) if p.exists())


def _memory(found: int) -> Check:
    told = f"{found / GB:.1f} GB, the limit of a container included"
    if found < LEAST_MEMORY:
        return Check(GROUP, "memory", "fail", told, f"Give it {LEAST_MEMORY / GB:.1f} GB or more")
    if found < GOOD_MEMORY:
        fix = "Enough for small recipes; `ch4grid plan` says what a recipe takes"
        return Check(GROUP, "memory", "warn", told, fix)
    return Check(GROUP, "memory", "ok", told)


def _threads() -> Check:
    told = {name: os.environ[name] for name in THREADS if os.environ.get(name)}
    shown = ", ".join(f"{k}={v}" for k, v in told.items()) or "no limit set"
    return Check(GROUP, "threads", "ok", f"{shown}; tasks use one each whatever is set")


def _files(limit: int) -> Check:
    unlimited = limit == resource.RLIM_INFINITY
    told = "unlimited" if unlimited else str(limit)
    if not unlimited and limit < GOOD_FILES:
        return Check(GROUP, "open files", "warn", told, f"ulimit -n {GOOD_FILES}")
    return Check(GROUP, "open files", "ok", told)


def _locale(encoding: str) -> Check:
    if encoding.replace("-", "").lower() == "utf8":
        return Check(GROUP, "locale", "ok", encoding)
    return Check(
        GROUP,
        "locale",
        "warn",
        encoding,
        "export LC_ALL=C.UTF-8, so that names of places can be printed",
    )


def _writable(output: Path, place: Path) -> Check:
    """Whether a file can be made, renamed and taken away where the output will be."""
    fix = "Choose another folder with --output, or change its permissions"
    if not place.is_dir():
        return Check(GROUP, "output", "fail", f"{place} is a file, not a folder", fix)
    try:
        with tempfile.TemporaryDirectory(dir=place, prefix=".ch4grid-doctor-") as folder:
            first = Path(folder) / "a"
            first.write_bytes(b"1")
            first.replace(Path(folder) / "b")
    except OSError as error:
        return Check(GROUP, "output", "fail", f"{output}: {error.strerror or error}", fix)
    return Check(GROUP, "output", "ok", f"{output} is writable")


def _locks(place: Path) -> Check:
    """Whether files can be locked, which some network file systems refuse."""
    try:
        with (
            tempfile.TemporaryDirectory(dir=place, prefix=".ch4grid-doctor-") as folder,
            FileLock(Path(folder) / "lock", timeout=5),
        ):
            pass
    except OSError as error:  # a timeout is one of these
        return Check(
            GROUP,
            "locks",
            "fail",
            f"{place} does not lock files: {error}",
            "Mount the file system with locks, or write to a local folder and mirror from there",
        )
    return Check(GROUP, "locks", "ok", "files can be locked")


def _space(free: int, output: Path) -> Check:
    told = f"{free / GB:.1f} GB free at {output}"
    if free < LEAST_SPACE:
        return Check(
            GROUP, "disk", "fail", told, "Free space, or choose another folder with --output"
        )
    if free < GOOD_SPACE:
        fix = "Enough for small recipes; `ch4grid plan` says what a recipe writes"
        return Check(GROUP, "disk", "warn", told, fix)
    return Check(GROUP, "disk", "ok", told)
