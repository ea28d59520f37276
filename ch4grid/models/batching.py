"""Batches of one shape, halved when memory runs out; a process remembers the size that it ended with.

All batches are padded to the same number of points, so that a point is computed by the same operations wherever it
stands. A halved batch is another shape: results then agree to rounding, not to the bit.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ch4grid.errors import RunError

Integers = NDArray[np.intp]

# Points side by side: on a processor as many as its caches hold, on a GPU as many as keep it busy.
SIZES = {"cpu": 128, "cuda": 2048}
# What torch says when the system gives it no memory, which is no exception class of its own on a processor.
REFUSED = "can't allocate memory"

_ended_with: dict[str, int] = {}


def batch_size(device: str) -> int:
    """Points in a batch on a device: what an earlier batch of this process ended with, else the size by kind."""
    return _ended_with.get(device, SIZES[torch.device(device).type])


def batches(
    rows: Integers, predict: Callable[[Integers], NDArray[Any]], *, device: str, size: int | None
) -> Iterator[tuple[Integers, NDArray[Any]]]:
    """Rows of each batch and what is predicted for them, points on the third axis.

    Args:
        rows: Points (S), by index.
        predict: Predicts a padded batch of points; its answer has as many points on the third axis.
        device: Torch device.
        size: Points in a batch; `batch_size` when None.

    Raises:
        RunError: There is no memory for a single point.
    """
    size = size or batch_size(device)
    start = 0
    while start < len(rows):
        part = rows[start : start + size]
        try:
            found = predict(part[np.minimum(np.arange(size), len(part) - 1)])
        except (RuntimeError, MemoryError) as error:
            if not _is_shortage(error):
                raise
            size = _halved(size, device, error)
            continue
        yield part, found[:, :, : len(part)]
        start += len(part)


def _halved(size: int, device: str, error: Exception) -> int:
    if size == 1:
        raise RunError(
            "memory ran out",
            where=device,
            expected="memory for a batch of one point",
            found=str(error).splitlines()[0],
            fix="Use fewer workers, e.g. --cluster local:1, or another device with --device",
        ) from error
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
    _ended_with[device] = size // 2
    return size // 2


def _is_shortage(error: Exception) -> bool:
    shortage = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return shortage or REFUSED in str(error)
