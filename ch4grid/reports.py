"""The page about a run, `<output>/report.html`: its plan beside what it took, its warnings and its failures.

It lies outside the catalog, whose bytes know no machine; a run that finds nothing to do leaves that of the run before.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from ch4grid import ledger, pages
from ch4grid.cube import Failure
from ch4grid.planning import Plan
from ch4grid.planning.comparison import Compared
from ch4grid.planning.tasks import StageTotal, by_stage
from ch4grid.stores import Workspace

NAME = "report.html"


def path_of(workspace: Workspace) -> Path:
    """Where the page about the last run lies."""
    return workspace.output / NAME


def tell(
    workspace: Workspace,
    todo: Plan,
    took: Sequence[Compared],
    *,
    failed: Sequence[Failure] = (),
    revised: Sequence[str] = (),
) -> Path:
    """Write the page about a run that has ended.

    Args:
        workspace: Its folders.
        todo: What was planned.
        took: What it took by stage.
        failed: Regions in quarantine.
        revised: Drivers whose files had changed, in words.

    Returns:
        The page.

    Raises:
        RunError: It cannot be written.
    """
    there = set(ledger.published_years(todo.store))
    years = tuple(pages.YearReport(y.year, y.action, y.reason, y.year in there) for y in todo.years)
    measured = {row.stage: row for row in took}
    report = pages.RunReport(
        title=f"{todo.product} v{todo.version}, {todo.scenario}",
        headline=_headline(years, failed),
        whole=not failed,
        years=years,
        stages=tuple(_stage(s, measured.get(s.stage), todo) for s in by_stage(todo.tasks)),
        again=tuple(
            f"{stage}, again: {why}"
            for stage, why in dict.fromkeys(
                (t.stage, t.why) for t in todo.tasks if t.action == "recompute"
            )
        ),
        warnings=todo.doubts,
        quarantined=tuple((f.place, f.reason) for f in failed),
        revised=tuple(revised),
        facts={
            "version": f"v{todo.version}: {todo.version_reason}",
            "plan": todo.digest,
            **dict(sorted(todo.parts.items())),
            "input files": str(len(todo.files)),
        },
        links=_links(workspace, todo),
    )
    return pages.write_report(path_of(workspace), report)


def _headline(years: Sequence[pages.YearReport], failed: Sequence[Failure]) -> str:
    made = [str(y.year) for y in years if y.action != "done" and y.published]
    owed = [str(y.year) for y in years if not y.published]
    told = f"Published {', '.join(made)}." if made else "Published no year."
    if failed:
        told += f" {len(failed)} region(s) are in quarantine; not published: {', '.join(owed)}."
    return told


def _stage(planned: StageTotal, took: Compared | None, todo: Plan) -> pages.StageReport:
    return pages.StageReport(
        stage=planned.stage,
        new=planned.new,
        again=planned.recompute,
        skipped=planned.skip,
        seconds=(planned.seconds, took.measured_seconds if took else 0.0),
        bytes=(planned.bytes, took.measured_bytes if took else 0),
        memory=(planned.peak_memory, took.measured_peak_memory if took else 0),
        learned=todo.learned.get(planned.stage, 0),
    )


def _links(workspace: Workspace, todo: Plan) -> dict[str, str]:
    """Pages that a reader goes on to, where they are there."""
    product = workspace.catalog / "products" / todo.product
    found = {
        "Product page": product / f"v{todo.version}-{todo.scenario}.html",
        "All products": workspace.catalog / "index.html",
    }
    return {
        name: Path(os.path.relpath(path, workspace.output)).as_posix()
        for name, path in found.items()
        if path.is_file()
    }
