"""The figures of the note, and the fractions that they are taken for."""

from __future__ import annotations

import pytest

from analysis.evaluation import PUBLISHED, Published, fractions_of, published


@pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: f"{one.task} {one.channel}")
def test_each_fraction_is_printed_as_in_the_note(one: Published):
    assert (one.right, one.images) in fractions_of(one.percent, one.images)


@pytest.mark.parametrize(
    ("channel", "low", "high"),
    [("deformation", 78.9, 99.9), ("dissipation", 67.6, 97.3), ("dmt_modulus", 65.1, 97.1)],
)
def test_few_images_make_wide_intervals(channel: str, low: float, high: float):
    note = published("three-way", channel)
    assert note is not None
    found = note.interval()
    assert (100 * found.low, 100 * found.high) == pytest.approx((low, high), abs=0.05)


def test_23_of_24_is_the_smallest_that_prints_95_8():
    assert fractions_of("95.8", 60)[0] == (23, 24)


def test_what_the_note_does_not_report_is_none():
    assert published("five-way", "dissipation") is None
