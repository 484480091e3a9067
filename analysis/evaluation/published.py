"""What Bruker application note 155 reports, and how sure its figures are.

The note gives percentages, not the images behind them. Its test parts hold 20 % of 45 or 80 images
a sample, and few fractions of so few images give a percentage with its digits; those taken here are
inferred, not stated. Of R² the note's text names an order, but no numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from .intervals import CONFIDENCE, Interval, clopper_pearson

__all__ = ["PUBLISHED", "Published", "fractions_of", "published"]


@dataclass(frozen=True)
class Published:
    """One accuracy of the note.

    Parameters
    ----------
    figure : str
        Of the note.
    task, channel : str
        What was told apart, and by which channel.
    percent : str
        As printed.
    right, images : int
        The fraction inferred from it.
    """

    figure: str
    task: str
    channel: str
    percent: str
    right: int
    images: int

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Return the accuracy with the exact interval of as many independent images."""
        return clopper_pearson(self.right, self.images, confidence)


PUBLISHED = (
    Published("2", "three-way", "deformation", "95.8", 23, 24),
    Published("2", "three-way", "dissipation", "87.5", 21, 24),
    Published("2", "three-way", "dmt_modulus", "86.4", 19, 22),
    Published("2", "three-way", "phase", "78.4", 40, 51),
    Published("3", "five-way", "deformation", "65.8", 25, 38),
    # 20 % of 5 x 80 images are 80; of the sizes around it this comes nearest to 58.0
    Published("3", "five-way", "phase", "58", 47, 81),
)


def published(task: str, channel: str) -> Published | None:
    """Return what the note reports of a task and a channel, if anything."""
    return next((one for one in PUBLISHED if (one.task, one.channel) == (task, channel)), None)


def fractions_of(percent: str, most: int) -> tuple[tuple[int, int], ...]:
    """Return the fractions that are printed as `percent`.

    Parameters
    ----------
    percent : str
        With the digits that were printed.
    most : int
        Images of the largest test part considered.

    Returns
    -------
    tuple of tuple of int
        Right ones and images, the smallest number of images first.
    """
    digits = len(percent.partition(".")[2])
    found = []
    for images in range(1, most + 1):
        right = round(float(percent) / 100 * images)
        if f"{100 * right / images:.{digits}f}" == percent:
            found.append((right, images))
    return tuple(found)
