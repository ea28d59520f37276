"""The data of a page's interactive map: scripts beside the page, loaded when a quantity, year or cell is asked for.

`maps/<quantity>-<year>.js` has the months of a year for all cells with a value, `maps/flux-mean.js` the mean seasonal
cycle, `cells/<year>/<row>-<column>.js` the series of a block of cells with interval, class fractions and flags.
`files.json` lists them with size and SHA-256 by year, and what the year was drawn from: a year drawn before from the
same objects is not drawn again.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.pages.colour import Categories, Scale, flux_scale, spread_scale
from ch4grid.pages.figures import words
from ch4grid.pages.maps import SOUTH, display
from ch4grid.pages.packets import Field, rounded, script
from ch4grid.stores import write_atomic, write_json
from ch4grid.vocabulary import QUALITY_FLAGS, Gas

FORMAT = "ch4grid-page-2"
MANIFEST = "files.json"
# Edge of a block of cells [cells]: at 0.25 degrees some 200 blocks have land, 0.1 MB a year each.
BLOCK = 45
# Ends of the interval that a page shows.
LOWER, UPPER = 0.05, 0.95
MEAN = "mean"
# Bits of the mantissa on a map: relative error up to 2^-8 for the flux, whose months are subtracted, 2^-7 for others.
FLUX_BITS, OTHER_BITS = 7, 6
# Values from which a colour scale is found [cell-months]: enough for its ends, little to sort.
SAMPLE = 400_000

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Quantity:
    """Something that the map can show.

    Args:
        key: Name in file names.
        label: For people.
        variable: Of the store.
        scale: Its colours, the same in all months; categories where its numbers stand for something.
        ecosystem: Position of the class, None where it is of the whole cell.
        width: Whether it is the width of the interval rather than the variable itself.
    """

    key: str
    label: str
    variable: str
    scale: Scale | Categories
    ecosystem: int | None = None
    width: bool = False


@dataclass(frozen=True, eq=False)
class Atlas:
    """What a page has to know of its data files: their folder, quantities, years, and the grid of the map."""

    folder: str
    quantities: tuple[Quantity, ...]
    years: tuple[int, ...]
    latitude: Values
    longitude: Values
    ecosystems: tuple[str, ...]
    files: Mapping[str, Any]

    def as_json(self) -> str:
        """The same for the page's scripts; safe inside a script element."""
        told = {
            "folder": self.folder,
            "years": self.years,
            "rows": self.latitude.size,
            "columns": self.longitude.size,
            "south": float(self.latitude[0] - self.step / 2),
            "west": float(self.longitude[0] - self.step / 2),
            "step": self.step,
            "block": BLOCK,
            "ecosystems": [words(e) for e in self.ecosystems],
            "quantities": [_told(q) for q in self.quantities],
            "difference": _coloured(Scale(-1.0, 1.0, 0.05, "")),
            "blocks": self._blocks(),
        }
        return json.dumps(told, sort_keys=True).replace("<", "\\u003c")

    def _blocks(self) -> list[str]:
        """Row and column of the blocks that have land: those that the page may ask for."""
        start = f"cells/{self.years[-1]}/"
        names = self.files[str(self.years[-1])]["files"]
        return [n.removeprefix(start).removesuffix(".js") for n in names if n.startswith(start)]

    @property
    def step(self) -> float:
        """Size of a cell [degrees]."""
        return float(180.0 / round(180.0 / (self.latitude[1] - self.latitude[0])))


def write_atlas(
    folder: Path, dataset: xr.Dataset, gas: Gas, years: Sequence[int], sources: Mapping[int, str]
) -> Atlas:
    """Write the data files of a page into its folder; files of years that are gone stay until `sweep`.

    Args:
        folder: The folder beside the page.
        dataset: The opened product; quantities whose variables it lacks are left out.
        gas: Row of the gas table.
        years: Published years.
        sources: Digest of what a year's values are, by year; a year without one is always drawn.

    Raises:
        RunError: A file cannot be written.
    """
    here = dataset.sel(latitude=slice(SOUTH, 90))
    quantities = _quantities(here, gas, max(years))
    known = _known(folder)
    listed: dict[str, Any] = {}
    for year in years:
        source = sources.get(year, "")
        listed[str(year)] = (
            known[str(year)]
            if _drawn(folder, known.get(str(year)), source)
            else {"source": source, "files": _write_year(folder, here, gas, year, quantities)}
        )
    together = hashlib.sha256("".join(listed[str(y)]["source"] for y in years).encode()).hexdigest()
    source = together if all(listed[str(y)]["source"] for y in years) else ""
    listed[MEAN] = (
        known[MEAN]
        if _drawn(folder, known.get(MEAN), source)
        else {"source": source, "files": _write_mean(folder, here, gas, years)}
    )
    write_json(folder / MANIFEST, {"format": FORMAT, "years": listed})
    return Atlas(
        folder.name,
        quantities,
        tuple(years),
        np.asarray(here["latitude"].values, dtype=np.float64),
        np.asarray(here["longitude"].values, dtype=np.float64),
        _classes(here),
        listed,
    )


