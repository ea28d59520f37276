"""What an attribution is asked: which published cells are compared with which, settled before anything is computed."""

import re
from dataclasses import dataclass
from pathlib import Path

from ch4grid import __version__, cube, ledger
from ch4grid.attribution.shares import ALL_ORDERS, DRAWN_PAIRS
from ch4grid.errors import InputError, RecipeError
from ch4grid.planning import Plan, plan
from ch4grid.recipe import Recipe
from ch4grid.stores import Workspace, sha256_json

HISTORY = "historical"
PERIOD = re.compile(r"(\d{4})(?:-(\d{4}))?")


@dataclass(frozen=True)
class Question:
    """A change between published cells.

    Args:
        name: Names the output.
        old: Plan of the product before.
        new: Plan of the product after.
        years: Pairs of years, before and after.
        words: Before and after in words.
    """

    name: str
    old: Plan
    new: Plan
    years: tuple[tuple[int, int], ...]
    words: tuple[str, str]

    @property
    def output(self) -> Path:
        """Where the answer goes: beside the products."""
        return self.new.store.with_name(f"{cube.ATTRIBUTION}{self.name}.zarr")

    @property
    def key(self) -> str:
        """Digest of everything that determines the answer."""
        inputs = [[self.old.inputs[a], self.new.inputs[b]] for a, b in self.years]
        rule = [__version__, ALL_ORDERS, DRAWN_PAIRS]
        return sha256_json([rule, self.old.parts, self.new.parts, list(self.years), inputs])


def between_periods(
    recipe: Recipe, workspace: Workspace, before: str, after: str | None
) -> Question:
    """The change of the historical product between two periods, their years paired in order.

    Args:
        recipe: The recipe.
        workspace: Its folders.
        before: A year or a period such as `2001-2003`.
        after: The same; the last published years of the same number when None.

    Raises:
        RecipeError: A period is none, the two are of different length, or they are the same.
        InputError: A year is not published.
    """
    first = _period("--from", before)
    store = plan(recipe, workspace, years=first).store
    published = ledger.published_years(store)
    last = sorted(published)[-len(first) :] if after is None else _period("--to", after)
    if len(first) != len(last):
        raise RecipeError(
            "the two periods are of different length",
            where="--to",
            expected=f"{len(first)} year(s), as in --from {before}",
            found=f"{len(last)}",
        )
    if first == last:
        raise RecipeError(
            "both periods are the same", where="--to", expected="another period", found=before
        )
    found = _published(plan(recipe, workspace, years=sorted({*first, *last})), HISTORY)
    names = (_span(first), _span(last))
    pairs = tuple(zip(first, last, strict=True))
    return Question(f"{names[0]}-to-{names[1]}", found, found, pairs, names)


def between_scenarios(
    recipe: Recipe, workspace: Workspace, scenario: str, years: list[int] | None
) -> Question:
    """The change from history to a scenario in the years that are asked for or that both have.

    Args:
        recipe: The recipe.
        workspace: Its folders.
        scenario: A scenario of the recipe that changes something.
        years: Years; those published of both when None.

    Raises:
        RecipeError: There is no such scenario, or it changes nothing.
        InputError: A year is not published.
    """
    if HISTORY not in recipe.scenarios:
        raise RecipeError(
            "the recipe has no historical scenario to compare with",
            where="scenarios",
            expected=HISTORY,
            found=", ".join(recipe.scenarios),
        )
    wanted = sorted(set(years or recipe.years))
    new = plan(recipe, workspace, years=wanted, scenario=scenario)
    if not recipe.scenarios[scenario].changes:
        raise RecipeError(
            "the scenario changes nothing", where="--scenario", expected="another", found=scenario
        )
    old = plan(recipe, workspace, years=wanted)
    if years is None:
        both = {*ledger.published_years(old.store)} & {*ledger.published_years(new.store)}
        wanted = sorted(both & {*wanted}) or wanted
    for found, name in ((old, HISTORY), (new, scenario)):
        _published(found, name, wanted)
    suffix = "" if years is None else "".join(f"-{y}" for y in wanted)
    pairs = tuple((y, y) for y in wanted)
    return Question(f"{scenario}{suffix}", old, new, pairs, (HISTORY, scenario))


def _period(where: str, text: str) -> list[int]:
    found = PERIOD.fullmatch(text)
    first, last = (found[1], found[2] or found[1]) if found else ("1", "0")
    if int(first) > int(last):
        raise RecipeError(
            "this is no period",
            where=where,
            expected="a year such as 2001 or years such as 2001-2003",
            found=text,
        )
    return list(range(int(first), int(last) + 1))


def _span(years: list[int]) -> str:
    return str(years[0]) if len(years) == 1 else f"{years[0]}-{years[-1]}"


def _published(found: Plan, scenario: str, years: list[int] | None = None) -> Plan:
    """The plan, if its store holds the years as the recipe has them now.

    Raises:
        InputError: A year is missing or out of date.
    """
    wanted = set(years or found.inputs)
    owed = sorted(y.year for y in found.years if y.action == "make" and y.year in wanted)
    if found.missing and not set(found.inputs) >= wanted:
        raise InputError(found.missing[0], fix="`ch4grid plan` lists what is missing")
    if owed:
        raise InputError(
            f"the {scenario} product has no published {', '.join(map(str, owed))} from these inputs",
            where=found.store,
            expected="published years to compare",
            found=", ".join(map(str, ledger.published_years(found.store))) or "none",
            fix=f"`ch4grid run RECIPE --scenario {scenario} --year {owed[0]}` makes it",
        )
    return found
