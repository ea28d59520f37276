"""Writing and reading a product at 0.25 degrees, against a plain Zarr write of the same arrays and in absolute times.

    python tests/bench/store.py --folder DIR [--resolution 0.25] [--members 10] [--years 20] [--json]

Writing: one year of a made-up globe goes region by region through the identities, digests, atomic files and records of
the product (`cube.write_block`), and then the same arrays with the same chunks and codecs through zarr-python alone.
The ratio is that of the times; publishing, which reads everything back, is told apart.

Reading: the objects of the year are linked as those of further years, so that a store of twenty years costs the disk of
one; then it is opened, and one month of the globe and all months of one cell are read, opening included, each in a
process of its own that has opened it and read a number before: what libraries load at their first use does not count.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

sys.path.insert(0, str(Path(__file__).parents[1]))
import planted_product as planted

from ch4grid import budgets, cube
from ch4grid.cube.objects import METADATA, dims_of, read_document
from ch4grid.grid import Grid

FIRST = 2001
READS = {
    "open_s": "",
    "month_map_s": "ds['ch4_flux'].isel(time=130).values",
    "point_series_s": "ds['ch4_flux'].isel(latitude=500, longitude=300).values",
    "point_members_s": "ds['ch4_flux_member'].isel(latitude=500, longitude=300).values",
}


def written(store: Path, grid: Grid, members: int) -> dict[str, float]:
    """Seconds of the product's way and of zarr-python alone for the same arrays, and their bytes."""
    spec = planted.spec(
        members=members, recipe={"product": "planted", "grid": {"resolution": grid.resolution}}
    )
    shares = budgets.regions(grid)
    plane = xr.zeros_like(shares.isel(region=0, drop=True), dtype=np.float32) + 0.5
    cube.create(store, spec, grid, xr.Dataset({"land_fraction": plane, "region_fraction": shares}))
    cube.begin(store, spec, {FIRST: "planted"})
    ours = plain = raw = 0.0
    for tile in grid.tiles():
        flux = planted.flux_block(grid, tile, FIRST, members=members)
        block = cube.cell_block(flux, grid, tile)
        here = shares.isel(latitude=tile[0], longitude=tile[1])
        table = budgets.budget(flux, block["ch4_flux_member"], here, grid, tile)
        start = time.perf_counter()
        cube.write_block(store, block, table, year=FIRST, tile=tile)
        ours += time.perf_counter() - start
        seconds, size = by_zarr(store, block, store.parent / "plain")
        plain, raw = plain + seconds, raw + size
    start = time.perf_counter()
    cube.finish(store, FIRST)
    return {
        "write_s": ours,
        "plain_zarr_s": plain,
        "plain_over_product": plain / ours,
        "publish_s": time.perf_counter() - start,
        "raw_gb": raw / 1e9,
    }


def by_zarr(store: Path, block: xr.Dataset, folder: Path) -> tuple[float, float]:
    """Seconds that zarr-python takes for the arrays of a region, and their bytes."""
    seconds = size = 0.0
    for name in map(str, block.data_vars):
        document = read_document(store, name)
        values = np.ascontiguousarray(block[name].transpose(*dims_of(document)).values)
        chunks = document["chunk_grid"]["configuration"]["chunk_shape"]
        shutil.rmtree(folder, ignore_errors=True)
        start = time.perf_counter()
        array = zarr.create_array(
            folder,
            shape=values.shape,
            dtype=values.dtype,
            chunks=tuple(min(c, n) for c, n in zip(chunks, values.shape, strict=True)),
            compressors=(BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"), Crc32cCodec()),
        )
        array[...] = values
        seconds += time.perf_counter() - start
        size += values.nbytes
    return seconds, size


def lengthened(store: Path, years: int) -> None:
    """Links the objects of the first year as those of further ones, and tells readers of them."""
    root = json.loads((store / METADATA).read_text())
    for name, document in root["consolidated_metadata"]["metadata"].items():
        dims = dims_of(document)
        if "time" not in dims:
            continue
        axis = dims.index("time")
        document["shape"][axis] *= years
        (store / name / METADATA).write_text(json.dumps(document))
        for path in [p for p in (store / name / "c").rglob("*") if p.is_file()]:
            index = list(path.relative_to(store / name / "c").parts)
            for year in range(1, years):
                index[axis] = str(year)
                other = store / name / "c" / Path(*index)
                other.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, other)
    (store / METADATA).write_text(json.dumps(root))
    group = zarr.open_group(store, mode="r+", use_consolidated=False)
    first = np.datetime64(f"{FIRST}-01", "M")
    edges = (first + np.arange(12 * years + 1)).astype("datetime64[D]").astype(np.int64)
    for name, values in (("time", edges[:-1]), ("time_bnds", np.stack([edges[:-1], edges[1:]], 1))):
        for path in (store / name / "c").rglob("*"):
            if path.is_file():
                path.unlink()
        array: Any = group[name]
        array[...] = values


def read(store: Path, what: str) -> float:
    """Seconds of a read in a process of its own, opening included; the fastest of three."""
    program = (
        "import sys, time, warnings; warnings.simplefilter('ignore'); import xarray as xr\n"
        "xr.open_zarr(sys.argv[1], chunks=None)['cell_area'][0, 0].values\n"
        "start = time.perf_counter(); ds = xr.open_zarr(sys.argv[1], chunks=None)\n"
        f"{what}\nprint(time.perf_counter() - start)"
    )
    call = [sys.executable, "-c", program, str(store)]
    runs = [
        float(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    return min(runs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--resolution", type=float, default=0.25)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--years", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    store = given.folder / "planted" / "v1" / "historical.zarr"
    shutil.rmtree(store.parent, ignore_errors=True)
    found = written(store, Grid(given.resolution), given.members)
    lengthened(store, given.years)
    found |= {name: read(store, what) for name, what in READS.items()}
    if given.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return
    for name, value in found.items():
        sys.stdout.write(f"{name:24s} {value:10.3f}\n")


if __name__ == "__main__":
    main()
