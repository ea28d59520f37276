"""How well a product answers do(tas + 2): its change of the global flux against the twin's own rerun, and its cost.

    python tests/bench/scenarios.py --seeds 11 12

Ceteris paribus and propagated apart, by class [Tg yr-1]; cost as processor seconds of a scenario year over those of a
further historical year. A seed takes some minutes on an idle core, most of it training.
"""

import argparse
import tempfile
import time
from pathlib import Path

import yaml

from ch4grid.recipe import Recipe
from ch4grid.running import run
from ch4grid.stores import Workspace
from ch4grid.twin import Twin

YEAR = 2002
RECIPE = Path(__file__).parents[2] / "recipes" / "tiny.yaml"
CHANGE = {"tas": 2.0}


def main() -> None:
    """Print one row per seed, scenario and class."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11])
    print(f"{'seed':>4} {'scenario':<18} {'class':<20} {'product':>8} {'truth':>8}   cost")
    for seed in parser.parse_args().seeds:
        with tempfile.TemporaryDirectory() as folder:
            measure(seed, Path(folder))


def measure(seed: int, folder: Path) -> None:
    """Make history and both scenarios of a seed and print their differences."""
    recipe, workspace = recipe_of(seed), Workspace(data=folder, output=folder / "products")
    made(recipe, workspace, "historical", 2001)
    year = made(recipe, workspace, "historical", YEAR)[1]
    before = Twin(seed=seed).true_totals(YEAR)
    for scenario, propagate in (("warmer", False), ("warmer-propagated", True)):
        done, seconds = made(recipe, workspace, scenario, YEAR)
        after = Twin(seed=seed, intervention=CHANGE, propagate=propagate).true_totals(YEAR)
        truth = {name: after[name] - before[name] for name in before}
        truth["all"] = sum(truth.values())
        for row in done.difference or ():
            name = row["ecosystem"]
            print(
                f"{seed:>4} {scenario:<18} {name:<20} {row['mean']:>8.2f} {truth[name]:>8.2f}   {seconds / year:.2f}"
            )


def made(recipe: Recipe, workspace: Workspace, scenario: str, year: int):
    """The outcome of a year of a scenario and the processor time it took [s]."""
    begun = time.process_time()
    done = run(recipe, workspace, years=[year], scenario=scenario, cluster="local:1", device="cpu")
    return done, time.process_time() - begun


def recipe_of(seed: int) -> Recipe:
    """The embedded recipe on the twin of a seed."""
    document = yaml.safe_load(RECIPE.read_text())
    for source in (*document["drivers"], *document["sites"], *document["ecosystems"]["areas"]):
        source["seed"] = seed
    return Recipe.model_validate(document)


if __name__ == "__main__":
    main()
