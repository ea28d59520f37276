"""Estimates: the rows of one treatment in one class, with interval, overlap and two placebos.

The placebos are the same driver one month after the flux, and the driver with the sign of every year dealt anew. What
cannot be estimated is a row with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ch4grid.causal import forest as forests
from ch4grid.causal.adjustment import Adjustment, Lagged, adjustment
from ch4grid.causal.treatments import Sample, sample, shuffled
from ch4grid.graph import CausalGraph

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Row = dict[str, Any]

ESTIMATED = "estimated"
RAIN_UNITS = "log(1 + mm day-1)"
# Urban fractions must span this much [1] before an effect is read along them, between these quantiles of the months.
URBAN_SPAN = 0.1
URBAN_ENDS = (0.1, 0.9)
# A placebo above this share of the effect casts doubt on it.
LARGE_PLACEBO = 0.25


class EffectSettings(BaseModel):
    """How effects are estimated.

    Args:
        threshold: Probability from which a link of the graph counts.
        max_treatments: Most probable causes of the flux of a class that are estimated.
        harmonics: Annual harmonics removed per site and variable.
        min_coverage: Months measured for a smaller share than this are not used [1].
        min_months: Months below which a class is not estimated.
        min_clusters: Clusters below which the interval is over years of sites, and holds for these sites only.
        folds: Groups of clusters left out in turn.
        contrast: High and low months lie this many standard deviations above and below the site's season.
        min_left: Share of a treatment's variance that adjustment must leave [1].
        min_overlap: Share of months whose propensity must lie between 0.1 and 0.9 [1].
        forests: Treatments for which a causal forest over all classes is grown.
        trees: Trees of a forest.
        min_leaf: Fewest months in a leaf.
        memory_limit: Memory that a forest may take [GiB].
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    threshold: float = Field(default=0.5, gt=0, le=1)
    max_treatments: int = Field(default=4, ge=1)
    harmonics: int = Field(default=2, ge=1, le=4)
    min_coverage: float = Field(default=0.2, ge=0, le=1)
    min_months: int = Field(default=60, ge=20)
    min_clusters: int = Field(default=5, ge=2)
    folds: int = Field(default=5, ge=2)
    contrast: float = Field(default=1.0, ge=0)
    min_left: float = Field(default=0.1, ge=0, le=1)
    min_overlap: float = Field(default=0.5, ge=0, le=1)
    forests: int = Field(default=2, ge=0)
    trees: int = Field(default=200, ge=4, multiple_of=4)
    min_leaf: int = Field(default=20, ge=1)
    memory_limit: float = Field(default=2.0, gt=0)


@dataclass(frozen=True, eq=False)
class Job:
    """One treatment in one class."""

    departures: xr.Dataset
    urban: Floats | None
    graph: CausalGraph
    ecosystem: str
    treatment: Lagged
    flux: str
    config: EffectSettings
    seed: int


def estimated(job: Job) -> list[Row]:
    """Rows of one treatment in one class."""
    sets = adjustment(job.graph, job.ecosystem, *job.treatment, threshold=job.config.threshold)
    if job.treatment.driver not in job.departures or not job.departures.sizes["site"]:
        why = "no tower" if not job.departures.sizes["site"] else "not measured"
        return [_empty(job, sets, kind, f"too little data: {why}") for kind in ("total", "direct")]
    placebo = _quick(job, Lagged(job.treatment.driver, -1), sets.placebo, job.departures)
    mixed = shuffled(job.departures, job.treatment.driver, job.seed)
    rows: list[Row] = []
    for kind, held in (("total", sets.total), ("direct", sets.direct)):
        data = _sample(job, job.treatment, held, job.departures)
        if len(data) < job.config.min_months or data.treatment.std() == 0:
            why = f"too little data: {len(data)} months of {job.config.min_months}"
            rows.append(_empty(job, sets, kind, why))
            continue
        again = _quick(job, job.treatment, held, mixed)
        rows += _rows(job, sets, kind, data, placebo, again)
    return rows


def _rows(
    job: Job,
    sets: Adjustment,
    kind: str,
    data: Sample,
    placebo: forests.Estimate | None,
    again: forests.Estimate | None,
) -> list[Row]:
    """The average effect, high against low months, and the effect along urban fractions."""
    config = job.config
    block, blocks = _blocks(data, config)
    found = forests.residuals(data, folds=config.folds, seed=job.seed)
    common = _common(job, sets, kind, data, block, blocks) | _placebos(placebo, again)
    left = forests.overlap(found, data)
    mean = forests.average(found, block, data.month)
    base = common | {
        "n_eff": round(forests.effective_size(found, data)),
        "overlap": left,
        "status": _status(sets, data, mean, left, config.min_left, placebo),
    }
    unit = unit_of(job.departures, job.treatment.driver)
    rows = [base | told("per unit", mean, unit)]
    if job.urban is not None:
        rows += [
            base | told(contrast, estimate, unit)
            for contrast, estimate in _along_urban(found, block, data.month, job.urban[data.site])
        ]
    if kind == "total":
        rows += _contrast(job, sets, data, common, mean, placebo)
    return rows


