"""Intervals and mean fluxes of any model at clusters of towers that it has not seen.

In come held-out months of a model in asinh space, out goes a `Conformal`: 19 quantiles of a month's flux and its mean.
Both come from standardised signed residuals e = (y - mu) / s, in which every cluster of towers counts as one (Lee,
Barber and Willett 2023, arXiv:2306.06342) and the months of a class before those of other classes:

    y = mu + s (centre_c + spread_c z),    z a weighted empirical law

A cluster's z is taken with the centre and spread that the other clusters give, as a new cluster would see them; so what
is not known of a class of few clusters widens its intervals (the idea of the jackknife+, Barber et al. 2021,
doi:10.1214/20-AOS1965). The mean is Duan's smearing (1983, J. Am. Stat. Assoc. 78, 605) with held tails.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ch4grid.errors import InputError
from ch4grid.vocabulary import ECOSYSTEMS

Floats = NDArray[np.float64]
AnyFloats = NDArray[np.floating[Any]]
AnyIntegers = NDArray[np.integer[Any]]
Scale = Literal["none", "own", "learnt"]
Method = Literal["class", "grouped", "split"]

LEVELS = tuple(i / 20 for i in range(1, 20))
# Clusters that all classes together count for in the centre and the spread of a class: with four clusters it is two
# thirds its own. On planted classes whose spreads differ sevenfold, three left the narrow one at 97.4 and the wide one
# at 87.3 % instead of 96.5 and 88.3.
BORROWED_CLUSTERS = 2.0
# Clusters that make a law of scores z; a class that has fewer borrows the rest. With n of them the 90 % interval is
# read at rank 0.9 (n + 1): at 94.5 % for n = 20, which covered too much, at 92 % for n = 40.
SMALLEST_LAW = 40.0
# Method "class": what a month of another class weighs in the law of a class; clusters of all classes that the ratio of
# its mean is drawn to; and bounds of that ratio.
FOREIGN_WEIGHT = 0.1
RATIO_CLUSTERS = 10.0
RATIO_LIMITS = (0.5, 4.0)
# Points that the law of the mean is kept in, the middles of slices of equal probability, and the tails held in it.
POINTS = (np.arange(40) + 0.5) / 40
TAIL = 0.025
# Smallest scale, relative to the median of the scales: a model that is quite sure of a month would own all residuals.
SMALLEST_SCALE = 0.05
# Largest change of a learnt scale over the seen locations, up or down.
LARGEST_CHANGE = 4.0
# A residual below this share of the median residual says no more about its scale than that it is small.
SMALLEST_RESIDUAL = 0.05


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Months predicted by models that have not seen their cluster, in asinh space.

    Args:
        location: Predicted location (n).
        observed: Measured flux (n).
        cluster: Cluster of each month (n).
        ecosystem: Index of its class (n).
        site: Site of each month (n); sites count alike within their cluster. The cluster when None.
        scale: Predicted Laplace scale (n); None of a model without one.
    """

    location: Floats
    observed: Floats
    cluster: AnyIntegers
    ecosystem: AnyIntegers
    site: NDArray[Any] | None = None
    scale: Floats | None = None

    def at(self, rows: NDArray[np.bool_]) -> "HeldOut":
        """Some of the months."""
        return HeldOut(
            self.location[rows],
            self.observed[rows],
            self.cluster[rows],
            self.ecosystem[rows],
            None if self.site is None else self.site[rows],
            None if self.scale is None else self.scale[rows],
        )


class Crossed(NamedTuple):
    """What held-out months are told by calibrations that did not see their cluster.

    Args:
        quantile: Quantiles (19, n) at `LEVELS` in asinh space.
        mean: Mean flux (n) [nmol m-2 s-1].
    """

    quantile: Floats
    mean: Floats


@dataclass(frozen=True)
class ScaleModel:
    """The scale s of a month.

    Args:
        kind: "none" for one scale, "own" for that of the model, "learnt" for one that changes with the location.
        slope: Change of log s with the location.
        limits: Lowest and highest: of s for "own", of the location for "learnt".
    """

    kind: Scale
    slope: float = 0.0
    limits: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def fit(cls, rows: HeldOut, weight: Floats, kind: Scale) -> "ScaleModel":
        """The scale model of held-out months.

        Raises:
            InputError: The model's own scale is asked for and it has none.
        """
        if kind == "learnt":
            return cls(kind, _slope(rows, weight), _range(rows.location))
        if kind == "none":
            return cls(kind)
        own = _own(rows.scale)
        low, high = _range(own)
        return cls(kind, limits=(max(low, SMALLEST_SCALE * float(np.median(own)), 1e-9), high))

    def __call__(self, location: AnyFloats, scale: AnyFloats | None) -> Floats:
        """The scale (...) of months with this location (...) and the model's own scale (...)."""
        if self.kind == "none":
            return np.ones_like(location, dtype=np.float64)
        if self.kind == "own":
            return np.clip(_own(scale), *self.limits)
        change = self.slope * (np.clip(location, *self.limits) - np.mean(self.limits))
        bound = np.log(LARGEST_CHANGE)
        return np.asarray(np.exp(np.clip(change, -bound, bound)), dtype=np.float64)


