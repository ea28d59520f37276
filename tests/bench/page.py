"""The page of a product at 0.25 degrees: seconds until the first map, the next month, a cell's series; bytes a year.

    python tests/bench/page.py --folder DIR [--resolution 0.25] [--years 1] [--json]

A made-up product with real coasts, smooth fields and noise is written as a page with the data of its map. A browser
opens it from the disk, with nothing in its cache, and looks at it as a user does. Needs Chromium and the extra `test`.
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter

from ch4grid import pages
from ch4grid.grid import Grid
from ch4grid.vocabulary import ECOSYSTEMS, QUALITY_FLAGS, months

FIRST = 2001
CUBE = ("time", "latitude", "longitude")
DRAWN = "#map[aria-busy=false]"


def product(resolution: float, years: int) -> xr.Dataset:
    """Flux, standard error, ends of the interval, densities and fractions of classes, flags of a made-up globe."""
    from global_land_mask import globe

    grid, time_axis = Grid(resolution), months(FIRST, FIRST + years - 1)
    rng = np.random.default_rng(1)
    land = globe.is_land(grid.latitude[:, None], grid.longitude[None, :])
    land &= grid.latitude[:, None] > -60

    def smooth(width: float) -> np.ndarray:
        field = gaussian_filter(rng.normal(size=grid.shape), width, mode="wrap")
        return field / field.std()

    season = np.sin(np.deg2rad(grid.latitude))[:, None]
    density, fraction = [], []
    for _ in ECOSYSTEMS:
        level = np.exp(1.2 * smooth(8) + 0.3 * smooth(1))
        there = land & (smooth(6) > 0)
        fraction.append(np.where(there, rng.uniform(0.02, 0.14, grid.shape), 0.0))
        density.append(
            [
                np.where(there, level * np.exp(season * np.cos(m / 12 * 2 * np.pi)), np.nan)
                * np.exp(0.15 * smooth(3))
                for m in range(len(time_axis))
            ]
        )
    classes = np.asarray(density, dtype=np.float32) * 1e-9
    shares = np.asarray(fraction, dtype=np.float32)
    flux = np.where(land, np.nansum(classes * shares[:, None], axis=0), np.nan).astype(np.float32)
    error = flux * np.float32(0.5) * np.exp(0.2 * rng.normal(size=flux.shape)).astype(np.float32)
    flag = np.where(land, 0, QUALITY_FLAGS["ocean"]).astype(np.uint8)
    meaning = {
        "flag_values": list(QUALITY_FLAGS.values()),
        "flag_meanings": " ".join(QUALITY_FLAGS),
    }
    return xr.Dataset(
        {
            "ch4_flux": (CUBE, flux),
            "ch4_flux_standard_error": (CUBE, error),
            "ch4_flux_quantile": (("quantile", *CUBE), np.stack([flux - error, flux + 2 * error])),
            "ch4_flux_density": (("ecosystem", *CUBE), classes),
            "ecosystem_fraction": (("ecosystem", *CUBE[1:]), shares),
            "quality_flag": (CUBE, np.broadcast_to(flag, flux.shape), meaning),
        },
        coords=grid.coords
        | {"time": time_axis, "ecosystem": list(ECOSYSTEMS), "quantile": [0.05, 0.95]},
    )


def interval(dim: str, values: Any) -> pages.Interval:
    """A budget that the page can show; nothing here depends on it."""
    mean = xr.DataArray(
        np.ones((len(values), 1, 1)),
        dims=(dim, "ecosystem", "region"),
        coords={dim: values, "ecosystem": ["all"], "region": ["globe"]},
    )
    return pages.Interval(mean - 0.5, mean, mean + 0.5)


def write(folder: Path, ds: xr.Dataset) -> tuple[Path, float]:
    """The page of the made-up product, and the seconds that it took."""
    years = sorted(set(ds["time"].dt.year.values.tolist()))
    told = pages.ProductPage(
        title="A made-up product",
        summary="Made up to measure its page.",
        product="made-up",
        version=1,
        scenario="historical",
        gas="ch4",
        dataset=ds,
        monthly=interval("time", ds["time"].values),
        annual=interval("year", years),
        store=folder / "historical.zarr",
    )
    start = time.perf_counter()
    path = pages.write_product_page(folder / "page.html", told)
    return path, time.perf_counter() - start


def look(path: Path) -> dict[str, float]:
    """Seconds of what a user waits for, from the disk."""
    from playwright.sync_api import sync_playwright

    chromium = next(p for p in map(shutil.which, ("chromium", "chromium-browser")) if p)
    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})

        def took(name: str, act: Any, until: str = DRAWN) -> None:
            start = time.perf_counter()
            act()
            tab.wait_for_selector(until)
            found[name] = round(time.perf_counter() - start, 3)

        took("first_map_s", lambda: tab.goto(path.as_uri()))
        took("next_month_s", lambda: tab.press("#month", "ArrowLeft"))
        took("other_quantity_s", lambda: tab.select_option("#quantity", "standard-error"))
        tab.fill("#latitude", "10")
        tab.fill("#longitude", "22")
        took("series_s", lambda: tab.click("#place button"), "#cell:not([hidden])")
        browser.close()
    return found


def sizes(path: Path, years: int) -> dict[str, float]:
    """Megabytes of the page, of all maps and cells of a year, of the first map's file, and files a year."""
    folder = path.with_suffix("")
    files = [p for p in folder.rglob("*.js") if "-mean" not in p.name]
    total = sum(p.stat().st_size for p in files)
    return {
        "page_mb": round(path.stat().st_size / 1e6, 2),
        "maps_mb_per_year": round(
            sum(p.stat().st_size for p in folder.glob("maps/*-2*.js")) / 1e6 / years, 1
        ),
        "all_mb_per_year": round(total / 1e6 / years, 1),
        "first_map_mb": round((folder / f"maps/flux-{FIRST}.js").stat().st_size / 1e6, 2),
        "files_per_year": len(files) / years,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--resolution", type=float, default=0.25)
    parser.add_argument("--years", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    path, seconds = write(asked.folder, product(asked.resolution, asked.years))
    found = {
        "write_s_per_year": round(seconds / asked.years, 1),
        **sizes(path, asked.years),
        **look(path),
    }
    print(
        json.dumps(found, indent=2)
        if asked.json
        else "\n".join(f"{k:20} {v}" for k, v in found.items())
    )


if __name__ == "__main__":
    main()
