"""A published product in the forms that its consumers read, with the proof that no month lost or gained a gram.

`export(source, consumer, ...)` makes the files of one consumer. `EXPORTS` is the registry: a consumer is a file of this
package with a subclass of `Export`, and a line here.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from ch4grid.errors import RecipeError
from ch4grid.exports import provenance
from ch4grid.exports.cf_netcdf import CfNetcdf
from ch4grid.exports.contract import Contract
from ch4grid.exports.csv_inventory import CsvInventory
from ch4grid.exports.delivery import Delivered, deliver
from ch4grid.exports.export import Export
from ch4grid.exports.geoschem import GeosChem
from ch4grid.exports.icos import Icos
from ch4grid.exports.imi import IMI
from ch4grid.exports.openghg import OpenGHG
from ch4grid.exports.request import Request, chosen, published, years_of
from ch4grid.exports.source import Source, source_of
from ch4grid.progress import Report, silent

__all__ = ["EXPORTS", "Contract", "Export", "Exported", "consumer_of", "export", "years_of"]

EXPORTS: dict[str, Export] = {
    e.name: e
    for e in (
        CfNetcdf(),
        GeosChem(),
        IMI(),
        Icos(),
        OpenGHG(),
        CsvInventory(),
    )
}
FORMAT = "ch4grid-export-1"


@dataclass(frozen=True)
class Exported:
    """What an export made.

    Args:
        consumer: Name of the consumer.
        product: Product, version and scenario.
        folder: Where the files lie.
        years: Years that they hold.
        files: The files.
        manifest: Name of the file that lists them with their digests.
    """

    consumer: str
    product: str
    folder: Path
    years: tuple[int, ...]
    files: tuple[Delivered, ...]
    manifest: str

    @property
    def departure(self) -> float:
        """Largest departure of a month from the budget of the product as a share of its gross flux [1]."""
        return max((f.departure for f in self.files if f.departure is not None), default=0.0)

    def as_dict(self) -> dict[str, Any]:
        """The export as JSON values."""
        return {
            "consumer": self.consumer,
            "product": self.product,
            "folder": str(self.folder),
            "years": list(self.years),
            "departure": self.departure,
            "manifest": self.manifest,
            "files": {f.name: f.as_dict() for f in self.files},
        }

    def in_words(self) -> str:
        """The export as lines for people."""
        lines = [f"{self.product} for {self.consumer}, {len(self.files)} files in {self.folder}"]
        lines += [f"{f.bytes / 1e6:10.3f} MB  {f.name}" for f in self.files]
        lines.append(f"monthly totals are the product's to {self.departure:.1e} of the gross flux")
        return "\n".join(lines)


def consumer_of(name: str) -> Export:
    """The consumer of a name.

    Raises:
        RecipeError: There is none.
    """
    if name not in EXPORTS:
        raise RecipeError(
            "no such consumer", where="--for", expected=", ".join(EXPORTS), found=name or "none"
        )
    return EXPORTS[name]


def export(
    ds: xr.Dataset,
    store: str,
    consumer: str,
    *,
    years: Iterable[int] | None = None,
    ecosystems: Collection[str] = (),
    member: int | None = None,
    grid: str = "",
    output: Path | None = None,
    report: Report = silent,
) -> Exported:
    """Make the files of a consumer.

    Args:
        ds: The product, opened.
        store: Path or URL of its store.
        consumer: Name of the consumer, one of `EXPORTS`.
        years: Published years; all of them when None.
        ecosystems: Classes to be summed; what the consumer's contract says when empty.
        member: Member of the ensemble in place of its mean.
        grid: Name of the target grid, where the consumer has several.
        output: Where the files go; `exports/PRODUCT_VERSION_SCENARIO/CONSUMER` when None.
        report: Hears of every file.

    Raises:
        RecipeError: The consumer, a class, a member or a grid is unknown or does not fit the consumer.
        InputError: A year is not published, or the store is damaged.
        RunError: The folder cannot be written, or a file would not hold the budget of the product.
    """
    found = consumer_of(consumer)
    source = source_of(ds, store)
    request = _request(found, source, years, ecosystems, member, grid)
    source.check(found.reads(source, request), request.years)
    folder = output if output is not None else Path("exports") / source.stem / consumer
    pieces = list(found.pieces(source, request))
    parts = (source.stem, consumer, request.grid, request.label, request.span)
    manifest = "_".join(p for p in parts if p) + ".manifest.json"
    told = _told(found, source, request)
    made = deliver(pieces, folder, manifest, told, report)
    return Exported(consumer, source.stem, folder, request.years, made, manifest)


def _request(
    consumer: Export,
    source: Source,
    years: Iterable[int] | None,
    ecosystems: Collection[str],
    member: int | None,
    grid: str,
) -> Request:
    given = {"ecosystems": bool(ecosystems), "member": member is not None, "grid": bool(grid)}
    wrong = [n for n, there in given.items() if there and n not in consumer.takes]
    if wrong:
        raise RecipeError(
            f"{consumer.name} takes no {wrong[0]}",
            where=f"--{wrong[0].removesuffix('s')}",
            expected=", ".join(sorted(consumer.takes)) or "neither classes, member nor grid",
            found=wrong[0],
        )
    if consumer.gases and source.gas.name not in consumer.gases:
        raise RecipeError(
            f"{consumer.name} is for other gases",
            where="--for",
            expected=", ".join(consumer.gases),
            found=source.gas.name,
        )
    if ecosystems and member is not None:
        raise RecipeError(
            "members of cells are stored without classes",
            where="--member",
            expected="a member of all classes, or classes of the ensemble mean",
            found="both",
        )
    if member is not None:
        chosen([str(member)], [str(m) for m in source.members], "--member")
    if consumer.grids:
        chosen([grid] if grid else [], consumer.grids, "--grid")
        grid = grid or consumer.grids[0]
    names = chosen(ecosystems, source.ecosystems, "--ecosystem")
    default = source.ecosystems if member is not None else consumer.classes(source)
    return Request(
        years=published(years, source.years),
        ecosystems=names or default,
        selected=bool(names) and names != default,
        member=member,
        grid=grid,
    )


def _told(consumer: Export, source: Source, request: Request) -> dict[str, Any]:
    """What the manifest says besides the files."""
    told = provenance.attributes(source, request.years, consumer.name, request)
    return {
        "format": FORMAT,
        "consumer": consumer.name,
        "contract": consumer.contract.as_dict(),
        "grid": request.grid or f"{source.grid.resolution:g} degree",
        "years": list(request.years),
        "provenance": told,
        "source_store_sha256_by_year": {str(y): source.digest((y,)) for y in request.years},
    }
