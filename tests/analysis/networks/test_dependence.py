"""How far images of a session repeat each other, found again where it is known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from analysis.networks.dependence import believed_correlation

SPREAD = 0.8  # of a feature, for means that are 1 apart: a quarter of the images mislead


def drawn(
    correlation: float, sessions: int, images: int = 8
) -> tuple[np.ndarray, list[int], list[int]]:
    """Exact probabilities of images whose features share so much of their variance by session."""
    rng = np.random.default_rng(1)
    labels = rng.integers(2, size=sessions)
    common = np.sqrt(correlation) * rng.normal(size=(sessions, 1))
    own = np.sqrt(1.0 - correlation) * rng.normal(size=(sessions, images))
    features = labels[:, np.newaxis] + SPREAD * (common + own)
    logits = -((features[..., np.newaxis] - np.arange(2)) ** 2) / (2 * SPREAD**2)
    probabilities = softmax(logits.reshape(-1, 2), axis=1)
    groups = np.repeat(range(sessions), images).tolist()
    return probabilities, np.repeat(labels, images).tolist(), groups


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.7])
def test_many_sessions_tell_the_common_part_of_the_variance(correlation: float) -> None:
    assert believed_correlation(*drawn(correlation, 400)) == pytest.approx(correlation, abs=0.15)


def test_images_that_are_right_whatever_is_believed_leave_it_at_the_default() -> None:
    sure = [[1.0 - 1e-6, 1e-6]] * 6
    found = believed_correlation(sure, [0] * 6, [1, 1, 1, 2, 2, 2])
    assert found == pytest.approx(0.5, abs=0.001)


def test_few_sessions_are_believed_less_than_many() -> None:
    few, many = (believed_correlation(*drawn(0.0, sessions)) for sessions in (3, 100))
    assert few is not None
    assert many is not None
    assert 0.5 > few > many


def test_single_images_tell_nothing() -> None:
    assert believed_correlation([[0.7, 0.3], [0.2, 0.8]], [0, 1], ["a", "b"]) is None


def test_no_images_tell_nothing() -> None:
    assert believed_correlation(np.empty((0, 2)), [], []) is None
