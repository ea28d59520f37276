"""The STAC catalog of inputs, models and products: a static tree of relative references that any STAC client reads.

`publish_item` and `publish_model` write it, `validate` proves that it says what the stores and ledgers hold,
`list_catalog` and `show` read it. pystac lives here and nowhere else.
"""

from ch4grid.catalog.datacube import open_store, years_of
from ch4grid.catalog.documents import item_folder, product_folder
from ch4grid.catalog.listing import list_catalog, model_of, show
from ch4grid.catalog.publish import publish_item, publish_model, published_years, withdraw
from ch4grid.catalog.records import (
    INPUT_COLLECTIONS,
    KEYWORDS,
    Display,
    ModelRecord,
    ProductRecord,
    input_collections,
)
from ch4grid.catalog.tree import install, lock, static_catalog
from ch4grid.catalog.validate import validate

__all__ = [
    "INPUT_COLLECTIONS",
    "KEYWORDS",
    "Display",
    "ModelRecord",
    "ProductRecord",
    "input_collections",
    "install",
    "item_folder",
    "list_catalog",
    "lock",
    "model_of",
    "open_store",
    "product_folder",
    "publish_item",
    "publish_model",
    "published_years",
    "show",
    "static_catalog",
    "validate",
    "withdraw",
    "years_of",
]
