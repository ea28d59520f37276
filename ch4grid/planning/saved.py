"""A plan in a file: written, read back, and held against what is there now, so that what was agreed on is what runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ch4grid.errors import InputError
from ch4grid.planning.document import FORMAT, IDENTITY, Plan, digest_of
from ch4grid.stores import write_atomic

# Things that moved and are named in a refusal; of the others it tells the number.
NAMED = 5


@dataclass(frozen=True)
class SavedPlan:
    """What a saved plan rests on.

    Args:
        path: Its file.
        digest: Its digest.
        scenario: The scenario.
        years: The years that it has inputs of.
        identity: What determines the product, as JSON values.
    """

    path: Path
    digest: str
    scenario: str
    years: tuple[int, ...]
    identity: Mapping[str, Any]


def save(plan: Plan, path: Path) -> None:
    """Write a plan as JSON.

    Raises:
        RunError: The folder cannot be written.
    """
    write_atomic(path, (json.dumps(plan.as_dict(), indent=2) + "\n").encode())


def read(path: Path) -> SavedPlan:
    """A plan that `ch4grid plan` saved or printed as JSON.

    Raises:
        InputError: The file is missing, no plan, of another format, or not as it was saved.
    """
    try:
        document = json.loads(path.read_bytes())
        identity = {n: document[n] for n in IDENTITY}
        found = SavedPlan(
            path=path,
            digest=document["digest"],
            scenario=document["scenario"],
            years=tuple(sorted(int(y) for y in document["inputs"])),
            identity=identity,
        )
        form = document["format"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        told = error.strerror if isinstance(error, OSError) else f"{type(error).__name__} {error}"
        raise InputError(
            "no plan can be read here",
            where=path,
            expected="the JSON of `ch4grid plan RECIPE --save FILE`",
            found=" ".join(str(told).split())[:200],
        ) from None
    if form != FORMAT or digest_of(identity) != found.digest:
        raise InputError(
            "the plan is not as it was saved",
            where=path,
            expected=f"format {FORMAT} and the digest {found.digest[:16]}",
            found=f"format {form} and the digest {digest_of(identity)[:16]}",
            fix="Make it again with `ch4grid plan RECIPE --save FILE`",
        )
    return found


def refuse_moved(saved: SavedPlan, now: Plan) -> None:
    """Refuse to run a saved plan whose recipe or inputs are not those that it was made from.

    Raises:
        InputError: Something moved since; the message names it.
    """
    if saved.digest == now.digest:
        return
    names = moved(saved.identity, now.identity)
    shown = ", ".join(names[:NAMED])
    raise InputError(
        "inputs or recipe moved since the plan was saved",
        where=saved.path,
        expected=f"those of plan {saved.digest[:16]}",
        found=shown + (f" and {len(names) - NAMED} more" if len(names) > NAMED else ""),
        fix="Look at `ch4grid plan` again and save it, or run without --plan",
    )


def moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Names of what differs between what two plans rest on, in words.

    Recipe keys and files explain fingerprints of years and digests of parts; these are named where nothing explains
    them.
    """
    found = [f"recipe key {n} changed" for n in _differing(old["recipe"], new["recipe"])]
    found += changed_files(old["files"], new["files"])
    if not found:
        found += [f"inputs of {y} changed" for y in _differing(old["inputs"], new["inputs"])]
        found += [f"{n} changed" for n in _differing(old["parts"], new["parts"])]
    found += [
        f"{n} is {new[n]}, was {old[n]}"
        for n in ("product", "scenario", "version")
        if old[n] != new[n]
    ]
    return found


def changed_files(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Files that differ between two tables of digests by path, in words."""
    return [
        f"{n} changed" if n in old and n in new else f"{n} {'is gone' if n in old else 'is new'}"
        for n in _differing(old, new)
    ]


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [n for n in sorted({*old, *new}) if old.get(n) != new.get(n)]
