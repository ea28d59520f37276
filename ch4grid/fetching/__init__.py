"""Fetching: what a recipe lacks, from the archives that hold it, through their maintained clients (extra `fetch`)."""

from ch4grid.fetching.delivery import Delivered, Fetched, fetch
from ch4grid.fetching.offer import Archive, Offer, Order, Patience

__all__ = ["Archive", "Delivered", "Fetched", "Offer", "Order", "Patience", "fetch"]
