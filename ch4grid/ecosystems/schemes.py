"""Schemes of ecosystem classes as data: which area layers and which tower classifications make up each class.

Another scheme is another value of `Scheme`; nothing else in the package knows what a class is made of.
"""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ch4grid.errors import InputError, RecipeError
from ch4grid.vocabulary import ECOSYSTEMS

# Marks freshwater wetland, whose class depends on the latitude.
BY_LATITUDE = "by latitude"


@dataclass(frozen=True)
class Band:
    """Freshwater wetland between two latitudes [degrees_north], the southern one included, is of one class."""

    south: float
    north: float
    ecosystem: str


@dataclass(frozen=True)
class Scheme:
    """Disjoint classes and what they are made of.

    Args:
        name: Its name in a recipe.
        ecosystems: The classes, in the order of every array.
        layers: Area layer to class in order of precedence; None for area that belongs to no class, `by latitude` for
            freshwater wetland.
        rest: Class of the land that no layer claims.
        bands: Classes of freshwater wetland from south to north.
        sites: Tower classification in lower case to class; None where the scheme has none.
    """

    name: str
    ecosystems: tuple[str, ...]
    layers: MappingProxyType[str, str | None]
    rest: str
    bands: tuple[Band, ...]
    sites: MappingProxyType[str, str | None]


SEVEN_CLASSES = Scheme(
    name="seven-classes",
    ecosystems=ECOSYSTEMS,
    layers=MappingProxyType(
        {
            "open_water_fraction": None,
            "rice_fraction": "rice-paddy",
            "coastal_fraction": "coastal",
            "wetland_fraction": BY_LATITUDE,
            "urban_fraction": "urban",
        }
    ),
    rest="upland",
    bands=(
        Band(-90.0, -30.0, "temperate-wetland"),
        Band(-30.0, 30.0, "tropical-floodplain"),
        Band(30.0, 55.0, "temperate-wetland"),
        Band(55.0, 90.0, "boreal-peatland"),
    ),
    sites=MappingProxyType(
        {
            "bog": BY_LATITUDE,
            "fen": BY_LATITUDE,
            "marsh": BY_LATITUDE,
            "swamp": BY_LATITUDE,
            "wet tundra": BY_LATITUDE,
            "salt marsh": "coastal",
            "mangrove": "coastal",
            "rice": "rice-paddy",
            "drained": "upland",
            "upland": "upland",
            "lake": None,
            "water": None,
        }
    ),
)

SCHEMES = MappingProxyType({SEVEN_CLASSES.name: SEVEN_CLASSES})

# IGBP code and UPLAND_CLASS of the FLUXNET-CH4 site table that mean a city.
URBAN = "urb"


def scheme_of(name: str) -> Scheme:
    """The scheme of a recipe.

    Raises:
        RecipeError: There is none of this name.
    """
    if name not in SCHEMES:
        raise RecipeError(
            "unknown scheme of ecosystem classes",
            where="ecosystems.scheme",
            expected=", ".join(SCHEMES),
            found=name,
        )
    return SCHEMES[name]


def wetland_class(
    latitude: NDArray[np.float64] | float, scheme: Scheme = SEVEN_CLASSES
) -> NDArray[np.str_]:
    """Names of the classes of freshwater wetland at latitudes [degrees_north], in the shape of the input."""
    edges = np.array([band.north for band in scheme.bands[:-1]])
    names = np.array([band.ecosystem for band in scheme.bands])
    chosen: NDArray[np.str_] = names[np.searchsorted(edges, np.asarray(latitude), side="right")]
    return chosen


def site_class(
    classification: str,
    igbp: str,
    upland_class: str,
    latitude: float,
    scheme: Scheme = SEVEN_CLASSES,
) -> str | None:
    """Class of a tower from the columns of the FLUXNET-CH4 site table, None if the scheme has none for it.

    Args:
        classification: SITE_CLASSIFICATION: bog, fen, marsh, swamp, wet tundra, salt marsh, mangrove, rice, ...
        igbp: IGBP code; URB makes a tower urban whatever its classification.
        upland_class: UPLAND_CLASS; `Urban` likewise.
        latitude: Of the tower [degrees_north].
        scheme: The classes.

    Raises:
        InputError: The scheme does not know the classification.
    """
    if igbp.strip().lower() == URBAN or upland_class.strip().lower().startswith("urban"):
        return "urban"
    kind = classification.strip().lower()
    if kind not in scheme.sites:
        raise InputError(
            "unknown tower classification",
            where="SITE_CLASSIFICATION",
            expected=", ".join(scheme.sites),
            found=repr(classification),
            fix="Use a classification of the FLUXNET-CH4 site table",
        )
    ecosystem = scheme.sites[kind]
    return str(wetland_class(latitude, scheme)) if ecosystem == BY_LATITUDE else ecosystem
