"""Files that appear whole: written beside their place, then renamed."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ch4grid.stores import unwritable


def put(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a file beside its place, then move it there: a reader sees a whole file or none.

    Raises:
        RunError: The folder cannot be written or the disk is full.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(beside)
        beside.replace(path)
    except (OSError, RuntimeError) as error:  # the NetCDF library meets a full disk with the latter
        refused = error if isinstance(error, OSError) else OSError(str(error))
        raise unwritable(path, refused) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
