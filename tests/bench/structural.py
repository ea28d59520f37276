"""Structure, mediation and counterfactuals of the laboratory against the twin's truth.

    python tests/bench/structural.py [--seeds 1 2 3 4 5] [--towers 24] [--years 10] [--graph true|discovered|both]

Effects are lasting ones of air temperature in asinh units per K, class by class; a class counts where the truth is not
zero. The counterfactual is do(tas + 2) against the same towers of a twin that is run under it: `level` is the root mean
square error of the flux over its mean, `change` the error of the mean change over the true one. Coverage is the share
of 90 % intervals that hold the truth, of direct and indirect effects, zeros included.
"""

import argparse
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from ch4grid.causal import Discovery, discover
from ch4grid.causal.counterfactual import counterfactual
from ch4grid.causal.mediation import mediation
from ch4grid.causal.structural import estimate_structure
from ch4grid.graph import CausalGraph
from ch4grid.structure import POOL
from ch4grid.twin import Twin, laboratory, true_graph
from ch4grid.twin.causes import (
    DRIVERS,
    FLUX_CAUSES,
    RESPONSE_UNIT,
    effect,
    lasting_response,
)
from ch4grid.vocabulary import ECOSYSTEMS

TARGET = "ch4_flux"
MEDIATORS = ("tsl", "evi", "mrsos")
WARMING = {"tas": 2.0}


def say(text: str) -> None:
    print(text, flush=True)


def spreads(twin: Twin, series: xr.Dataset) -> list[dict[str, float]]:
    """Standard deviation of every driver's anomalies at each tower, in the space where its causes act."""
    cells, found = twin.cells, []
    for latitude, longitude in zip(
        series["latitude"].values, series["longitude"].values, strict=True
    ):
        row = [int(np.abs(cells.latitude - latitude).argmin())]
        column = [int(np.abs(cells.longitude - longitude).argmin())]
        cycles = twin.view(cells.take(row, column)).climate.cycles
        found.append({n: float(cycles[n].spread[0, 0]) for n in DRIVERS})
    return found


def true_effects(
    series: xr.Dataset, spread: list[dict[str, float]], ecosystem: str, mediator: str
) -> dict[str, float]:
    """Lasting effects of tas, mean of the towers of a class, from the causes planted [asinh units per K]."""
    sites = np.flatnonzero(series["ecosystem"].values == ecosystem)
    urban = series["urban_fraction"].values
    readings: dict[str, tuple[str, ...]] = {"total": (), "direct": (mediator,), "own": DRIVERS}
    return {
        name: float(np.mean([_at(spread[i], urban[i], ecosystem, held) for i in sites]))
        for name, held in readings.items()
    }


def _at(spread: dict[str, float], urban: float, ecosystem: str, held: tuple[str, ...]) -> float:
    response = lasting_response(["tas", *held])[:, DRIVERS.index("tas")]
    # nothing in the twin leads from tas to soil water or radiation, whose effects are not linear
    return sum(
        float(effect(ecosystem, cause, np.array(urban)))
        / RESPONSE_UNIT[cause.driver]
        * response[DRIVERS.index(cause.driver)]
        * spread[cause.driver]
        / spread["tas"]
        for cause in FLUX_CAUSES[ecosystem]
        if cause.driver not in ("mrsos", "rsds")
    )


def effect_rows(twin: Twin, series: xr.Dataset, graph: CausalGraph) -> Iterator[dict[str, object]]:
    spread = spreads(twin, series)
    for mediator in MEDIATORS:
        found = mediation(series, graph, flux=TARGET, treatment="tas", mediator=mediator, seed=0)
        table = found.table[found.table["ecosystem"] != POOL]
        for name, part in table.groupby("ecosystem"):
            truth = true_effects(series, spread, str(name), mediator)
            truth["indirect"] = truth["total"] - truth["direct"]
            for row in part.to_dict("records"):
                true = truth[row["effect"]]
                yield {
                    "ecosystem": name,
                    "mediator": mediator,
                    "effect": row["effect"],
                    "truth": true,
                    "estimate": row["estimate"],
                    "of_total": abs(row["estimate"] - true) / abs(truth["total"]),
                    "relative": abs(row["estimate"] - true) / abs(true)
                    if abs(true) > 1e-9
                    else np.nan,
                    "covered": row["lower"] <= true <= row["upper"],
                }


