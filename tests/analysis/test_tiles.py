"""Fields registered as they arrive, against the shifts they were cut with."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.tiles import TileStream

SIZE = 96


@pytest.fixture(scope="module")
def mosaic(texture):
    """Expected and true places of a 3 x 3 mosaic, and its fields."""
    specimen, rng = texture(320, 4), np.random.default_rng(4)
    expected = np.indices((3, 3)).reshape(2, -1).T * 64.0 + 5.0
    truth = expected + rng.normal(0.0, 1.5, expected.shape)
    fields = [
        specimen.field((SIZE, SIZE), tuple(p)) + 0.05 * rng.standard_normal((SIZE, SIZE))
        for p in truth
    ]
    return expected, truth, fields


def test_each_field_meets_its_earlier_neighbours(mosaic):
    expected, _, fields = mosaic
    stream = TileStream((SIZE, SIZE), 1.5)
    met = [[n.first for n in stream.add(f, p)] for f, p in zip(fields, expected, strict=True)]
    assert met[0] == []
    assert met[4] == [0, 1, 2, 3]


def test_positions_are_those_the_fields_were_cut_at(mosaic):
    expected, truth, fields = mosaic
    stream = TileStream((SIZE, SIZE), 1.5)
    for image, place in zip(fields, expected, strict=True):
        stream.add(image, place)
    errors = stream.positions().position - truth
    errors -= errors.mean(axis=0)
    assert np.sqrt(np.mean(errors**2)) < 0.1


def test_an_earlier_field_is_asked_for_again(mosaic):
    expected, _, fields = mosaic
    asked = []

    def load(number):
        asked.append(number)
        return fields[number]

    stream = TileStream((SIZE, SIZE), 1.5, keep=2, load=load)
    for image, place in zip(fields[:4], expected[:4], strict=True):
        stream.add(image, place)
    # the fourth meets the first and, across the corner, the second
    assert asked == [0, 1]


def test_a_blank_field_costs_its_own_pairs_only(mosaic):
    expected, _, fields = mosaic
    stream = TileStream((SIZE, SIZE), 1.5)
    for number in range(4):
        image = np.zeros((SIZE, SIZE)) if number == 1 else fields[number]
        stream.add(image, expected[number])
    assert all(n.accepted == (1 not in (n.first, n.second)) for n in stream.found)
    assert "constant" in next(n.reason for n in stream.found if not n.accepted)


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape \(4, 4\), must be \(96, 96\)"):
        TileStream((SIZE, SIZE), 1.5).add(np.zeros((4, 4)), (0.0, 0.0))
