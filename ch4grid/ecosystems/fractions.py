"""Area layers to disjoint class fractions: what one layer claims, the next ones in precedence cannot claim again.

Maps of rice, mangrove, wetland and lakes overlap and together exceed the land; without precedence a rice paddy would
emit twice. What is cut off is reported per layer.
"""

import json
from collections.abc import Mapping

import numpy as np
import xarray as xr

from ch4grid.ecosystems.mass import LayerMass, MassLog, area_km2, layer_mass, wetland_warning
from ch4grid.ecosystems.schemes import BY_LATITUDE, SEVEN_CLASSES, Scheme, wetland_class
from ch4grid.errors import InputError, RecipeError


def fractions(areas: xr.Dataset, scheme: Scheme = SEVEN_CLASSES) -> xr.DataArray:
    """Fractions of the cell area per class, `ecosystem_fraction` (ecosystem, [time,] latitude, longitude) float32 [1].

    They are disjoint and with open water sum to the land fraction at most: open water > rice > coastal > wetland >
    urban, and the rest of the land is upland. A layer that is absent or missing counts as zero; layers with and without
    months mix. A layer loses area only where the cell is full, so a map that others have been taken off already loses
    nothing twice; one that still has them says so in its attribute `includes` (names of layers), and what those took is
    taken off it first.

    The attribute `mass_log` is the JSON text of `mass.MassLog`, `clipped_area_km2` a JSON object of the area each layer
    lost, the mean over time [km2].

    Args:
        areas: `land_fraction` and any of the layers of the scheme ([time,] latitude, longitude) [1].
        scheme: The classes.

    Raises:
        InputError: There is no land fraction, or a layer lies outside 0 to 1.
    """
    if "land_fraction" not in areas:
        raise InputError(
            "the land fraction is missing",
            where="ecosystems",
            expected="land_fraction",
            found=", ".join(map(str, areas.data_vars)),
            fix="Add a source of land_fraction to ecosystems.areas",
        )
    land = _layer(areas, "land_fraction")
    free = land
    classes = {name: xr.zeros_like(free) for name in scheme.ecosystems}
    before: dict[str, xr.DataArray] = {}
    masses: dict[str, LayerMass] = {}
    for layer, ecosystem in scheme.layers.items():
        if layer not in areas:
            continue
        wanted = _layer(areas, layer)
        included = str(areas[layer].attrs.get("includes", "")).split()
        marked = {n: f.assign_attrs(included=n in included) for n, f in before.items()}
        net = (wanted - sum(before[n] for n in included if n in before)).clip(min=0.0)
        taken = net.where(net < free, free)
        masses[layer] = layer_mass(wanted, net, taken, marked, land)
        before[layer] = taken
        free = free - taken
        for name, part in _classes_of(taken, ecosystem, scheme):
            classes[name] = classes[name] + part
    classes[scheme.rest] = classes[scheme.rest] + free
    log = _log(land, masses, classes, scheme)
    return _stacked(classes, areas).assign_attrs(
        units="1",
        long_name="area fraction of the ecosystem class",
        cell_methods="area: mean",
        scheme=scheme.name,
        clipped_area_km2=json.dumps(_clipped(log), sort_keys=True),
        mass_log=log.text(),
    )


