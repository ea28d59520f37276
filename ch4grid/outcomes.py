"""What the doors of the package give back: the result of a run, an attribution, a training, as JSON and in words."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ch4grid.findings import Finding
from ch4grid.planning.comparison import Compared, as_dicts, in_words
from ch4grid.stores import beside


@dataclass(frozen=True)
class Outcome:
    """What a run did: the store, the catalog, the years made now, what they amount to, what it took, its page."""

    store: Path
    catalog: Path
    made: tuple[int, ...]
    published: tuple[int, ...]
    reason: str
    totals: dict[str, list[float]]
    doubts: tuple[str, ...]
    revised: tuple[str, ...]
    difference: tuple[dict[str, Any], ...] | None = None
    scenario: tuple[str, ...] = ()
    choice: str = ""
    took: tuple[Compared, ...] = ()
    report: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        return {
            "store": str(self.store),
            "catalog": str(self.catalog),
            "made": list(self.made),
            "published": list(self.published),
            "reason": self.reason,
            "annual_total_tg": self.totals,
            "not_final": list(self.doubts),
            "revised_drivers": list(self.revised),
            "difference_to_historical_tg": None
            if self.difference is None
            else list(self.difference),
            "left_out": list(self.scenario),
            "choice_of_model": self.choice,
            "took": as_dicts(self.took),
            "report": None if self.report is None else str(self.report),
        }

    def in_words(self) -> str:
        """The outcome as lines for people."""
        done = f"made {_listed(self.made)}" if self.made else "nothing to do"
        lines = [f"{done}: {self.reason}"]
        lines += [f"model: {self.choice}"] if self.choice else []
        lines += [
            f"{year}: {t[1]:.1f} Tg ({t[0]:.1f} to {t[2]:.1f})" for year, t in self.totals.items()
        ]
        lines += list(self.scenario)
        lines += [f"not final: {d}" for d in self.doubts]
        lines += list(self.revised)
        lines += in_words(self.took)
        lines += [
            f"store    {self.store}",
            f"open     xarray.open_zarr({str(self.store)!r})",
            f"catalog  {self.catalog / 'catalog.json'}",
            f"page     {self.catalog / 'index.html'}",
            *([] if self.report is None else [f"report   {self.report}"]),
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Attributed:
    """Contributions to a change: the store, what it says, and whether it had been there before."""

    store: Path
    finding: Finding
    known: bool

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        table = self.finding.table
        return {
            "store": str(self.store),
            "table": str(beside(self.store, ".csv")),
            "answers": list(self.finding.answers),
            "contributions_tg_per_year": table[
                (table["region"] == "globe") & (table["ecosystem"] == "all")
            ].to_dict("records"),
            "limits": list(self.finding.limits),
            "made": not self.known,
        }

    def in_words(self) -> str:
        """The result as lines for people."""
        lines = ["nothing to do: answered before, from the same cells"] if self.known else []
        lines += [self.finding.title, *self.finding.answers, *self.finding.limits]
        lines += [f"store    {self.store}", f"table    {beside(self.store, '.csv')}"]
        return "\n".join(lines)


@dataclass(frozen=True)
class Trained:
    """A checkpoint and its skill on clusters that it has not seen."""

    folder: Path
    digest: str
    skill: tuple[dict[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {"folder": str(self.folder), "digest": self.digest, "skill": list(self.skill)}

    def in_words(self) -> str:
        """The result as lines for people."""
        rows = [", ".join(f"{k} {v}" for k, v in row.items()) for row in self.skill]
        return "\n".join([f"checkpoint {self.folder}", f"digest     {self.digest}", *rows])


def _listed(years: tuple[int, ...]) -> str:
    return ", ".join(map(str, years))