def _contrast(
    job: Job,
    sets: Adjustment,
    data: Sample,
    common: Row,
    mean: forests.Estimate,
    placebo: forests.Estimate | None,
) -> list[Row]:
    """High against low months: a treatment of two values, on the months beyond the limits."""
    config = job.config
    squares = np.bincount(data.site, data.treatment**2)
    spread = np.sqrt(squares / np.maximum(np.bincount(data.site), 1))[data.site]
    score = data.treatment / np.where(spread > 0, spread, 1.0)
    beyond = data.at(np.abs(score) >= config.contrast)
    high = (beyond.treatment > 0).astype(np.float64)
    name = f"high against low months ({config.contrast:g} sd)"
    if len(beyond) < config.min_months or min(high.sum(), (1 - high).sum()) < 2 * config.folds:
        return [_empty(job, sets, "total", f"too little data: {len(beyond)} months", name)]
    binary = replace(beyond, treatment=high)
    found = forests.residuals(binary, folds=config.folds, seed=job.seed, binary=True)
    block, blocks = _blocks(binary, config)
    left = forests.overlap(found, binary)
    row = common | {
        "n": len(binary),
        "n_eff": round(forests.effective_size(found, binary)),
        "clusters": len(np.unique(block)),
        "blocks": blocks,
        "overlap": left,
        "status": _status(sets, data, mean, left, config.min_overlap, placebo),
    }
    return [row | told(name, forests.average(found, block, binary.month), "1")]


def _along_urban(
    found: forests.Residuals, block: Integers, month: Integers, urban: Floats
) -> list[tuple[str, forests.Estimate]]:
    """The effect where few and where many of the towers' surroundings are built up, by a line."""
    ends = np.quantile(urban, URBAN_ENDS)
    if ends[1] - ends[0] < URBAN_SPAN:
        return []
    table = np.stack([np.ones_like(urban), urban], axis=1)
    points = np.stack([np.ones_like(ends), ends], axis=1)
    estimates = forests.projection(found, table, points, block, month)
    return [
        (f"per unit at urban fraction {end:.2f}", estimate)
        for end, estimate in zip(ends, estimates, strict=True)
    ]


def _quick(
    job: Job, treatment: Lagged, held: Sequence[Lagged], departures: xr.Dataset
) -> forests.Estimate | None:
    """An average effect alone; None where there is too little data."""
    data = _sample(job, treatment, held, departures)
    if len(data) < job.config.min_months or data.treatment.std() == 0:
        return None
    found = forests.residuals(data, folds=job.config.folds, seed=job.seed)
    return forests.average(found, _blocks(data, job.config)[0], data.month)


def _sample(job: Job, treatment: Lagged, held: Sequence[Lagged], departures: xr.Dataset) -> Sample:
    return sample(departures, job.flux, treatment, held, harmonics=job.config.harmonics)


def _blocks(data: Sample, config: EffectSettings) -> tuple[Integers, str]:
    """What intervals are over: clusters, or years of sites where clusters are too few."""
    if len(np.unique(data.cluster)) >= config.min_clusters:
        return data.cluster, "cluster"
    return data.site * 10_000 + data.month // 12, "site year"


def _status(
    sets: Adjustment,
    data: Sample,
    effect: forests.Estimate,
    left: float,
    least: float,
    placebo: forests.Estimate | None,
) -> str:
    """Whether the row may be read as an effect.

    One placebo in ten misses zero by chance; it counts where it is also large beside the effect.
    """
    if not sets.exists:
        return f"association: {sets.reason}"
    if data.dropped:
        return (
            f"association: {', '.join(map(str, data.dropped))} should be held but is not measured"
        )
    if left < least:
        return f"association: overlap {left:.2f} is below {least:g}"
    large = placebo is not None and abs(placebo.value) > LARGE_PLACEBO * abs(effect.value)
    if placebo is not None and not placebo.holds_zero and large:
        return "association: next month's driver seems to act as well"
    return ESTIMATED


def _common(
    job: Job, sets: Adjustment, kind: str, data: Sample, block: Integers, blocks: str
) -> Row:
    held = sets.total if kind == "total" else sets.direct
    return {
        "ecosystem": job.ecosystem,
        "driver": job.treatment.driver,
        "lag": job.treatment.lag,
        "kind": kind,
        "spread": float(data.treatment.std()),
        "in_graph": sets.is_parent,
        "n": len(data),
        "clusters": len(np.unique(block)),
        "blocks": blocks,
        "adjustment": ", ".join(str(node) for node in held if node not in data.dropped)
        or "nothing",
    }


def _placebos(placebo: forests.Estimate | None, again: forests.Estimate | None) -> Row:
    nowhere = forests.Estimate(np.nan, np.nan, np.nan)
    first, second = placebo or nowhere, again or nowhere
    return {
        "placebo": first.value,
        "placebo_lower": first.lower,
        "placebo_upper": first.upper,
        "placebo_zero": placebo.holds_zero if placebo else None,
        "shuffled_lower": second.lower,
        "shuffled_upper": second.upper,
    }


def told(contrast: str, estimate: forests.Estimate, unit: str) -> Row:
    """The columns of a contrast and its estimate."""
    return {
        "contrast": contrast,
        "effect": estimate.value,
        "lower": estimate.lower,
        "upper": estimate.upper,
        "unit": unit,
    }


def _empty(job: Job, sets: Adjustment, kind: str, why: str, contrast: str = "per unit") -> Row:
    return {
        "ecosystem": job.ecosystem,
        "driver": job.treatment.driver,
        "lag": job.treatment.lag,
        "kind": kind,
        "contrast": contrast,
        "in_graph": sets.is_parent,
        "n": 0,
        "status": why,
    }


def unit_of(departures: xr.Dataset, driver: str) -> str:
    """Unit of an effect per unit of a driver."""
    return f"per {RAIN_UNITS if driver == 'pr' else departures[driver].attrs['units']}"
