"""One write region and year of the product: from FLUX, per class and member, to the variables a user reads.

Cell fluxes are built from the stored float32 densities and fractions, so that the identity between them holds for
whoever recomputes it, also where uptake and emission nearly cancel.
"""

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ch4grid.cube.layout import CELL, KEEP_BITS, QUANTILES
from ch4grid.errors import RunError
from ch4grid.grid import Grid
from ch4grid.schema import check_flux
from ch4grid.vocabulary import GASES, KG_PER_TG, NEVER_WRITTEN, QUALITY_FLAGS, Gas, seconds_in_month

Float = NDArray[np.float64]
Single = NDArray[np.float32]
Slices = tuple[slice, slice]

# Relative tolerances of the two identities of a product.
CELL_TOLERANCE = 1e-6
BUDGET_TOLERANCE = 1e-9
# Flags that say why there is no flux.
NO_FLUX = ("ocean", "no_ecosystem", "driver_missing", "intervention_outside_training")


def cell_block(
    flux: xr.Dataset, grid: Grid, slices: Slices, *, gas: Gas = GASES["ch4"]
) -> xr.Dataset:
    """Product variables of one write region and year from its FLUX block.

    A cell flux is missing where no class is present or where a class that is present has no density; `quality_flag`
    says which, and in a scenario that it was left out because its drivers leave the training. Class contributions add
    with their fraction; see the attributes of the product for the statistics.

    Args:
        flux: FLUX block of exactly the region's cells.
        grid: Grid of the product.
        slices: Rows and columns of the region.
        gas: Gas of the product.

    Raises:
        InputError: The block is not FLUX.
        RunError: Its cells are not those of the region.
    """
    check_flux(flux, gas)
    _same_cells(flux, grid, slices)
    name = f"{gas.flux}_density"
    fraction = np.nan_to_num(flux["ecosystem_fraction"].values.astype(np.float32))
    members = flux[name].values
    density = np.where(fraction > 0, members.mean(axis=0, dtype=np.float64), np.nan).astype(
        np.float32
    )
    present: NDArray[np.bool_] = np.asarray((fraction > 0).any(axis=0))
    stored = np.where(present, weighted(density, fraction), np.nan).astype(np.float32)
    ensemble = np.stack([weighted(m, fraction) for m in members])
    ensemble = np.where(present & np.isfinite(stored), ensemble, np.nan)
    block = ("ecosystem", *CELL)
    data = {
        gas.flux: (CELL, stored),
        f"{gas.flux}_standard_error": (
            CELL,
            round_bits(
                _standard_error(flux[f"{name}_variance"].values, members, ensemble, fraction)
            ),
        ),
        f"{gas.flux}_quantile": (
            ("quantile", *CELL),
            round_bits(_quantiles(flux[f"{name}_quantile"], fraction, stored)),
        ),
        name: (block, density),
        "ecosystem_fraction": (block, fraction),
        f"{gas.flux}_member": (("member", *CELL), ensemble.astype(np.float32)),
        "dissimilarity_index": (CELL, round_bits(flux["dissimilarity_index"].values)),
        "quality_flag": (CELL, _flags(flux["quality_flag"].values, stored, present)),
    }
    coords = {n: flux[n].values for n in (*CELL, "ecosystem", "member")}
    return xr.Dataset(data, coords=coords | {"quantile": list(QUANTILES)})


def _same_cells(flux: xr.Dataset, grid: Grid, slices: Slices) -> None:
    for dim, values in (
        ("latitude", grid.latitude[slices[0]]),
        ("longitude", grid.longitude[slices[1]]),
    ):
        found = flux[dim].values
        if found.shape != values.shape or not np.allclose(found, values, atol=1e-6):
            raise RunError(
                f"the block does not hold the region's cells along {dim}",
                where="FLUX",
                expected=f"{values.size} values from {values[0]:g} to {values[-1]:g}",
                found=f"{found.size} values from {found[0]:g} to {found[-1]:g}"
                if found.size
                else "none",
            )


def weighted(density: Single, fraction: Single) -> Float:
    """Sum over classes of density x fraction in float64; NaN where a class that is present has no density.

    Args:
        density: By class (ecosystem, time, latitude, longitude) [kg m-2 s-1].
        fraction: By class, same shape [1]; zero where the class is absent.
    """
    total = np.zeros(density.shape[1:])
    for d, f in zip(density, fraction, strict=True):
        total += np.where(f > 0, d.astype(np.float64) * f.astype(np.float64), 0.0)
    return total


def _standard_error(variance: Single, members: Single, ensemble: Float, fraction: Single) -> Single:
    """Between members of the cell flux, which carries how classes move together, plus the rest class by class."""
    total = ensemble.var(axis=0, ddof=1)
    for k, f in enumerate(fraction):
        between = members[:, k].astype(np.float64).var(axis=0, ddof=1)
        excess = np.maximum(variance[k].astype(np.float64) - between, 0.0)
        total += np.where(f > 0, f.astype(np.float64) ** 2 * excess, 0.0)
    return np.asarray(np.sqrt(total), dtype=np.float32)


