"""Gridded files of any form: what they hold, and one variable of them for the months asked for."""
