"""The environment of a run, looked at before anything goes wrong; nothing is computed, changed or asked of others."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ch4grid import __version__
from ch4grid.environment import devices, machine, optional, software
from ch4grid.environment.check import Check, Examination, State
from ch4grid.fetching.credentials import credentials

__all__ = ["CHECKS", "Check", "Examination", "State", "examine"]


def _credentials() -> Iterator[Check]:
    for held in credentials():
        if held.place is None:
            yield Check("credentials", held.archive, "warn", "none", held.fix)
        else:
            yield Check("credentials", held.archive, "ok", f"in {held.place}")


# What is looked at, by group; each is told where products will go.
CHECKS: dict[str, Callable[[Path], Iterable[Check]]] = {
    "software": lambda _: software.software(),
    "devices": lambda _: devices.devices(),
    "optional": lambda _: optional.optional(),
    "credentials": lambda _: _credentials(),
    "machine": machine.machine,
}


def examine(output: Path) -> Examination:
    """What a run would find here.

    Args:
        output: The folder where products will go; it need not exist.
    """
    found = [check for look in CHECKS.values() for check in look(output)]
    return Examination(__version__, tuple(found))
