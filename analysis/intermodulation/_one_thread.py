"""Linear algebra of small matrices, each on one thread.

A hundred rows are not worth a second thread: those of OpenBLAS wait for one another spinning, which
takes twenty times as long where another core is busy. A result then does not depend on the number
of cores either.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

__all__ = ["on_one_thread"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


def on_one_thread(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let a function do its linear algebra on the thread that calls it."""

    @wraps(function)
    def alone(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _libraries().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return alone


@cache
def _libraries() -> ThreadpoolController:
    """The libraries of linear algebra that NumPy and SciPy have loaded."""
    import scipy.linalg  # noqa: F401  # brings its own

    return ThreadpoolController()
