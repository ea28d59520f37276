"""How much wider an interval must be where the drivers are unlike those of every tower."""
