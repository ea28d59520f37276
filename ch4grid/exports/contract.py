"""The written contract of an export: names of its files, what is in them, and what their consumer does with it."""

from dataclasses import asdict, dataclass

# Largest departure of a month's total from the budget of the product, as a share of its gross flux.
TOTALS = 1e-6


@dataclass(frozen=True)
class Contract:
    """What a consumer can rely on, one text each.

    Args:
        purpose: Who reads the files, and what for.
        files: Names of the files.
        variables: Variables or columns with dimensions in order and types.
        units: Units of fluxes or masses.
        time: How months are labelled.
        grid: Cells, their order, their areas.
        missing: What stands where the product has no value.
        law: What is checked in every file before it appears.
        consumer: What the consumer does with the files.
        checked: By which means the layout was checked, and by which it was not.
    """

    purpose: str
    files: str
    variables: str
    units: str
    time: str
    grid: str
    missing: str
    law: str
    consumer: str
    checked: str

    def as_dict(self) -> dict[str, str]:
        """The contract as JSON values."""
        return asdict(self)

    def in_words(self) -> str:
        """The contract as lines for people."""
        texts = self.as_dict()
        wide = max(map(len, texts)) + 2
        return "\n".join(f"{name:<{wide}}{text}" for name, text in texts.items())
