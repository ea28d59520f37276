"""Effects against the truth of the twin: averages, intervals, placebos, and effects along the urban gradient.

    python tests/bench/effects.py [--seeds 11 12] [--towers 12]

The laboratory has `towers` towers per class over ten years. The truth of an average is what the
twin's own equations answer when the driver is moved by what nothing held explains, as slope on that move.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "causal"))
from effect_truth import responses

from ch4grid.causal.adjustment import adjustment
from ch4grid.causal.anomalies import anomalies
from ch4grid.causal.effects import EffectSettings, effects
from ch4grid.causal.forest import residuals
from ch4grid.causal.treatments import sample
from ch4grid.twin import Twin, laboratory, true_graph
from ch4grid.twin.causes import DRIVERS, GRADIENT_CLASSES
from ch4grid.vocabulary import ECOSYSTEMS

FLUX = "ch4_flux"
# A small change of a driver, in its unit or in standard deviations.
SMALL = 1e-3


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def truth(twin, towers, departures, row) -> tuple[float, float]:
    """True average effect of a row: moved by what nothing held explains, and moved a little in every month alike."""
    inside = np.flatnonzero(towers["ecosystem"].values == row.ecosystem)
    sets = adjustment(true_graph(), row.ecosystem, row.driver, row.lag)
    held = sets.total if row.kind == "total" else sets.direct
    data = sample(departures.isel(site=inside), FLUX, sets.treatment, held)
    moved = residuals(data, folds=5, seed=0).treatment
    here = towers.isel(site=inside)
    how = (twin, here, row.ecosystem, row.driver, row.lag, row.kind)
    change = np.full((len(inside), towers.sizes["time"]), np.nan)
    change[data.site, data.month] = moved
    answer = responses(*how, change)[data.site, data.month]
    step = SMALL * row.spread
    little = responses(*how, np.full_like(change, step))[data.site, data.month] / step
    # a soil cannot hold less than nothing: such a month has no counterpart
    ok = np.isfinite(answer)
    average = (answer[ok] * moved[ok]).sum() / (moved[ok] ** 2).sum()
    return float(average), float(little[ok].mean())


def averages(seed: int, towers: int) -> tuple[pd.DataFrame, float]:
    twin = Twin(seed=seed)
    series = laboratory(twin, towers=towers)
    start = time.perf_counter()
    found = effects(
        series,
        true_graph(),
        flux=FLUX,
        ecosystems=ECOSYSTEMS,
        config=EffectSettings(forests=0),
        seed=0,
    )
    seconds = time.perf_counter() - start
    rows = found.table
    rows = rows[(rows["contrast"] == "per unit") & (rows["in_graph"] == True)].copy()  # noqa: E712
    departures = anomalies(series, flux=FLUX, drivers=DRIVERS)
    told = [truth(twin, series, departures, row) for row in rows.itertuples()]
    rows["truth"], rows["equal"] = zip(*told, strict=True)
    rows["seed"] = seed
    rows["error"] = rows["effect"] / rows["truth"] - 1
    rows["covered"] = (rows["lower"] <= rows["truth"]) & (rows["truth"] <= rows["upper"])
    return rows, seconds


def gradient(seed: int, towers: int) -> pd.DataFrame:
    """Correlation of conditional effects with the truth along the urban gradient."""
    twin = Twin(seed=seed)
    series = laboratory(twin, ecosystems=GRADIENT_CLASSES, towers=towers, gradient=True)
    graph = true_graph()
    rows = []
    found = effects(
        series,
        graph,
        flux=FLUX,
        ecosystems=GRADIENT_CLASSES,
        treatments=[("tas", 0), ("sfcWind", 0)],
        config=EffectSettings(forests=2),
        seed=0,
    )
    for driver in ("tas", "sfcWind"):
        sites = found.sites[found.sites["driver"] == driver].set_index("site")
        exact = {}
        for name in GRADIENT_CLASSES:
            here = series.isel(site=np.flatnonzero(series["ecosystem"].values == name))
            step = np.full((here.sizes["site"], here.sizes["time"]), SMALL)
            values = (
                np.nanmean(responses(twin, here, name, driver, 0, "total", step), axis=1) / SMALL
            )
            exact |= dict(zip(here["site"].values.astype(str), values, strict=True))
        true = np.array([exact[site] for site in sites.index])
        acts = np.abs(true) > 0
        tests = found.forests[found.forests["driver"] == driver].iloc[0]
        inside = (sites["lower"] <= true) & (true <= sites["upper"])
        rows.append(
            {
                "seed": seed,
                "driver": driver,
                "sites": len(sites),
                "correlation": np.corrcoef(sites["effect"][acts], true[acts])[0, 1],
                "covered": inside.mean(),
                "calibration": tests["calibration"],
                "lower": tests["lower"],
                "upper": tests["upper"],
                "gain": tests["gain"],
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    np.seterr(invalid="ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12])
    parser.add_argument("--towers", type=int, default=12)
    arguments = parser.parse_args()
    parts = list(map(partial(averages, towers=arguments.towers), arguments.seeds))
    rows = pd.concat([part for part, _ in parts])
    keys = ["kind", "ecosystem", "driver", "lag"]
    table = rows.groupby(keys, sort=False).agg(
        effect=("effect", "mean"),
        truth=("truth", "mean"),
        equal=("equal", "mean"),
        covered=("covered", "mean"),
        placebo_zero=("placebo_zero", "mean"),
        n=("n", "mean"),
        clusters=("clusters", "mean"),
    )
    table["bias"] = table["effect"] / table["truth"] - 1
    say(table.round(4).to_string())
    for kind, part in rows.groupby("kind"):
        say(
            f"{kind}: {len(part)} effects, within 10 %: {(part['error'].abs() <= 0.1).mean():.2f}, median error "
            f"{part['error'].abs().median():.3f}, mean {part['error'].mean():+.3f}, "
            f"covered {part['covered'].mean():.3f}"
        )
    once = rows.drop_duplicates(["seed", "ecosystem", "driver", "lag"])
    shuffled = (rows["shuffled_lower"] <= 0) & (rows["shuffled_upper"] >= 0)
    say(
        f"placebos hold zero: next month {once['placebo_zero'].mean():.3f}, shuffled {shuffled.mean():.3f}"
    )
    say(f"seconds per seed: {np.mean([seconds for _, seconds in parts]):.1f}")
    say(
        pd.concat([gradient(s, arguments.towers) for s in arguments.seeds])
        .round(3)
        .to_string(index=False)
    )


if __name__ == "__main__":
    main()
