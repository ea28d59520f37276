"""A network that judges a month from its last 24 months: bounded memory, whatever its depth.

It is trained on months drawn from the rows, not on whole rows, so that a step costs the same with any number of
sites. Months before the record do not exist: they are zero, and `present` says so.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

# Months of a window M, the month itself included: the memory that a training row brings along.
MEMORY = 24
# Windows judged at once in prediction; bounds the memory.
CHUNK = 2048


class Windowed(nn.Module, ABC):
    """Judges months one by one; a subclass says how in `judge`."""

    # Months B drawn in a step of training.
    months: ClassVar[int] = 256

    @abstractmethod
    def judge(self, windows: Tensor, present: Tensor, statics: Tensor) -> Tensor:
        """Location and log scale (B, 2) of the last month of windows.

        Args:
            windows: Inputs (B, M, F_in).
            present: Whether a month of the window lies in the record (B, M); the last always does.
            statics: Static features (B, F).
        """

    def forward(self, inputs: Tensor, statics: Tensor) -> Tensor:
        """Location and log scale (R, T, 2) of every month of inputs (R, T, F_in) at statics (R, F)."""
        rows, months = inputs.shape[:2]
        index = torch.arange(rows * months)
        judged = []
        for part in torch.split(index, CHUNK):
            row, month = part // months, part % months
            judged.append(self.judge(*cut_windows(inputs, row, month), statics[row]))
        return torch.cat(judged).reshape(rows, months, 2)


def cut_windows(inputs: Tensor, row: Tensor, month: Tensor) -> tuple[Tensor, Tensor]:
    """Windows (B, M, F_in) that end at months (B) of rows (B), and which of their months lie in the record (B, M)."""
    at = month[:, None] + torch.arange(1 - MEMORY, 1)
    present = at >= 0
    windows = inputs[row[:, None], at.clamp(min=0)]
    return windows * present[:, :, None], present
