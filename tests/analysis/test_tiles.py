"""Fields registered as they arrive, against the shifts they were cut with."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.mosaic.tiles import TileStream

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


def test_a_field_without_image_has_its_pairs_refused_with_the_reason(mosaic):
    expected, _, fields = mosaic
    stream = TileStream((SIZE, SIZE), 1.5)
    stream.skip(expected[0], "the disk was full")
    found = stream.add(fields[1], expected[1])
    assert [(n.first, n.second, n.accepted) for n in found] == [(0, 1, False)]
    assert found[0].reason == "refused: the disk was full"
    assert stream.positions().group.tolist() == [0, 1]


def test_a_field_that_cannot_be_read_again_costs_that_pair_only(mosaic):
    expected, _, fields = mosaic

    def load(number):
        raise OSError("the disk is gone")

    stream = TileStream((SIZE, SIZE), 1.5, keep=2, load=load)
    for image, place in zip(fields[:4], expected[:4], strict=True):
        stream.add(image, place)
    found = [n for n in stream.found if n.second == 3]
    assert [(n.first, n.accepted) for n in found] == [(0, False), (1, True)]
    assert found[0].reason == "refused: the disk is gone"


def test_the_numbers_do_not_depend_on_the_threads(mosaic):
    expected, _, fields = mosaic
    shifts = []
    for workers in (1, 3):
        stream = TileStream((SIZE, SIZE), 1.5, workers=workers)
        for image, place in zip(fields, expected, strict=True):
            stream.add(image, place)
        shifts.append([pair.shift for pair in stream.pairs])
    np.testing.assert_array_equal(*shifts)


def test_drift_within_a_frame_shears_a_mosaic_by_what_its_covariance_says(texture):
    # The specimen drifts by `drift` px a frame while the lines are scanned: line r of a field shows
    # it moved by (r/SIZE - 1/2) of that, whatever the field.
    specimen, drift = texture(256, 4), 0.5
    truth = np.array([(36.0 * row, 0.0) for row in range(5)])
    fields = []
    for place in truth:
        lines = [
            specimen.field((1, SIZE), (place[0] + r + drift * (r / SIZE - 0.5), 0.0))
            for r in range(SIZE)
        ]
        fields.append(np.concatenate(lines))
    stream = TileStream((SIZE, SIZE), 3.0, drift_sigma=drift)
    for image, place in zip(fields, truth, strict=True):
        stream.add(image, place)
    found = stream.positions()
    error = found.position - truth
    error -= error.mean(axis=0)
    expected = -drift * (truth[:, 0] - truth[:, 0].mean()) / SIZE
    np.testing.assert_allclose(error[:, 0], expected, atol=0.05)
    stderr = np.sqrt(found.relative_covariance[:, 0, 0])
    # the variance of a drift that stays, and as much on average for one that changes
    wanted = np.sqrt(expected**2 + np.mean(expected**2))
    np.testing.assert_allclose(stderr, wanted, rtol=0.1)
