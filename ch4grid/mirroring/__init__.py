"""Published products copied to object storage so that a reader there sees the old state or the new one, never half."""

from ch4grid.mirroring.mirrored import Mirrored, mirror

__all__ = ["Mirrored", "mirror"]
