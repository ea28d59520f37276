"""`StructuralModel`: one linear equation per driver and for the flux, given their causes, per ecosystem class.

It answers what becomes of the other drivers when some are changed, and is all that a scenario takes from the analysis
of towers. It travels as JSON.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ch4grid.vocabulary import SECONDS_PER_DAY

Floats = NDArray[np.float64]

FORMAT = "ch4grid-structure-1"
POOL = "pool"
# Clusters behind a model that does not say how many: intervals are those of the normal distribution.
MANY = 1e6

# Drivers whose causes multiply: their equations hold for the logarithm of the value, or of the floor below it
# [kg m-2 s-1, m s-1, W m-2]. All others are taken as they are.
LOG_FLOOR: dict[str, float] = {"pr": 0.1 / SECONDS_PER_DAY, "sfcWind": 0.1, "rsds": 1.0}


@dataclass(frozen=True, eq=False)
class StructuralModel:
    """Linear equations of the anomalies of P drivers and the flux, for E classes and, last, for all of them pooled.

    Args:
        drivers: Names of the P drivers.
        target: Name of the flux variable; the last of the P + 1 nodes. Its equation is in asinh space.
        ecosystems: Names of the E classes.
        coefficient: Change of `to` in its standard deviations per standard deviation of `from`, 0 where there is no
            link (E + 1, P + 1, P, L + 1): class, to, from, lag [months].
        error: Standard errors of the coefficients, same shape.
        spread: Standard deviation of the anomalies of every node (E + 1, P + 1), mean of the towers that were fitted,
            in transformed units; a grid has spreads of its own.
        provenance: What was done. JSON values only.
        modification: Change of the flux coefficients (E + 1, P, L + 1) per unit of a static property above its mean
            at the fitted towers of the class, by name of the property.
        draws: The coefficients in D bootstrap copies (D, E + 1, P + 1, P, L + 1), their mean the coefficients; may be
            empty. They carry what is not known of the coefficients.
        modification_draws: The modification in the same copies, by name (D, E + 1, P, L + 1).
    """

    drivers: tuple[str, ...]
    target: str
    ecosystems: tuple[str, ...]
    coefficient: Floats
    error: Floats
    spread: Floats
    provenance: dict[str, Any] = field(default_factory=dict)
    modification: dict[str, Floats] = field(default_factory=dict)
    draws: Floats = field(default_factory=lambda: np.zeros(0))
    modification_draws: dict[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        e, p = len(self.ecosystems) + 1, len(self.drivers)
        lags = self.coefficient.shape[-1]
        self._shaped("coefficient", self.coefficient, (e, p + 1, p, lags))
        self._shaped("error", self.error, (e, p + 1, p, lags))
        self._shaped("spread", self.spread, (e, p + 1))
        for name, values in self.modification.items():
            self._shaped(f"modification by {name}", values, (e, p, lags))
        if len(self.draws):
            count = len(self.draws)
            self._shaped("draws", self.draws, (count, e, p + 1, p, lags))
            for name, values in self.modification_draws.items():
                self._shaped(f"draws by {name}", values, (count, e, p, lags))
        if (self.error < 0).any() or (self.spread <= 0).any():
            raise ValueError("StructuralModel: errors must not be negative and spreads positive")
        for name in (*self.ecosystems, POOL):
            now = self.coefficient[self.index(name), :p, :, 0] != 0
            if np.linalg.matrix_power(now.astype(float), p).any():
                raise ValueError(f"StructuralModel: links of {name} at lag 0 form a cycle")

    def _shaped(self, name: str, values: Floats, shape: tuple[int, ...]) -> None:
        if values.shape != shape or not np.isfinite(values).all():
            raise ValueError(
                f"StructuralModel: {name} has shape {values.shape}, expected {shape} and finite numbers"
            )

    @property
    def nodes(self) -> tuple[str, ...]:
        """The drivers and, last, the flux."""
        return (*self.drivers, self.target)

    @property
    def max_lag(self) -> int:
        """Longest lag [months]."""
        return int(self.coefficient.shape[3]) - 1

    def index(self, ecosystem: str) -> int:
        """Position of a class on the first axis; `pool` is the last.

        Raises:
            ValueError: The model has no such class.
        """
        names = (*self.ecosystems, POOL)
        if ecosystem not in names:
            raise ValueError(
                f"StructuralModel: no class {ecosystem!r}; expected one of {', '.join(names)}"
            )
        return names.index(ecosystem)

    def copy(self, number: int) -> "StructuralModel":
        """The model with the coefficients of a bootstrap copy, counted round; itself where it has no copies."""
        if not len(self.draws):
            return self
        at = number % len(self.draws)
        changed = {n: v[at] for n, v in self.modification_draws.items()}
        return replace(
            self,
            coefficient=self.draws[at],
            modification=changed,
            draws=np.zeros(0),
            modification_draws={},
        )

    def flux_effect(self, ecosystem: str) -> Floats:
        """Change of the flux of a class in asinh space (P, L + 1) per transformed unit of each driver."""
        e = self.index(ecosystem)
        return np.asarray(self.coefficient[e, -1] * self._unit(e))

    def flux_modification(self, ecosystem: str, name: str) -> tuple[Floats, float]:
        """Change of `flux_effect` (P, L + 1) per unit of a static property, and the value at which there is none."""
        e = self.index(ecosystem)
        mean = float(self.provenance["modifiers"][name][e])
        return np.asarray(self.modification[name][e] * self._unit(e)), mean

    def _unit(self, e: int) -> Floats:
        return np.asarray(self.spread[e, -1] / self.spread[e, :-1])[:, None]

    def clusters(self, ecosystem: str, node: str) -> float:
        """Clusters of towers behind an equation; those of the pool's where a class has none of its own.

        They number as many as clusters of equal size that would weigh as much, and count as many where it is not known.
        """
        told = {
            r["ecosystem"]: r for r in self.provenance.get("equations", []) if r["node"] == node
        }
        row = told.get(ecosystem, told.get(POOL, {}))
        return float(row.get("clusters", MANY))

    def transform(self, name: str, values: Floats) -> Floats:
        """From a driver's units to the space of its equation: the logarithm for rain, wind and radiation."""
        if name not in LOG_FLOOR:
            return values
        return np.asarray(np.log(np.maximum(values, LOG_FLOOR[name])))

    def inverse(self, name: str, values: Floats) -> Floats:
        """From the space of a driver's equation to its units."""
        return np.asarray(np.exp(values)) if name in LOG_FLOOR else values

    def lasting(self, forced: Sequence[str], ecosystem: str = POOL) -> Floats:
        """Lasting change of every driver per lasting unit change of each forced one, in standard deviations.

        A forced driver keeps the value it is given: no cause of its own acts on the imposed part.

        Args:
            forced: Drivers that are changed.
            ecosystem: Class whose equations hold, or `pool`.

        Returns:
            (P, P): to, from; columns of drivers that are not forced are zero.

        Raises:
            ValueError: A driver or the class is unknown, or the equations have no steady state.
        """
        held = self._held(forced)
        links = np.where(held[:, None, None], 0.0, self._links(ecosystem))
        self._steady(links, ecosystem)
        system = np.eye(len(held)) - links.sum(axis=-1)
        return np.asarray(np.linalg.solve(system, np.diag(held.astype(np.float64))))

    def transient(self, forced: Mapping[str, Floats], ecosystem: str = POOL) -> Floats:
        """Change of every driver, month by month, while the forced ones are changed as given, nothing before.

        Args:
            forced: Imposed change by driver (time, ...) in standard deviations, all of one shape.
            ecosystem: Class whose equations hold, or `pool`.

        Returns:
            (time, P, ...): changes in standard deviations.

        Raises:
            ValueError: A driver or the class is unknown.
        """
        held = self._held(list(forced))
        links = np.where(held[:, None, None], 0.0, self._links(ecosystem))
        mix = np.linalg.inv(np.eye(len(held)) - links[..., 0])
        shape = next(iter(forced.values())).shape
        change = np.zeros((shape[0], len(held), *shape[1:]))
        for name, values in forced.items():
            change[:, self.drivers.index(name)] = values
        for t in range(shape[0]):
            for lag in range(1, min(t, self.max_lag) + 1):
                change[t] += np.tensordot(links[..., lag], change[t - lag], axes=1)
            change[t] = np.tensordot(mix, change[t], axes=1)
        return change

    def _held(self, forced: Sequence[str]) -> NDArray[np.bool_]:
        unknown = sorted(set(forced) - set(self.drivers))
        if unknown or not forced:
            raise ValueError(
                f"StructuralModel: forced drivers are {', '.join(unknown) or 'none'}; "
                f"expected some of {', '.join(self.drivers)}"
            )
        return np.isin(self.drivers, list(forced))

    def _links(self, ecosystem: str) -> Floats:
        """Driver equations (to, from, lag) of a class."""
        return self.coefficient[self.index(ecosystem), : len(self.drivers)]

    def _steady(self, links: Floats, ecosystem: str) -> None:
        """Refuse equations under which an anomaly would grow for ever."""
        p = len(self.drivers)
        lags = int(np.flatnonzero(links.any(axis=(0, 1))).max(initial=0))
        if lags == 0:
            return
        mix = np.linalg.inv(np.eye(p) - links[..., 0])
        step = np.eye(p * lags, k=-p)
        step[:p] = np.concatenate([mix @ links[..., lag] for lag in range(1, lags + 1)], axis=1)
        growth = float(np.abs(np.linalg.eigvals(step)).max())
        if growth >= 1:
            raise ValueError(
                f"StructuralModel: the equations of {ecosystem} have no steady state, an anomaly grows by "
                f"{growth:.3g} per month"
            )

    def to_json(self) -> str:
        """The model as a versioned JSON document."""
        document = {
            "format": FORMAT,
            "drivers": self.drivers,
            "target": self.target,
            "ecosystems": self.ecosystems,
            "dims": ["ecosystem, pool last", "to, target last", "from", "lag"],
            "units": "standard deviations per standard deviation; log of the driver for those in `log`",
            "log": sorted(set(LOG_FLOOR) & set(self.drivers)),
            "coefficient": self.coefficient.round(8).tolist(),
            "error": self.error.round(8).tolist(),
            "spread": self.spread.tolist(),
            "modification": {n: v.round(8).tolist() for n, v in self.modification.items()},
            "provenance": self.provenance,
        }
        if len(self.draws):
            # of links alone, in the order of `coefficient`
            linked = self.coefficient != 0
            document["draws"] = self.draws[:, linked].round(8).tolist()
            document["modification_draws"] = {
                n: v[:, linked[:, -1]].round(8).tolist() for n, v in self.modification_draws.items()
            }
        return json.dumps(document, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "StructuralModel":
        """The model of a JSON document.

        Raises:
            ValueError: The document is not of this format.
        """
        document = json.loads(text)
        if document.get("format") != FORMAT:
            raise ValueError(
                f"StructuralModel: format is {document.get('format')!r}, expected {FORMAT!r}"
            )
        arrays = {
            n: np.asarray(document[n], np.float64) for n in ("coefficient", "error", "spread")
        }
        linked = arrays["coefficient"] != 0
        changed = document.get("modification_draws", {})
        return cls(
            draws=_spread_out(document.get("draws", []), linked),
            modification_draws={n: _spread_out(v, linked[:, -1]) for n, v in changed.items()},
            drivers=tuple(document["drivers"]),
            target=document["target"],
            ecosystems=tuple(document["ecosystems"]),
            provenance=document["provenance"],
            modification={
                n: np.asarray(v, np.float64) for n, v in document["modification"].items()
            },
            **arrays,
        )


def _spread_out(values: list[list[float]], linked: NDArray[np.bool_]) -> Floats:
    """Values (draw, ...) of links alone as a table (draw, *linked.shape), 0 elsewhere."""
    out = np.zeros((len(values), *linked.shape)) if values else np.zeros(0)
    if values:
        out[:, linked] = values
    return out
