"""Intervals and mean fluxes of any model at clusters of towers that it has not seen."""
