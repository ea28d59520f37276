"""The command `ch4grid doctor`: what stands between this machine and a run."""

import json
from dataclasses import asdict
from pathlib import Path

import typer

from ch4grid.arguments import AsJson, Output
from ch4grid.console import say, say_table


def doctor(output: Output = Path("products"), as_json: AsJson = False) -> None:
    """Look at Python, packages, devices, credentials, memory and disk, and say how to mend what is lacking.

    Ends with exit code 1 when something is missing that no run can do without. Shows no credential, only where it is.
    """
    from ch4grid.environment import examine

    found = examine(output)
    if as_json:
        say(json.dumps(found.as_dict(), indent=2))
    else:
        say_table([asdict(c) for c in found.checks], ("state", "group", "name", "found", "fix"))
        say(found.in_words())
    if found.failed:
        raise typer.Exit(1)
