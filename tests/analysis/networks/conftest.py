"""What tests of networks have in common: Keras has not followed one change of numpy yet."""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent
# Keras 3.15 takes TensorFlow's variables for arrays in the way of numpy 1.
_KERAS = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let that one warning of Keras pass, and no other."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(_KERAS))