def _quantiles(quantiles: xr.DataArray, fraction: Single, stored: Single) -> Single:
    kept = quantiles.sel(quantile=list(QUANTILES), method="nearest", tolerance=1e-6).values
    cells = np.stack([weighted(q, fraction) for q in kept])
    return np.where(np.isfinite(stored), np.sort(cells, axis=0), np.nan).astype(np.float32)


def _flags(
    flags: NDArray[np.uint8], stored: Single, present: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Flags with the reason wherever the flux is missing."""
    reasons = (QUALITY_FLAGS["ocean"], QUALITY_FLAGS["no_ecosystem"])
    blanked = flags == QUALITY_FLAGS["intervention_outside_training"]
    result = flags.astype(np.uint8)
    result = np.where(~present & ~np.isin(result, reasons), np.uint8(reasons[1]), result)
    lost = present & ~np.isfinite(stored) & ~blanked
    return np.where(lost, np.uint8(QUALITY_FLAGS["driver_missing"]), result).astype(np.uint8)


def round_bits(values: NDArray[np.float32], keep: int = KEEP_BITS) -> Single:
    """Values rounded to nearest with `keep` mantissa bits, ties to even; missing values stay missing.

    Source: Kloewer et al. (2021), doi:10.1038/s43588-021-00156-2.
    """
    drop = np.uint32(23 - keep)
    raw = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    half = np.uint32((1 << int(drop) - 1) - 1)
    mask = np.uint32(0xFFFFFFFF >> int(drop) << int(drop))
    rounded = ((raw + ((raw >> drop) & np.uint32(1)) + half) & mask).view(np.float32)
    return np.where(np.isfinite(values), rounded, np.float32(np.nan)).astype(np.float32)


def check_block(block: xr.Dataset, gas: Gas = GASES["ch4"]) -> list[str]:
    """What is wrong with the values of a block, in words: identity, missing reasons, order of quantiles, sign."""
    flux = block[gas.flux].values
    density, fraction = block[f"{gas.flux}_density"].values, block["ecosystem_fraction"].values
    flag = block["quality_flag"].values
    total = weighted(density, fraction)
    valid = np.isfinite(flux)
    off = np.abs(total - flux)[valid] > CELL_TOLERANCE * np.abs(flux[valid])
    problems = (
        [f"{off.sum()} cell fluxes differ from the sum of density x fraction"] if off.any() else []
    )
    reasons = [QUALITY_FLAGS[r] for r in NO_FLUX]
    silent = int((~valid & ~np.isin(flag, reasons)).sum())
    problems += [f"{silent} missing cell fluxes without a reason in quality_flag"] if silent else []
    unwritten = int((~np.isin(flag, list(QUALITY_FLAGS.values()))).sum())
    problems += (
        [f"{unwritten} cells with an unknown quality_flag ({NEVER_WRITTEN} is never written)"]
        if unwritten
        else []
    )
    if (np.diff(block[f"{gas.flux}_quantile"].values, axis=0) < 0).any():
        problems.append("quantiles are not ordered")
    for name in (f"{gas.flux}_standard_error", f"{gas.flux}_quantile", f"{gas.flux}_member"):
        holes = int((np.isfinite(block[name].values) != valid).sum())
        problems += (
            [f"{holes} values of {name} are missing where the flux is not, or the reverse"]
            if holes
            else []
        )
    if fraction.sum(axis=0).max(initial=0.0) > 1 + 1e-5:
        problems.append(f"class fractions add up to {fraction.sum(axis=0).max():g}")
    return problems


def member_budget(
    members: NDArray[np.float32], area: Float, weights: Float, time: pd.DatetimeIndex
) -> tuple[Float, Float]:
    """Mass per month from the stored members (member, time, region) [Tg], and the same of absolute fluxes.

    Args:
        members: (member, time, latitude, longitude) [kg m-2 s-1].
        area: Cell areas (latitude, longitude) [m2].
        weights: Shares by region (region, latitude, longitude) [1].
        time: The months.
    """
    flux = np.nan_to_num(members.astype(np.float64))
    scale = seconds_in_month(time)[None, :, None] / KG_PER_TG
    signed = np.zeros((*flux.shape[:2], len(weights)))
    size = np.zeros_like(signed)
    for r in np.flatnonzero(weights.any(axis=(1, 2))):
        signed[..., r] = np.einsum("mtyx,yx->mt", flux, area * weights[r])
        size[..., r] = np.einsum("mtyx,yx->mt", np.abs(flux), area * weights[r])
    return signed * scale, size * scale


def budget_differs(table: Float, recomputed: Float, size: Float) -> bool:
    """Whether a budget (member, time, ecosystem, region) [Tg] breaks its identity with the stored members."""
    return bool((np.abs(table.sum(axis=2) - recomputed) > BUDGET_TOLERANCE * size).any())
