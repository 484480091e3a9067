"""How far do images of one session repeat each other's errors, by images that were held out?

Told is the intraclass correlation by which `analysis.sequential` weighs images of one probe. The
few sessions of a validation part hardly tell it; so it is the mean of what is to be believed after
them, where each correlation from 0 to 1 was as probable as another before: without evidence 0.5,
the default of a decision, and after many sessions the true one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..sequential import Dependence, pooled

__all__ = ["DEPENDENCE", "believed_correlation"]

DEPENDENCE = "dependence"
"""Its name among the metrics of a card."""

_CORRELATIONS = np.linspace(0.0, 1.0, 21)


def believed_correlation(
    probabilities: ArrayLike, labels: Sequence[int], groups: Sequence[Hashable]
) -> float | None:
    """Estimate the correlation of the evidence of images of one group.

    Each group is one observation: how probable its class is, after all of its images.

    Parameters
    ----------
    probabilities : array_like, shape (images, classes)
        Calibrated, of images of sessions that the network was not trained with.
    labels : sequence of int, length images
        True class of each image; of a group all are of one.
    groups : sequence, length images
        Images of one sample in one session are one group.

    Returns
    -------
    float or None
        From 0 to 1; None where no group has two images.
    """
    told, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=np.intp)
    members: dict[Hashable, list[int]] = {}
    for image, group in enumerate(groups):
        members.setdefault(group, []).append(image)
    repeated = [images for images in members.values() if len(images) > 1]
    if not repeated:
        return None
    likelihood = np.zeros(len(_CORRELATIONS))  # its logarithm
    for images in repeated:
        same, label = [0] * len(images), truth[images[0]]
        chances = [pooled(told[images], same, Dependence(float(r)))[label] for r in _CORRELATIONS]
        likelihood += np.log(np.maximum(chances, np.finfo(float).tiny))
    weights = np.exp(likelihood - likelihood.max())
    return float(weights @ _CORRELATIONS / weights.sum())
