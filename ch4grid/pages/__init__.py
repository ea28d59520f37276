"""The static pages that people look at: one per product, an index, a thumbnail, and a local server to browse them."""

from ch4grid.pages.index import IndexEntry, write_index
from ch4grid.pages.maps import thumbnail_png
from ch4grid.pages.product import Change, Interval, ProductPage, write_product_page
from ch4grid.pages.quicklook import overview_png, quicklook_png
from ch4grid.pages.server import serve

__all__ = [
    "Change",
    "IndexEntry",
    "Interval",
    "ProductPage",
    "overview_png",
    "quicklook_png",
    "serve",
    "thumbnail_png",
    "write_index",
    "write_product_page",
]
