"""What a look at the environment finds: one fact, how it stands, and what to do about it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

# `ok`; `warn` for what only some commands need or what makes runs slow; `fail` for what no run can do without.
State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """A fact about the environment.

    Args:
        group: What it belongs to: `software`, `devices`, `optional`, `credentials`, `machine`.
        name: What was looked at.
        state: How it stands.
        found: What was there, with its value; never a secret.
        fix: What to do about it; empty where nothing is to be done.
    """

    group: str
    name: str
    state: State
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Examination:
    """All that a look at the environment finds."""

    version: str
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """What no run can do without and is not there."""
        return tuple(c for c in self.checks if c.state == "fail")

    def as_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "version": self.version,
            "ok": not self.failed,
            "checks": [asdict(c) for c in self.checks],
        }

    def in_words(self) -> str:
        """How many checks stand how, in one line."""
        count = {s: sum(c.state == s for c in self.checks) for s in ("ok", "warn", "fail")}
        return f"ch4grid {self.version}: " + ", ".join(f"{n} {s}" for s, n in count.items())
