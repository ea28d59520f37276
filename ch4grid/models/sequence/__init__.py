"""Networks that read the record of a site month by month: one file a network, one way to train them.

Shapes: R rows (a site, or a piece of its record), T months, P drivers, C = 3 channels of a driver, F_in = P C + 2
inputs (the last two are the season), F static features, D width, B months drawn in a step, M = 24 months of a window.
"""
