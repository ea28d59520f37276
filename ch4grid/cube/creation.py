"""A new store: the template's objects on disk, all but the group metadata without which nobody can open it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from ch4grid import ledger
from ch4grid.cube import inputs, staging
from ch4grid.cube.metadata import copy_of
from ch4grid.cube.objects import METADATA, ChunkObject, Document, open_planned, read_document
from ch4grid.cube.template import ProductSpec, documents, static_objects, template_objects
from ch4grid.errors import RunError
from ch4grid.grid import Grid
from ch4grid.ledger import Row
from ch4grid.stores import beside, sha256_json, write_atomic

Slices = tuple[slice, slice]
PLANE = ("latitude", "longitude")


def create(store: Path, spec: ProductSpec, grid: Grid, planes: xr.Dataset) -> None:
    """Make sure that the template of the product lies at `store`; does nothing to a published store.

    Args:
        store: Path of the store.
        spec: The product.
        grid: Its grid.
        planes: `land_fraction`, `region_fraction` (with coordinate `region`) and, when the product has static class
            areas, `ecosystem_fraction`, on the grid.

    Raises:
        RunError: A published store at `store` has other arrays or has lost its group metadata, or the disk refuses.
    """
    docs = documents(spec, grid, planes.sizes["region"])
    if (store / METADATA).exists():
        _same_arrays(store, docs)
        return
    _refuse_loss(store)
    static = static_objects(spec, grid, docs, planes)
    objects = template_objects(docs, static)
    digest = sha256_json(
        {k: hashlib.sha256(v).hexdigest() for k, v in objects.items()} | {"parts": dict(spec.parts)}
    )
    marker = staging.folder(store) / "template.json"
    if marker.exists() and json.loads(marker.read_bytes())["digest"] == digest:
        return
    staging.remove(staging.folder(store))
    staging.remove(store)
    staging.remove(beside(store, staging.KEPT))
    for path in (ledger.path_of(store), copy_of(store), inputs.path_of(store)):
        path.unlink(missing_ok=True)
    for key, content in objects.items():
        write_atomic(store / key, content)
    rows = [object_row(o, year=None, inputs=digest).__dict__ for o in static]
    write_atomic(marker, json.dumps({"digest": digest, "rows": rows}, sort_keys=True).encode())


def region_fraction(store: Path, tile: Slices) -> xr.DataArray:
    """Shares of the cell area by region (region, latitude, longitude) [1] of rows and columns of a store.

    The store need not be published.
    """
    values = open_planned(store, "region_fraction")[(slice(None), *tile)]
    names = [str(name) for name in np.asarray(open_planned(store, "region")[:])]
    return xr.DataArray(values, dims=("region", *PLANE), coords={"region": names})


def _refuse_loss(store: Path) -> None:
    """Published years do not vanish because one file did."""
    years = ledger.published_years(store)
    if years:
        raise RunError(
            "the group metadata of a published product is gone",
            where=store / METADATA,
            expected=f"that of the years {', '.join(map(str, years))}, which the ledger has",
            found="no file",
            fix="`ch4grid repair` writes it anew; nothing was changed",
        )


def object_row(o: ChunkObject, *, year: int | None, inputs: str) -> Row:
    """The ledger row of an object about to be written."""
    return ledger.row(o.key.split("/")[0], o.key, o.content, o.values, year=year, inputs=inputs)


def _same_arrays(store: Path, docs: Mapping[str, Document]) -> None:
    for name, doc in docs.items():
        found = read_document(store, name)
        shapes = {"shape": None}
        if found | shapes != doc | shapes:
            changed = sorted(k for k in doc if k != "shape" and found.get(k) != doc[k])
            raise RunError(
                f"the published array {name!r} differs from that of the recipe in {', '.join(changed)}",
                where=store,
                expected="an extension to keep every array as it is",
                found=f"{found.get(changed[0])!r} on disk, {doc[changed[0]]!r} now"
                if changed
                else "",
                fix="Publish a new version",
            )


def template_rows(store: Path) -> list[Row]:
    """Ledger rows of the coordinates and statics of a store that was created and not yet published."""
    marker = json.loads((staging.folder(store) / "template.json").read_bytes())
    return [Row(**r) for r in marker["rows"]]