@dataclass(frozen=True)
class Conformal:
    """A calibrated law of the flux around a prediction.

    Args:
        scale: The scale of a month.
        departures: Departures (class, 19) of the quantiles at `LEVELS` from the location, in units of the scale.
        points: Departures (class, point) that are equally likely in the mean.
        clusters: Number of clusters (class) behind it.
        method: How it was learnt, see `fit`.
        ratio: Mean flux over median flux (class), by method "class"; empty otherwise.
    """

    scale: ScaleModel
    departures: tuple[tuple[float, ...], ...]
    points: tuple[tuple[float, ...], ...]
    clusters: tuple[int, ...]
    method: Method = "grouped"
    ratio: tuple[float, ...] = ()

    @classmethod
    def fit(
        cls, rows: HeldOut, *, scale: Scale = "none", method: Method = "grouped"
    ) -> "Conformal":
        """The calibration of held-out months.

        Args:
            rows: The months.
            scale: Where the scale of a month comes from.
            method: "grouped" tells what a new cluster may do, with the rank correction of conformal prediction and
                classes that share a law. "class" reads the residuals of the class as they are, those of other classes
                at a tenth of their weight: sharper, without a promise for few clusters. "split" is ordinary split
                conformal prediction, in which every month counts as one. Months of a cluster share its error, so it
                promises too much for a new cluster; it is here to be compared with.

        Raises:
            InputError: There is no month, or no scale although the model's own is asked for.
        """
        if not len(rows.observed):
            raise InputError("no month to calibrate with", expected="at least one", found="none")
        unit, weight = _units(rows, method)
        model = ScaleModel.fit(rows, weight, scale)
        residual = (rows.observed - rows.location) / model(rows.location, rows.scale)
        if method == "class":
            return cls._of_classes(rows, model, residual, weight)
        table = _Table.of(unit, rows.ecosystem, residual, weight)
        apart = table.scores(residual, unit, rows.ecosystem)
        within = (residual - table.centre[rows.ecosystem]) / table.spread[rows.ecosystem]
        apart_order, within_order = (np.argsort(z, kind="stable") for z in (apart, within))
        departures, points = [], []
        for code in range(len(ECOSYSTEMS)):
            share, count = _class_weights(weight, table.members, code, rows.ecosystem)
            law = _quantiles(apart, apart_order, share, _widened(np.asarray(LEVELS), count))
            smear = _quantiles(within, within_order, share, np.clip(POINTS, TAIL, 1 - TAIL))
            departures.append(tuple((table.centre[code] + table.spread[code] * law).tolist()))
            points.append(tuple((table.centre[code] + table.spread[code] * smear).tolist()))
        own = [len(np.unique(rows.cluster[rows.ecosystem == c])) for c in range(len(ECOSYSTEMS))]
        return cls(model, tuple(departures), tuple(points), tuple(own), method)

    @classmethod
    def _of_classes(
        cls, rows: HeldOut, model: ScaleModel, residual: Floats, weight: Floats
    ) -> "Conformal":
        """The calibration by method "class" from standardised residuals (n) and their weights (n)."""
        order = np.argsort(residual, kind="stable")
        departures, ratio, clusters = [], [], []
        for code in range(len(ECOSYSTEMS)):
            own = rows.ecosystem == code
            share = weight * np.where(own, 1.0, FOREIGN_WEIGHT)
            law = _quantiles(residual, order, share, np.asarray(LEVELS))
            departures.append(tuple(law.tolist()))
            ratio.append(_ratio(rows, weight, own))
            clusters.append(len(np.unique(rows.cluster[own])))
        return cls(model, tuple(departures), (), tuple(clusters), "class", tuple(ratio))

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Conformal":
        """The calibration of a JSON object."""
        low, high = document["scale"]["limits"]
        model = ScaleModel(document["scale"]["kind"], document["scale"]["slope"], (low, high))
        laws, points = (tuple(map(tuple, document[name])) for name in ("departures", "points"))
        ratio = tuple(document.get("ratio", ()))
        return cls(model, laws, points, tuple(document["clusters"]), document["method"], ratio)

    def to_json(self) -> dict[str, Any]:
        """The calibration as a JSON object."""
        return asdict(self)

    def quantiles(
        self, location: AnyFloats, scale: AnyFloats | None, ecosystem: AnyIntegers
    ) -> Floats:
        """Quantiles (19, ...) at `LEVELS` in asinh space, ascending.

        Args:
            location: Predicted location (...).
            scale: Predicted scale (...); only asked for by a calibration in units of the model's own scale.
            ecosystem: Class, to be broadcast to (...).
        """
        unit = self.scale(location, scale)
        return np.stack([location + unit * law[ecosystem] for law in np.asarray(self.departures).T])

    def mean(
        self,
        location: AnyFloats,
        scale: AnyFloats | None,
        ecosystem: AnyIntegers,
        asinh_scale: float,
    ) -> Floats:
        """Mean flux (...) [nmol m-2 s-1]: the mean of c sinh(location + departure) over held-out departures.

        By method "class" it is the median flux times the ratio of the class. Departures are not independent of the
        location: where a model says much they are negative, and their mean would be added there in full.

        Departures are held at their 2.5 and 97.5 % quantiles: the flux is exponential in them, and the worst months
        of one tower would otherwise carry the mean of its class.

        Args:
            location: Predicted location (...).
            scale: Predicted scale (...) or None, as in `quantiles`.
            ecosystem: Class, to be broadcast to (...).
            asinh_scale: Scale c of the gas [nmol m-2 s-1].
        """
        if self.method == "class":
            return np.asarray(asinh_scale * np.sinh(location) * np.asarray(self.ratio)[ecosystem])
        unit, total = self.scale(location, scale), np.zeros(np.shape(location))
        # one point at a time: all at once would take as many times the memory of a map
        for point in np.asarray(self.points).T:
            total += np.sinh(location + unit * point[ecosystem])
        return np.asarray(asinh_scale * total / len(POINTS))