def sweep(folder: Path) -> None:
    """Remove data files that the list of files does not name: of years taken back, and what a crash left."""
    known = {name for files in _known(folder).values() for name in files["files"]} | {MANIFEST}
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in known:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def is_whole(folder: Path) -> bool:
    """Whether the folder has its list of files and every file on it, in its size."""
    known = _known(folder)
    return bool(known) and all(_there(folder, told) for told in known.values())


def _known(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    found = json.loads(path.read_bytes()) if path.is_file() else {}
    return dict(found["years"]) if found.get("format") == FORMAT else {}


def _drawn(folder: Path, known: Mapping[str, Any] | None, source: str) -> bool:
    """Whether the files of a year are there, drawn from the same values."""
    same = bool(source) and known is not None and known["source"] == source
    return same and known is not None and _there(folder, known)


def _there(folder: Path, known: Mapping[str, Any]) -> bool:
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == told["bytes"]
        for name, told in known["files"].items()
    )


def _classes(ds: xr.Dataset) -> tuple[str, ...]:
    if "ecosystem_fraction" not in ds:
        return ()
    return tuple(str(e) for e in ds["ecosystem"].values)


def _quantities(ds: xr.Dataset, gas: Gas, year: int) -> tuple[Quantity, ...]:
    """What the dataset can show, with scales from the last year so that all months compare."""
    formula = gas.formula.replace("4", "₄").replace("2", "₂")
    found: list[tuple[str, str, str, int | None, bool]]
    found = [("flux", "Flux", gas.flux, None, False)]
    found += [("standard-error", "Standard error", f"{gas.flux}_standard_error", None, False)]
    found += [("width", "Width of the 90\u00a0% interval", f"{gas.flux}_quantile", None, True)]
    found += [
        (f"class-{name}", f"Flux of {words(name)}, per class area", f"{gas.flux}_density", i, False)
        for i, name in enumerate(_classes(ds))
    ]
    quantities = []
    for key, label, variable, ecosystem, width in found:
        if variable in ds:
            plain = Quantity(key, label, variable, flux_scale(np.zeros(0)), ecosystem, width)
            sample = _sample(_values(ds, plain, year))
            spread = key in ("standard-error", "width")
            scale = (spread_scale if spread else flux_scale)(sample, formula)
            quantities.append(Quantity(key, label, variable, scale, ecosystem, width))
    return (*quantities, *_categories(ds, gas))


def _categories(ds: xr.Dataset, gas: Gas) -> Iterator[Quantity]:
    """The class that has most of a cell's flux, and why a flux may be trusted or is missing."""
    density = f"{gas.flux}_density"
    if density in ds and (classes := _classes(ds)):
        names = Categories({i: words(name) for i, name in enumerate(classes)})
        yield Quantity("main-class", "Class with most of the flux", density, names)
    flags = {n: words(name) for name, n in QUALITY_FLAGS.items() if name != "ocean"}
    yield Quantity("quality", "Quality flag", "quality_flag", Categories(flags))


