"""Where a model is good and where not: by level of aggregation, by group of months, by tower, and in terms of a budget.

In comes the frame of predictions of one model under one split (see `scoring`); out go tables whose missing scores are
NaN. A pooled score hides that a model may know the level of a place and nothing of its years.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ch4grid.errors import InputError
from ch4grid.evaluation.scoring import scores, skill
from ch4grid.vocabulary import GASES, Gas

# Prefix of a score, measured and predicted column.
SPACES = {"": ("measured", "predicted"), "asinh_": ("measured_asinh", "predicted_asinh")}
COLUMNS = [column for pair in SPACES.values() for column in pair]
SEASONS = ("winter", "spring", "summer", "autumn")
# Edges of the distance to the nearest training tower [km].
EDGES_KM = (0.0, 100.0, 300.0, 1000.0, 3000.0, np.inf)
DISTANCES = ("<100 km", "100-300 km", "300-1000 km", "1000-3000 km", ">3000 km")
# A mean seasonal cycle of fewer calendar months is not told from its mean.
MIN_CYCLE_MONTHS = 6
# A departure below this share of the largest value is rounding.
ROUNDING = 1e-12
# An NSE of one tower from fewer months says nothing.
MIN_SITE_MONTHS = 6
QUARTILES = {"lower": 0.25, "median": 0.5, "upper": 0.75}

SECONDS_PER_YEAR = 365.25 * 86400.0
KG_PER_TG = 1e9
M2_PER_MKM2 = 1e12


def levels(frame: pd.DataFrame) -> pd.DataFrame:
    """NSE, R2 and MAE at four levels, in flux [nmol m-2 s-1] and, with prefix asinh_, in asinh space.

    The levels (methods 1.3): `month`, all months pooled; `site`, means of towers; `season`, the mean of each calendar
    month less the mean of the tower's calendar months, of towers with at least six; `anomaly`, months less the mean of
    their calendar month over the years scored, where those are two or more. Measured and predicted each lose their own
    mean. A column with a missing value has no skill at any level.

    Raises:
        InputError: A month of a tower is there twice.
    """
    _once(frame)
    whole = np.isfinite(frame[COLUMNS].to_numpy(np.float64)).all(axis=0)
    values = frame[COLUMNS].astype(np.float64) * np.where(whole, 1.0, np.nan)
    month = pd.DatetimeIndex(frame["time"]).month.to_numpy()
    by_month = values.groupby([frame["site"].to_numpy(), month])
    cycle = by_month.mean()
    by_site = cycle.groupby(level=0)
    tables = {
        "month": values,
        "site": values.groupby(frame["site"].to_numpy()).mean(),
        "season": _departures(cycle, by_site.transform("mean"))[
            by_site["measured"].transform("size") >= MIN_CYCLE_MONTHS
        ],
        "anomaly": _departures(values, by_month.transform("mean"))[
            by_month["measured"].transform("size") >= 2
        ],
    }
    return pd.DataFrame(
        [{"level": name, "n": len(table)} | _skills(table) for name, table in tables.items()]
    )


def by(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Scores of each group of months with its numbers of months, sites and clusters.

    Args:
        frame: Predictions.
        column: "season" (winter to autumn, six months apart in the south), "distance" (bins of the distance to the
            nearest training tower) or a column of the frame, such as ecosystem.
    """
    rows = [
        {
            column: str(label),
            "months": len(part),
            "sites": part["site"].nunique(),
            "clusters": part["cluster"].nunique(),
            **scores(part),
        }
        for label, part in frame.groupby(_labels(frame, column), observed=True)
    ]
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys(table.columns[4:], np.float64))


def per_site(frame: pd.DataFrame) -> dict[str, float | int | None]:
    """Median and quartiles over towers of their NSE, in flux and in asinh space, with the number of towers.

    Towers of fewer than six months or of constant flux have none.
    """
    out: dict[str, float | int | None] = {}
    parts = [part for _, part in frame.groupby("site") if len(part) >= MIN_SITE_MONTHS]
    found = [_skills(part) for part in parts]
    for prefix in SPACES:
        known = np.array([row[f"{prefix}nse"] for row in found], dtype=np.float64)
        known = known[np.isfinite(known)]
        out[f"{prefix}sites"] = len(known)
        for name, level in QUARTILES.items():
            value = float(np.quantile(known, level)) if len(known) else None
            out[f"{prefix}nse_{name}"] = value
    return out


def bias_tg(
    frame: pd.DataFrame, areas: Mapping[str, float] | None = None, *, gas: Gas = GASES["ch4"]
) -> dict[str, float]:
    """What the bias of each class would do to a budget; within a class every tower counts once.

    Args:
        frame: Predictions.
        areas: Area of each class [m2]; without it the bias is that of a million km2.
        gas: The gas, for its molar mass.

    Returns:
        Class and bias [Tg yr-1], with the sum as "total"; without areas [Tg yr-1 per million km2] and no sum.

    Raises:
        InputError: A class of the frame has no area.
    """
    error = (frame["predicted"] - frame["measured"]).groupby([frame["ecosystem"], frame["site"]])
    bias = error.mean().groupby(level=0).mean()
    tg_per_m2 = gas.kg_per_nmol * SECONDS_PER_YEAR / KG_PER_TG
    missing = [] if areas is None else sorted(set(bias.index.astype(str)) - set(areas))
    if missing:
        raise InputError("classes without an area", where="areas", found=", ".join(missing))
    area = {str(name): M2_PER_MKM2 if areas is None else areas[str(name)] for name in bias.index}
    out = {str(name): float(value) * tg_per_m2 * area[str(name)] for name, value in bias.items()}
    return out if areas is None else out | {"total": sum(out.values())}


def _departures(values: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Values less their means, 0 where they differ by rounding, which would be correlated like any other number."""
    away = values - means
    return away.mask(away.abs() < ROUNDING * values.abs().max(), 0.0)


def _skills(table: pd.DataFrame) -> dict[str, float]:
    return {
        f"{prefix}{name}": value
        for prefix, (measured, predicted) in SPACES.items()
        for name, value in skill(table[measured].to_numpy(), table[predicted].to_numpy()).items()
    }


def _labels(frame: pd.DataFrame, column: str) -> "pd.Series[str]":
    """The group of each month, ordered where groups have an order."""
    if column == "season":
        month = pd.DatetimeIndex(frame["time"]).month.to_numpy()
        # December starts the first season
        place = (month % 12 // 3 + np.where(frame["latitude"].to_numpy() < 0, 2, 0)) % 4
        names = np.array(SEASONS)[place]
        return pd.Series(pd.Categorical(names, categories=list(SEASONS)), index=frame.index)
    if column == "distance":
        return pd.cut(frame["distance_km"], EDGES_KM, right=False, labels=list(DISTANCES))
    return frame[column]


def _once(frame: pd.DataFrame) -> None:
    twice = frame.duplicated(["site", "time"])
    if twice.any():
        raise InputError(
            "a month of a tower is there twice",
            where="predictions",
            expected="one model under one split",
            found=f"{int(twice.sum())} repeated months",
        )
