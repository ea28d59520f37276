"""`CausalGraph`: which driver at which lag may cause the flux and the other drivers, with which probability, per class.

It is the only thing that discovery hands to a model. It travels as JSON inside a checkpoint.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FORMAT = "ch4grid-causal-graph-1"


class Parent(NamedTuple):
    """One admissible cause: a driver, its lag [months] and the probability that the link exists."""

    driver: str
    lag: int
    probability: float


@dataclass(frozen=True, eq=False)
class CausalGraph:
    """Link probabilities into the flux and into every driver.

    Args:
        drivers: Names of the P drivers.
        target: Name of the flux variable; the last of the P + 1 nodes.
        ecosystems: Names of the E ecosystem classes.
        probability: Shrunk link probabilities (E, P + 1, P, L + 1): class, to, from, lag [months].
        provenance: What was done: counts, frequencies, library versions, sites used. JSON values only.
    """

    drivers: tuple[str, ...]
    target: str
    ecosystems: tuple[str, ...]
    probability: NDArray[np.float64]
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        p = len(self.drivers)
        shape = self.probability.shape
        if shape[:3] != (len(self.ecosystems), p + 1, p) or len(shape) != 4:
            raise ValueError(
                f"CausalGraph: probability has shape {shape}, expected ({len(self.ecosystems)}, {p + 1}, {p}, lags)"
            )
        if not (
            np.isfinite(self.probability).all()
            and self.probability.min() >= 0
            and self.probability.max() <= 1
        ):
            raise ValueError("CausalGraph: link probabilities must be finite and lie in [0, 1]")

    @property
    def nodes(self) -> tuple[str, ...]:
        """The drivers and, last, the flux."""
        return (*self.drivers, self.target)

    @property
    def max_lag(self) -> int:
        """Longest lag [months]."""
        return int(self.probability.shape[3]) - 1

    def parents(self, ecosystem: str, node: str, *, top: int, floor: float) -> tuple[Parent, ...]:
        """The up to `top` most probable links into `node` above `floor`, most probable first, ties by name and lag.

        Args:
            ecosystem: Class name.
            node: A driver or the target.
            top: Longest list M.
            floor: Smallest admissible probability pi_min; a link below it can never be opened by training.
        """
        table = self.probability[self.ecosystems.index(ecosystem), self.nodes.index(node)]
        links = [
            Parent(driver, lag, float(table[i, lag]))
            for i, driver in enumerate(self.drivers)
            for lag in range(self.max_lag + 1)
            if table[i, lag] >= floor
        ]
        return tuple(
            sorted(links, key=lambda link: (-link.probability, link.driver, link.lag))[:top]
        )

    def randomised(self, seed: int) -> "CausalGraph":
        """A graph of equal density whose links are dealt anew: the random-DAG control."""
        rng = np.random.default_rng(seed)
        shuffled = self.probability.copy()
        for table in shuffled.reshape(-1, *shuffled.shape[2:]):
            table[:] = rng.permutation(table.ravel()).reshape(table.shape)
        return replace(
            self, probability=shuffled, provenance={"control": "randomised", "seed": seed}
        )

    def to_json(self) -> str:
        """The graph as a versioned JSON document."""
        document = {
            "format": FORMAT,
            "drivers": self.drivers,
            "target": self.target,
            "ecosystems": self.ecosystems,
            "dims": ["ecosystem", "to", "from", "lag"],
            "probability": self.probability.round(6).tolist(),
            "provenance": self.provenance,
        }
        return json.dumps(document, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "CausalGraph":
        """The graph of a JSON document.

        Raises:
            ValueError: The document is not of this format.
        """
        document = json.loads(text)
        if document.get("format") != FORMAT:
            raise ValueError(
                f"CausalGraph: format is {document.get('format')!r}, expected {FORMAT!r}"
            )
        return cls(
            drivers=tuple(document["drivers"]),
            target=document["target"],
            ecosystems=tuple(document["ecosystems"]),
            probability=np.asarray(document["probability"], dtype=np.float64),
            provenance=document["provenance"],
        )
