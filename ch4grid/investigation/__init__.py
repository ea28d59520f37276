"""An investigation, `investigate`: towers of a recipe in, a folder with report, tables, pictures and the prior out."""

from ch4grid.investigation.inquiry import Outcome, investigate

__all__ = ["Outcome", "investigate"]
