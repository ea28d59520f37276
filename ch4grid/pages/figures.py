"""Numbers as text: three significant figures, a true minus sign, a dash for what is missing."""

import math

MINUS = "\N{MINUS SIGN}"
MISSING = "\N{EN DASH}"


def figure(value: float) -> str:
    """A number for people, e.g. `172`, `17.2`, `1.72`, `0.0172`, `−0.500`; an en dash when missing."""
    if not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        return f"{value:.2e}".replace("-", MINUS)
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}".replace("-", MINUS)


def tick(value: float) -> str:
    """A round number on an axis, e.g. `20`, `0.5`."""
    return f"{value:g}".replace("-", MINUS)


def percent(share: float) -> str:
    """A share as a percentage, e.g. `12.3 %`; an en dash when missing."""
    return f"{figure(100 * share)} %" if math.isfinite(share) else MISSING


def words(name: str) -> str:
    """An identifier in words: hyphens and underscores become spaces."""
    return name.replace("-", " ").replace("_", " ")
