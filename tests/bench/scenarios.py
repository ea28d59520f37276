"""How well a product answers do(tas + 2): its change of the global flux against the twin's own rerun, and its cost.

    python tests/bench/scenarios.py --seeds 11 12

By class, by the model and by the structural equations [Tg yr-1] with 90 % intervals, ceteris paribus and propagated; an
asterisk where the truth lies outside. Cost is processor seconds of a scenario year over those of a further historical
year, `left out` the share of the historical exchange that a scenario blanks. A seed takes some minutes on an idle core,
most of it training.
"""

import argparse
import tempfile
import time
from pathlib import Path

import yaml

from ch4grid import catalog, cube
from ch4grid.recipe import Recipe
from ch4grid.running import run
from ch4grid.stores import Workspace
from ch4grid.twin import Twin

YEAR = 2002
RECIPE = Path(__file__).parents[2] / "recipes" / "tiny.yaml"
CHANGE = {"tas": 2.0}
RESPONSES = ("model", "structural")


def main() -> None:
    """Print one row per seed, scenario and class, and one of cost per scenario."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11])
    parser.add_argument("--keep", type=Path, help="folder for products; a new one when left out")
    asked = parser.parse_args()
    print(
        f"{'seed':>4} {'scenario':<15} {'class':<20} {'model':>24} {'structural':>24} {'truth':>7}"
    )
    for seed in asked.seeds:
        if asked.keep is not None:
            measure(seed, asked.keep / str(seed))
            continue
        with tempfile.TemporaryDirectory() as folder:
            measure(seed, Path(folder))


def measure(seed: int, folder: Path) -> None:
    """Make history and the scenarios of a seed and print their differences."""
    recipe, workspace = recipe_of(seed), Workspace(data=folder, output=folder / "products")
    made(recipe, workspace, "historical", 2001)
    year = made(recipe, workspace, "historical", YEAR)[1]
    before = Twin(seed=seed).true_totals(YEAR)
    for name, propagate in (("ceteris-paribus", False), ("propagated", True)):
        runs = {r: made(recipe, workspace, f"{name}-{r}", YEAR) for r in RESPONSES}
        after = Twin(seed=seed, intervention=CHANGE, propagate=propagate).true_totals(YEAR)
        truth = {name: after[name] - before[name] for name in before}
        truth["all"] = sum(truth.values())
        rows = [{r["ecosystem"]: r for r in runs[one][0].difference} for one in RESPONSES]
        for ecosystem in rows[0]:
            cells = " ".join(told(found[ecosystem], truth[ecosystem]) for found in rows)
            print(f"{seed:>4} {name:<15} {ecosystem:<20} {cells} {truth[ecosystem]:>7.2f}")
        for one, (done, seconds) in runs.items():
            with catalog.open_store(done.store) as product:
                left = product.attrs.get(cube.OUTSIDE_TRAINING)
            print(
                f"{seed:>4} {name:<15} {one}: cost {seconds / year:.2f}, left out {left}",
                flush=True,
            )


def told(row, truth: float) -> str:
    """A difference with its interval and whether it holds the truth."""
    out = "*" if row["lower"] > truth or row["upper"] < truth else " "
    return f"{row['mean']:>7.2f} ({row['lower']:>6.2f},{row['upper']:>6.2f}){out}"


def made(recipe: Recipe, workspace: Workspace, scenario: str, year: int):
    """The outcome of a year of a scenario and the processor time it took [s]."""
    begun = time.process_time()
    done = run(recipe, workspace, years=[year], scenario=scenario, cluster="local:1", device="cpu")
    return done, time.process_time() - begun


def recipe_of(seed: int) -> Recipe:
    """The embedded recipe on the twin of a seed, with every way to answer."""
    document = yaml.safe_load(RECIPE.read_text())
    for source in (*document["drivers"], *document["sites"], *document["ecosystems"]["areas"]):
        source["seed"] = seed
    document["scenarios"] = {"historical": {}} | {
        f"{name}-{response}": {"do": CHANGE, "propagate": propagate, "response": response}
        for name, propagate in (("ceteris-paribus", False), ("propagated", True))
        for response in RESPONSES
    }
    return Recipe.model_validate(document)


if __name__ == "__main__":
    main()
