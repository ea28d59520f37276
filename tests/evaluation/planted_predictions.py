"""A frame of predictions under a known law: Laplace in asinh space, scale 10 nmol m-2 s-1."""

from itertools import product

import numpy as np
import pandas as pd

from ch4grid.evaluation.scoring import PERCENT, QUANTILES

SCALE = 10.0
WIDTH = 0.4


def laplace_quantile(level: np.ndarray) -> np.ndarray:
    """Quantiles of the standard Laplace law."""
    return -np.sign(level - 0.5) * np.log1p(-2 * np.abs(level - 0.5))


def predictions(
    *,
    sites: int = 20,
    months: int = 36,
    seed: int = 0,
    noise: float = WIDTH,
    model: str = "oracle",
    said: float = WIDTH,
) -> pd.DataFrame:
    """Months whose truth is one draw for all models of a seed; `noise` moves the location, `said` is the width."""
    truth = np.random.default_rng(seed)
    places = truth.uniform(-60, 60, sites)
    time = pd.date_range("2010-01-01", periods=months, freq="MS")
    rows = pd.DataFrame(list(product(range(sites), time)), columns=["number", "time"])
    number = rows.pop("number").to_numpy()
    centre = truth.normal(1, 0.8, sites)[number]
    centre += 0.7 * np.sin(2 * np.pi * (rows["time"].dt.month.to_numpy() - 4) / 12)
    measured = centre + truth.laplace(scale=WIDTH, size=len(rows))
    moved = np.random.default_rng([seed, len(model), ord(model[0])])
    location = centre + moved.normal(0, max(noise - WIDTH, 0), len(rows))
    spread = said * laplace_quantile(np.array(PERCENT) / 100)
    quantiles = SCALE * np.sinh(location[:, None] + spread)
    return rows.assign(
        model=model,
        split="loco",
        fold="0",
        site=[f"XX-{i:02d}" for i in number],
        cluster=number // 2,
        ecosystem=np.array(["rice-paddy", "upland", "urban"])[number % 3],
        latitude=places[number],
        longitude=0.0,
        measured=SCALE * np.sinh(measured),
        predicted=SCALE * np.sinh(location) / (1 - WIDTH**2),
        measured_asinh=measured,
        predicted_asinh=location,
        distance_km=np.linspace(0, 4000, sites)[number],
        **dict(zip(QUANTILES, quantiles.T, strict=True)),
    )