def crossed(
    rows: HeldOut, *, asinh_scale: float, scale: Scale = "none", method: Method = "grouped"
) -> Crossed:
    """Quantiles and means of the months of each cluster by the calibration of all others; NaN where there is but one.

    Args:
        rows: Held-out months.
        asinh_scale: Scale c of the gas [nmol m-2 s-1].
        scale: Where the scale of a month comes from.
        method: Whether clusters or months count.
    """
    quantile, mean = np.full((len(LEVELS), len(rows.observed)), np.nan), rows.observed * np.nan
    labels = np.unique(rows.cluster)
    for label in labels if len(labels) > 1 else []:
        out = rows.cluster == label
        rest = Conformal.fit(rows.at(~out), scale=scale, method=method)
        told = rows.at(out)
        quantile[:, out] = rest.quantiles(told.location, told.scale, told.ecosystem)
        mean[out] = rest.mean(told.location, told.scale, told.ecosystem, asinh_scale)
    return Crossed(quantile, mean)


class _Table(NamedTuple):
    """Centre and spread of classes, from units of a class: a cluster's months of it, or one month.

    Args:
        centre: Centre (class) of the residuals, drawn to that of all classes.
        spread: Mean absolute departure (class) from it, drawn likewise.
        apart_centre: Centre (unit, class) without that unit.
        apart_spread: Spread (unit, class) without that unit.
        members: Number of units (class).
    """

    centre: Floats
    spread: Floats
    apart_centre: Floats
    apart_spread: Floats
    members: Floats

    @classmethod
    def of(
        cls, unit: AnyIntegers, ecosystem: AnyIntegers, residual: Floats, weight: Floats
    ) -> "_Table":
        """The table of residuals (n) whose weights (n) add up to one in every unit of every class."""
        shape = (int(unit.max()) + 1, len(ECOSYSTEMS))
        cell = unit * shape[1] + ecosystem
        size = shape[0] * shape[1]

        def summed(values: Floats) -> Floats:
            total = np.bincount(cell, weights=weight * values, minlength=size)
            return np.asarray(total, dtype=np.float64).reshape(shape)

        present = summed(np.ones_like(residual)).round()
        means = summed(residual)
        centre, apart_centre = _drawn(means, present)
        # away from a centre that the unit has not moved, or single clusters would look certain
        away = summed(np.abs(residual - apart_centre[unit, ecosystem]))
        # in logarithms, so that a few wide clusters of other classes do not stretch a narrow class
        smallest = max(1e-9, SMALLEST_RESIDUAL * float(away.sum() / present.sum()))
        size_log = present * np.log(np.maximum(away, smallest))
        spread, apart_spread = (np.exp(part) for part in _drawn(size_log, present))
        return cls(centre, spread, apart_centre, apart_spread, present.sum(axis=0))

    def scores(self, residual: Floats, unit: AnyIntegers, ecosystem: AnyIntegers) -> Floats:
        """Scores z (n) by the centre and spread of the other units."""
        centre, spread = self.apart_centre[unit, ecosystem], self.apart_spread[unit, ecosystem]
        return np.asarray((residual - centre) / spread)


