"""The flagship recipe on a synthetic archive of native layout and size: time, memory and bytes of every stage.

    python tests/bench/flagship.py --folder DIR [--year 2005] [--years 1] [--architecture ctgat] [--cluster local:2]

Writes the archive (a year, its spin-up of two, and area maps; three years take 2.2 GB), trains a checkpoint on the same
planet at 2 degrees unless one is given, and makes one year with the command line as a user would. Two things in the
recipe are replaced: the model by the checkpoint, and the training period, over which climate normals are taken, by the
years of the archive. `--years 2` makes the year before as well; clusters or numbers of years are compared by calls with
`--fresh`, which makes product and drivers anew. What is there from an earlier call is used again otherwise.

Memory is the largest sum over the processes of a stage and the largest single process (resident set, sampled every 0.2
s). Bytes are those that the processes asked the system to read and write, page cache included.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from ch4grid.twin import Twin, write_archive
from ch4grid.twin.archive import PARTS

RECIPE = Path(__file__).parents[2] / "recipes" / "ch4-ecosystem-monthly.yaml"
SEED = 1
SPIN_UP = 2
COARSE = 2.0
MEMBERS = 10
INTERVAL = 0.2
CLI = [sys.executable, "-c", "from ch4grid.cli import main; main()"]
PROGRESS = re.compile(r"^\s*([\d.]+) s  (.+) (\d+)/(\d+)$")


@dataclass
class Usage:
    """What the processes of a stage used."""

    seconds: float = 0.0
    sum_mb: float = 0.0
    largest_mb: float = 0.0
    read_mb: float = 0.0
    written_mb: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)


class Watch:
    """Samples a process and its descendants while it lives."""

    def __init__(self, pid: int) -> None:
        self.root = psutil.Process(pid)
        self.usage = Usage()
        self.bytes: dict[int, tuple[int, int]] = {}

    def sample(self) -> None:
        total = 0.0
        try:
            family = [self.root, *self.root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for process in family:
            try:
                resident = process.memory_info().rss / 1e6
                counters = process.io_counters()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            total += resident
            self.usage.largest_mb = max(self.usage.largest_mb, resident)
            self.bytes[process.pid] = (counters.read_chars, counters.write_chars)
        self.usage.sum_mb = max(self.usage.sum_mb, total)
        self.usage.read_mb, self.usage.written_mb = (
            sum(n) / 1e6 for n in zip(*self.bytes.values(), strict=True)
        )


def measured(command: Sequence[str]) -> tuple[Usage, str]:
    """Run a command to its end; its usage, with the span of each stage it reports, and what it printed."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watch = Watch(process.pid)
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()))
    output: list[str] = []
    printer = threading.Thread(target=lambda: output.extend(process.stdout or ()))
    reader.start()
    printer.start()
    while process.poll() is None:
        watch.sample()
        time.sleep(INTERVAL)
    reader.join()
    printer.join()
    if process.returncode:
        raise SystemExit(
            f"{' '.join(command[3:])} ended with {process.returncode}: {''.join(errors[-20:])}"
        )
    watch.usage.seconds = time.monotonic() - start
    watch.usage.stages = spans(errors)
    return watch.usage, "".join(output)


def spans(lines: Sequence[str]) -> dict[str, float]:
    """Seconds of each reported stage, from the end of the stage before it to its own last step."""
    ends: dict[str, float] = {}
    for line in lines:
        if match := PROGRESS.match(line):
            ends[match[2]] = float(match[1])
    before, out = 0.0, {}
    for stage, end in ends.items():
        out[stage] = end - before
        before = end
    return out


def write(folder: Path, resolution: float, first: int, last: int, part: str) -> None:
    """Write a part of an archive; called in a process of its own, so that its memory is its own."""
    write_archive(Twin(seed=SEED, resolution=resolution), folder, first, last, parts=(part,))  # type: ignore[arg-type]


def archive(folder: Path, resolution: float, first: int, last: int) -> None:
    for part in PARTS:
        call = [sys.executable, __file__, "--write", part, "--folder", str(folder)]
        call += ["--resolution", str(resolution), "--span", str(first), str(last)]
        tell(f"archive {resolution:g} degrees, {part}", measured(call)[0])
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    say(f"{folder}: {size / 1e6:.0f} MB, {first} to {last}")