def extents(
    areas: xr.Dataset, wetlands: Mapping[str, xr.DataArray], scheme: Scheme = SEVEN_CLASSES
) -> xr.DataArray:
    """Fractions with several maps of freshwater wetland (extent, ecosystem, [time,] latitude, longitude) float32 [1].

    The coordinate `extent` is the names of the maps. `mass_log` and `clipped_area_km2` are JSON objects by name. A
    single map gives what `fractions` gives, without the dimension.

    Args:
        areas: As in `fractions`; its wetland layer, if any, is not used.
        wetlands: Freshwater wetland ([time,] latitude, longitude) [1] by name of the map.
        scheme: The classes.

    Raises:
        InputError: As `fractions`, or a map lies on another grid or other months.
        RecipeError: There is no map.
    """
    if not wetlands:
        raise RecipeError("no wetland map is given", where="ecosystems", expected="at least one")
    layer = next(n for n, ecosystem in scheme.layers.items() if ecosystem == BY_LATITUDE)
    parts = {}
    for name, wetland in wetlands.items():
        try:
            parts[name] = fractions(
                areas.drop_vars(layer, errors="ignore").merge(
                    {layer: wetland}, join="exact", compat="override", combine_attrs="override"
                ),
                scheme,
            )
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                "a wetland map lies on another grid or other months than the area layers",
                where=f"ecosystems.wetlands.{name}",
                found=" ".join(str(error).split())[:160],
            ) from error
    if len(parts) == 1:
        return next(iter(parts.values()))
    order = ("extent", "ecosystem", "time", "latitude", "longitude")
    joined = xr.concat(
        xr.broadcast(*parts.values()),
        xr.Variable("extent", list(parts)),
        join="exact",
        combine_attrs="override",
    ).transpose(*order, missing_dims="ignore")
    return joined.assign_attrs(
        {
            key: json.dumps({n: json.loads(p.attrs[key]) for n, p in parts.items()}, sort_keys=True)
            for key in ("clipped_area_km2", "mass_log")
        }
    )


def _log(
    land: xr.DataArray,
    masses: dict[str, LayerMass],
    classes: dict[str, xr.DataArray],
    scheme: Scheme,
) -> MassLog:
    """The mass log of all layers."""
    wetland = sum((m.taken for n, m in masses.items() if scheme.layers[n] == BY_LATITUDE), 0.0)
    return MassLog(
        land=area_km2(land),
        water=sum((m.taken for n, m in masses.items() if scheme.layers[n] is None), 0.0),
        layers=masses,
        classes={name: area_km2(part) for name, part in classes.items()},
        wetland=wetland,
        warning=wetland_warning(wetland),
    )


def _clipped(log: MassLog) -> dict[str, float]:
    return {name: round(mass.lost, 3) for name, mass in log.layers.items()}


def _layer(areas: xr.Dataset, name: str) -> xr.DataArray:
    """A layer in float64, zero where missing."""
    values = areas[name].astype(np.float64).fillna(0.0)
    low, high = float(values.min()), float(values.max())
    if low < -1e-4 or high > 1 + 1e-4:
        raise InputError(
            f"area layer {name!r} is not a fraction",
            where="ecosystems",
            expected="0 to 1",
            found=f"{low:g} to {high:g}",
            fix="Check its units in the recipe",
        )
    return values.clip(0.0, 1.0).drop_attrs(deep=False)


def _classes_of(
    taken: xr.DataArray, ecosystem: str | None, scheme: Scheme
) -> list[tuple[str, xr.DataArray]]:
    """The classes that the area of one layer goes to."""
    if ecosystem is None:
        return []
    if ecosystem != BY_LATITUDE:
        return [(ecosystem, taken)]
    names = wetland_class(np.asarray(taken["latitude"].values, np.float64), scheme)
    rows = xr.DataArray(names, dims="latitude", coords={"latitude": taken["latitude"]})
    return [(name, taken.where(rows == name, 0.0)) for name in sorted(set(names.tolist()))]


def _stacked(classes: dict[str, xr.DataArray], areas: xr.Dataset) -> xr.DataArray:
    """All classes on one new leading dimension."""
    order = tuple(
        d for d in ("time", "latitude", "longitude") if any(d in c.dims for c in classes.values())
    )
    template = xr.broadcast(*classes.values())
    values = np.stack([c.transpose(*order).values for c in template]).astype(np.float32)
    coords = {d: areas[d] for d in order} | {"ecosystem": list(classes)}
    return xr.DataArray(
        values, dims=("ecosystem", *order), coords=coords, name="ecosystem_fraction"
    )