def _drawn(value: Floats, present: Floats) -> tuple[Floats, Floats]:
    """Mean over units of each class (class), drawn to the mean of all classes, and the same without each unit.

    Args:
        value: Value of each unit (unit, class), 0 where the unit has no month of the class.
        present: 1 where it has one, else 0.
    """
    total, count = value.sum(axis=0), present.sum(axis=0)
    pooled = total.sum() / count.sum()
    whole = (total + BORROWED_CLUSTERS * pooled) / (count + BORROWED_CLUSTERS)
    others = count.sum() - present.sum(axis=1)
    rest = np.where(others > 0, total.sum() - value.sum(axis=1), total.sum())
    pooled_rest = (rest / np.where(others > 0, others, count.sum()))[:, None]
    apart = total - value + BORROWED_CLUSTERS * pooled_rest
    return whole, apart / (count - present + BORROWED_CLUSTERS)


def _ratio(rows: HeldOut, weight: Floats, own: NDArray[np.bool_]) -> float:
    """Held-out mean over median flux of a class, drawn to that of all classes as by ten clusters.

    Months weigh by the root of their weight, between a month and a cluster: a sum of fluxes belongs to its few largest.
    """
    root = np.sqrt(weight)
    measured, median = root * np.sinh(rows.observed), root * np.sinh(rows.location)
    clusters = max(len(np.unique(rows.cluster)), 1)
    borrowed = RATIO_CLUSTERS / clusters
    top = measured[own].sum() + borrowed * measured.sum()
    bottom = median[own].sum() + borrowed * median.sum()
    return float(np.clip(top / bottom if bottom > 0 else 1.0, *RATIO_LIMITS))


def _units(rows: HeldOut, method: Method) -> tuple[NDArray[np.intp], Floats]:
    """Unit of each month (n) and its weight, which adds up to one in every unit of every class."""
    if method == "split":
        return np.arange(len(rows.observed)), np.ones(len(rows.observed))
    unit = np.unique(rows.cluster, return_inverse=True)[1]
    site = unit if rows.site is None else np.unique(rows.site, return_inverse=True)[1]
    cell = unit * len(ECOSYSTEMS) + rows.ecosystem
    pair = np.unique(cell * (site.max() + 1) + site, return_inverse=True)[1]
    weight = 1.0 / np.bincount(pair)[pair]
    return unit, weight / np.bincount(cell, weights=weight)[cell]


def _class_weights(
    weight: Floats, members: Floats, code: int, ecosystem: AnyIntegers
) -> tuple[Floats, float]:
    """Weights (n) of months in the law of a class, and the number of units that they amount to.

    A month of another class weighs lambda: together they amount to two units, or to what is missing to forty.
    """
    own, others = float(members[code]), float(members.sum() - members[code])
    share = min(1.0, max(BORROWED_CLUSTERS, SMALLEST_LAW - own) / max(others, 1.0))
    return weight * np.where(ecosystem == code, 1.0, share), own + share * others


def _widened(level: Floats, count: float) -> Floats:
    """Levels at which n units are read so that a central interval of share p is that of rank p (n + 1) in n."""
    return np.clip(0.5 + (level - 0.5) * (count + 1) / count, 0.0, 1.0)


def _quantiles(values: Floats, order: NDArray[np.intp], weight: Floats, level: Floats) -> Floats:
    """Weighted quantiles, ascending, of values (n) and the order (n) that sorts them."""
    sorted_weight = weight[order]
    share = (np.cumsum(sorted_weight) - 0.5 * sorted_weight) / weight.sum()
    return np.asarray(np.interp(level, share, values[order]))


def _slope(rows: HeldOut, weight: Floats) -> float:
    """Slope of log|residual| on the location within classes, a ridge regression with a penalty worth two clusters."""
    away = np.abs(rows.observed - rows.location)
    floor = max(SMALLEST_RESIDUAL * float(np.median(away)), 1e-9)
    own = rows.ecosystem[:, None] == np.arange(len(ECOSYSTEMS))
    middle = float(np.average(rows.location, weights=weight))
    unit = float(np.sqrt(np.average((rows.location - middle) ** 2, weights=weight))) or 1.0
    design = np.column_stack([np.ones(len(away)), (rows.location - middle) / unit, own])
    penalty = np.full(design.shape[1], BORROWED_CLUSTERS)
    penalty[0] = 1e-6
    gram = design.T @ (weight[:, None] * design) + np.diag(penalty)
    found = np.linalg.solve(gram, design.T @ (weight * np.log(np.maximum(away, floor))))
    return float(found[1] / unit)


def _range(values: AnyFloats) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _own(scale: AnyFloats | None) -> Floats:
    if scale is None:
        raise InputError(
            "the model says nothing about its own error",
            where="conformal",
            expected="a scale per month",
            found="none",
            fix='Calibrate with scale "none" or "learnt"',
        )
    return np.asarray(scale, dtype=np.float64)
