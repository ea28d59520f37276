"""MODIS land products as data: which field holds which of our variables, how it is packed, and what judges its pixels.

Packing and valid ranges of the table hold where a file states none, as rasters cut from the granules do; what a file
states comes first. Ranges leave out every class fill (LAI 249 to 255, GPP 32761 to 32767), whatever the file says.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ch4grid.drivers.modis.composites import Cycle
from ch4grid.drivers.modis.quality import Kind
from ch4grid.drivers.modis.sinusoidal import Packing


@dataclass(frozen=True)
class Layer:
    """A field of a product that holds a variable, and the field that judges its pixels.

    Args:
        name: Scientific data set.
        quality: Scientific data set of its quality.
        kind: How the quality is coded.
        factor: Value of one stored unit.
        valid: Lowest and highest stored number that is a value.
        fill: Stored number without a value.
        per_period: Whether values are sums over a composite, to be divided by its seconds.
        bare: Class fills of barren ground and of perennial snow and ice, where nothing grows.
        aliases: What programs that cut granules into rasters call the field and its quality.
    """

    name: str
    quality: str
    kind: Kind
    factor: float
    valid: tuple[float, float]
    fill: float
    per_period: bool = False
    bare: tuple[int, ...] = ()
    aliases: tuple[str, str] = ("", "")

    @property
    def judged(self) -> bool:
        """Whether its quality layer is looked at."""
        return self.kind != "filled"


@dataclass(frozen=True)
class Product:
    """A product: its composites and the variables it holds.

    Args:
        layers: Vocabulary names and fields.
        step: Days of a composite; 0 for monthly products.
        aqua_first: Day of year on which the first composite of Aqua begins; that of Terra is 1.
    """

    layers: dict[str, Layer]
    step: int
    aqua_first: int = 1

    def cycle(self, platform: str) -> Cycle:
        """Start days of the composites of a platform."""
        return Cycle(self.step, self.aqua_first if platform == "MYD" else 1)


def _vegetation(prefix: str, quality: str) -> dict[str, Layer]:
    return {
        name.lower(): Layer(
            f"{prefix} {name}",
            f"{prefix} {quality}",
            "reliability",
            1e-4,
            (-2000.0, 10000.0),
            -3000.0,
            aliases=(name, "Rely"),
        )
        for name in ("EVI", "NDVI")
    }


def _temperature(suffix: str) -> dict[str, Layer]:
    return {
        f"lst_{part.lower()}": Layer(
            f"LST_{part}_{suffix}", f"QC_{part}", "lst_bits", 0.02, (7500.0, 65535.0), 0.0
        )
        for part in ("Day", "Night")
    }


def _leaf_area() -> dict[str, Layer]:
    layer = Layer(
        "Lai_500m",
        "FparLai_QC",
        "fpar_bits",
        0.1,
        (0.0, 100.0),
        255.0,
        bare=(252, 253),
        aliases=("Lai", ""),
    )
    return {"lai": layer}


def _production(kind: Kind) -> dict[str, Layer]:
    layer = Layer(
        "Gpp_500m",
        "Psn_QC_500m",
        kind,
        1e-4,
        (0.0, 30000.0),
        32767.0,
        per_period=True,
        bare=(32764, 32765),
        aliases=("Gpp", ""),
    )
    return {"gpp": layer}


# Products without their platform, `13C2` of MOD13C2 and MYD13C2 (user guides of collection 6.1).
CMG: dict[str, Product] = {
    "13C2": Product(_vegetation("CMG 0.05 Deg Monthly", "pixel reliability"), 0),
    "11C3": Product(_temperature("CMG"), 0),
}
TILES: dict[str, Product] = {
    "11A1": Product(_temperature("1km"), 1),
    "11A2": Product(_temperature("1km"), 8),
    "13A1": Product(_vegetation("500m 16 days", "pixel reliability"), 16, 9),
    "13A2": Product(_vegetation("1 km 16 days", "pixel reliability"), 16, 9),
    "13Q1": Product(_vegetation("250m 16 days", "pixel reliability"), 16, 9),
    "15A2H": Product(_leaf_area(), 8),
    "17A2H": Product(_production("fpar_bits"), 8),
    "17A2HGF": Product(_production("filled"), 8),
    # snow extent is no predictor; `sinusoidal.class_fractions` turns its classes into area fractions
    "10A1": Product({}, 1),
    "10A2": Product({}, 8),
}

# Retrieved neither over permanent wetlands (LAI 251, GPP 32763) nor over water, bare, frozen and built-up ground.
NOT_OVER_WETLANDS = ("lai", "gpp")
WETLAND_NOTE = (
    "Not retrieved over permanent wetlands (class fill 251 of LAI, 32763 of GPP), open water, barren, built-up and "
    "frozen ground. The value is the mean of the rest of the cell, and the part without retrieval lowers its valid "
    "fraction; a cell without any other ground has no value. Over wetlands the enhanced vegetation index (evi) is "
    "retrieved and to be preferred."
)


def variables_of(products: dict[str, Product]) -> tuple[str, ...]:
    """Vocabulary names that any of the products holds."""
    return tuple(dict.fromkeys(name for p in products.values() for name in p.layers))


def plain(name: str) -> str:
    """A field's name as file names spell it: lower case, one underscore for every other sign."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def packing(layer: Layer, attributes: dict[str, Any], *, integers: bool) -> Packing:
    """What stored numbers mean: by the attributes of the file, else by the table.

    MOD13 writes a `scale_factor` of 10000 that divides, MOD11 one of 0.02 that multiplies (their user guides): a factor
    above one can only be the former. Real numbers without a factor are values already, as programs write them that
    apply the factor themselves.
    """
    stated = float(attributes.get("scale_factor", 1.0))
    fill = float(_first(attributes.get("_FillValue", layer.fill)))
    if stated == 1.0 and not integers:
        low, high = (layer.factor * bound for bound in layer.valid)
        slack = 1e-6 * (high - low)
        return Packing(1.0, 0.0, low - slack, high + slack, fill)
    factor = 1.0 / stated if stated > 1.0 else stated
    low, high = _range(attributes.get("valid_range"), layer.valid)
    offset = float(attributes.get("add_offset", 0.0))
    return Packing(layer.factor if stated == 1.0 else factor, offset, low, high, fill)


def _range(stated: Any, table: tuple[float, float]) -> tuple[float, float]:
    """The range that a file states, as numbers or as text, within that of the table."""
    if stated is None:
        return table
    numbers = re.findall(r"-?[\d.]+", stated) if isinstance(stated, str) else np.ravel(stated)
    low, high = float(numbers[0]), float(numbers[-1])
    return max(low, table[0]), min(high, table[1])


def _first(value: Any) -> Any:
    return np.ravel(value)[0]
