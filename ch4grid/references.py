"""Published global budgets beside which a product stands: what others say, with period and source.

A range is no truth: maps of wetlands alone move a total by a fifth, and bottom-up and top-down estimates disagree.
"""

from dataclasses import dataclass

from ch4grid.vocabulary import ECOSYSTEMS


@dataclass(frozen=True)
class Reference:
    """A published range of a global sum.

    Args:
        name: What it is a sum of, in words.
        ecosystems: Classes of a product that are comparable with it.
        lower: Lowest estimate [Tg per year].
        upper: Highest estimate [Tg per year].
        period: Years that it is about.
        source: Where it was published.
        note: What keeps the two from being the same.
    """

    name: str
    ecosystems: tuple[str, ...]
    lower: float
    upper: float
    period: str
    source: str
    note: str = ""

    def __post_init__(self) -> None:
        unknown = set(self.ecosystems) - set(ECOSYSTEMS)
        if unknown or not self.lower < self.upper:
            raise ValueError(
                f"{self.name}: no such classes {unknown}, or {self.lower} not below {self.upper}"
            )


# By gas. Net exchange and nitrous oxide of towers have no counterpart of the same extent in the literature.
REFERENCES: dict[str, tuple[Reference, ...]] = {
    "ch4": (
        Reference(
            "freshwater wetlands",
            ("tropical-floodplain", "boreal-peatland", "temperate-wetland"),
            119.0,
            203.0,
            "2010 to 2019",
            "Saunois et al. 2025, bottom-up",
            "without inland waters",
        ),
        Reference(
            "freshwater wetlands",
            ("tropical-floodplain", "boreal-peatland", "temperate-wetland"),
            134.0,
            182.0,
            "2010 to 2020",
            "Zhang et al. 2025, 16 process models, one standard deviation",
        ),
        Reference(
            "rice", ("rice-paddy",), 25.0, 37.0, "2010 to 2019", "Saunois et al. 2025, bottom-up"
        ),
        Reference(
            "coastal vegetation",
            ("coastal",),
            5.3,
            6.3,
            "climatology",
            "Al-Haj and Fulweiler 2020",
            "with seagrass; later estimates are lower",
        ),
        Reference(
            "uptake of soils",
            ("upland",),
            -49.0,
            -11.0,
            "2010 to 2019",
            "Saunois et al. 2025, bottom-up",
            "uptake alone, while towers on uplands also see emissions",
        ),
    ),
}
