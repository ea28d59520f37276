"""Training: from towers to a calibrated checkpoint, `fit`, and to the predictions of towers held out, `held_out`."""

from ch4grid.training.chain import fit, grouped_folds, held_out, run_discovery, series_without

__all__ = ["fit", "grouped_folds", "held_out", "run_discovery", "series_without"]
