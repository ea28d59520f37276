"""A small valid product on disk for the tests of catalog and pages, with made-up fluxes."""

from pathlib import Path

import numpy as np
import xarray as xr
import zarr

from ch4grid import ledger
from ch4grid.catalog import ModelRecord, ProductRecord
from ch4grid.grid import Grid
from ch4grid.stores import sha256_file
from ch4grid.vocabulary import QUALITY_FLAGS, months

CLASSES = ("tropical-floodplain", "upland")
REGIONS = ("globe", "southern-extratropics", "tropics", "northern-extratropics")
MEMBERS = 3


def dataset(first: int, last: int, resolution: float = 15.0) -> xr.Dataset:
    """A product Dataset with the names and dimensions of the product contract."""
    grid, time = Grid(resolution), months(first, last)
    rows, columns = grid.shape
    rng = np.random.default_rng(1)
    season = np.cos(2 * np.pi * (np.arange(len(time)) - 6) / 12)
    profile = np.exp(-((grid.latitude - 10) ** 2) / 800)
    land = np.abs(grid.latitude)[:, None] + np.abs(grid.longitude)[None, :] / 3 < 95
    mean = (1.5 + season)[:, None, None] * profile[:, None] * rng.gamma(2.0, 2e-10, (rows, columns))
    mean = np.where(land, mean - 5e-12, np.nan).astype(np.float32)
    cube = ("time", "latitude", "longitude")
    spread = rng.normal(1.0, 0.2, (MEMBERS, 1, 1, 1))
    flags = np.where(land, QUALITY_FLAGS["valid"], QUALITY_FLAGS["ocean"]).astype(np.uint8)
    budget = 10 + 3 * season[None, :, None, None] * rng.random(
        (MEMBERS, 1, len(CLASSES), len(REGIONS))
    )
    units = {"units": "kg m-2 s-1"}
    ds = xr.Dataset(
        {
            "ch4_flux": (cube, mean, units | {"long_name": "methane flux"}),
            "ch4_flux_standard_error": (
                cube,
                np.abs(mean) * 0.3,
                units | {"long_name": "standard error"},
            ),
            "ch4_flux_member": (("member", *cube), (mean * spread).astype(np.float32), units),
            "ch4_budget": (("member", "time", "ecosystem", "region"), budget, {"units": "Tg"}),
            "quality_flag": (
                cube,
                np.broadcast_to(flags, mean.shape).copy(),
                {
                    "flag_values": np.array(list(QUALITY_FLAGS.values()), dtype=np.uint8),
                    "flag_meanings": " ".join(QUALITY_FLAGS),
                    "long_name": "quality flag",
                },
            ),
            "land_fraction": (
                cube[1:],
                land.astype(np.float32),
                {"units": "1", "long_name": "land fraction"},
            ),
            "latitude_bnds": (("latitude", "bounds"), grid.latitude_bounds),
            "longitude_bnds": (("longitude", "bounds"), grid.longitude_bounds),
        },
        coords=grid.coords
        | {
            "time": ("time", time, {"long_name": "month"}),
            "ecosystem": (
                "ecosystem",
                np.arange(len(CLASSES), dtype=np.int8),
                {
                    "flag_values": np.arange(len(CLASSES), dtype=np.int8),
                    "flag_meanings": " ".join(CLASSES),
                },
            ),
            "region": (
                "region",
                np.arange(len(REGIONS), dtype=np.int8),
                {
                    "flag_values": np.arange(len(REGIONS), dtype=np.int8),
                    "flag_meanings": " ".join(REGIONS),
                },
            ),
        },
        attrs={"title": "A made-up product"},
    )
    return ds.drop_encoding()


def write_store(path: Path, first: int, last: int) -> Path:
    """A consolidated store of the product Dataset, a year an object."""
    ds = dataset(first, last)
    chunks = {
        name: {"chunks": tuple(12 if d == "time" else array.sizes[d] for d in array.dims)}
        for name, array in ds.variables.items()
    }
    ds.to_zarr(path, mode="w", zarr_format=3, consolidated=False, encoding=chunks)
    consolidate(path)
    return path


def consolidate(path: Path) -> None:
    """Consolidate without the warning that Zarr's specification does not describe it yet."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
        zarr.consolidate_metadata(path)


def write_ledger(path: Path, first: int, last: int) -> Path:
    """The ledger of the store beside it, with the objects that do not depend on time and those of the years."""
    store = path.with_name(path.name.removesuffix(ledger.SUFFIX) + ".zarr")
    sizes = {k: v.dims for k, v in dataset(first, first).variables.items()}
    rows = []
    for file in sorted(p for p in store.rglob("c/**/*") if p.is_file()):
        key = file.relative_to(store).as_posix()
        name, place = key.split("/c/")
        dims = sizes[name]
        year = first + int(place.split("/")[dims.index("time")]) if "time" in dims else None
        if year is None or year <= last:
            content = file.read_bytes()
            told = ledger.row(name, key, content, np.zeros(1), year=year, inputs="i")
            rows += ledger.in_state([told], "published")
    path.parent.mkdir(parents=True, exist_ok=True)
    root = store / "zarr.json"
    digest = sha256_file(root) if root.is_file() else None
    ledger.write(store, rows, root_sha256=digest)
    return path


def record(
    output: Path, *, version: int = 1, scenario: str = "historical", model: str = ""
) -> ProductRecord:
    """The record of the synthetic product below an output folder."""
    folder = output / "ch4-made-up" / f"v{version}"
    return ProductRecord(
        product="ch4-made-up",
        title="A made-up product",
        summary="Fluxes from a random number generator.",
        gas="ch4",
        version=version,
        scenario=scenario,
        store=folder / f"{scenario}.zarr",
        ledger=folder / f"{scenario}.ledger.parquet",
        inputs=("twin",),
        model=model,
        citation="Nobody (2026): A made-up product, version 1.",
        lineage="Random numbers.",
        software={"ch4grid": "0.1.0"},
        licence="CC0-1.0",
    )


def model(output: Path) -> ModelRecord:
    """A checkpoint folder and its record."""
    folder = output / "models" / "ctgat-ch4-0a1b2c3d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checkpoint.json").write_text("{}\n")
    (folder / "weights.safetensors").write_bytes(b"\0" * 16)
    (folder / "graph.json").write_text("{}\n")
    return ModelRecord(
        id=folder.name,
        title="CT-GAT of the made-up product",
        description="Not a model.",
        architecture="ctgat",
        gas="ch4",
        digest="0" * 64,
        folder=folder,
        period=(2001, 2003),
        inputs=("twin",),
        drivers=("tas", "pr"),
        software={"ch4grid": "0.1.0"},
        skill=({"split": "loco", "n": 10, "asinh_nse": 0.5, "nse": 0.4, "coverage90": 0.9},),
    )