def _sample(values: Values) -> Values:
    finite = values[np.isfinite(values)]
    return finite[:: max(1, finite.size // SAMPLE)]


def _values(ds: xr.Dataset, quantity: Quantity, year: int) -> Values:
    """Months of a year of a quantity (time, latitude, longitude) [mg m-2 day-1; 1 for categories]."""
    if isinstance(quantity.scale, Categories):
        return _numbers(ds.sel(time=str(year)), quantity.variable, quantity.scale)
    array = ds[quantity.variable].sel(time=str(year))
    if quantity.ecosystem is not None:
        array = array.isel(ecosystem=quantity.ecosystem)
    if quantity.width:
        return display(_quantile(array, UPPER)) - display(_quantile(array, LOWER))
    return display(array)


def _numbers(months: xr.Dataset, variable: str, categories: Categories) -> Values:
    """Numbers of categories (time, latitude, longitude); NaN where there is none: at sea, without a class."""
    flag = months["quality_flag"].transpose("time", "latitude", "longitude")
    numbers = flag
    if variable != "quality_flag":
        numbers = _largest(months[variable], months["ecosystem_fraction"]).transpose(*flag.dims)
    named = numbers.where(numbers.isin(list(categories.names)))
    return np.asarray(named.values, dtype=np.float64)


def _largest(density: xr.DataArray, fraction: xr.DataArray) -> xr.DataArray:
    """Number of the class whose flux is largest, up or down; NaN where no class has any."""
    largest = xr.zeros_like(density.isel(ecosystem=0), dtype=np.float32).load()
    number = xr.full_like(largest, np.nan)
    for i in range(density.sizes["ecosystem"]):
        flux = abs(density.isel(ecosystem=i) * fraction.isel(ecosystem=i)).load()
        above = flux > largest
        largest, number = largest.where(~above, flux), number.where(~above, i)
    return number


def _quantile(array: xr.DataArray, level: float) -> xr.DataArray:
    return array.sel(quantile=level, method="nearest", tolerance=1e-6)


def _write_year(
    folder: Path, ds: xr.Dataset, gas: Gas, year: int, quantities: Sequence[Quantity]
) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for quantity in quantities:
        name = f"maps/{quantity.key}-{year}"
        bits = FLUX_BITS if quantity.key == "flux" else OTHER_BITS
        written |= _write(folder, name, _map(_values(ds, quantity, year), bits))
    for (row, column), fields in _blocks(_series(ds, gas, year)):
        written |= _write(folder, f"cells/{year}/{row}-{column}", fields)
    return written


def _write_mean(folder: Path, ds: xr.Dataset, gas: Gas, years: Sequence[int]) -> dict[str, Any]:
    """The mean of every calendar month over the years, for cells and months that have a value."""
    total, count = np.zeros(()), np.zeros(())
    for year in years:
        values = display(ds[gas.flux].sel(time=str(year)))
        total = total + np.nan_to_num(values)
        count = count + np.isfinite(values)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return _write(folder, f"maps/flux-{MEAN}", _map(mean, FLUX_BITS))


def _write(folder: Path, name: str, fields: Sequence[Field]) -> dict[str, Any]:
    content = script(name, fields)
    path = folder / f"{name}.js"
    if not path.is_file() or path.read_bytes() != content:
        write_atomic(path, content)
    return {
        f"{name}.js": {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()},
    }


def _map(values: Values, bits: int) -> tuple[Field, ...]:
    """Cells with a value in any month and their values (cell, month), with so many bits of the mantissa."""
    flat = values.reshape(len(values), -1)
    cells = np.flatnonzero(np.isfinite(flat).any(axis=0))
    return (
        Field("cell", "u4", cells.astype(np.uint32)),
        Field("value", "b2", rounded(flat[:, cells].T, bits).view(np.float32)),
    )


def _series(ds: xr.Dataset, gas: Gas, year: int) -> dict[str, NDArray[Any]]:
    """Flux, standard error and interval (month, latitude, longitude) [mg m-2 day-1], flags, mean class fractions."""
    months = ds.sel(time=str(year))
    found: dict[str, NDArray[Any]] = {
        "flag": months["quality_flag"].transpose("time", "latitude", "longitude").values,
        "flux": display(months[gas.flux]),
    }
    if f"{gas.flux}_standard_error" in ds:
        found["error"] = display(months[f"{gas.flux}_standard_error"])
    if f"{gas.flux}_quantile" in ds:
        quantiles = months[f"{gas.flux}_quantile"]
        found["lower"] = display(_quantile(quantiles, LOWER))
        found["upper"] = display(_quantile(quantiles, UPPER))
    if "ecosystem_fraction" in ds:
        fraction = months["ecosystem_fraction"]
        mean = fraction.mean("time") if "time" in fraction.dims else fraction
        found["fraction"] = mean.transpose("ecosystem", "latitude", "longitude").values
    return found


def _blocks(series: Mapping[str, NDArray[Any]]) -> Iterator[tuple[tuple[int, int], list[Field]]]:
    """Fields of every block that has a cell on land, by block row and column; cells first, months second."""
    flag = series["flag"]
    land = (flag != QUALITY_FLAGS["ocean"]).any(axis=0) | np.isfinite(series["flux"]).any(axis=0)
    rows, columns = land.shape
    for top in range(0, rows, BLOCK):
        for left in range(0, columns, BLOCK):
            rows_at, columns_at = slice(top, top + BLOCK), slice(left, left + BLOCK)
            row, column = np.nonzero(land[rows_at, columns_at])
            if row.size:
                fields = [Field("cell", "u2", (row * BLOCK + column).astype(np.uint16))]
                fields += [
                    Field(
                        name,
                        "u1" if name == "flag" else "f4",
                        np.ascontiguousarray(values[:, rows_at, columns_at][:, row, column].T),
                    )
                    for name, values in series.items()
                ]
                yield (top // BLOCK, left // BLOCK), fields


def _told(quantity: Quantity) -> dict[str, Any]:
    return {"key": quantity.key, "label": quantity.label, **_coloured(quantity.scale)}


def _coloured(scale: Scale | Categories) -> dict[str, Any]:
    if isinstance(scale, Categories):
        return {"categories": [[n, scale.names[n], c] for n, c in scale.colours.items()]}
    return {
        "low": scale.low,
        "high": scale.high,
        "linear": scale.linear,
        "units": scale.units,
        "ticks": [[round(place, 4), text] for place, text in scale.ticks],
        "palette": scale.palette.tobytes().hex(),
    }
