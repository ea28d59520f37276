"""Several maps of wetland extent as a dimension of uncertainty: the members of an ensemble are dealt over them in turn.

A member then differs from the next in its model and in where it believes the wetlands to be, and the spread of a sum
over members holds both. One extent leaves everything as it is.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ch4grid.vocabulary import Gas


def dealt(extents: int, members: int) -> NDArray[np.int64]:
    """Number of the extent of each member: 0, 1, ..., in turn."""
    return np.arange(members) % extents


def mean_fraction(fraction: xr.DataArray, members: int) -> xr.DataArray:
    """Class fractions as the ensemble has them, the mean over its members (ecosystem, ...) [1].

    Args:
        fraction: ([extent,] ecosystem, [time,] latitude, longitude) [1].
        members: Members of the ensemble.
    """
    if "extent" not in fraction.dims:
        return fraction
    of_member = dealt(fraction.sizes["extent"], members)
    weights = np.bincount(of_member, minlength=fraction.sizes["extent"]) / members
    total = sum(
        float(w) * fraction.isel(extent=i, drop=True).astype(np.float64)
        for i, w in enumerate(weights)
    )
    mean: xr.DataArray = xr.DataArray(total)
    return mean.astype(np.float32).assign_attrs(fraction.attrs).rename(fraction.name)


def deal(flux: xr.Dataset, fraction: xr.DataArray, gas: Gas) -> xr.Dataset:
    """FLUX with the extent of each member in its density, which refers to the mean fraction of the ensemble.

    A member's flux from a class is its density times its own fraction. Given per mean fraction f it is
    d' = d f_member / f, so that the sum of d' f over classes is the member's cell flux and the mean of d' is the
    area-weighted mean density. The variance gains what the members gained, and quantiles widen with it.

    Args:
        flux: FLUX with densities per area of the class as every member's model gives them, and the mean fractions.
        fraction: Fractions by extent (extent, ecosystem, [time,] latitude, longitude) [1]; without `extent` the FLUX
            is returned as it is.
        gas: The gas.
    """
    if "extent" not in fraction.dims:
        return flux
    name = f"{gas.flux}_density"
    out = {n: flux[n].copy() for n in (name, f"{name}_variance", f"{name}_quantile")}
    density, variance, quantile = (v.values for v in out.values())
    own = fraction.transpose("extent", "ecosystem", ..., "latitude", "longitude").values
    if own.ndim == density.ndim - 1:
        own = own[:, :, None]
    mean = flux["ecosystem_fraction"].transpose(*flux[name].dims[1:]).values.astype(np.float64)
    for k in range(density.shape[1]):  # class by class: float64 copies of all would be large
        before = density[:, k].astype(np.float64)
        after = by_member(before, own[:, k], mean[k])
        gained = after.var(axis=0, ddof=1) - before.var(axis=0, ddof=1)
        wider = np.maximum(variance[k].astype(np.float64) + gained, 0.0)
        quantile[:, k] = _moved(quantile[:, k], before, after, variance[k], wider)
        density[:, k], variance[k] = after, wider
    return flux.assign(out)


def by_member(
    density: NDArray[np.float64], own: NDArray[np.float32], mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Densities (member, ...) of a class per mean fraction instead of the member's own (extent, ...)."""
    of_member = dealt(own.shape[0], density.shape[0])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack(
            [
                np.where(mean > 0, d * own[e] / mean, d)
                for d, e in zip(density, of_member, strict=True)
            ]
        )


def _moved(
    quantile: NDArray[np.float32],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    variance: NDArray[np.float32],
    wider: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Quantiles about the new mean, stretched as the standard deviation was."""
    old, new = before.mean(axis=0), after.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        stretch = np.where(variance > 0, np.sqrt(wider / variance), 1.0)
    return np.asarray(new + (quantile.astype(np.float64) - old) * stretch)
