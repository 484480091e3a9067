"""Between the wire's units and the user's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.units import DEGREE, MICROMETRE, NANOMETRE, unit_of


@given(st.integers(-(10**9), 10**9))
def test_what_a_user_writes_comes_back_the_same(thousandths: int) -> None:
    value = thousandths / 1000
    assert MICROMETRE.from_si(MICROMETRE.to_si(value)) == value


def test_factors() -> None:
    assert MICROMETRE.to_si(1.0) == 1e-6
    assert NANOMETRE.to_si(1.0) == 1e-9
    assert DEGREE.to_si(180.0) == math.pi


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="'inch' is unknown"):
        unit_of("inch")
