"""Where a file comes from: product, version, citation, licence and the digest of the objects it was made from.

Nothing of the clock, the machine or the folder enters, so the same product gives the same bytes anywhere.
"""

from collections.abc import Sequence

from ch4grid import __version__
from ch4grid.exports.request import Request
from ch4grid.exports.source import Source

# Attributes of the product that files carry as they are, where it has them.
KEPT = (
    "title",
    "summary",
    "keywords",
    "license",
    "source",
    "processing_level",
    "creator_name",
    "creator_email",
    "creator_url",
    "institution",
    "references",
    "doi",
    "project",
    "publisher_name",
    "ch4grid_version",
    "ch4grid_checkpoint",
    "budget_inflation",
)
DIGEST_RULE = "SHA-256 of the lines `key sha256`, sorted by key, of the ledger's objects of these years and of no year"


def attributes(
    source: Source, years: Sequence[int], consumer: str, request: Request
) -> dict[str, str]:
    """Attributes of a file that holds some years of a product."""
    told = {k: str(source.ds.attrs[k]) for k in KEPT if k in source.ds.attrs}
    of = {k: str(source.ds.attrs[k]) for k in ("product", "product_version", "scenario")}
    identifier = "/".join(of.values())
    member = "mean of the ensemble" if request.member is None else f"member {request.member}"
    return (
        told
        | of
        | {
            "id": f"{identifier}/{consumer}/{years[0]}-{years[-1]}",
            "history": f"exported by ch4grid {__version__} for {consumer} from {identifier}",
            "citation": citation(source),
            "source_store_sha256": source.digest(years),
            "source_store_sha256_rule": DIGEST_RULE,
            "ecosystems": " ".join(request.ecosystems),
            "statistic": member,
        }
    )


def citation(source: Source) -> str:
    """How to cite the product: as its catalog has it."""
    of = source.ds.attrs
    made = of.get("ch4grid_version", __version__)
    version = str(of["product_version"]).removeprefix("v")
    return f"ch4grid {made}: {of['title']}, version {version}."


def coverage(years: Sequence[int], grid: str) -> dict[str, str | float]:
    """ACDD attributes of the time and place that a global file covers."""
    return {
        "time_coverage_start": f"{years[0]}-01-01",
        "time_coverage_end": f"{years[-1]}-12-31",
        "time_coverage_duration": f"P{years[-1] - years[0] + 1}Y",
        "time_coverage_resolution": "P1M",
        "geospatial_lat_min": -90.0,
        "geospatial_lat_max": 90.0,
        "geospatial_lat_units": "degrees_north",
        "geospatial_lon_min": -180.0,
        "geospatial_lon_max": 180.0,
        "geospatial_lon_units": "degrees_east",
        "geospatial_bounds": "POLYGON ((-90 -180, 90 -180, 90 180, -90 180, -90 -180))",
        "geospatial_bounds_crs": "EPSG:4326",
        "geospatial_lat_resolution": grid,
        "geospatial_lon_resolution": grid,
    }