def recipe_with(path: Path, changes: dict[str, Any]) -> Path:
    """A copy of the flagship with some keys replaced."""
    document = yaml.safe_load(RECIPE.read_text()) | changes
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def trained(folder: Path, year: int, cluster: str, architecture: str | None) -> Path:
    """A checkpoint of the flagship's drivers, and its model unless one is named, fitted to towers at 2 degrees."""
    first = year - SPIN_UP
    data, output = folder / "coarse", folder / "coarse-products"
    archive(data, COARSE, first - SPIN_UP, year)
    training = yaml.safe_load(RECIPE.read_text())["training"]
    training |= {"period": [first, year], "folds": 3, "fold_members": 1}
    changes = {"grid": {"resolution": COARSE}, "training": training}
    if architecture:
        changes |= {"model": {"architecture": architecture, "members": MEMBERS}, "simulation": None}
    recipe = recipe_with(folder / "coarse.yaml", changes)
    usage, told = measured(
        [
            *CLI,
            "train",
            str(recipe),
            "--data",
            str(data),
            "--output",
            str(output),
            "--cluster",
            cluster,
            "--json",
        ]
    )
    tell("train at 2 degrees", usage)
    return Path(json.loads(told)["folder"])


def product(
    folder: Path,
    data: Path,
    checkpoint: Path,
    years: Sequence[int],
    cluster: str,
    grid: float | None,
) -> None:
    """Inventory, plan and run of the flagship for some years."""
    period = [years[0] - SPIN_UP, years[-1]]
    training = yaml.safe_load(RECIPE.read_text())["training"] | {"period": period}
    model = {"checkpoint": str(checkpoint.resolve())}
    changes = {"model": model, "training": training, "simulation": None}
    changes |= {"grid": {"resolution": grid}} if grid else {}
    recipe = recipe_with(folder / "flagship.yaml", changes)
    output = folder / "products"
    asked = [word for year in years for word in ("--year", str(year))]
    common = [str(recipe), *asked, "--data", str(data), "--output", str(output)]
    for command in (["inventory", *common], ["plan", *common]):
        tell(command[0], measured([*CLI, *command])[0])
    usage, told = measured([*CLI, "run", *common, "--cluster", cluster])
    tell("run", usage)
    say(told)
    truth = Twin(seed=SEED, resolution=COARSE)
    for year in years:
        say(f"the truth in {year}: {truth.true_total(year):.1f} Tg")
    usage, told = measured([*CLI, "run", *common, "--cluster", cluster])
    tell("run again", usage)
    for name in sorted(p for p in output.iterdir() if p.is_dir()):
        size = sum(f.stat().st_size for f in name.rglob("*") if f.is_file())
        say(f"{name.name}: {size / 1e6:.1f} MB")


def tell(stage: str, usage: Usage) -> None:
    say(
        f"{stage:32s} {usage.seconds:8.1f} s  memory {usage.sum_mb:6.0f} MB, {usage.largest_mb:6.0f} MB largest, "
        f"read {usage.read_mb:8.0f} MB  written {usage.written_mb:8.0f} MB"
    )
    for name, seconds in usage.stages.items():
        say(f"    {name:28s} {seconds:8.1f} s")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="archive that is there; default FOLDER/archive")
    parser.add_argument("--year", type=int, default=2005)
    parser.add_argument("--years", type=int, default=1, help="to make, `--year` is the last")
    parser.add_argument(
        "--resolution", type=float, default=0.25, help="of the archive, not of the product"
    )
    parser.add_argument("--grid", type=float, help="of the product, to try this out in minutes")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--architecture", help="of the checkpoint; the recipe's own by default")
    parser.add_argument("--cluster", default="local:2")
    parser.add_argument("--archive-only", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--write", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--span", type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write(given.folder, given.resolution, *given.span, given.write)
        return
    data = given.data or given.folder / "archive"
    years = range(given.year - given.years + 1, given.year + 1)
    archive(data, given.resolution, years[0] - SPIN_UP, given.year)
    if given.archive_only:
        return
    if given.fresh:
        shutil.rmtree(given.folder / "products", ignore_errors=True)
    checkpoint = given.checkpoint or trained(
        given.folder, given.year, given.cluster, given.architecture
    )
    product(given.folder, data, checkpoint, years, given.cluster, given.grid)


if __name__ == "__main__":
    main()
