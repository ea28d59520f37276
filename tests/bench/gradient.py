"""The urban gradient against the planted truth of the twin: reversals found, intervals that hold it, false claims.

    python tests/bench/gradient.py [--seeds 11 12 13] [--towers 12]

A twin with reversals and one without are measured by towers along the gradient. Claims count per class and driver; the
pool of all classes, which has no single true point, is counted apart and never as false where a class reverses.
"""

import argparse
import time

import pandas as pd

from ch4grid.causal.gradient import POOL, gradient
from ch4grid.twin import Twin, laboratory, reversal
from ch4grid.twin.causes import GRADIENT_CLASSES

DRIVERS = ("tas", "vpd", "pr", "ps", "sfcWind", "rsds", "tsl", "mrsos", "evi")


def planted(ecosystem: str, driver: str) -> float | None:
    try:
        return reversal(ecosystem, driver)
    except ValueError:
        return None


def measured(seed: int, towers: int, reverses: bool) -> pd.DataFrame:
    twin = Twin(seed=seed, urban_reversal=reverses)
    series = laboratory(twin, ecosystems=GRADIENT_CLASSES, towers=towers, gradient=True)
    table = gradient(series, flux="ch4_flux", drivers=DRIVERS, seed=seed).table
    table = table[table["scale"] == "plain"].assign(seed=seed, reverses=reverses)
    truth = [
        planted(e, d) if reverses and e != POOL else None
        for e, d in zip(table["ecosystem"], table["driver"], strict=True)
    ]
    return table.assign(truth=pd.Series(truth, index=table.index, dtype=float))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument("--towers", type=int, default=12)
    options = parser.parse_args()
    start = time.perf_counter()
    table = pd.concat(
        [measured(s, options.towers, reverses) for s in options.seeds for reverses in (True, False)]
    )
    true = table[table["truth"].notna()]
    inside = (true["lower"] <= true["truth"]) & (true["truth"] <= true["upper"])
    for seed, rows in true.groupby("seed"):
        for _, row in rows.iterrows():
            print(
                f"seed {seed} {row['ecosystem']:18s} {row['driver']:8s} truth {row['truth']:.3f} "
                f"found {row['reversal']:.3f} ({row['lower']:.3f} to {row['upper']:.3f}) "
                f"{'claimed' if row['claimed'] else 'not claimed: ' + row['why']}"
            )
    print(f"planted reversals claimed: {int(true['claimed'].sum())} of {len(true)}")
    print(f"true point in the 90 % interval: {int(inside.sum())} of {len(true)}")
    error = (true["reversal"] - true["truth"]).abs()
    print(f"distance from the true point: mean {error.mean():.3f}, largest {error.max():.3f}")
    false = table[(table["ecosystem"] != POOL) & table["truth"].isna()]
    for name, rows in (
        ("twins with reversals, other drivers", false[false["reverses"]]),
        ("twins without reversals", false[~false["reverses"]]),
        ("twins without reversals, pool", table[(table["ecosystem"] == POOL) & ~table["reverses"]]),
    ):
        print(
            f"false claims, {name}: {int(rows['claimed'].sum())} of {len(rows)}; "
            f"p < 0.05 in {(rows['p'] < 0.05).mean():.1%}"
        )
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
