"""ch4grid: global monthly methane flux products from reanalysis, satellites and towers, down to their inputs."""

__version__ = "0.1.0"
