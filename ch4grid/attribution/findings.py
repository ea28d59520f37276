"""What an attribution says: a table of contributions to budgets with intervals, and the finding for people."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid import budgets
from ch4grid.attribution.shares import ALL_ORDERS
from ch4grid.findings import Check, Finding

ALL = "all"
COLUMNS = {
    "driver": "Driver, `class_areas` for the areas of the classes, `all` for their sum",
    "region": "Latitude band",
    "ecosystem": "Ecosystem class, `all` for their sum",
    "mean": "Contribution to the change of the annual mass, mean of the members [Tg yr-1]",
    "lower": "Lower end of its 90 % interval [Tg yr-1]",
    "upper": "Upper end of its 90 % interval [Tg yr-1]",
}
LIMITS = (
    "It divides the change that the model makes of its inputs; whether the model is right is another question. It is "
    "consistent with the drivers moving the flux, and no proof.",
    "Cells without a flux before or after have no part in it.",
    "Where drivers act together, their common effect is dealt to them in equal shares.",
    "The drivers of both months and of the months that the model remembers are swapped at once.",
)


def finding(store: Path) -> Finding:
    """The finding of an attribution's store."""
    with xr.open_zarr(store) as opened:
        told, ds = dict(opened.attrs), opened[["budget_contribution"]].load()
    table = contributions(ds["budget_contribution"], float(told[budgets.INFLATION]))
    globe = table[(table["region"] == "globe") & (table["ecosystem"] == ALL)]
    largest = globe[globe["driver"] != ALL].sort_values("mean", key=np.abs, ascending=False)
    whole = globe[globe["driver"] == ALL].iloc[0]
    answers = [f"The change is {_words(whole)}."]
    answers += [f"{row['driver']}: {_words(row)}." for _, row in largest.iterrows() if row["mean"]]
    silent = [str(row["driver"]) for _, row in largest.iterrows() if not row["mean"]]
    answers += [f"No contribution at all: {', '.join(silent)}."] if silent else []
    return Finding(
        key=store.stem,
        title=f"What contributes to the change from {told['old']} to {told['new']}",
        question=f"How much does each driver contribute to the change from {told['old']} to {told['new']}?",
        data=f"{told['product']}, {ds.sizes['member']} members, the model that made it",
        answers=tuple(answers),
        table=table,
        columns=COLUMNS,
        checks=(
            Check(
                "contributions add up to the published change",
                True,
                "within 1e-6 of the larger flux in every cell and month, refused otherwise",
            ),
        ),
        limits=(*LIMITS, _orders(len(json.loads(told["changed"])))),
        attributes={k: v for k, v in sorted(told.items()) if isinstance(v, str | int | float)},
    )


def contributions(members: xr.DataArray, inflation: float) -> pd.DataFrame:
    """Mean and 90 % interval by driver, region and class, with their sums [Tg yr-1].

    Args:
        members: (member, driver, region, ecosystem) [Tg yr-1].
        inflation: Factor on the half width that held-out towers ask for.
    """
    for dim in ("driver", "ecosystem"):
        total = members.sum(dim).expand_dims({dim: [ALL]})
        members = xr.concat([total, members], dim=dim)
    bounds = budgets.interval(members.transpose("member", ...), 0.9, inflation)
    named = zip(("lower", "mean", "upper"), bounds, strict=True)
    frame = xr.Dataset({n: v.drop_attrs() for n, v in named}).to_dataframe().reset_index()
    return frame[list(COLUMNS)].sort_values(
        ["region", "ecosystem", "driver"], kind="stable", ignore_index=True
    )


def _words(row: Any) -> str:
    return f"{row['mean']:+.3g} Tg yr-1 (90 % interval {row['lower']:+.3g} to {row['upper']:+.3g})"


def _orders(changed: int) -> str:
    if changed <= ALL_ORDERS:
        return "All orders of swapping were taken."
    return "Two opposite orders of swapping were taken in each region: where drivers interact, other orders differ."
