"""What a person reads of an estimate, and what a script gets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.deficit import Estimate
from station.tables import in_words

KNOWN = Estimate(0.6, 0.01, 0.58, 0.62, 5, 1, recovered=True, significant=True, note="")


def test_a_length_is_told_in_nm_with_its_interval() -> None:
    assert in_words(KNOWN, "µm") == "+600 nm [+580, +620]"


def test_an_angle_is_told_in_degrees() -> None:
    assert in_words(KNOWN, "deg") == "+0.6000 deg [+0.5800, +0.6200]"


def test_a_lower_bound_says_so() -> None:
    bound = replace(KNOWN, low=np.nan, high=np.nan, recovered=False)
    assert in_words(bound, "µm") == "≥ +600 nm"


def test_what_is_unknown_says_why() -> None:
    unknown = replace(KNOWN, value=np.nan, note="images do not show z")
    assert in_words(unknown, "µm") == "unknown (images do not show z)"
