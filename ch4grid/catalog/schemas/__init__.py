"""JSON Schemas of STAC and of every extension that the catalog uses, bundled, so that validation needs no network.

Those of STAC itself come with pystac. Those of the extensions were written for this package after their specifications;
where ch4grid always writes a field or a value they ask for it, so they are stricter than the published ones.
"""

import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError
from pystac.extensions.datacube import SCHEMA_URI as DATACUBE
from pystac.extensions.file import SCHEMA_URI as FILE
from pystac.extensions.mlm import MLMExtension
from pystac.extensions.render import RenderExtension
from pystac.extensions.scientific import SCHEMA_URI as SCIENTIFIC
from pystac.extensions.version import SCHEMA_URI as VERSION
from pystac.validation.local_validator import get_local_schema_cache
from pystac.version import STACVersion
from referencing import Registry, Resource

__all__ = [
    "DATACUBE",
    "FILE",
    "MLM",
    "PROCESSING",
    "RENDER",
    "SCIENTIFIC",
    "VERSION",
    "ZARR",
    "problems",
]

MLM = MLMExtension.get_schema_uri()
PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
RENDER = RenderExtension.get_schema_uri()
ZARR = "https://stac-extensions.github.io/zarr/v1.1.0/schema.json"

STAC_VERSION = STACVersion.DEFAULT_STAC_VERSION
# Schema of STAC by the type of a document.
CORE = {"Catalog": "catalog", "Collection": "collection", "Feature": "item"}
# Bundled schema by the identifier of its extension.
BUNDLED = {
    DATACUBE: "datacube",
    FILE: "file",
    MLM: "mlm",
    PROCESSING: "processing",
    RENDER: "render",
    SCIENTIFIC: "scientific",
    VERSION: "version",
    ZARR: "zarr",
}
# Longest value that a message quotes [character].
QUOTED = 160


def problems(document: dict[str, Any]) -> Iterator[str]:
    """What does not conform in a STAC document, one sentence each; no network is touched.

    Args:
        document: A Catalog, Collection or Item as JSON values.
    """
    yield from _core(document)
    for uri in document.get("stac_extensions", []):
        if uri in BUNDLED:
            for error in _validator(BUNDLED[uri]).iter_errors(document):
                yield f"{BUNDLED[uri]} extension: {_in_words(error)}"
        else:
            yield f"extension {uri}: expected one of {', '.join(BUNDLED.values())}, found one without bundled schema"


def _core(document: dict[str, Any]) -> Iterator[str]:
    kind = CORE.get(str(document.get("type")))
    if kind is None:
        yield f"not STAC: expected a type among {', '.join(CORE)}, found {document.get('type')!r}"
        return
    for error in _core_validator(kind).iter_errors(document):
        yield f"not valid STAC: {_in_words(error)}"


@cache
def _core_validator(kind: str) -> Draft7Validator:
    """The validator of a kind of document; a schema that is not bundled is an error, never a download."""
    bundled = get_local_schema_cache()
    known = ((uri, Resource.from_contents(schema)) for uri, schema in bundled.items())
    registry: Registry[Any] = Registry().with_resources(known)
    uri = f"https://schemas.stacspec.org/v{STAC_VERSION}/{kind}-spec/json-schema/{kind}.json"
    return Draft7Validator(bundled[uri], registry=registry)


@cache
def _validator(name: str) -> Draft7Validator:
    text = resources.files(__name__).joinpath(f"{name}.json").read_text()
    return Draft7Validator(json.loads(text))


def _in_words(error: ValidationError) -> str:
    """Where it is, what was found and what is expected; of alternatives the one that comes closest."""
    while error.context:
        error = max(error.context, key=lambda e: len(e.absolute_path))
    where = "/".join(map(str, error.absolute_path)) or "the document"
    message = error.message
    if len(message) > QUOTED:
        message = f"{message[:QUOTED]}..."
    return f"{where}: {message}"
