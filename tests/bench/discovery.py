"""How well discovery finds the causes of the twin: F1, orientation, null controls, calibration, power by sample size.

    OMP_NUM_THREADS=1 PYTHONPATH=.:tests python tests/bench/discovery.py --seeds 1 2 3 4 5 [--towers 12] [--years 10]

Every seed is a planet of its own. `reported` are links with q and frequency as `Discovery` asks, `linked` those that
half of the bootstraps hold, `graph` those of the shrunk graph with a probability of one half.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import planted_system as planted

from ch4grid.causal import Discovery, discover, score
from ch4grid.causal.nulls import LINKED_FREQUENCY, nulls, reported
from ch4grid.twin import Twin, laboratory, true_links
from ch4grid.twin.causes import DRIVER_CAUSES, DRIVERS
from ch4grid.vocabulary import ECOSYSTEMS

PROCESSES = 2
FIRST_YEAR = 2001
WEEKS, DAYS = 365.25 / 7, 365.25
# towers per class, years
LADDER = ((3, 4), (6, 4), (12, 4), (12, 6))
# label, sites, steps, steps per year, centred, season removed, what the probe of methods 3.3 found
SYSTEM = (
    ("monthly, 48 months", 1, 48, 12, True, True, (0.24, 0.04)),
    ("monthly, 120 months", 1, 120, 12, True, True, (0.39, 0.03)),
    ("weekly, 156 weeks", 1, 156, WEEKS, True, True, (0.52, 0.02)),
    ("weekly, 312 weeks", 1, 312, WEEKS, True, True, (0.86, 0.02)),
    ("daily, 730 days, season left in", 1, 730, DAYS, True, False, (0.97, 0.29)),
    ("daily, 730 days", 1, 730, DAYS, True, True, (1.00, 0.00)),
    ("5 sites x 48 months, site means left in", 5, 48, 12, False, True, (0.17, 0.09)),
    ("5 sites x 48 months", 5, 48, 12, True, True, (0.70, 0.05)),
    ("10 sites x 48 months, site means left in", 10, 48, 12, False, True, (0.25, 0.14)),
    ("10 sites x 48 months", 10, 48, 12, True, True, (0.92, 0.01)),
    ("20 sites x 48 months", 20, 48, 12, True, True, None),
    ("5 sites x 156 weeks", 5, 156, WEEKS, True, True, (1.00, 0.03)),
)
RUNS = 6
BINS = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)


def say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def f1(found: set, truth: set) -> tuple[float, float, float]:
    """Precision, recall and F1, each 1 where there is nothing to be wrong about."""
    hits = len(found & truth)
    total = len(found) + len(truth)
    return (
        hits / len(found) if found else 1.0,
        hits / len(truth) if truth else 1.0,
        2 * hits / total if total else 1.0,
    )


def links(table: np.ndarray) -> set[tuple[str, int]]:
    return {(DRIVERS[i], int(lag)) for i, lag in np.argwhere(table)}


def towers_of(seed: int, towers: int, years: int):
    return laboratory(
        Twin(seed=seed, first_year=FIRST_YEAR, last_year=FIRST_YEAR + years - 1), towers=towers
    )


def graph_of(series, seed: int, config: Discovery):
    return discover(
        series, flux="ch4_flux", drivers=DRIVERS, ecosystems=ECOSYSTEMS, config=config, seed=seed
    )


def class_scores(graph, config: Discovery) -> list[dict]:
    """Scores per class and rule: by driver, then by driver and lag, and which links were wrong."""
    rows = []
    for name in ECOSYSTEMS:
        truth = true_links(name)
        rules = {}
        if name in graph.provenance["frequency"]:
            frequency = np.asarray(graph.provenance["frequency"][name])
            rules["reported"] = links(reported(graph, name, config))
            rules["linked"] = links(frequency >= LINKED_FREQUENCY)
        table = graph.probability[ECOSYSTEMS.index(name), -1]
        rules["graph"] = links(table >= 0.5)
        for rule, found in rules.items():
            rows.append(
                {
                    "class": name,
                    "rule": rule,
                    "driver": f1({d for d, _ in found}, {d for d, _ in truth}),
                    "lag": f1(found, truth),
                    "false": sorted(found - truth),
                    "missed": sorted(truth - found),
                }
            )
        same = score(graph, truth, ecosystem=name)
        assert np.isclose(same.f1, rows[-1]["driver"][2]), "the bench and `score` differ"
    return rows


def orientation(table: np.ndarray) -> dict[str, int]:
    """Pairs of drivers with a link of the same month (to, from): right, wrong and unoriented ones, and false pairs.

    A pair is found when its two directions together have half; it is oriented when one has twice the other.
    """
    truth = {(to, c.driver) for to, causes in DRIVER_CAUSES.items() for c in causes if c.lag == 0}
    count = dict.fromkeys(("true", "right", "wrong", "unoriented", "missed", "false"), 0)
    for i, one in enumerate(DRIVERS):
        for j in range(i):
            other = DRIVERS[j]
            ahead, back = table[i, j], table[j, i]
            found = ahead + back >= 0.5
            true = (one, other) in truth or (other, one) in truth
            count["true"] += true
            if true and not found:
                count["missed"] += 1
            elif found and not true:
                count["false"] += 1
            elif found:
                if max(ahead, back) < 2 * min(ahead, back):
                    count["unoriented"] += 1
                else:
                    count["right" if (ahead > back) == ((one, other) in truth) else "wrong"] += 1
    return count


def calibration(graph) -> list[tuple[float, float, bool, float]]:
    """Frequency, probability, truth and chance of every link into the flux of every class tested."""
    out = []
    for e, name in enumerate(ECOSYSTEMS):
        if name in graph.provenance["frequency"]:
            frequency = np.asarray(graph.provenance["frequency"][name])
            chance = np.asarray(graph.provenance["chance"][name])
            truth, p = true_links(name), graph.probability[e, -1]
            out += [
                (float(f), float(p[i, lag]), (DRIVERS[i], lag) in truth, float(chance[i, lag]))
                for (i, lag), f in np.ndenumerate(frequency)
            ]
    return out


def one_seed(seed: int, *, towers: int, years: int, replicates: int, parts: tuple) -> dict:
    """All figures of one planet."""
    config = Discovery()
    result: dict = {"seed": seed, "seconds": {}}
    sizes = [size for size in LADDER if "ladder" in parts] or []
    sizes = list(dict.fromkeys([*sizes, (towers, years)]))
    ladder = {}
    for size in sizes:
        start = time.perf_counter()
        graph = graph_of(towers_of(seed, *size), seed, config)
        ladder[size] = class_scores(graph, config)
        if size == (towers, years):
            among = np.asarray(graph.provenance["frequency_among_drivers"])[..., 0]
            result["orientation"] = {
                "frequency": orientation(among),
                "graph": orientation(graph.probability[0, :-1, :, 0]),
            }
            result["calibration"] = calibration(graph)
        result["seconds"][f"{size[0]} x {size[1]}"] = round(time.perf_counter() - start, 1)
    result["ladder"] = [{"towers": t, "years": y, "scores": s} for (t, y), s in ladder.items()]
    if "nulls" in parts:
        start = time.perf_counter()
        control = nulls(
            towers_of(seed, towers, years),
            flux="ch4_flux",
            drivers=DRIVERS,
            ecosystems=ECOSYSTEMS,
            config=config,
            seed=seed,
            replicates=replicates,
        )
        result["nulls"] = [rate._asdict() for rate in control.rates]
        result["seconds"]["nulls"] = round(time.perf_counter() - start, 1)
    if "system" in parts:
        start = time.perf_counter()
        result["system"] = [_system(row, seed) for row in SYSTEM]
        result["seconds"]["system"] = round(time.perf_counter() - start, 1)
    return result


def _system(row: tuple, seed: int) -> tuple[float, float]:
    """Shares of parents found and of other drivers linked in some runs of the planted system."""
    _, sites, steps, per_year, centred, season, _ = row
    found = [
        planted.linked(
            planted.prepared(
                planted.simulate(sites, steps, per_year, 1000 * seed + run),
                per_year,
                centred=centred,
                season=season,
            )
        )
        for run in range(RUNS)
    ]
    return planted.shares(found)


def show_classes(results: list[dict], towers: int, years: int) -> None:
    say(
        f"\nLinks into the flux, {towers} towers per class x {years} years, mean (lowest) over seeds"
    )
    say("class | rule | driver: P, R, F1 | driver and lag: P, R, F1 | false, missed (seeds)")
    rows = defaultdict(list)
    for result in results:
        size = next(s for s in result["ladder"] if (s["towers"], s["years"]) == (towers, years))
        for row in size["scores"]:
            rows[row["class"], row["rule"]].append(row)
    for (name, rule), group in rows.items():
        cells = []
        for kind in ("driver", "lag"):
            p, r, f = np.array([row[kind] for row in group]).T
            cells.append(f"{p.mean():.2f}, {r.mean():.2f}, {f.mean():.2f} ({f.min():.2f})")
        wrong = [f"{what} {_counted(group, what)}" for what in ("false", "missed")]
        say(f"{name} | {rule} | {' | '.join(cells)} | {'; '.join(wrong)}")


def _counted(group: list[dict], what: str) -> str:
    count: dict = defaultdict(int)
    for row in group:
        for driver, lag in row[what]:
            count[f"{driver}-{lag}"] += 1
    return ", ".join(f"{k} x{n}" for k, n in sorted(count.items())) or "none"


def show_ladder(results: list[dict]) -> None:
    say("\nF1 by driver against sample size, mean over seeds; the lowest class in brackets")
    say("towers x years | reported | linked | graph | reported, driver and lag | classes >= 0.9")
    for i, size in enumerate(results[0]["ladder"]):
        cells = []
        for rule, kind in (
            ("reported", "driver"),
            ("linked", "driver"),
            ("graph", "driver"),
            ("reported", "lag"),
        ):
            by_class = _by_class(results, i, rule, kind)
            worst = min(by_class, key=lambda name: by_class[name])
            mean = np.mean(list(by_class.values()))
            cells.append(f"{mean:.2f} ({worst} {by_class[worst]:.2f})")
        good = sum(f >= 0.9 for f in _by_class(results, i, "reported", "driver").values())
        say(f"{size['towers']} x {size['years']} | {' | '.join(cells)} | {good} of 7")


def _by_class(results: list[dict], i: int, rule: str, kind: str) -> dict[str, float]:
    """Mean F1 over seeds of every class; 0 where a class was not tested."""
    out = {}
    for name in ECOSYSTEMS:
        values = [
            sum(
                r[kind][2]
                for r in result["ladder"][i]["scores"]
                if r["class"] == name and r["rule"] == rule
            )
            for result in results
        ]
        out[name] = float(np.mean(values))
    return out


def show_orientation(results: list[dict]) -> None:
    say("\nLinks of the same month among drivers, sums over seeds")
    for source in ("frequency", "graph"):
        total = {
            k: sum(r["orientation"][source][k] for r in results)
            for k in results[0]["orientation"][source]
        }
        found = total["right"] + total["wrong"]
        share = total["wrong"] / found if found else float("nan")
        say(f"{source}: {total}; wrong of oriented {share:.1%}")


def show_nulls(results: list[dict]) -> None:
    if "nulls" not in results[0]:
        return
    say(
        "\nNull controls, mean (highest) over seeds: linked | reported | p < alpha | series with any reported"
    )
    rows = defaultdict(list)
    for result in results:
        for rate in result["nulls"]:
            rows[rate["kind"], rate["ecosystem"]].append(rate)
    for (kind, name), group in rows.items():
        cells = []
        for key in ("linked", "reported", "significant", "any_reported"):
            values = [rate[key] for rate in group]
            cells.append(f"{np.mean(values):.2%} ({max(values):.2%})")
        say(f"{kind} | {name} | {' | '.join(cells)}")


def show_calibration(results: list[dict]) -> None:
    rows = np.array([row for result in results for row in result["calibration"]], dtype=float)
    truth = rows[:, 2]
    columns = {0: "bootstrap frequency", 1: "probability of the graph", 3: "calibrated frequency"}
    for column, name in columns.items():
        value = rows[:, column]
        at = np.clip(np.digitize(value, BINS) - 1, 0, len(BINS) - 2)
        gaps = 0.0
        say(f"\nCalibration of the {name}: bin | links | mean | share true")
        for b in range(len(BINS) - 1):
            inside = at == b
            if inside.any():
                gap = abs(value[inside].mean() - truth[inside].mean())
                gaps += inside.mean() * gap
                say(
                    f"{BINS[b]:.2f}-{BINS[b + 1]:.2f} | {inside.sum()} | {value[inside].mean():.2f} | "
                    f"{truth[inside].mean():.2f}"
                )
        say(f"Brier {np.mean((value - truth) ** 2):.4f}, expected calibration error {gaps:.4f}")


def show_system(results: list[dict]) -> None:
    if "system" not in results[0]:
        return
    say(f"\nPlanted system, {RUNS} runs per seed: parents found, others linked | methods 3.3")
    for i, row in enumerate(SYSTEM):
        found, false = np.mean([result["system"][i] for result in results], axis=0)
        probe = "-" if row[-1] is None else f"{row[-1][0]:.2f}, {row[-1][1]:.2f}"
        say(f"{row[0]} | {found:.2f}, {false:.2f} | {probe}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12])
    parser.add_argument("--towers", type=int, default=12)
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument("--replicates", type=int, default=4, help="null series of each kind")
    parser.add_argument("--parts", nargs="+", default=["ladder", "nulls", "system"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    start = time.perf_counter()
    run = partial(
        one_seed,
        towers=options.towers,
        years=options.years,
        replicates=options.replicates,
        parts=tuple(options.parts),
    )
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        results = []
        for result in pool.imap(run, options.seeds):
            results.append(result)
            say(f"seed {result['seed']}: {result['seconds']} s")
    show_classes(results, options.towers, options.years)
    show_ladder(results)
    show_orientation(results)
    show_calibration(results)
    show_nulls(results)
    show_system(results)
    say(f"\n{time.perf_counter() - start:.0f} s in all")
    if options.json:
        options.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