def counterfactual_rows(
    twin: Twin, series: xr.Dataset, graph: CausalGraph, towers: int
) -> Iterator[dict[str, object]]:
    fitted = estimate_structure(series, graph, flux=TARGET, seed=0)
    for propagate in (False, True):
        changed = twin.model_copy(update={"intervention": WARMING, "propagate": propagate})
        again = laboratory(changed, towers=towers)[TARGET].values
        found = counterfactual(
            series, fitted.model, do=WARMING, propagate=propagate, copies=fitted.copies
        )
        for name in ECOSYSTEMS:
            here = series["ecosystem"].values == name
            before, after, true = (
                found["measured"].values[here],
                found["flux"].values[here],
                again[here],
            )
            ok = np.isfinite(before) & np.isfinite(after) & np.isfinite(true)
            change, truth = (after - before)[ok].mean(), (true - before)[ok].mean()
            moved = abs(truth) > 1e-6 * abs(before[ok].mean())
            inside = found.sel(ecosystem=name)
            yield {
                "ecosystem": name,
                "reading": "propagated" if propagate else "ceteris paribus",
                "level": np.sqrt(((after - true)[ok] ** 2).mean()) / np.abs(true[ok]).mean(),
                "change": abs(change - truth) / abs(truth) if moved else np.nan,
                "change_of_flux": abs(change - truth) / abs(true[ok]).mean(),
                "blanked": 1 - ok.sum() / np.isfinite(before).sum(),
                "covered": bool(inside["change_lower"] <= truth <= inside["change_upper"])
                if moved
                else np.nan,
            }


def graphs(series: xr.Dataset, which: str, seed: int) -> Iterator[tuple[str, CausalGraph]]:
    if which in ("true", "both"):
        yield "true graph", true_graph()
    if which in ("discovered", "both"):
        yield (
            "discovered graph",
            discover(
                series,
                flux=TARGET,
                drivers=DRIVERS,
                ecosystems=ECOSYSTEMS,
                config=Discovery(bootstraps=20, driver_bootstraps=4),
                seed=seed,
            ),
        )


def summary(title: str, rows: list[dict[str, object]], keys: list[str]) -> None:
    table = pd.DataFrame(rows)
    numbers = [c for c in table.columns if c not in (*keys, "seed")]
    table[numbers] = table[numbers].astype(float)
    say(f"-- {title}, mean over {table['seed'].nunique()} seeds")
    say(table.groupby(keys, sort=False)[numbers].mean().round(4).to_string())
    say(f"   overall: {table[numbers].mean().round(3).to_dict()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--towers", type=int, default=24)
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument("--graph", choices=["true", "discovered", "both"], default="both")
    options = parser.parse_args()
    effects: dict[str, list[dict[str, object]]] = {}
    changes: dict[str, list[dict[str, object]]] = {}
    for seed in options.seeds:
        start = time.perf_counter()
        twin = Twin(seed=seed, last_year=1998 + options.years)
        series = laboratory(twin, towers=options.towers)
        for name, graph in graphs(series, options.graph, seed):
            effects.setdefault(name, []).extend(
                {"seed": seed} | row for row in effect_rows(twin, series, graph)
            )
            changes.setdefault(name, []).extend(
                {"seed": seed} | row
                for row in counterfactual_rows(twin, series, graph, options.towers)
            )
        say(f"seed {seed}: {time.perf_counter() - start:.0f} s")
    say(f"{options.towers} towers per class, {options.years} years, seeds {options.seeds}")
    for name, rows in effects.items():
        planted = [row for row in rows if row["effect"] != "own"]
        summary(f"effects of tas, {name}", planted, ["ecosystem", "mediator", "effect"])
    for name, rows in changes.items():
        summary(f"do(tas + 2), {name}", rows, ["reading", "ecosystem"])


if __name__ == "__main__":
    main()
