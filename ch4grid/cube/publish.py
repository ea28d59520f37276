"""The life of a store: create, begin, write blocks, finish. Readers see whole years only.

Readers open the group's `zarr.json`, which holds the metadata of all arrays; replacing that one file is the act of
publication. Until then a new store cannot be opened at all and a growing one shows the years it had: the objects of
a new year lie beyond the published shape. Array metadata on disk follows just before, so that readers who bypass the
consolidated metadata see no half year either.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ch4grid import ledger
from ch4grid.cube import staging
from ch4grid.cube.blanking import ATTRIBUTE, blanked
from ch4grid.cube.creation import object_row, template_rows
from ch4grid.cube.holding import hold
from ch4grid.cube.layout import MONTHS
from ch4grid.cube.metadata import write_group
from ch4grid.cube.objects import (
    METADATA,
    Document,
    dims_of,
    encode,
    read_document,
    serialised,
)
from ch4grid.cube.recovery import settle, sweep_beside
from ch4grid.cube.staging import Plan, Record, Slices
from ch4grid.cube.template import ProductSpec, group_attributes, group_document, time_objects
from ch4grid.cube.verify import Problem, damaged_rows, year_problems
from ch4grid.cube.writing import damaged, move_in, seen, take_out
from ch4grid.errors import RunError
from ch4grid.grid import Grid
from ch4grid.ledger import Row
from ch4grid.stores import sweep_partial, unwritable, write_atomic

TIME = ("time", "time_bnds")


@contextmanager
def lock(store: Path) -> Iterator[None]:
    """Hold a store for one run, and complete what an earlier one left between two files.

    Raises:
        RunError: Another run holds it, or its group metadata is damaged.
    """
    with hold(store):
        settle(store)
        _clear(store)
        yield


def _clear(store: Path) -> None:
    """Drop the staging of a run that ended after its last publication."""
    folder = staging.folder(store)
    if not folder.exists() or not (store / METADATA).exists():
        return
    done = set(ledger.published_years(store))
    staging.keep(store, done)
    if not (folder / "plan.json").exists() or set(staging.read_plan(store).inputs) <= done:
        staging.remove(folder)
        sweep_beside(store)


def begin(store: Path, spec: ProductSpec, inputs: Mapping[int, str]) -> tuple[int, ...]:
    """Take up the years to publish and return those that are not published yet.

    Records the plan and drops what belongs to no planned year. Regions that an earlier run finished from the same
    inputs stay and need not be computed again (`staged`).

    Args:
        store: A created store.
        spec: The product.
        inputs: Fingerprint of the inputs by year asked for.

    Raises:
        RunError: A published year or part would change, or a year lies before the product's first year.
    """
    settle(store)
    _refuse_changes(store, spec, inputs)
    done = ledger.published_years(store)
    pending = {y: d for y, d in sorted(inputs.items()) if y not in done}
    sweep_partial(store)
    sweep_partial(staging.folder(store))
    sweep_beside(store)
    staging.keep(store, done)
    if not pending:
        staging.remove(staging.folder(store))
        return ()
    plan = Plan(spec, pending)
    staging.write_plan(store, plan)
    kept = {r.key for r in ledger.rows_of(store)}
    for folder in sorted(p for p in staging.folder(store).iterdir() if p.is_dir()):
        year = int(folder.name)
        for path in sorted(folder.glob("*.json")):
            found = json.loads(path.read_bytes())
            if year in pending and found["inputs"] == plan.fingerprint(year):
                kept |= {r["key"] for r in found["rows"]}
            else:
                path.unlink()
    _drop_strays(store, kept)
    return tuple(pending)


def _refuse_changes(store: Path, spec: ProductSpec, inputs: Mapping[int, str]) -> None:
    early = sorted(y for y in inputs if y < spec.first_year)
    if early:
        raise RunError(
            "years before the start of the time axis cannot be added",
            where=store,
            expected=f"years from {spec.first_year}",
            found=early,
            fix="Publish a new version whose period starts earlier",
        )
    if not ledger.published_years(store):
        return
    told = json.loads((store / METADATA).read_bytes())["attributes"]
    parts, known = json.loads(told["ch4grid_parts"]), _published_inputs(store)
    changed = [n for n in sorted({*parts, *spec.parts}) if parts.get(n) != spec.parts.get(n)]
    changed += [f"inputs of {y}" for y in sorted(inputs) if known.get(y, inputs[y]) != inputs[y]]
    if changed:
        raise RunError(
            "published cells never change",
            where=store,
            expected="the parts and inputs that were published",
            found=f"other {', '.join(changed)}",
            fix="Publish a new version",
        )


def _drop_strays(store: Path, kept: set[str]) -> None:
    """Remove objects of time-dependent arrays that neither the ledger nor a valid record knows."""
    for path in sorted(store.glob("*/" + METADATA)):
        name = path.parent.name
        if "time" not in dims_of(read_document(store, name)):
            continue
        strays = (p for p in sorted((path.parent / "c").rglob("*")) if p.is_file())
        try:
            for stray in strays:
                if stray.relative_to(store).as_posix() not in kept:
                    stray.unlink()
        except OSError as error:
            raise unwritable(path.parent, error) from error


def finish(store: Path, year: int, told: Mapping[str, Any] | None = None) -> None:
    """Publish a year whose regions are all written: sum the budget, read everything back, replace the group metadata.

    Does nothing to a published year.

    Args:
        store: The store.
        year: The year.
        told: What a scenario has to tell of the year besides what it leaves out, as JSON values.

    Raises:
        RunError: A region is missing, or what was read back is not what was written or breaks an identity.
    """
    if year in ledger.published_years(store):
        return
    plan = staging.read_plan(store)
    records = _records(store, year)
    total = np.sum([r.budget for r in records], axis=0) if len(records) > 1 else records[0].budget
    rows = [r for record in records for r in record.rows]
    if seen(store, year):
        _refuse(store, year, records, damaged(store, year, rows))
        move_in(store, year, rows)
    rows += _write_budget(store, plan, year, total)
    known = ledger.rows_of(store) or template_rows(store)
    years = sorted({*ledger.published_years(store), year})
    axis = range(plan.spec.first_year, max(years) + 1)
    rows += _write_time(store, plan, axis, {r.key for r in known})
    problems = damaged_rows(store, rows) or year_problems(store, year, plan.spec.first_year)
    if problems and seen(store, year):
        take_out(store, year, records)
    _refuse(store, year, records, problems)
    merged = ledger.merge(known, ledger.in_state(rows, "verified"))
    ledger.write(store, merged, root_sha256=ledger.root_digest(store))
    root = _publish(
        store, plan, years, len(axis) * MONTHS, _intervention(store, plan, year, told or {})
    )
    ledger.write(
        store, ledger.in_state(merged, "published"), root_sha256=hashlib.sha256(root).hexdigest()
    )
    _tidy(store, plan, year, rows)


def tiles(store: Path) -> list[Slices]:
    """The write regions of a store."""
    rows = int(read_document(store, "latitude")["shape"][0])
    return Grid(180.0 / rows).tiles()


def _records(store: Path, year: int) -> list[Record]:
    found = [(tile, staging.read_record(store, year, tile)) for tile in tiles(store)]
    missing = [f"rows {t[0].start}, columns {t[1].start}" for t, r in found if r is None]
    if missing:
        raise RunError(
            f"year {year} is not complete",
            where=store,
            expected=f"{len(found)} regions",
            found=f"{len(missing)} missing, first at {missing[0]}",
            fix="Run the year again; finished regions are kept",
        )
    return [r for _, r in found if r is not None]


def _write_budget(store: Path, plan: Plan, year: int, total: NDArray[np.float64]) -> list[Row]:
    name = f"{plan.spec.gas.name}_budget"
    objects = encode(
        name, read_document(store, name), total, (0, year - plan.spec.first_year, 0, 0)
    )
    for o in objects:
        write_atomic(store / o.key, o.content)
    return [object_row(o, year=year, inputs=plan.fingerprint(year)) for o in objects]


def _write_time(store: Path, plan: Plan, axis: Sequence[int], known: set[str]) -> list[Row]:
    """Objects of the time axis that are not there yet, also of years between that hold no data."""
    docs = {name: read_document(store, name) for name in TIME}
    rows = []
    for year in axis:
        for o in time_objects(docs, year, plan.spec.first_year):
            if o.key not in known:
                write_atomic(store / o.key, o.content)
                rows.append(object_row(o, year=year, inputs="calendar"))
    return rows


def _refuse(store: Path, year: int, records: Sequence[Record], problems: Sequence[Problem]) -> None:
    """Have damaged regions done again and stop."""
    if not problems:
        return
    bad = {p.key for p in problems}
    for record in records:
        if bad & {r.key for r in record.rows}:
            staging.forget_record(store, year, record.tile)
    raise RunError(
        f"year {year} was not published: {problems[0].what}"
        + (f" and {len(problems) - 1} more" if len(problems) > 1 else ""),
        where=store / problems[0].key,
        expected="to read back what was written",
        fix="Check the disk, then run again; damaged regions are computed again, published years are untouched",
    )


def _intervention(store: Path, plan: Plan, year: int, told: Mapping[str, Any]) -> dict[str, str]:
    """The attribute of a scenario that says what every published year leaves out, this one included."""
    if not plan.spec.intervened:
        return {}
    known = json.loads(_published(store).get(ATTRIBUTE, "{}"))
    found = blanked(store, year, plan.spec.first_year, plan.spec.gas)
    return {ATTRIBUTE: json.dumps(known | {str(year): found | dict(told)}, sort_keys=True)}


def _publish(
    store: Path,
    plan: Plan,
    years: Sequence[int],
    length: int,
    intervention: dict[str, str],
) -> bytes:
    docs: dict[str, Document] = {}
    for path in sorted(store.glob("*/" + METADATA)):
        doc = read_document(store, path.parent.name)
        if "time" in dims_of(doc):
            doc["shape"][dims_of(doc).index("time")] = length
            if path.read_bytes() != serialised(doc):
                write_atomic(path, serialised(doc))
        docs[path.parent.name] = doc
    rows = int(docs["latitude"]["shape"][0])
    inputs = _published_inputs(store) | {y: plan.inputs[y] for y in years if y in plan.inputs}
    attributes = group_attributes(plan.spec, Grid(180.0 / rows), {y: inputs[y] for y in years})
    root = serialised(group_document(attributes | intervention, docs))
    write_group(store, root)
    return root


def _published_inputs(store: Path) -> dict[int, str]:
    told = json.loads(_published(store).get("ch4grid_inputs", "{}"))
    return {int(y): d for y, d in told.items()}


def _published(store: Path) -> dict[str, Any]:
    """Attributes of the group as published, none before its first year."""
    path = store / METADATA
    found: dict[str, Any] = json.loads(path.read_bytes())["attributes"] if path.exists() else {}
    return found


def _tidy(store: Path, plan: Plan, year: int, rows: Sequence[Row]) -> None:
    """Drop what killed workers left, keep the year's records, and drop all of staging once no planned year is left.

    Workers may be writing other years meanwhile, so only files of this year's objects are touched.
    """
    for key in {r.key for r in rows}:
        sweep_partial((store / key).parent, f".{Path(key).name}.*.partial")
    staging.keep(store, [year])
    if set(plan.inputs) <= set(ledger.published_years(store)):
        staging.remove(staging.folder(store))
