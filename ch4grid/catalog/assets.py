"""Files as assets of the catalog: title, media type and roles by key, size and checksum as the file is now."""

from collections.abc import Mapping
from pathlib import Path

import pystac

from ch4grid.catalog.tree import Document, href
from ch4grid.errors import InputError
from ch4grid.stores import sha256_file

# Title and roles of an asset by its key; the media type follows from the file's suffix.
ASSETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ledger": ("Ledger: state and SHA-256 of every chunk", ("metadata",)),
    "thumbnail": ("Map of the annual mean flux", ("thumbnail",)),
    # not an overview: viewers stretch those over their map
    "quicklook": ("Maps of the twelve months", ("thumbnail",)),
    "overview": ("Annual mean flux as a bare map of the globe", ("overview",)),
    "budget": ("Monthly and annual budgets by ecosystem class and region", ("data",)),
    "page": ("Product page: maps, budgets, skill, how to use it", ("overview",)),
    "recipe": ("Resolved recipe", ("metadata",)),
    "checkpoint": ("Model weights", ("data",)),
    "configuration": ("Model configuration, scaling and calibration", ("metadata",)),
    "graph": ("Causal graph", ("metadata",)),
    "skill": ("Scores at towers that the model never saw", ("metadata",)),
    "areas": ("Where the area of every layer went", ("metadata",)),
    "difference": ("What changed since the version before", ("metadata",)),
}
MEDIA_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".csv": "text/csv",
    ".html": "text/html",
    ".md": "text/markdown",
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
# Multihash prefix of SHA-256: function code 0x12, length 0x20.
SHA256_MULTIHASH = "1220"


def file_assets(files: Mapping[str, Path], folder: Path) -> dict[str, pystac.Asset]:
    """Assets of files by key, seen from a document in `folder`.

    Raises:
        InputError: A file does not exist.
    """
    assets = {}
    for key, path in files.items():
        if not path.is_file():
            raise InputError(
                f"asset {key!r} is missing", where=path, expected="a file", found="none"
            )
        title, roles = ASSETS.get(key, (key, ("metadata",)))
        assets[key] = pystac.Asset(
            href=href(path, folder),
            title=title,
            media_type=MEDIA_TYPES.get(path.suffix, "application/octet-stream"),
            roles=list(roles),
            extra_fields=file_fields(path),
        )
    return assets


def file_fields(path: Path) -> Document:
    """Fields `file:size` [byte] and `file:checksum` (SHA-256 as multihash) of a file."""
    return {"file:size": path.stat().st_size, "file:checksum": SHA256_MULTIHASH + sha256_file(path)}
