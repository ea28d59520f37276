"""Flux towers to SITES: one file per source, brought onto one time axis with their clusters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Protocol

import numpy as np
import xarray as xr
from pydantic import Field

from ch4grid.errors import InputError
from ch4grid.schema import check_sites
from ch4grid.sites.clusters import clusters
from ch4grid.sites.fluxnet_ch4 import FluxnetCH4
from ch4grid.sites.laboratory import TwinLaboratory
from ch4grid.sites.measured import in_period
from ch4grid.sites.table import TowerTable
from ch4grid.sites.twin import TwinTowers
from ch4grid.sites.xmethanewet import XMethaneWet
from ch4grid.stores import Workspace
from ch4grid.vocabulary import Gas

SiteSource = Annotated[
    FluxnetCH4 | TowerTable | TwinLaboratory | TwinTowers | XMethaneWet,
    Field(discriminator="source"),
]

__all__ = [
    "FluxnetCH4",
    "SiteSource",
    "TowerTable",
    "TwinLaboratory",
    "TwinTowers",
    "XMethaneWet",
    "assemble",
    "clusters",
    "in_period",
]


class Source(Protocol):
    """What any site source can do."""

    def inputs(self, workspace: Workspace, gas: Gas) -> list[Path]:
        """The files that are read for a gas."""

    def open(self, workspace: Workspace, gas: Gas) -> xr.Dataset:
        """SITES without clusters."""


def assemble(sources: Sequence[Source], workspace: Workspace, gas: Gas) -> xr.Dataset:
    """SITES of all sources: sites in alphabetical order, every step from the first to the last, 300 km clusters.

    Raises:
        InputError: What the sources raise, sources of different steps, or a site that comes from two of them.
    """
    parts = [source.open(workspace, gas) for source in sources]
    steps = {str(p.attrs.get("step")) for p in parts}
    if len(steps) != 1:
        raise InputError(
            "site sources differ in their step", where="sites", expected="one step", found=steps
        )
    names = [str(n) for p in parts for n in p["site"].values]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise InputError(
            "sites come from two sources",
            where="sites",
            expected="each site from one",
            found=", ".join(twice),
            fix="Take them out of one source",
        )
    joined = (
        parts[0]
        if len(parts) == 1
        else xr.concat(parts, dim="site", join="outer", combine_attrs="override")
    )
    joined = joined.sortby("site").transpose("site", "time", ...)
    coverage = f"{gas.flux}_coverage"
    joined[coverage] = joined[coverage].fillna(0.0)
    number = clusters(
        np.asarray(joined["latitude"].values, np.float64),
        np.asarray(joined["longitude"].values, np.float64),
    )
    told = "; ".join(t for p in parts if (t := str(p.attrs.get("left_out", ""))))
    sites = joined.assign_coords(cluster=("site", number)).assign_attrs(left_out=told)
    return check_sites(sites, gas)
