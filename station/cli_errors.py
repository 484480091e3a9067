"""Errors on the command line: one line that says what to do, and an exit code.

Exit codes: 1 the command could not do what was asked; 2 what was asked is not allowed; 130 stopped
by Ctrl-C.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from station import StationError

__all__ = ["CommandError", "told_in_a_line"]

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)


class CommandError(StationError):
    """A command ends with a text and an exit code of its own.

    Parameters
    ----------
    message : str
        One line.
    code : int
        Exit code.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def told_in_a_line(command: Callable[P, R]) -> Callable[P, R]:
    """Turn foreseeable errors of a command into a line on stderr and an exit code.

    Parameters
    ----------
    command : callable
        Of the command line.

    Returns
    -------
    callable
        The same, raising `typer.Exit` in place of foreseeable errors.
    """

    @functools.wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except typer.Exit:
            raise
        except KeyboardInterrupt:
            typer.echo("twinscope: stopped by Ctrl-C", err=True)
            raise typer.Exit(130) from None
        except Exception as error:
            code = _exit_code(error)
            if code is None:
                raise
            _log.debug("command failed", exc_info=error)
            typer.echo(f"twinscope: {_line(error)}", err=True)
            raise typer.Exit(code) from None

    return told


def _exit_code(error: Exception) -> int | None:
    from analysis.datasets import LeakError
    from analysis.networks.card import CardError
    from analysis.networks.registry import UnknownModelError
    from devices.wire import LimitError, WireError
    from station.catalog import CatalogError
    from station.journal import RunNotFoundError
    from station.settings import SettingsError

    if isinstance(error, CommandError):
        return error.code
    refused = SettingsError | LimitError | LeakError | CardError | UnknownModelError
    if isinstance(error, refused) or type(error) is ValueError:
        return 2
    if isinstance(error, StationError | WireError | CatalogError | OSError | RunNotFoundError):
        return 1
    return None


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
