"""The mass log: what every area layer wanted, what it got, and who had the rest.

Nothing is lost without a word: for every layer the area wanted is the area taken and the area clipped, and the classes
with open water are the land. The log travels with the fractions as a JSON attribute.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.grid import zone_area

# Freshwater wetland that the process models of the methane budget agree on, and its spread [km2].
# Source: Zhang et al. 2025 (Biogeosciences 22, 305), 16 models, 2010-2020.
WETLAND_KM2 = 8.0e6
WETLAND_SPREAD_KM2 = 2.0e6

# Who clips what is above the land of a cell.
LAND = "land_fraction"


@dataclass(frozen=True)
class LayerMass:
    """Areas of one layer, the mean over time [km2].

    Args:
        wanted: What the map says.
        taken: What the layer got.
        clipped: What it lost, by the layer that had it before, or by `land_fraction` where it is above the land.
    """

    wanted: float
    taken: float
    clipped: Mapping[str, float]

    @property
    def lost(self) -> float:
        """All that it lost [km2]."""
        return sum(self.clipped.values())


@dataclass(frozen=True)
class MassLog:
    """Areas of all layers and classes, the mean over time [km2].

    Args:
        land: Area of the land, with its open water.
        water: Area taken by layers that belong to no class.
        layers: Areas by layer, in order of precedence.
        classes: Areas by class.
        wetland: Freshwater wetland taken.
        warning: Empty, or that the wetland is not what is known of it.
    """

    land: float
    water: float
    layers: Mapping[str, LayerMass]
    classes: Mapping[str, float]
    wetland: float
    warning: str = ""

    def text(self) -> str:
        """The log as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> "MassLog":
        """The log of a line of JSON."""
        told = json.loads(text)
        layers = {n: LayerMass(**told["layers"][n]) for n in told["layers"]}
        return cls(**(told | {"layers": layers}))


def mass_log(fraction: xr.DataArray) -> dict[str, MassLog]:
    """The logs of `ecosystem_fraction` by extent; one nameless log if it has no extents."""
    text = str(fraction.attrs["mass_log"])
    if "extent" not in fraction.dims:
        return {"": MassLog.parse(text)}
    return {name: MassLog.parse(json.dumps(told)) for name, told in json.loads(text).items()}


def layer_mass(
    wanted: xr.DataArray,
    net: xr.DataArray,
    taken: xr.DataArray,
    before: Mapping[str, xr.DataArray],
    land: xr.DataArray,
) -> LayerMass:
    """Areas of one layer.

    Args:
        wanted: Fractions that the map says ([time,] latitude, longitude) [1].
        net: The same without what belongs to layers that the map includes.
        taken: What was free of it.
        before: Fractions taken by the layers before it; those that the map includes carry the attribute `included`.
        land: Fraction of land.
    """
    above = (net - land).clip(min=0.0)
    crowded = net - taken - above
    included = {n: f for n, f in before.items() if f.attrs.get("included")}
    parts = [(before, crowded), (included, wanted - net)]
    clipped = {LAND: area_km2(above)}
    for layers, lost in parts:
        if not layers or not bool((lost > 0).any()):
            continue
        occupied = sum(layers.values(), start=xr.zeros_like(land))
        share = lost / occupied.where(occupied > 0, 1.0)
        for name, fraction in layers.items():
            clipped[name] = clipped.get(name, 0.0) + area_km2(share * fraction)
    # differences of fractions leave rounding errors of some mm2 per cell
    kept = {name: area for name, area in clipped.items() if area > 1e-6}
    return LayerMass(area_km2(wanted), area_km2(taken), kept)


def wetland_warning(wetland_km2: float) -> str:
    """Empty, or that a freshwater wetland area [km2] lies outside what is known of it."""
    if abs(wetland_km2 - WETLAND_KM2) <= WETLAND_SPREAD_KM2:
        return ""
    return (
        f"freshwater wetland covers {wetland_km2 / 1e6:.2f} Mkm2, expected "
        f"{WETLAND_KM2 / 1e6:.1f} +- {WETLAND_SPREAD_KM2 / 1e6:.1f} Mkm2 (Zhang et al. 2025)"
    )


def area_km2(fraction: xr.DataArray) -> float:
    """Area of a fraction of every cell, the mean over time [km2]."""
    latitude = np.asarray(fraction["latitude"].values, np.float64)
    rows = zone_area(_bounds(latitude)) / 1e6
    share = 1.0 / 360.0 * _spacing(np.asarray(fraction["longitude"].values, np.float64))
    values = fraction.transpose(..., "latitude", "longitude").values
    per_row = values.sum(axis=-1).reshape(-1, latitude.size).mean(axis=0)
    return float((per_row * rows).sum() * share)


def _bounds(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    half = _spacing(centres) / 2
    return np.clip(np.stack([centres - half, centres + half], axis=1), -90.0, 90.0)


def _spacing(centres: NDArray[np.float64]) -> float:
    """Distance of neighbouring centres of a regular axis [degrees]; a single row counts as one degree."""
    return float(abs(centres[1] - centres[0])) if centres.size > 1 else 1.0
