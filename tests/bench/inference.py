"""Throughput of CT-GAT over cells: against a loop over single windows with the same weights, and against the floor.

    python tests/bench/inference.py [--pairs 2048] [--members 10] [--device cpu] [--processes 2] [--json]

A cell-month is one month of one (cell, class) pair by one member. The engine predicts the twelve months of a year of
all pairs and members as a run does, once in one process and once in several at the same time. The loop hands the same
networks one pair and one month with its memory at a time. All of it is timed in this call, on weights that were hardly
trained: they do not change the time.

Two floors, by ceilings measured here on one core (or on the GPU): the multiplications of the matrix products at the
rate of a large one, and the bytes that every operation reads and writes at the rate of a copy in memory. No library of
single operations can pass the second one; only fused kernels that keep numbers in registers could.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ch4grid import training
from ch4grid.causal import Discovery
from ch4grid.graph import CausalGraph
from ch4grid.models import Checkpoint, CTGATConfig
from ch4grid.models.ctgat import memory, season_of
from ch4grid.models.samples import Points
from ch4grid.twin import Twin, laboratory
from ch4grid.vocabulary import ECOSYSTEMS, GASES

MONTHS = 12
GAS = GASES["ch4"]
LINKS = {"driver": 4, "flux": 8}
LOOPED = 60
REPEATS = 3
COPY_BYTES = 2**28
MATRIX = 1024


def planted_graph(series: xr.Dataset, **asked: Any) -> CausalGraph:
    """As many probable links into every driver and into the flux as discovery finds, dealt at random."""
    random, drivers = np.random.default_rng(1), tuple(asked["drivers"])
    shape = (len(ECOSYSTEMS), len(drivers) + 1, len(drivers), 4)
    probability = np.full(shape, 0.01)
    for e in range(shape[0]):
        for node in range(shape[1]):
            count = LINKS["flux" if node == len(drivers) else "driver"]
            for place in random.choice(len(drivers) * 4, count, replace=False):
                driver, lag = divmod(int(place), 4)
                if driver != node or lag:
                    probability[e, node, driver, lag] = random.uniform(0.3, 0.95)
    return CausalGraph(drivers, asked["flux"], ECOSYSTEMS, probability)


def made(members: int) -> tuple[Checkpoint, xr.Dataset]:
    """A checkpoint, and the towers it was fitted to, three years of eleven drivers."""
    towers = laboratory(
        Twin(seed=1, first_year=2000, last_year=2002), ecosystems=ECOSYSTEMS, towers=3
    )
    checkpoint = training.fit(
        towers,
        towers,
        gas=GAS,
        model=CTGATConfig(members=members, steps=3),
        discovery=Discovery(),
        folds=0,
        discoverer=planted_graph,
    )
    return checkpoint, towers.drop_vars([GAS.flux, f"{GAS.flux}_coverage"])


def pairs_of(towers: xr.Dataset, count: int) -> xr.Dataset:
    """So many pairs, sorted by class as a run has them."""
    chosen = np.sort(np.random.default_rng(0).integers(0, towers.sizes["site"], count))
    return towers.isel(site=chosen).assign_coords(site=np.arange(count))


def best(function: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Seconds of the fastest of some calls after a first one."""
    function()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def engine(members: int, pairs: int, device: str) -> float:
    """Cell-months per second and member of one process."""
    checkpoint, towers = made(members)
    points = pairs_of(towers, pairs)
    seconds = best(lambda: checkpoint.predict(points, device=device, last=MONTHS))
    return pairs * MONTHS * members / seconds


def loop(members: int, device: str) -> float:
    """Cell-months per second and member of single windows, one pair, month and member at a time."""
    checkpoint, towers = made(members)
    reach = memory(checkpoint.graph.max_lag) + 1
    tables = [
        Points.of(towers.isel(site=[i], time=slice(-reach - m, -m or None)), *names(checkpoint))
        for i in range(3)
        for m in range(MONTHS)
    ]
    windows = [(t, checkpoint._neighbours(t, np.arange(reach))) for t in tables]

    def once() -> None:
        for number in range(LOOPED):
            table, near = windows[number % len(windows)]
            network, lists = checkpoint.networks[number % members]
            bank = checkpoint.bank_tables[number % members]
            code = int(table.ecosystem[0])
            inputs = torch.from_numpy(checkpoint.scaler.inputs(table)).to(device)
            features = torch.from_numpy(checkpoint.scaler.static_features(table)).to(device)
            season = season_of(table, 1).to(device)
            groups = [(lists[code], slice(0, 1))]
            with torch.inference_mode():
                network.to(device)(
                    inputs, features, groups, season, bank.to(device), near, table.month[-1:]
                )

    torch.set_num_threads(1)
    return LOOPED / best(once)


def names(checkpoint: Checkpoint) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Drivers and statics."""
    return checkpoint.drivers, checkpoint.statics


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations read and write; views move none."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [*_tensors(args), *_tensors((kwargs or {}).values()), *_tensors([out])]
            self.bytes += sum(t.numel() * t.element_size() for t in tensors)
        return out


def _tensors(values: Any) -> list[torch.Tensor]:
    found = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def floors(members: int, device: str) -> dict[str, float]:
    """Cell-months per second and member that the ceilings allow."""
    torch.set_num_threads(1)
    checkpoint, towers = made(members)
    points = pairs_of(towers, 448)
    count = 448 * MONTHS * members
    checkpoint.predict(points, device=device, last=MONTHS)
    with FlopCounterMode(display=False) as operations:
        checkpoint.predict(points, device=device, last=MONTHS)
    with Traffic() as traffic:
        checkpoint.predict(points, device=device, last=MONTHS)
    square = torch.randn(MATRIX, MATRIX, device=device)
    flops = 2 * MATRIX**3 / best(lambda: _synchronous(square @ square), 10)
    source = torch.zeros(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    copied = 2 * COPY_BYTES / best(lambda: _synchronous(target.copy_(source)), 10)
    return {
        "gflop_per_s": flops / 1e9,
        "copy_gb_per_s": copied / 1e9,
        "flop_per_cell_month": operations.get_total_flops() / count,
        "bytes_per_cell_month": traffic.bytes / count,
        "floor_by_operations": flops * count / operations.get_total_flops(),
        "floor_by_bytes": copied * count / traffic.bytes,
    }


def _synchronous(value: torch.Tensor) -> None:
    if value.is_cuda:
        torch.cuda.synchronize()


def measured(members: int, pairs: int, device: str, processes: int) -> dict[str, float]:
    """All rates of this call [cell-months per second and member]."""
    found = {"engine": engine(members, pairs, device), "loop": loop(members, device)}
    if processes > 1 and device == "cpu":
        context = get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            parts = [pool.submit(engine, members, pairs, device) for _ in range(processes)]
            found[f"engine_{processes}_processes"] = sum(part.result() for part in parts)
    found |= floors(members, device)
    found["engine_over_loop"] = found["engine"] / found["loop"]
    for kind in ("operations", "bytes"):
        found[f"floor_by_{kind}_over_engine"] = found[f"floor_by_{kind}"] / found["engine"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=2048)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measured(given.members, given.pairs, given.device, given.processes)
    if given.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return
    for name, value in found.items():
        sys.stdout.write(f"{name:32s} {value:14,.1f}\n")


if __name__ == "__main__":
    main()
