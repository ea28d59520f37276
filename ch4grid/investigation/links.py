"""The links of a class in the form in which they are drawn."""

import pandas as pd

from ch4grid.pages.network import Link


def as_links(table: pd.DataFrame, ecosystem: str) -> list[Link]:
    """The links of a class as a picture takes them."""
    rows = table[table["ecosystem"] == ecosystem]
    return [
        Link(*row)
        for row in rows[["source", "target", "lag", "frequency", "strength"]].itertuples(
            index=False, name=None
        )
    ]
