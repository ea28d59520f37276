"""Python and the packages that every run needs, against the minimums that the package itself states."""

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from ch4grid.environment.check import Check

GROUP = "software"
PACKAGE = "ch4grid"
PYTHONS = ((3, 11), (3, 13))
INSTALL = "pip install --constraint deploy/constraints.txt ch4grid"


def software() -> Iterator[Check]:
    """Python, then every package that is needed: installed or not, new enough or not."""
    yield _python(sys.version_info[:2])
    try:
        needed = [Requirement(line) for line in requires(PACKAGE) or ()]
    except PackageNotFoundError:
        yield Check(
            GROUP,
            PACKAGE,
            "warn",
            "runs from a folder, not installed: what it needs is not known",
            "pip install --editable .",
        )
        return
    asked = [r for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]
    yield from map(held, sorted(asked, key=lambda r: r.name))


def held(needed: Requirement) -> Check:
    """How a requirement is held by what is installed."""
    try:
        found = version(needed.name)
    except PackageNotFoundError:
        return Check(
            GROUP, needed.name, "fail", f"not installed, needs {needed.specifier}", INSTALL
        )
    if not needed.specifier.contains(found, prereleases=True):
        return Check(GROUP, needed.name, "fail", f"{found}, needs {needed.specifier}", INSTALL)
    return Check(GROUP, needed.name, "ok", found)


def _python(found: tuple[int, ...]) -> Check:
    told = ".".join(map(str, found))
    low, high = (".".join(map(str, v)) for v in PYTHONS)
    if PYTHONS[0] <= found <= PYTHONS[1]:
        return Check(GROUP, "python", "ok", told)
    return Check(
        GROUP,
        "python",
        "fail",
        f"{told}, needs {low} to {high}",
        f"Make an environment with {high}",
    )
