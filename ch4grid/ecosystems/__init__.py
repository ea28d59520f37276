"""Ecosystem classes: which there are, what they are made of, and how much of each cell they cover."""

from ch4grid.ecosystems.fractions import extents, fractions
from ch4grid.ecosystems.mass import LayerMass, MassLog, mass_log
from ch4grid.ecosystems.schemes import (
    SCHEMES,
    SEVEN_CLASSES,
    Scheme,
    scheme_of,
    site_class,
    wetland_class,
)

__all__ = [
    "SCHEMES",
    "SEVEN_CLASSES",
    "LayerMass",
    "MassLog",
    "Scheme",
    "extents",
    "fractions",
    "mass_log",
    "scheme_of",
    "site_class",
    "wetland_class",
]
