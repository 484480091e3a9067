"""Where does every field of a mosaic lie? See `solve`."""

from .solve import Closure, Outlier, Pair, Positions, solve_positions

__all__ = ["Closure", "Outlier", "Pair", "Positions", "solve_positions"]
