"""What an export is asked for: years, classes, a member, a grid, checked before any file is made."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ch4grid.errors import InputError, RecipeError

PERIOD = re.compile(r"(\d{4})(?:-(\d{4}))?")


@dataclass(frozen=True)
class Request:
    """A request that fits the product.

    Args:
        years: Published years, ascending.
        ecosystems: Classes that are summed, in the order of the product; all of them by default.
        selected: Whether the classes were chosen, and so stand in the names of files.
        member: Member of the ensemble in place of its mean; None for the mean.
        grid: Name of the target grid; empty for that of the product.
    """

    years: tuple[int, ...]
    ecosystems: tuple[str, ...]
    selected: bool = False
    member: int | None = None
    grid: str = ""

    @property
    def label(self) -> str:
        """What tells the files of this choice from others of the same product; empty for the default."""
        parts = list(self.ecosystems) if self.selected else []
        parts += [f"member{self.member:02d}"] if self.member is not None else []
        return "_".join(parts)

    @property
    def span(self) -> str:
        """First and last year."""
        first, last = self.years[0], self.years[-1]
        return str(first) if first == last else f"{first}-{last}"


def years_of(text: str) -> tuple[int, ...]:
    """Years of a text such as `2001`, `2001-2003` or `2001-2003,2007`, ascending.

    Raises:
        RecipeError: It is no such text.
    """
    years: set[int] = set()
    for part in text.split(","):
        found = PERIOD.fullmatch(part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last:
            raise RecipeError(
                "these are no years",
                where="--years",
                expected="a year or a period, first to last, such as 2001 or 2001-2003",
                found=repr(text),
            )
        years.update(range(first, last + 1))
    return tuple(sorted(years))


def published(years: Iterable[int] | None, known: Sequence[int]) -> tuple[int, ...]:
    """The years asked for, ascending; all that are published when None.

    Raises:
        InputError: A year is not published, or none is asked for.
    """
    asked = sorted(set(known if years is None else years))
    lacking = [y for y in asked if y not in known]
    if lacking or not asked:
        raise InputError(
            "the product has not published a year" if lacking else "no year is asked for",
            where="years",
            expected=f"some of {', '.join(map(str, known)) or 'none'}",
            found=", ".join(map(str, lacking)) or "none",
            fix="Only published years are exported" if lacking else "",
        )
    return tuple(int(y) for y in asked)


def chosen(names: Collection[str], known: Sequence[str], where: str) -> tuple[str, ...]:
    """Names in the order in which the product has them.

    Raises:
        RecipeError: A name is unknown.
    """
    unknown = [n for n in names if n not in known]
    if unknown:
        raise RecipeError(
            "unknown name", where=where, expected=", ".join(known), found=", ".join(unknown)
        )
    return tuple(n for n in known if n in names)
