"""Who holds a store: one process at a time, by a lock file beside it that goes with the process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ch4grid.errors import RunError
from ch4grid.stores import beside, unwritable

# Seconds that a run waits for the lock: a look at whether it is held takes it for a moment.
PATIENCE = 0.2


@contextmanager
def hold(store: Path) -> Iterator[None]:
    """Hold a store as it is, damaged or not; the lock goes with the process that holds it.

    Raises:
        RunError: Another run holds it.
    """
    from filelock import FileLock, Timeout

    path = beside(store, ".lock")
    held = FileLock(path, timeout=PATIENCE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held.acquire()
    except Timeout as error:
        raise RunError(
            "another run is writing this product",
            where=store,
            expected=f"the lock {path} to be free",
            found="it is held",
            fix="Wait for the other run to end; the lock is free as soon as its process is gone",
        ) from error
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield
    finally:
        held.release()


def busy(store: Path) -> bool:
    """Whether a run holds the store now."""
    from filelock import FileLock, Timeout

    path = beside(store, ".lock")
    probe = FileLock(path, timeout=0)
    if not path.exists():
        return False
    try:
        probe.acquire()
    except Timeout:
        return True
    except OSError:
        return False
    probe.release()
    return False
