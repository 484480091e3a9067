"""How finely is a period sampled? The number of samples and the thinning far from the surface.

Samples of two carriers are a lattice on the torus of their phases. Lattices whose length shares
factors with the drive tones, which are round numbers as a rule, can be ten times worse than others
of the same size; powers of two share the fewest.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Sampling", "power_of_two"]


@dataclass(frozen=True)
class Sampling:
    """How finely a period is sampled: `samples` near the surface, each `stride`-th far from it.

    Raises
    ------
    ValueError
        If either is not positive.
    """

    samples: int
    stride: int

    def __post_init__(self) -> None:
        if self.samples < 1 or self.stride < 1:
            raise ValueError(f"{self}: both must be 1 or more")


def power_of_two(highest_tone: int, per_tone: int, stride: int) -> Sampling:
    """Return the sampling with a power of two of at least `per_tone` samples a highest tone."""
    return Sampling(1 << (per_tone * max(1, highest_tone) - 1).bit_length(), stride)
