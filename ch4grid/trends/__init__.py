"""Trends and seasonal signatures of a product: slopes that allow for memory, and the words they need."""

from ch4grid.trends.cells import cell_trends
from ch4grid.trends.report import report_seasons, report_trends
from ch4grid.trends.seasons import seasons
from ch4grid.trends.totals import trends

__all__ = ["cell_trends", "report_seasons", "report_trends", "seasons", "trends"]
