"""The static pages that people look at: of a product, an index, of a run, a thumbnail, and a local server."""

from ch4grid.pages.index import IndexEntry, write_index
from ch4grid.pages.maps import thumbnail_png
from ch4grid.pages.product import (
    Beside,
    Change,
    Interval,
    ProductPage,
    has_its_map,
    write_product_page,
)
from ch4grid.pages.quicklook import overview_png, quicklook_png
from ch4grid.pages.report import RunReport, StageReport, YearReport, write_report
from ch4grid.pages.server import serve

__all__ = [
    "Beside",
    "Change",
    "IndexEntry",
    "Interval",
    "ProductPage",
    "RunReport",
    "StageReport",
    "YearReport",
    "has_its_map",
    "overview_png",
    "quicklook_png",
    "serve",
    "thumbnail_png",
    "write_index",
    "write_product_page",
    "write_report",
]
